"""The choices of a residency model, and what they say once they are made: who stays where, and what moves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from drystone.scheduling.graph import Block, Graph, stacked
from drystone.scheduling.order.climb import Replacement
from drystone.scheduling.residency.timeline import Timeline


@dataclass(frozen=True)
class Stay:
    """A tensor lies in a level during the events start <= event < end. `gaps` are the gaps it bridges."""

    tensor: str
    level: str
    start: int
    end: int
    gaps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Transfer:
    """Before the event, a tensor is copied from one level to another."""

    event: int
    tensor: str
    source: str
    destination: str


@dataclass(frozen=True)
class Residency:
    """The events that take place, the stays and transfers between them, the pairs (output, input) that share
    their bytes at an event, what all of it costs, and the least that any choice costs."""

    runs: list[bool]
    stays: list[Stay]
    transfers: list[Transfer]
    shared: list[tuple[int, str, str]]
    cost: int
    bound: int

    @cached_property
    def steps(self) -> list[int]:
        """The step of each event: how many take place before it."""
        return [0, *accumulate(map(int, self.runs))]


class Choices:
    """The choices for one tensor: held at each touch, kept in each gap after it, fetched for it from which
    level, or used there directly; a copy in each slower level during each gap."""

    def __init__(self) -> None:
        self.held: list[Any] = []
        self.kept: list[Any] = []
        self.fetched: list[dict[str, Any]] = []
        self.direct: list[dict[str, Any]] = []
        self.copy: dict[str, list[Any]] = {}
        self.spilled: dict[str, list[Any]] = {}


class Reading:
    """The answer to a model, read tensor by tensor; `true` tells what was chosen."""

    def __init__(
        self, graph: Graph, line: Timeline, tensors: Mapping[str, Choices], true: Callable[[Any], bool]
    ) -> None:
        self.graph, self.line, self.tensors, self.true = graph, line, tensors, true
        self.fast, *self.slow = (level.name for level in graph.problem.levels)

    def stays(self) -> list[Stay]:
        """The stays in all levels."""
        return [
            stay
            for name in self.tensors
            for stay in (
                *self._fast(name),
                *(
                    each
                    for level in self.slow
                    if self.graph.home[name] != level
                    for each in self._slow(name, level)
                ),
            )
        ]

    def transfers(self) -> list[Transfer]:
        """What is copied between levels; before the same event, what leaves the fast level first."""
        found = [transfer for name in self.tensors for transfer in self._moved(name)]
        return sorted(found, key=lambda each: (each.event, each.source != self.fast))

    def _fast(self, name: str) -> list[Stay]:
        tensor, true = self.tensors[name], self.true
        touches, count = self.line.touches[name], len(self.line.events)
        found: list[Stay] = []
        number = 0
        while number < len(touches):
            if not true(tensor.held[number]):
                number += 1
                continue
            start, gaps = number, []
            while true(tensor.kept[number]):
                gaps.append(number)
                number += 1
                if number == len(touches):
                    break
            end = touches[number].event + 1 if number < len(touches) else count
            found.append(Stay(name, self.fast, max(0, touches[start].event), max(end, 1), tuple(gaps)))
            number += 1
        return found

    def _slow(self, name: str, level: str) -> list[Stay]:
        """The stays of a tensor in a slower level: from where it is written to its last use there."""
        tensor, true = self.tensors[name], self.true
        touches, copies, count = self.line.touches[name], tensor.copy[level], len(self.line.events)
        found: list[Stay] = []
        start = -1
        for number in range(len(copies)):
            if true(tensor.spilled[level][number]) and true(copies[number]):
                written = touches[number].made and true(tensor.direct[number].get(level, 0))
                start = touches[number].event + (not written)
            if start < 0 or not true(copies[number]):
                continue
            used = [
                touches[later].event
                for later in range(number + 1, len(touches))
                if all(true(copies[n]) for n in range(number, later))
                and any(true(each[later].get(level, 0)) for each in (tensor.fetched, tensor.direct))
            ]
            end = (max(used) if used else touches[number].event) + 1
            if name in self.graph.kept and all(map(true, copies[number:])) and not true(tensor.kept[-1]):
                end = count
            sure = next(n for n in range(start, count) if not self.line.events[n].again)
            found.append(Stay(name, level, start, max(end, sure + 1)))
            start = -1
        return found

    def _moved(self, name: str) -> list[Transfer]:
        tensor, true = self.tensors[name], self.true
        touches = self.line.touches[name]
        found = []
        for number, touch in enumerate(touches):
            for level, literal in tensor.fetched[number].items():
                if true(literal):
                    found.append(Transfer(touch.event, name, level, self.fast))
            for level, spilled in tensor.spilled.items():
                written = touch.made and true(tensor.direct[number].get(level, 0))
                if true(spilled[number]) and not written:
                    found.append(Transfer(touch.event + 1, name, self.fast, level))
        return found


def by_bytes(graph: Graph, order: Sequence[int], found: Replacement) -> Residency:
    """A replacement without addresses as a choice of residency, each step of the order an event."""
    step = {index: number for number, index in enumerate(order)}
    shared = [(step[op], output, source) for op, output, source in found.shared]
    over = {(source, event): event + 1 for event, _, source in shared}
    fast = graph.problem.levels[0].name
    stays = [
        Stay(name, fast, start, over.get((name, end), end))
        for name, spans in found.stays.items()
        for start, end in spans
        if start < over.get((name, end), end)
    ]
    return Residency([True] * len(order), stays, [], shared, found.cost, 0)


def blocks_of(
    stays: Sequence[Stay], level: str, sizes: Mapping[str, int], shared: Sequence[tuple[int, str, str]]
) -> list[tuple[Block, list[Stay]]]:
    """What must be placed in a level: its stays, those that share their bytes as one block."""
    chains = {(stay.tensor, stay.end): [stay] for stay in stays if stay.level == level and sizes[stay.tensor]}
    starts = {(chain[0].tensor, chain[0].start): key for key, chain in chains.items()}
    for event, output, source in sorted(shared):
        key, old = starts[output, event], (source, event + 1)
        merged = [*chains.pop(old), *chains.pop(key)]
        chains[key] = merged
    return [
        (stacked([(stay.tensor, sizes[stay.tensor], stay.start, stay.end) for stay in chain]), chain)
        for chain in chains.values()
    ]
