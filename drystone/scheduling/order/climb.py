"""Orders bettered step by step: an operation is moved within what it depends on and what depends on it, and
stays there where no more must be moved between the levels than before. Orders are judged by Belady's
replacement without addresses: what leaves is what is needed last, and rather what has a copy already."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph
from drystone.scheduling.order.parts import Part

#: What it costs to judge an order, for each of its steps.
_STEP = 1.8e-6
#: Orders that are judged between two looks at the account.
_TURN = 32


@dataclass
class Replacement:
    """What an order spends, the steps during which each tensor is in the fast level, what is copied, and the
    pairs (operation, output, source) that share their bytes."""

    cost: int = 0
    stays: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    spilled: set[str] = field(default_factory=set)
    shared: list[tuple[int, str, str]] = field(default_factory=list)


class Judge:
    """Replacement in a part, order by order. Tensors are told by their places among the names in order."""

    def __init__(self, part: Part) -> None:
        self.graph = graph = Graph(part.problem)
        border, self.capacity = part.border, part.problem.levels[0].capacity or 0
        self.names = sorted(graph.size)
        number = {name: place for place, name in enumerate(self.names)}
        self.size = [graph.size[name] for name in self.names]
        unit = part.problem.levels[1].cost
        self.weight = [0 if n in border.free else unit * graph.bytes[n] for n in self.names]
        homed = {name for name, home in graph.home.items() if home}
        given = {name for name in graph.size if name not in graph.producer and name not in homed}
        self.homed = frozenset(number[name] for name in homed)
        self.given = [number[name] for name in graph.size if name in given | border.here and graph.size[name]]
        self.saved = frozenset(number[name] for name in border.saved)
        self.stay = frozenset(number[name] for name in border.stay)
        self.lasting = self.stay | {number[name] for name in graph.kept}
        operations = part.problem.operations
        self.inputs = [[number[n] for n in dict.fromkeys(op.inputs) if graph.size[n]] for op in operations]
        self.outputs = [[number[n] for n in op.outputs if graph.size[n]] for op in operations]
        self.made = [
            sum(graph.size[n] for n in op.outputs) + graph.scratch[i] for i, op in enumerate(operations)
        ]
        self.pairs = [
            [
                (number[output], number[source])
                for output, source in op.in_place
                if number[source] not in self.lasting and graph.size[output]
            ]
            for op in operations
        ]

    def replace(self, order: Sequence[int]) -> Replacement | None:
        """The replacement under an order; None where an operation does not fit."""
        run = _Run(self, order)
        if run.cost(None) is None:
            return None
        names = self.names
        stays: dict[str, list[tuple[int, int]]] = {}
        for number, start, end in run.stays:
            stays.setdefault(names[number], []).append((start, end))
        shared = [(op, names[output], names[source]) for op, output, source in run.shared]
        return Replacement(run.spent, stays, {names[number] for number in run.copied - self.homed}, shared)

    def cost(self, order: Sequence[int], most: int) -> int | None:
        """What an order spends; None where an operation does not fit, or it spends more than `most`."""
        return _Run(self, order).cost(most)


class _Run:
    def __init__(self, judge: Judge, order: Sequence[int]) -> None:
        self.judge, self.order, self.size = judge, order, judge.size
        self.spent = 0
        self.stays: list[tuple[int, int, int]] = []
        self.shared: list[tuple[int, int, int]] = []
        self.copied = set(judge.homed)
        self.here = dict.fromkeys(judge.given, 0)
        self.used = sum(self.size[number] for number in self.here)
        #: The steps at which each tensor is needed, the last first.
        self.uses: list[list[int]] = [[] for _ in self.size]
        for number in judge.lasting:
            self.uses[number].append(len(order))
        for step in range(len(order) - 1, -1, -1):
            for number in judge.inputs[order[step]]:
                self.uses[number].append(step)

    def cost(self, most: int | None) -> int | None:
        judge, size, here = self.judge, self.size, self.here
        for number in [n for n in here if not self.uses[n] and n not in judge.saved]:
            self._leave(number, 0)
        for step, op in enumerate(self.order):
            inputs, outputs = judge.inputs[op], judge.outputs[op]
            missing = [number for number in inputs if number not in here]
            need = judge.made[op]
            for number in missing:
                need += size[number]
            shared = self._overwritten(op) if judge.pairs[op] else {}
            for number in shared.values():
                need -= size[number]
            if self.used + need > judge.capacity and not self._make_room(step, need, inputs):
                return None
            for number in missing:
                self._copy(number)
                self.spent += judge.weight[number]
            if most is not None and self.spent > most:
                return None
            for number in (*missing, *outputs):
                here[number] = step
                self.used += size[number]
            for number in inputs:
                self.uses[number].pop()
            for number in (*inputs, *outputs):
                if not self.uses[number]:
                    self._leave(number, step + (number not in shared))
        self._end()
        return self.spent

    def _end(self) -> None:
        """What must be there, or copied, after the last step."""
        judge, count = self.judge, len(self.order)
        for number in judge.stay:
            if number not in self.here:
                self.spent += judge.weight[number]
                self.stays.append((number, count, count + 1))
        for number in judge.saved:
            self._copy(number)
        for number in list(self.here):
            self._leave(number, count + (number in judge.stay))

    def _overwritten(self, op: int) -> dict[int, int]:
        """The inputs that an operation's outputs are written over, with these."""
        taken: set[int] = set()
        pairs = {}
        for output, source in self.judge.pairs[op]:
            if len(self.uses[source]) == 1 and not {output, source} & taken:
                taken |= {output, source}
                pairs[source] = output
                self.shared.append((op, output, source))
        return pairs

    def _make_room(self, step: int, need: int, inputs: Sequence[int]) -> bool:
        """Evict what is needed last, and rather what has a copy; whether there is room then."""
        here, uses, copied = self.here, self.uses, self.copied
        never = len(self.order) * 3
        while self.used + need > self.judge.capacity:
            away, latest = -1, -1
            for number in here:
                if number in inputs:
                    continue
                later = uses[number]
                rank = (later[-1] - step) * (2 if number in copied else 1) if later else never
                if rank > latest or (rank == latest and number > away):
                    away, latest = number, rank
            if away < 0:
                return False
            if uses[away]:
                self._copy(away)
            self._leave(away, step)
        return True

    def _copy(self, number: int) -> None:
        if number not in self.copied:
            self.copied.add(number)
            self.spent += self.judge.weight[number]

    def _leave(self, number: int, step: int) -> None:
        self.stays.append((number, self.here.pop(number), step))
        self.used -= self.size[number]


def climb(judge: Judge, order: Sequence[int], effort: Effort) -> tuple[list[int], Replacement] | None:
    """The best order found from a known one, and its replacement; None where the known one has none."""
    best, found = list(order), judge.replace(order)
    if found is None or len(best) < 2:
        return None if found is None else (best, found)
    rng, before, after, cost = random.Random(0), judge.graph.before, judge.graph.after, found.cost
    while effort.left and cost:
        for _ in range(_TURN):
            tried = _changed(best, before, after, rng)
            new = None if tried is None else judge.cost(tried, cost)
            if tried is not None and new is not None:
                best, cost = tried, new
        effort.spend(_TURN * _STEP * len(best))
    if best != list(order):
        found = judge.replace(best)
        assert found is not None
    return best, found


def _changed(
    order: Sequence[int], before: Sequence[set[int]], after: Sequence[set[int]], rng: random.Random
) -> list[int] | None:
    """The order with one operation moved; None where it cannot be."""
    step = rng.randrange(len(order))
    op = order[step]
    low = high = step
    while low and order[low - 1] not in before[op]:
        low -= 1
    while high + 1 < len(order) and order[high + 1] not in after[op]:
        high += 1
    if low == high:
        return None
    place = rng.randrange(low, high)
    place += place >= step
    tried = [*order[:step], *order[step + 1 :]]
    tried.insert(place, op)
    return tried
