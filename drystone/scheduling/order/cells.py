"""Where a large graph can be cut.

An operation that every other one comes before or after under every order seals what is behind it: before and
after it there are always the same operations. Where also its result alone is needed later, both sides can be
planned apart without loss. Elsewhere the sides depend on each other through the tensors that cross.
"""

from collections.abc import Sequence
from itertools import pairwise

from drystone.scheduling.graph import Graph

#: Parts that cannot be cut where one tensor crosses are cut elsewhere; operations of a part then.
MOST = 60
_LEAST = 15


class Cuts:
    """The cuts of an order: cut t lies before step t."""

    def __init__(self, graph: Graph, order: Sequence[int]) -> None:
        self.graph, self.order = graph, list(order)
        self.step = {index: step for step, index in enumerate(order)}
        count = len(self.order)
        #: The steps at which each tensor is made (-1: there from the start) and needed last.
        self.made = {n: self.step[graph.producer[n]] if n in graph.producer else -1 for n in graph.size}
        self.last = {
            name: count if name in graph.kept else max((self.step[r] for r in readers), default=-1)
            for name, readers in graph.readers.items()
        }
        everything = (1 << count) - 1
        self.sealed = [
            step > 0 and graph.ancestors[op] | graph.descendants[op] | 1 << op == everything
            for step, op in zip(range(1, count + 1), self.order, strict=True)
        ]
        self.sealed = [False, *self.sealed[:-1]]
        self.crossing: list[list[str]] = [[] for _ in range(count)]
        for name, last in self.last.items():
            first = self.made[name]
            if graph.home[name]:
                first = min((self.step[reader] for reader in graph.readers[name]), default=count)
            for cut in range(first + 1, min(last, count - 1) + 1):
                if graph.size[name]:
                    self.crossing[cut].append(name)

    def clean(self, cut: int) -> bool:
        """Whether both sides can be planned apart: the result of the operation before the cut alone crosses
        it, and what lies before it is the same under every order."""
        return self.sealed[cut] and all(
            self.made[name] == cut - 1 and not self.graph.home[name] for name in self.crossing[cut]
        )

    def divided(self) -> list[tuple[int, int]]:
        """Parts from step to step: between clean cuts and, where one is too long, between the narrowest
        others."""
        count = len(self.order)
        ends = [0, *(cut for cut in range(1, count) if self.clean(cut)), count]
        found: list[tuple[int, int]] = []
        for start, end in pairwise(ends):
            cuts = [start, *self._narrowest(start, end), end] if end - start > MOST else [start, end]
            found += pairwise(cuts)
        return found

    def sealed_parts(self) -> list[tuple[int, int]]:
        """Parts that contain the same operations under every order."""
        ends = [0, *(cut for cut, sealed in enumerate(self.sealed) if sealed), len(self.order)]
        return list(pairwise(ends))

    def _narrowest(self, start: int, end: int) -> list[int]:
        """Cuts into parts of `_LEAST` to `MOST` operations, which the fewest tensors cross, in all."""
        best: dict[int, tuple[int, int, int]] = {start: (0, 0, start)}
        for cut in range(start + _LEAST, end + 1):
            if cut != end and end - cut < _LEAST:
                continue
            here = self.crossing[cut] if cut < end else []
            wide, size = len(here), sum(self.graph.size[name] for name in here)
            reached = [
                (best[before][0] + wide, best[before][1] + size, before)
                for before in range(max(start, cut - MOST), cut - _LEAST + 1)
                if before in best
            ]
            if reached:
                best[cut] = min(reached)
        cuts = [end]
        while cuts[-1] != start:
            cuts.append(best[cuts[-1]][2])
        return cuts[1:-1][::-1]
