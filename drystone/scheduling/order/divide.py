"""Large graphs, divided at narrow cuts: parts are planned for the states that tensors may have at their ends,
and a shortest path over the states gives the order of the whole.

Where a graph can be cut cleanly (`cells.Cuts.clean`) there is one state and nothing is lost: the least of the
whole is the sum of the parts' (for the peak, the greatest). Elsewhere what is proven of relaxed parts still
adds up (`parts.relaxed`). Parts that are equal but for names are solved once, as the layers of a model are in
MEMO (Zhao et al., "MEMO: Fine-grained Tensor Management For Ultra-long Context LLM Training").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from drystone.scheduling import solver
from drystone.scheduling.graph import Graph, load
from drystone.scheduling.order import beam, greedy, joint
from drystone.scheduling.order.canonical import Canonical, canonical
from drystone.scheduling.order.cells import MOST, Cuts
from drystone.scheduling.order.climb import Judge, climb
from drystone.scheduling.order.joint import Joint
from drystone.scheduling.order.parts import Part, State, between, held, loose, private, relaxed
from drystone.scheduling.problem import Problem
from drystone.scheduling.solver import Ordered

#: Up to this many operations the solver looks for an order of the whole.
LARGE = 150
#: So many tensors may cross a cut for their states to be told apart.
_WIDE = 2
#: The part of the effort that one part may take at most and, of very many, at least.
_SHARE, _LITTLE = 1.0, 0.02
#: Sets of operations the search for an order keeps at each step, times their number, for an effort of 1.
_WIDTH = 40000


class Solver:
    """Solves parts, equal ones once. `effort` is what one of them may take."""

    def __init__(self, effort: float) -> None:
        self.effort = effort
        self._forms: dict[Part, Canonical] = {}
        self._moved: dict[Part, Joint] = {}
        self._missed: dict[Part, Joint] = {}
        self._loaded: dict[Problem, Ordered] = {}

    @property
    def solved(self) -> int:
        """How many parts differed."""
        return len(self._moved) + len(self._missed) + len(self._loaded)

    def form(self, part: Part) -> Canonical:
        """The part's canonical form."""
        if part not in self._forms:
            self._forms[part] = canonical(part)
        return self._forms[part]

    def least_moved(self, part: Part) -> Joint:
        """The order of a part that moves least, and what is proven."""
        form = self.form(part)
        found = self._moved.get(form.part)
        if found is None:
            graph = Graph(form.part.problem)
            found = _unmoved(graph, form.part) or _least_moved(graph, form.part, self.effort)
            self._moved[form.part] = found
        return replace(found, order=[form.operations[index] for index in found.order])

    def least_missing(self, part: Part) -> Joint:
        """What is proven of a part from its least load alone: little effort, and no order."""
        form = self.form(part)
        found = self._missed.get(form.part)
        if found is None:
            graph = Graph(form.part.problem)
            found = Joint([], _unfit(graph, form.part, self.effort))
            self._missed[form.part] = found
        return found

    def least_loaded(self, problem: Problem, least: int = 0) -> Ordered:
        """The order of a part that needs the fewest bytes, and bytes that each needs; what is below `least`
        is not told apart."""
        form = self.form(Part(problem))
        found = self._loaded.get(form.part.problem)
        if found is None:
            found = _lightest(Graph(form.part.problem), self.effort, least)
            self._loaded[form.part.problem] = found
        return replace(found, order=[form.operations[index] for index in found.order])


def _unmoved(graph: Graph, part: Part) -> Joint | None:
    """The answer where everything fits under a simple order: what has to be moved anyway."""
    border, problem = part.border, part.problem
    lasting = replace(problem, kept=tuple({*problem.kept, *border.stay}))
    staying = Graph(lasting)
    capacity = problem.levels[0].capacity
    cost = sum(
        graph.bytes[name]
        for name, home in graph.home.items()
        if home and name not in border.here | border.free and (graph.readers[name] or name in border.stay)
    )
    cost += sum(graph.bytes[name] for name in border.saved)
    for order in (list(range(len(graph.before))), greedy.thrifty_order(graph)):
        if capacity is None or load(staying.blocks(order)) <= capacity:
            cost *= problem.levels[1].cost
            return Joint(order, cost, cost)
    return None


def _least_moved(graph: Graph, part: Part, effort: float) -> Joint:
    """The best order found by moving operations, then by the solver, which proves what is least."""
    border = part.border
    # What is proven of a part with a given end is nothing that holds for the whole.
    least = 0 if border.stay or border.saved else _unfit(graph, part, effort)
    judge = Judge(part)
    orders = [list(range(len(graph.before))), greedy.thrifty_order(graph)]
    orders.append(beam.search(graph, max(1, int(effort * _WIDTH / len(graph.before)))).order)
    replaced = [(order, found) for order in orders if (found := judge.replace(order)) is not None]
    if not replaced:
        return joint.arrange(graph, orders[0], None, effort, part.border)
    first, _ = min(replaced, key=lambda pair: pair[1].cost)
    order, found = climb(judge, first, effort) or (first, replaced[0][1])
    known = joint.Known(found.stays, found.spilled, found.shared)
    solved = joint.arrange(graph, order, found.cost, effort, part.border, known)
    if solved.cost is None or solved.cost >= found.cost:
        return Joint(order, min(found.cost, max(least, solved.bound)), found.cost)
    return replace(solved, bound=max(least, solved.bound))


def _unfit(graph: Graph, part: Part, effort: float) -> int:
    """What must be spent because the fullest step of every order needs more than there is: what it misses was
    copied before and is fetched afterwards."""
    free = {name for name, home in graph.home.items() if home} | part.border.free
    tensors = tuple(replace(t, size=0) if t.name in free else t for t in part.problem.tensors)
    operations = tuple(
        replace(op, in_place=tuple(pair for pair in op.in_place if not free & set(pair)))
        for op in part.problem.operations
    )
    fast, slow = part.problem.levels
    kept = tuple({*part.problem.kept, *part.border.stay})
    loaded = Graph(Problem(operations, tensors, part.problem.levels, kept))
    capacity = (fast.capacity or 0) // loaded.unit * loaded.unit
    missing = _lightest(loaded, effort, capacity).bound - capacity
    paid = sum(graph.bytes[name] for name, home in graph.home.items() if home and graph.readers[name])
    paid -= sum(
        graph.bytes[n] for n in part.border.free | part.border.here if graph.home[n] and graph.readers[n]
    )
    if missing <= 0:
        return slow.cost * paid
    sized = [name for name, size in loaded.size.items() if size]
    filled = min(loaded.bytes[name] / loaded.size[name] for name in sized)
    times = 1 if loaded.kept else 2
    return slow.cost * (paid + times * math.floor(filled * missing))


def _lightest(graph: Graph, effort: float, least: int) -> Ordered:
    orders = [list(range(len(graph.before))), greedy.thrifty_order(graph)]
    bound, best = graph.bound(), min(orders, key=lambda order: load(graph.blocks(order)))
    most = load(graph.blocks(best))
    if most > max(bound, least) and effort:
        found = beam.search(graph, max(1, int(effort * _WIDTH / len(graph.before))))
        bound = max(bound, found.bound)
        if found.load < most:
            best, most = found.order, found.load
    if most > max(bound, least) and effort:
        width = max(1, int(effort * _WIDTH / len(graph.before)))
        found = beam.squeezed(graph, best, most, bound, width)
        best, most, bound = found.order, found.load, max(bound, found.bound)
    if most > max(bound, least) and effort and len(graph.before) <= LARGE:
        solved = solver.order(graph, best, bound, most, effort)
        bound = max(bound, solved.bound)
        if load(graph.blocks(solved.order)) < most:
            best = solved.order
    return Ordered(best, bound, {})


# -- the least load ----------------------------------------------------------------------------------------


def lightest(graph: Graph, order: Sequence[int], effort: float) -> Ordered:
    """An order of little load, and bytes that every order needs. Parts that have the same operations under
    every order are independent of each other."""
    cuts, spans = Cuts(graph, order), graph.lifetimes(order)
    found = {}
    for start, end in cuts.sealed_parts():
        problem, idle = held(graph, spans, order, start, end)
        found[start, end] = problem, idle, load(Graph(problem).blocks(range(end - start))) + idle
    bound = max((Graph(problem).bound() + idle for problem, idle, _ in found.values()), default=0)
    solving, best = Solver(effort), list(order)
    # The fullest part first: what it needs anyway the others need not get below.
    for (start, end), (problem, idle, most) in sorted(found.items(), key=lambda item: -item[1][2]):
        if most <= bound:
            break
        solved = solving.least_loaded(problem, bound - idle)
        if load(Graph(problem).blocks(solved.order)) + idle <= most:
            best[start:end] = [order[start + index] for index in solved.order]
        bound = max(bound, solved.bound + idle)
    return Ordered(best, bound, {})


def least_load(graph: Graph, order: Sequence[int], effort: float) -> int:
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


def arrange(graph: Graph, hint: Sequence[int], most: int | None, effort: float) -> Joint:
    """The order under which little must be moved, and the least that every plan must spend. `hint` is a known
    order, `most` what a known plan spends."""
    cuts = Cuts(graph, hint)
    parts = cuts.divided()
    if len(parts) == 1 or (len(graph.before) <= LARGE and not any(map(cuts.clean, range(len(hint))))):
        if len(graph.before) > LARGE:
            return Joint(list(hint), graph.compulsory)
        return joint.arrange(graph, hint, most, effort)
    return _Division(graph, cuts, effort).arrange(parts)


class _Division:
    def __init__(self, graph: Graph, cuts: Cuts, effort: float) -> None:
        self.graph, self.cuts, self.effort = graph, cuts, effort
        self.solver = Solver(effort)

    def arrange(self, parts: list[tuple[int, int]]) -> Joint:
        graph, order = self.graph, self.cuts.order
        problems = [relaxed(graph, order[start:end]) for start, end in parts]
        self._share(problems)
        alone = [self._alone(*part) for part in parts]
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

    def _share(self, parts: Sequence[Part]) -> None:
        """What solving one of some parts may take."""
        different = len({self.solver.form(part).part for part in parts})
        self.solver.effort = self.effort * max(_LITTLE, min(_SHARE, 2 / different))

    def _shared(self, parts: Sequence[tuple[int, int]]) -> int:
        """What is read in several parts and has its home in the slower level comes once at least."""
        graph, cost = self.graph, self.graph.problem.levels[1].cost
        insides = [frozenset(self.cuts.order[start:end]) for start, end in parts]
        homed = [name for name, home in graph.home.items() if home and graph.readers[name]]
        alone = {name for name in homed if any(private(graph, name, inside) for inside in insides)}
        return cost * sum(graph.bytes[name] for name in homed if name not in alone)

    def _path(self, parts: Sequence[tuple[int, int]]) -> list[int] | None:
        """The shortest path over the states at the cuts between some parts; None where too many tensors
        cross them to try their states."""
        cuts = self.cuts
        if any(len(cuts.crossing[end]) > _WIDE for _, end in parts[:-1]):
            return None
        choices: dict[tuple[int, State | None, State | None], Part] = {
            (start, before, after): between(self.graph, cuts.order[start:end], before, after)
            for start, end in parts
            for before, after in product(self._states(start), self._states(end))
            if before is not None
        }
        self._share(list(choices.values()))
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
