"""From groups of operations to steps: an order, and what stays in fast memory from one step to the next."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from drystone.scheduling.mlsys.group import Form, Graph, each, gather
from drystone.scheduling.mlsys.tiles import Pricer

INFINITE = float("inf")
#: Tensors that one step may leave to the next, at most: all subsets of them are tried.
_LINKS = 3


class Placed(NamedTuple):
    """A group in its place: its operations, and what the steps before and it itself leave in fast memory."""

    group: int
    before: int
    after: int


class Layout:
    """Prices sets of groups. `copies` are operations that every group which reads them runs for itself; the
    groups are given by their other operations."""

    def __init__(self, graph: Graph, pricer: Pricer) -> None:
        self.graph, self.pricer = graph, pricer
        self.times: dict[tuple[int, int, int], float] = {}
        self.links_known: dict[tuple[int, int, int], int] = {}
        self.gains: dict[tuple[int, int, int], float] = {}
        self.sources: dict[int, int] = {}
        self.readers: dict[int, int] = {}
        self.torn_known: dict[tuple[int, int], int] = {}
        small = [op for op, size in enumerate(graph.size) if graph.readers[op] and size <= pricer.capacity]
        self.retainable = sum(1 << op for op in small)

    def form(self, placed: Placed) -> Form | None:
        """What a group in its place costs."""
        return self.graph.form(*placed)

    def time(self, group: int, before: int = 0, after: int = 0) -> float:
        """What a group takes; infinite where it cannot run."""
        key = (group, before, after)
        found = self.times.get(key)
        if found is None:
            form = self.graph.form(*key)
            tiling = None if form is None else self.pricer.best(form)
            found = self.times[key] = INFINITE if tiling is None else tiling.time
        return found

    def whole(self, core: int, copies: int) -> int:
        """A group with the copies it reads, directly or through others."""
        group = core
        while new := self._sources(group) & copies & ~group:
            group |= new
        return group

    def torn(self, group: int, copies: int) -> int:
        """Results that a group makes and reads and others read too (as copies of their readers may): it must
        retain them."""
        key = (group, copies)
        found = self.torn_known.get(key)
        if found is None:
            readers = self.graph.readers
            others = ~group | copies
            members = [op for op in each(group & ~copies) if readers[op] & group and readers[op] & others]
            found = self.torn_known[key] = sum(1 << op for op in members)
        return found

    def links(self, group: int, following: int, copies: int) -> int:
        """Results of a group that it may leave to the following one: no other reads them."""
        if not self._readers(group) & following & self.retained_by:
            return 0
        key = (group, following, copies)
        found = self.links_known.get(key)
        if found is None:
            found = 0
            for op in each(group & self.retainable & ~copies):
                readers = self.graph.readers[op]
                if readers & following and not readers & (~(group | following) | copies):
                    found |= 1 << op
            self.links_known[key] = found
        return found

    def margin(self, group: int) -> float:
        """About what a group may gain at most by what it and its neighbours retain."""
        near = (group | self._sources(group)) & self.retainable
        return 4 * sum(self.graph.size[op] for op in each(near)) / self.pricer.bandwidth

    def lay_out(self, cores: Sequence[int], copies: int) -> tuple[float, list[Placed]]:
        """The time of all groups in a good order, with what is retained; infinite where there is no order."""
        order = self._order([self.whole(core, copies) for core in cores], copies)
        return (INFINITE, []) if order is None else self._retain(order, copies)

    @cached_property
    def retained_by(self) -> int:
        """All that read a tensor that may be retained."""
        return gather(self.retainable, self.graph.readers)

    def _sources(self, group: int) -> int:
        found = self.sources.get(group)
        if found is None:
            found = self.sources[group] = gather(group, self.graph.sources)
        return found

    def _readers(self, group: int) -> int:
        found = self.readers.get(group)
        if found is None:
            found = self.readers[group] = gather(group, self.graph.readers)
        return found

    def _order(self, groups: Sequence[int], copies: int) -> list[int] | None:
        """Each group after those it needs, and where there is a choice, after the one that leaves it most."""
        waiting = dict(enumerate(groups))
        ready = [at for at, group in waiting.items() if not self._sources(group) & ~group]
        order: list[int] = []
        done = last = 0
        while ready:
            at = min(ready)
            near = self._readers(last) & self.retained_by
            if near and len(ready) > 1:
                gains = [(self._gain(last, groups[to], copies), -to) for to in ready if groups[to] & near]
                best, to = max(gains, default=(0.0, 0))
                at = -to if best > 0 else at
            ready.remove(at)
            last = waiting.pop(at)
            order.append(last)
            done |= last
            after = self._readers(last) & ~last
            ready += [
                to
                for to, group in waiting.items()
                if group & after and to not in ready and not self._sources(group) & ~group & ~done
            ]
        return order if not waiting else None

    def _gain(self, group: int, following: int, copies: int) -> float:
        links = self.links(group, following, copies)
        if not links:
            return 0.0
        key = (group, following, links)
        if key not in self.gains:
            plain = self.time(group) + self.time(following)
            best = min(
                self.time(group, 0, kept) + self.time(following, kept) for kept in self._choices(links)
            )
            self.gains[key] = plain - best if best < INFINITE else 0.0
        return self.gains[key]

    @staticmethod
    def _choices(links: int) -> Iterator[int]:
        """Subsets of links: all of a few, else each alone."""
        members = list(each(links))
        if len(members) > _LINKS:
            yield from (0, *(1 << op for op in members))
            return
        kept = links
        while True:
            yield kept
            if not kept:
                return
            kept = (kept - 1) & links

    def _retain(self, order: Sequence[int], copies: int) -> tuple[float, list[Placed]]:
        """The best choice of what each step leaves to the next, by dynamic programming along the order."""
        states: dict[int, float] = {0: 0.0}
        origins: list[dict[int, int]] = []
        for at, group in enumerate(order):
            links = self.links(group, order[at + 1], copies) if at + 1 < len(order) else 0
            torn = self.torn(group, copies)
            reached: dict[int, float] = {}
            origin: dict[int, int] = {}
            for after in self._choices(links) if links else (0,):
                if torn & ~after:
                    continue
                for before, time in states.items():
                    new = time + self.time(group, before, after)
                    if new < reached.get(after, INFINITE):
                        reached[after], origin[after] = new, before
            if not reached:
                return INFINITE, []
            states = reached
            origins.append(origin)
        after, steps = 0, []
        for group, origin in zip(reversed(order), reversed(origins), strict=True):
            steps.append(Placed(group, origin[after], after))
            after = origin[after]
        return states[0], steps[::-1]
