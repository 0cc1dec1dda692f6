"""Orders bettered step by step: an operation is moved within what it depends on and what depends on it, and
stays there where no more must be moved between the levels than before. Orders are judged by Belady's
replacement without addresses: what leaves is what is needed last, and rather what has a copy already."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from drystone.scheduling.graph import Graph
from drystone.scheduling.order.parts import Part

#: Operations judged for an effort of 1.
STEPS = 400_000


@dataclass
class Replacement:
    """What an order spends, the steps during which each tensor is in the fast level, what is copied, and the
    pairs (operation, output, source) that share their bytes."""

    cost: int = 0
    stays: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    spilled: set[str] = field(default_factory=set)
    shared: list[tuple[int, str, str]] = field(default_factory=list)


class Judge:
    """Replacement in a part, order by order."""

    def __init__(self, part: Part) -> None:
        self.graph = graph = Graph(part.problem)
        border, self.capacity = part.border, part.problem.levels[0].capacity or 0
        self.stay, self.kept = border.stay, graph.kept
        unit = part.problem.levels[1].cost
        self.weight = {n: 0 if n in border.free else unit * size for n, size in graph.bytes.items()}
        self.homed = frozenset(name for name, home in graph.home.items() if home)
        given = {name for name in graph.size if name not in graph.producer and name not in self.homed}
        self.given = [name for name in graph.size if name in given | border.here and graph.size[name]]
        self.saved = border.saved
        operations = part.problem.operations
        self.inputs = [[n for n in dict.fromkeys(op.inputs) if graph.size[n]] for op in operations]
        self.outputs = [[n for n in op.outputs if graph.size[n]] for op in operations]
        self.made = [
            sum(graph.size[n] for n in op.outputs) + graph.scratch[i] for i, op in enumerate(operations)
        ]
        self.pairs = [
            [(output, source) for output, source in op.in_place if source not in self.kept | self.stay]
            for op in operations
        ]

    def replace(self, order: Sequence[int]) -> Replacement | None:
        """The replacement under an order; None where an operation does not fit."""
        return _Run(self, order).run()


class _Run:
    def __init__(self, judge: Judge, order: Sequence[int]) -> None:
        self.judge, self.order, self.size = judge, order, judge.graph.size
        self.found = Replacement()
        self.copied = set(judge.homed)
        self.here = dict.fromkeys(judge.given, 0)
        self.used = sum(self.size[name] for name in self.here)
        #: The steps at which each tensor is needed, the last first.
        self.uses: dict[str, list[int]] = {name: [] for name in self.size}
        for name in judge.stay | judge.kept:
            self.uses[name].append(len(order))
        for step in range(len(order) - 1, -1, -1):
            for name in judge.inputs[order[step]]:
                self.uses[name].append(step)

    def run(self) -> Replacement | None:
        judge, found = self.judge, self.found
        for name in [name for name in self.here if not self.uses[name] and name not in judge.saved]:
            self._leave(name, 0)
        for step, op in enumerate(self.order):
            if not self._step(step, op):
                return None
        for name in judge.stay:
            if name not in self.here:
                found.cost += judge.weight[name]
                found.stays.setdefault(name, []).append((len(self.order), len(self.order) + 1))
        for name in judge.saved:
            self._copy(name)
        for name in list(self.here):
            self._leave(name, len(self.order) + (name in judge.stay))
        return found

    def _step(self, step: int, op: int) -> bool:
        judge, size, uses = self.judge, self.size, self.uses
        inputs = judge.inputs[op]
        missing = [name for name in inputs if name not in self.here]
        need = judge.made[op] + sum(size[name] for name in missing)
        taken: set[str] = set()
        for output, source in judge.pairs[op]:
            if len(uses[source]) == 1 and size[source] and not {output, source} & taken:
                taken |= {output, source}
                need -= size[source]
                self.found.shared.append((op, output, source))
        while self.used + need > judge.capacity:
            others = [name for name in self.here if name not in inputs]
            if not others:
                return False
            away = max(others, key=lambda name: (self._rank(name, step), name))
            self._evict(away, step)
        for name in missing:
            self._copy(name)
            self.found.cost += judge.weight[name]
        for name in (*missing, *judge.outputs[op]):
            self.here[name] = step
            self.used += size[name]
        for name in inputs:
            uses[name].pop()
        for name in (*inputs, *judge.outputs[op]):
            if not uses[name]:
                overwritten = name in taken and name in inputs
                self._leave(name, step + (not overwritten))
        return True

    def _rank(self, name: str, step: int) -> int:
        later = self.uses[name]
        return (later[-1] - step) * (2 if name in self.copied else 1) if later else len(self.order) * 3

    def _evict(self, name: str, step: int) -> None:
        if self.uses[name]:
            self._copy(name)
        self._leave(name, step)

    def _copy(self, name: str) -> None:
        if name not in self.copied:
            self.copied.add(name)
            self.found.spilled.add(name)
            self.found.cost += self.judge.weight[name]

    def _leave(self, name: str, step: int) -> None:
        self.found.stays.setdefault(name, []).append((self.here.pop(name), step))
        self.used -= self.size[name]


def climb(judge: Judge, order: Sequence[int], effort: float) -> tuple[list[int], Replacement] | None:
    """The best order found from a known one, and its replacement; None where the known one has none."""
    best, found = list(order), judge.replace(order)
    if found is None or len(best) < 2:
        return None if found is None else (best, found)
    rng, before, after = random.Random(0), judge.graph.before, judge.graph.after
    for _ in range(int(effort * STEPS / len(best))):
        if not found.cost:
            break
        step = rng.randrange(len(best))
        op = best[step]
        low = step
        while low and best[low - 1] not in before[op]:
            low -= 1
        high = step
        while high + 1 < len(best) and best[high + 1] not in after[op]:
            high += 1
        if low == high:
            continue
        place = rng.randrange(low, high)
        place += place >= step
        tried = [*best[:step], *best[step + 1 :]]
        tried.insert(place, op)
        new = judge.replace(tried)
        if new is not None and new.cost <= found.cost:
            best, found = tried, new
    return best, found
