"""Parts of a graph solved by themselves: the order that needs the fewest bytes, or that moves the least, and
what is proven. Parts that are equal but for names are solved once, as the layers of a model are in MEMO (Zhao
et al., "MEMO: Fine-grained Tensor Management For Ultra-long Context LLM Training")."""

import math
from collections.abc import Iterable
from dataclasses import replace

from drystone.scheduling import solver
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph, load
from drystone.scheduling.order import beam, greedy, joint
from drystone.scheduling.order.canonical import Canonical, canonical
from drystone.scheduling.order.climb import Judge, climb
from drystone.scheduling.order.joint import Joint
from drystone.scheduling.order.parts import Part
from drystone.scheduling.order.prices import rerun
from drystone.scheduling.problem import Problem
from drystone.scheduling.solver import Ordered

#: Up to this many operations the solver looks for an order of the whole.
LARGE = 150
#: What a part's canonical form costs, for each of its operations.
_FORM = 8e-5
#: The parts of what is left of the effort for the stages of a search, one after the other.
_BOUND, _BEAM, _SQUEEZE, _CLIMB = 0.4, 0.25, 0.7, 0.5


class Solver:
    """Solves parts, equal ones once. Each may take its share of what is left of the account: as much as two
    of those that are still expected, or more."""

    def __init__(self, effort: Effort) -> None:
        self.effort, self._expected, self._least = effort, 1, 0.0
        self._forms: dict[Part, Canonical] = {}
        self._moved: dict[Part, Joint] = {}
        self._missed: dict[Part, Joint] = {}
        self._loaded: dict[Problem, Ordered] = {}

    def expect(self, parts: Iterable[Part], effort: Effort, least: float = 0.0) -> None:
        """Prepare for these parts, which come next, have an account of their own, and take `least` of what is
        left of it at least."""
        self.effort, self._least = effort, least
        self._expected = len({self.form(part).part for part in parts})

    def _share(self) -> Effort:
        share = min(1.0, max(self._least, 2 / max(1, self._expected)))
        self._expected -= 1
        return self.effort.part(share)

    @property
    def solved(self) -> int:
        """How many parts differed."""
        return len(self._moved) + len(self._missed) + len(self._loaded)

    def form(self, part: Part) -> Canonical:
        """The part's canonical form."""
        if part not in self._forms:
            self.effort.spend(_FORM * len(part.problem.operations))
            self._forms[part] = canonical(part)
        return self._forms[part]

    def least_moved(self, part: Part) -> Joint:
        """The order of a part that moves least, and what is proven."""
        form = self.form(part)
        found = self._moved.get(form.part)
        if found is None:
            graph = Graph(form.part.problem)
            found = _unmoved(graph, form.part) or _least_moved(graph, form.part, self._share())
            self._moved[form.part] = found
        return replace(found, order=[form.operations[index] for index in found.order])

    def least_missing(self, part: Part) -> Joint:
        """What is proven of a part from its least load alone: little effort, and no order."""
        form = self.form(part)
        found = self._missed.get(form.part)
        if found is None:
            graph = Graph(form.part.problem)
            found = Joint([], _unfit(graph, form.part, self._share()))
            self._missed[form.part] = found
        return found

    def least_loaded(self, problem: Problem, least: int = 0) -> Ordered:
        """The order of a part that needs the fewest bytes, and bytes that each needs; what is below `least`
        is not told apart."""
        form = self.form(Part(problem))
        found = self._loaded.get(form.part.problem)
        if found is None:
            found = _lightest(Graph(form.part.problem), self._share(), least)
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


def _least_moved(graph: Graph, part: Part, effort: Effort) -> Joint:
    """The best order found by moving operations, then by the solver, which proves what is least."""
    border = part.border
    # What is proven of a part with a given end is nothing that holds for the whole.
    least = 0 if border.stay or border.saved else _unfit(graph, part, effort.part(_BOUND))
    judge = Judge(part)
    orders = [list(range(len(graph.before))), greedy.thrifty_order(graph)]
    orders.append(beam.search(graph, effort.part(_BEAM)).order)
    replaced = [(order, found) for order in orders if (found := judge.replace(order)) is not None]
    if not replaced:
        return joint.arrange(graph, orders[0], None, effort, part.border)
    first, _ = min(replaced, key=lambda pair: pair[1].cost)
    order, found = climb(judge, first, effort.part(_CLIMB)) or (first, replaced[0][1])
    known = joint.Known(found.stays, found.spilled, found.shared)
    solved = joint.arrange(graph, order, found.cost, effort, part.border, known)
    if solved.cost is None or solved.cost >= found.cost:
        return Joint(order, min(found.cost, max(least, solved.bound)), found.cost)
    return replace(solved, bound=max(least, solved.bound))


def _unfit(graph: Graph, part: Part, effort: Effort) -> int:
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
    price = slow.cost * (1.0 if loaded.kept else 2.0)
    for name in sized:
        # What is missing may also be made once more.
        work = rerun(graph, name)
        price = price if work is None else min(price, work / loaded.bytes[name])
    return slow.cost * paid + math.floor(filled * missing * price)


def _lightest(graph: Graph, effort: Effort, least: int) -> Ordered:
    orders = [list(range(len(graph.before))), greedy.thrifty_order(graph)]
    bound, best = graph.bound(), min(orders, key=lambda order: load(graph.blocks(order)))
    most = load(graph.blocks(best))
    if most > max(bound, least) and effort.left:
        found = beam.search(graph, effort.part(_BEAM))
        bound = max(bound, found.bound)
        if found.load < most:
            best, most = found.order, found.load
    if most > max(bound, least) and effort.left:
        found = beam.squeezed(graph, best, most, bound, effort.part(_SQUEEZE))
        best, most, bound = found.order, found.load, max(bound, found.bound)
    if most > max(bound, least) and effort.left and len(graph.before) <= LARGE:
        solved = solver.order(graph, best, bound, most, effort)
        bound = max(bound, solved.bound)
        if load(graph.blocks(solved.order)) < most:
            best = solved.order
    return Ordered(best, bound, {})
