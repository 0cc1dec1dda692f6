"""The quick answer where the fast level is too small: tensors come when an operation needs them and leave,
the one needed last first, when another needs their room (Belady, "A study of replacement algorithms for a
virtual-storage computer"), at addresses found by best fit on the way."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from drystone.scheduling.graph import Block, Graph
from drystone.scheduling.order.greedy import tightest_gap
from drystone.scheduling.problem import Home, Move

#: Chooses an offset: from the open ranges that are taken, in order, and what is to be placed.
Fit = Callable[[Sequence[tuple[int, int]], Block], int]


@dataclass(frozen=True)
class Replaced:
    """Homes in all levels and the moves between them."""

    homes: list[Home]
    moves: list[Move]


@dataclass
class _Here:
    """A tensor in the fast level: its address and the step from which it is there."""

    offset: int
    size: int
    since: int


def replace(graph: Graph, order: Sequence[int], fit: Fit = tightest_gap) -> Replaced | None:
    """Homes and moves for an order; None where the slower level has no room for what leaves, or the fast one
    none for a single operation."""
    return Replacer(graph, order, fit).run()


class Replacer:
    """The replacement under an order, step by step."""

    def __init__(self, graph: Graph, order: Sequence[int], fit: Fit) -> None:
        self.graph, self.order, self.fit = graph, order, fit
        self.fast = graph.problem.levels[0]
        slow = [level for level in graph.problem.levels[1:] if level.capacity is None]
        self.slow = min(slow, key=lambda level: level.cost).name if slow else ""
        self.given = {n for n in graph.size if n not in graph.producer and not graph.home[n]}
        self.here: dict[str, _Here] = {}
        self.homes: list[Home] = []
        self.moves: list[Move] = []
        self.copied: dict[str, int] = {}
        self.last_fetch: dict[str, int] = {}
        self.uses: dict[str, list[int]] = {name: [] for name in graph.size}
        for step, index in enumerate(order):
            for name in dict.fromkeys(graph.problem.operations[index].inputs):
                self.uses[name].append(step)
        for name in graph.kept:
            self.uses[name].append(len(order))

    def run(self) -> Replaced | None:
        """Homes and moves; see `replace`."""
        if not self._bring_all(self.given, 0, self.graph.size, set()):
            return None
        for step, index in enumerate(self.order):
            if not self._step(step, index):
                return None
        for name in list(self.here):
            self._leave(name, len(self.order))
        bottom = 0
        for name, start in self.copied.items():
            end = max(self.last_fetch.get(name, 0), start) + 1
            end = len(self.order) if name in self.graph.kept else min(end, len(self.order))
            self.homes.append(Home(name, self.slow, bottom, start, end))
            bottom += self.graph.size[name]
        # What leaves before a step does so first: what comes may take its room, wherever both will stand.
        moves = sorted(self.moves, key=lambda move: (move.step, move.source != self.fast.name))
        return Replaced(self.homes, moves)

    def _step(self, step: int, index: int) -> bool:
        """Bring what the operation reads, make room for what it writes, drop what nothing reads any more."""
        op = self.graph.problem.operations[index]
        inputs = set(op.inputs)
        new = [self.graph.scratch_name(index)] if self.graph.scratch[index] else []
        sizes = {name: self.graph.size[name] for name in (*op.inputs, *op.outputs)}
        sizes |= dict.fromkeys(new, self.graph.scratch[index])
        taken: dict[str, str] = {}
        for output, source in op.in_place:
            dies = self._next_use(source, step) is None and source not in taken.values()
            if dies and output not in taken:
                taken[output] = source
        wanted = {name for name in (*inputs, *op.outputs, *new) if name not in taken}
        before = self._state()
        if not self._bring_all(wanted, step, sizes, inputs):
            if not self.slow:
                return False
            # No gap is large enough: everything leaves, and the operands are laid out anew.
            self.here, self.homes, self.moves, self.copied, self.last_fetch = before
            for name in list(self.here):
                self._evict(name, step)
            if not self._bring_all(wanted, step, sizes, inputs):
                return False
        for output, source in taken.items():
            self.here[output] = _Here(self.here[source].offset, sizes[output], step)
        for name in [n for n in self.here if n in new or self._next_use(n, step) is None]:
            self._leave(name, step + 1)
        return True

    def _state(self) -> Any:
        return tuple(map(copy, (self.here, self.homes, self.moves, self.copied, self.last_fetch)))

    def _bring_all(self, wanted: set[str], step: int, sizes: dict[str, int], inputs: set[str]) -> bool:
        missing = sorted(wanted - set(self.here), key=lambda name: (-sizes[name], name))
        staying = wanted | inputs | (self.given if step == 0 else set())
        return all(self._bring(name, step, staying, sizes) for name in missing)

    def _next_use(self, name: str, step: int) -> int | None:
        return next((use for use in self.uses.get(name, ()) if use > step), None)

    def _bring(self, name: str, step: int, staying: set[str], sizes: dict[str, int]) -> bool:
        """Give the tensor a place; fetch it where it was made earlier."""
        size = sizes[name]
        offset = self._room(name, step, size, staying)
        if offset is None:
            return False
        self.here[name] = _Here(offset, size, step)
        made = name in self.graph.producer and self.order[step] == self.graph.producer[name]
        if name in self.graph.size and (self.graph.home[name] or name in self.copied) and not made:
            self.moves.append(Move(step, name, self.graph.home[name] or self.slow, self.fast.name))
            self.last_fetch[name] = step
        return True

    def _room(self, name: str, step: int, size: int, staying: set[str]) -> int | None:
        """An offset for it, evicting what is needed latest; None where there is none."""
        while True:
            taken = sorted((h.offset - size, h.offset + h.size) for h in self.here.values() if h.size)
            offset = self.fit(taken, Block((name,), size, step, step + 1))
            if self.fast.capacity is None or offset + size <= self.fast.capacity:
                return offset
            others = [other for other in self.here if other not in staying and self.here[other].size]
            if not others or not self.slow:
                return None
            self._evict(max(others, key=lambda other: (self._next_use(other, step - 1) or 0, other)), step)

    def _evict(self, name: str, step: int) -> None:
        """Take a tensor out before a step, keeping a copy where it is needed again."""
        if not self.graph.home[name] and name not in self.copied:
            self.copied[name] = step
            self.moves.append(Move(step, name, self.fast.name, self.slow))
        self._leave(name, step)

    def _leave(self, name: str, step: int) -> None:
        here = self.here.pop(name)
        if step > here.since:
            self.homes.append(Home(name, self.fast.name, here.offset, here.since, step))
