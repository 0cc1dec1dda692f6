"""The search for groups: descent over all small changes, then annealing with restarts from the best.

A state is a partition of the operations into groups, and the operations that are copied into every group that
reads them instead. A change joins two groups, moves an operation or all of a group that depends on it to
another group, cuts a group, or turns an operation into copies or back.
"""

import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from drystone.scheduling.mlsys.group import Graph, each, gather
from drystone.scheduling.mlsys.layout import INFINITE, Layout, Placed

#: Temperatures of annealing at its start and end, in parts of the mean time of an operation.
_HOT, _COLD = 0.3, 0.002
#: The least gain that counts.
_LEAST = 1e-9
#: A share of changes turns an operation into copies or back.
_COPYING = 0.08


@dataclass(frozen=True)
class State:
    """Groups by their own operations, the copied operations, and the steps they make."""

    cores: tuple[int, ...]
    copies: int
    time: float
    steps: tuple[Placed, ...]


class Search:
    """Improves a state until told to stop; deterministic by its seed and the number of changes tried."""

    def __init__(self, graph: Graph, layout: Layout, deadline: float, bound: float) -> None:
        self.graph, self.layout, self.deadline, self.bound = graph, layout, deadline, bound
        self.random = random.Random(1)
        self.firsts: dict[int, int] = {}
        self.count = len(graph.problem.operations)
        self.before = [self._closure(op, graph.sources) for op in range(self.count)]
        self.after = [self._closure(op, graph.readers) for op in range(self.count)]
        self.state = self.best = self._state(tuple(1 << op for op in graph.problem.order), 0)

    @staticmethod
    def _closure(op: int, neighbours: list[int]) -> int:
        found = 1 << op
        while new := gather(found, neighbours) & ~found:
            found |= new
        return found

    def _state(self, cores: tuple[int, ...], copies: int) -> State:
        total, steps = self.layout.lay_out(cores, copies)
        return State(cores, copies, total, tuple(steps))

    def _over(self) -> bool:
        return self.best.time <= self.bound * (1 + 1e-12) or time.monotonic() > self.deadline

    def descend(self) -> None:
        """Take every change that helps, until none does."""
        changed = True
        while changed:
            changed = False
            for op in self.graph.problem.order:
                for cores, copies in self._all(op):
                    if self._over():
                        return
                    changed |= self._try(cores, copies, -_LEAST)

    def anneal(self, steps: int) -> None:
        """Try so many changes, accepting losses ever less likely."""
        scale = self.best.time / self.count
        for step in range(steps):
            if not step % 16 and self._over():
                return
            warmth = scale * _HOT * (_COLD / _HOT) ** (step / steps)
            change = self._one(self.random.randrange(self.count))
            if change is not None:
                luck = -math.log(self.random.random() + 1e-300) * warmth
                self._try(*change, luck)

    def restart(self) -> None:
        """Go on from the best state."""
        self.state = self.best

    def _try(self, cores: tuple[int, ...], copies: int, most: float) -> bool:
        """Go to a state that is worse by `most` or less; whether it was."""
        if not self._promising(cores, copies, most):
            return False
        new = self._state(cores, copies)
        if new.time == INFINITE or new.time - self.state.time > most:
            return False
        self.state = new
        if new.time < self.best.time - _LEAST:
            self.best = new
        return True

    def _promising(self, cores: tuple[int, ...], copies: int, most: float) -> bool:
        """Whether the groups that change can run, and take not more than `most` longer but for retention."""
        layout, old = self.layout, self.state
        both = set(cores) & set(old.cores) if copies == old.copies else set()
        change = -sum(layout.time(layout.whole(core, old.copies)) for core in old.cores if core not in both)
        margin = 0.0
        for core in cores:
            if core in both:
                continue
            group = layout.whole(core, copies)
            torn = layout.torn(group, copies)
            if torn & ~layout.retainable:
                return False
            if torn:
                return True
            change += layout.time(group)
            margin += layout.margin(group)
        return (
            not change > most + margin
        )  # old groups that must retain count as infinite: then it is no number

    def _home(self, op: int) -> int:
        return next((core for core in self.state.cores if core >> op & 1), 0)

    def _replace(self, old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
        """The groups with some replaced, each in connected pieces, in the order of their first operations."""
        pieces = [piece for core in new for piece in self._pieces(core)]
        kept = [core for core in self.state.cores if core not in old]
        return tuple(sorted(kept + pieces, key=self._first))

    def _first(self, core: int) -> int:
        found = self.firsts.get(core)
        if found is None:
            found = self.firsts[core] = min(self.graph.rank[op] for op in each(core))
        return found

    def _pieces(self, core: int) -> Iterator[int]:
        while core:
            piece = core & -core
            while new := gather(piece, self.graph.near) & core & ~piece:
                piece |= new
            yield piece
            core &= ~piece

    def _one(self, op: int) -> tuple[tuple[int, ...], int] | None:
        """A random change about an operation."""
        home = self._home(op)
        if not home or self.random.random() < _COPYING:
            return self._copied(op, home)
        if home & (home - 1) and self.random.random() < 0.2:
            return self._replace((home,), self._cut(op, home)), self.state.copies
        near = list(each(self.graph.near[op] & ~home))
        if not near:
            return None
        return self._moved(op, home, self.random.choice(near), self.random.randrange(4))

    def _moved(self, op: int, home: int, to: int, how: int) -> tuple[tuple[int, ...], int] | None:
        other = self._home(to)
        if not other:
            return None
        part = (home, 1 << op, home & self.after[op], home & self.before[op])[how]
        return self._replace((home, other), (home & ~part, other | part)), self.state.copies

    def _cut(self, op: int, home: int) -> tuple[int, int]:
        part = (1 << op, home & self.after[op], home & self.before[op])[self.random.randrange(3)]
        return part, home & ~part

    def _copied(self, op: int, home: int) -> tuple[tuple[int, ...], int] | None:
        copies = self.state.copies
        if home:
            if not self.graph.readers[op]:
                return None
            return self._replace((home,), (home & ~(1 << op),)), copies | 1 << op
        return self._replace((), (1 << op,)), copies & ~(1 << op)

    def _all(self, op: int) -> Iterator[tuple[tuple[int, ...], int]]:
        """The changes about an operation that descent tries."""
        for to in list(each(self.graph.near[op])):
            for how in (0, 1, 2, 3):
                home = self._home(op)
                if home and not home >> to & 1:
                    change = self._moved(op, home, to, how)
                    if change is not None:
                        yield change
        change = self._copied(op, self._home(op))
        if change is not None:
            yield change
