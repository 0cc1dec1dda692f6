"""A choice of residency whose addresses are not found, followed as far as addresses allow.

Stays get addresses by best fit within the capacity, those that find none are left out. Then the plan is run
step by step: what has an address goes there, and what else stands in its way leaves, though the choice was
to keep it; what has none goes where there is room, best where nobody is to be soon, or where what must leave
for it costs the least."""

from collections.abc import Mapping, Sequence

from drystone.scheduling.graph import Block, Graph
from drystone.scheduling.order.greedy import tightest_gap
from drystone.scheduling.residency.belady import Replaced, Replacer

#: The steps during which a tensor is to be in the fast level, and its offset, -1 where it has none.
Wish = tuple[int, int, int]


def follow(graph: Graph, order: Sequence[int], wishes: Mapping[str, Sequence[Wish]]) -> Replaced | None:
    """Homes and moves for an order; None as in `belady.replace`."""
    return _Follower(graph, order, wishes).run()


class _Follower(Replacer):
    def __init__(self, graph: Graph, order: Sequence[int], wishes: Mapping[str, Sequence[Wish]]) -> None:
        super().__init__(graph, order, tightest_gap)
        self.wishes = wishes
        #: Where somebody is to be, by the step from which that is: (start, low, high).
        self.wanted = sorted(
            (start, offset, offset + graph.size[name])
            for name, found in wishes.items()
            for start, _, offset in found
            if offset >= 0 and name in graph.size
        )

    def _step(self, step: int, index: int) -> bool:
        if not super()._step(step, index):
            return False
        op = self.graph.problem.operations[index]
        for name in dict.fromkeys((*op.inputs, *op.outputs)):
            if name in self.here and step + 1 < len(self.order) and self._wish(name, step, step + 1) is None:
                self._evict(name, step + 1)
        return True

    def _wish(self, name: str, *steps: int) -> Wish | None:
        """The stay that a tensor is to have during some steps."""
        found = self.wishes.get(name, ())
        return next((wish for wish in found if wish[0] <= min(steps) and max(steps) < wish[1]), None)

    def _room(self, name: str, step: int, size: int, staying: set[str]) -> int | None:
        capacity, wish = self.fast.capacity, self._wish(name, step)
        if wish is not None and wish[2] >= 0:
            away = self._blockers(wish[2], size)
            if not any(other in staying or self._at_home(other, step) for other in away):
                for other in away:
                    self._evict(other, step)
                return wish[2]
        held = sorted((here.offset, here.offset + here.size) for here in self.here.values() if here.size)
        if capacity is None:
            taken = [(low - size, high) for low, high in held]
            return tightest_gap(taken, Block((name,), size, step, step + 1))
        starts = {0, *(high for _, high in held), *(low - size for low, _ in held), capacity - size}
        free = [
            offset
            for offset in starts
            if 0 <= offset <= capacity - size
            and all(offset + size <= low or high <= offset for low, high in held)
        ]
        end = step + 1 if wish is None else wish[1]
        if free:
            return min(free, key=lambda offset: (-self._until(offset, size, step, end), offset))
        return self._cleared(starts, size, staying, step)

    def _until(self, offset: int, size: int, step: int, end: int) -> int:
        """The step, `end` at the latest, from which somebody is to be at the offset."""
        return next(
            (
                start
                for start, low, high in self.wanted
                if step < start < end and low < offset + size and offset < high
            ),
            end,
        )

    def _at_home(self, name: str, step: int) -> bool:
        """Whether a tensor is where it is to be."""
        wish = self._wish(name, step)
        return wish is not None and wish[2] == self.here[name].offset

    def _blockers(self, offset: int, size: int) -> list[str]:
        return [
            name
            for name, here in self.here.items()
            if here.size and here.offset < offset + size and offset < here.offset + here.size
        ]

    def _cleared(self, starts: set[int], size: int, staying: set[str], step: int) -> int | None:
        """The offset from which the cheapest tensors have been taken away."""
        found = []
        for offset in sorted(starts):
            if 0 <= offset <= (self.fast.capacity or 0) - size:
                away = self._blockers(offset, size)
                if not staying & set(away):
                    found.append((sum(map(self._price, away)), offset, away))
        if not found or not self.slow:
            return None
        _, offset, away = min(found)
        for name in away:
            self._evict(name, step)
        return offset

    def _price(self, name: str) -> int:
        """The bytes that move because a tensor leaves now."""
        copied = self.graph.home[name] or name in self.copied
        return self.graph.bytes[name] * (1 if copied else 2)
