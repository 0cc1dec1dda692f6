"""Large graphs, divided at narrow cuts: parts are planned for the states that tensors may have at their ends,
and a shortest path over the states gives the order of the whole.

Where a graph can be cut cleanly (`cells.Cuts.clean`) there is one state and nothing is lost: the least of the
whole is the sum of the parts' (for the peak, the greatest). Elsewhere what is proven of relaxed parts still
adds up (`parts.relaxed`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph, load
from drystone.scheduling.order import joint
from drystone.scheduling.order.cells import MOST, Cuts
from drystone.scheduling.order.joint import Joint
from drystone.scheduling.order.parts import Part, State, between, held, loose, private, relaxed
from drystone.scheduling.order.prices import merged
from drystone.scheduling.order.solving import LARGE, Solver
from drystone.scheduling.solver import Ordered

#: So many tensors may cross a cut for their states to be told apart.
_WIDE = 2
#: The part of the effort for a model of the whole where parts come next.
_WHOLE = 0.6
#: What solving parts for their states costs at least, for each operation.
_STATES = 2e-4
#: The part of what is left of the effort for the part that needs most.
_FULLEST = 0.4
#: The part of the effort for parts by themselves; the rest is for their states.
_ALONE = 0.4


# -- the least load ----------------------------------------------------------------------------------------


def lightest(graph: Graph, order: Sequence[int], effort: Effort) -> Ordered:
    """An order of little load, and bytes that every order needs. Parts that have the same operations under
    every order are independent of each other."""
    cuts, spans = Cuts(graph, order), graph.lifetimes(order)
    found = {}
    for start, end in cuts.sealed_parts():
        problem, idle = held(graph, spans, order, start, end)
        found[start, end] = problem, idle, load(Graph(problem).blocks(range(end - start))) + idle
    bound = max((Graph(problem).bound() + idle for problem, idle, _ in found.values()), default=0)
    solving, best = Solver(effort), list(order)
    fuller = (Part(problem) for problem, _, most in found.values() if most > bound)
    solving.expect(fuller, effort, _FULLEST)
    # The fullest part first: what it needs anyway the others need not get below.
    for (start, end), (problem, idle, most) in sorted(found.items(), key=lambda item: -item[1][2]):
        if most <= bound:
            break
        solved = solving.least_loaded(problem, bound - idle)
        if load(Graph(problem).blocks(solved.order)) + idle <= most:
            best[start:end] = [order[start + index] for index in solved.order]
        bound = max(bound, solved.bound + idle)
    return Ordered(best, bound, {})


def least_load(graph: Graph, order: Sequence[int], effort: Effort) -> int:
    """Bytes that every order needs, found around the fullest step of a known one."""
    blocks = graph.blocks(order)
    loads = [sum(b.size for b in blocks if b.start <= step < b.end) for step in range(len(order))]
    fullest = loads.index(max(loads))
    start = max(0, min(fullest - MOST // 2, len(order) - MOST))
    problem, idle = loose(graph, order[start : start + MOST])
    return Solver(effort).least_loaded(problem).bound + idle


# -- the least moved ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Path:
    """The cheapest way to a state found so far: what it costs and the order up to there."""

    cost: int
    order: tuple[int, ...]


def arrange(graph: Graph, hint: Sequence[int], most: int | None, effort: Effort) -> Joint:
    """The order under which little must be moved, and the least that every plan must spend. `hint` is a known
    order, `most` what a known plan spends."""
    cuts = Cuts(graph, hint)
    parts = cuts.divided()
    if len(parts) == 1 or (len(graph.before) <= LARGE and not any(map(cuts.clean, range(len(hint))))):
        if len(graph.before) > LARGE:
            return Joint(list(hint), graph.compulsory)
        return joint.arrange(graph, hint, most, effort)
    return _Division(graph, cuts, effort).arrange(parts)


def bounded(graph: Graph, hint: Sequence[int], effort: Effort) -> Joint:
    """The least that every plan must spend where there are several slower levels, or one that ends or in
    which operations work, or where operations may run again; and an order that may do with little."""
    slow = graph.problem.levels[1:]
    found = Joint(list(hint), graph.compulsory)
    if len(graph.before) <= LARGE:
        whole = joint.arrange(graph, hint, None, effort.part(_WHOLE))
        found = replace(whole, bound=max(found.bound, whole.bound))
    one = Graph(merged(graph.problem)) if slow and not any(level.direct for level in slow) else None
    if one is not None and (len(graph.before) > LARGE or any(map(Cuts(graph, hint).clean, range(len(hint))))):
        divided = arrange(one, hint, None, effort)
        order = found.order if found.cost is not None else divided.order
        # What lies in a slower level comes from there for what that costs, at least once.
        homed = [name for name, home in graph.home.items() if home and graph.readers[name]]
        more = sum(graph.bytes[n] * (graph.leaving(n) - one.problem.levels[1].cost) for n in homed)
        found = Joint(order, max(found.bound, divided.bound + more))
    return found


class _Division:
    def __init__(self, graph: Graph, cuts: Cuts, effort: Effort) -> None:
        self.graph, self.cuts, self.effort = graph, cuts, effort
        self.solver = Solver(effort)

    def arrange(self, parts: list[tuple[int, int]]) -> Joint:
        graph, order = self.graph, self.cuts.order
        problems = [relaxed(graph, order[start:end]) for start, end in parts]
        alone = [self._alone(*part) for part in parts]
        self.solver.expect(problems, self.effort.part(1.0 if all(alone) else _ALONE))
        solved = [
            self.solver.least_moved(part) if clean else self.solver.least_missing(part)
            for part, clean in zip(problems, alone, strict=True)
        ]
        bound = sum(each.bound for each in solved) + self._shared(parts)
        best: list[int] = []
        number = 0
        while number < len(parts):
            last = number
            while parts[last][1] < len(order) and not self.cuts.clean(parts[last][1]):
                last += 1
            start, end = parts[number][0], parts[last][1]
            if last == number:
                best += [order[start + index] for index in solved[number].order]
            else:
                best += self._path(parts[number : last + 1]) or order[start:end]
            number = last + 1
        return Joint(best, bound)

    def _alone(self, start: int, end: int) -> bool:
        """Whether a part is between clean cuts."""
        cuts, count = self.cuts, len(self.cuts.order)
        return (not start or cuts.clean(start)) and (end == count or cuts.clean(end))

    def _shared(self, parts: Sequence[tuple[int, int]]) -> int:
        """What is read in several parts and has its home in the slower level comes once at least."""
        graph, cost = self.graph, self.graph.problem.levels[1].cost
        insides = [frozenset(self.cuts.order[start:end]) for start, end in parts]
        homed = [name for name, home in graph.home.items() if home and graph.readers[name]]
        alone = {name for name in homed if any(private(graph, name, inside) for inside in insides)}
        return cost * sum(graph.bytes[name] for name in homed if name not in alone)

    def _path(self, parts: Sequence[tuple[int, int]]) -> list[int] | None:
        """The shortest path over the states at the cuts between some parts; None where too many tensors
        cross them to try their states, or no effort is left for that."""
        cuts = self.cuts
        if any(len(cuts.crossing[end]) > _WIDE for _, end in parts[:-1]):
            return None
        tried = [
            (start, end, before, after)
            for start, end in parts
            for before, after in product(self._states(start), self._states(end))
            if before is not None
        ]
        if self.effort.left < _STATES * sum(end - start for start, end, _, _ in tried):
            return None
        choices: dict[tuple[int, State | None, State | None], Part] = {
            (start, before, after): between(self.graph, cuts.order[start:end], before, after)
            for start, end, before, after in tried
        }
        self.solver.expect(choices.values(), self.effort)
        paths: dict[State | None, _Path] = {self._states(parts[0][0])[0]: _Path(0, ())}
        for start, end in parts:
            reached: dict[State | None, _Path] = {}
            for (before, path), after in product(paths.items(), self._states(end)):
                found = self.solver.least_moved(choices[start, before, after])
                if found.cost is None:
                    continue
                order = tuple(cuts.order[start + index] for index in found.order)
                new = _Path(path.cost + found.cost, (*path.order, *order))
                if after not in reached or new.cost < reached[after].cost:
                    reached[after] = new
            paths = reached
        return list(min(paths.values(), key=lambda path: path.cost).order) if paths else None

    def _states(self, cut: int) -> list[State | None]:
        """What may be where at a cut: each tensor that crosses it in one level or the other."""
        graph = self.graph
        if cut == len(self.cuts.order):
            return [None]
        if not cut:
            return [State(frozenset(n for n in graph.size if n not in graph.producer and not graph.home[n]))]
        names = frozenset(self.cuts.crossing[cut])
        if self.cuts.clean(cut):
            return [State(names)]
        chosen = (
            frozenset(fast) for count in range(len(names) + 1) for fast in combinations(sorted(names), count)
        )
        return [State(fast, names - fast) for fast in chosen]
