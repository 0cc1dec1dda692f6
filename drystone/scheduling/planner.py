"""From a problem to a plan: greedy answers first, the solver where they are not proven best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drystone.scheduling import solver
from drystone.scheduling.budgets.budget import too_small
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Block, Graph, load
from drystone.scheduling.moves import prefetch
from drystone.scheduling.order import beam, divide, greedy, windows
from drystone.scheduling.order.solving import LARGE
from drystone.scheduling.placement.place import minimize
from drystone.scheduling.problem import Home, Plan, Problem
from drystone.scheduling.residency import traffic

#: Up to this many operations, order and placement are also searched at once.
SMALL = 30
#: The part of the time limit that is counted out: what is counted is no more than an estimate.
_COUNTED = 0.9
#: What the quick answers cost, for each operation and tensor.
_QUICK = 1e-4
#: The parts of what is left of the effort: for all but moves beside operations; for the least peak where it
#: may not be what counts, and where it is not; for a plan where there may be none, and then for the least
#: capacity that has one.
_STILL, _PEAK, _HINT, _MET, _LEAST = 0.5, 0.15, 0.07, 0.7, 0.7
#: The parts for the least peak's search: for a beam, an order, a bound, an order again, and a placement.
_BEAM, _ORDER, _BOUND, _LOWER, _PLACE = 0.05, 0.5, 0.3, 0.4, 0.5


@dataclass(frozen=True)
class _Answer:
    """An order, its blocks and where they stand."""

    order: list[int]
    blocks: list[Block]
    offsets: list[int]

    @property
    def peak(self) -> int:
        return greedy.height(self.blocks, self.offsets)


def plan(problem: Problem, time_limit: float = 5.0) -> Plan:
    """An order, a home for every tensor over the steps it lives, and moves between levels where the first one
    is too small.

    Where everything fits, the plan of least peak: greedy answers (the given order and a thrifty one, placed
    by best fit) are improved unless they reach the bound already: the order by dynamic programming and
    CP-SAT, the placement by CP-SAT. Where it does not, and wherever tensors have their home in a slower
    level, the plan of least cost (see `Plan`). Where levels have a bandwidth, moves are then made beside
    operations as far as there is room for that.

    `time_limit` is in seconds (0: greedy answers only). What may be done within it is counted, so that a plan
    does not depend on the machine's load unless the clock's limit comes first (see `effort`). The greedy
    answers are made in any case.

    Raises UserError where no plan is found within the levels' capacities.
    """
    effort = Effort(time_limit * _COUNTED, time_limit)
    graph = Graph(problem)
    beside = any(level.bandwidth is not None for level in problem.levels[1:])
    still = _still(graph, effort.part(_STILL if beside else 1.0))
    return prefetch.overlapped(graph, still, effort)


def _still(graph: Graph, effort: Effort) -> Plan:
    """The plan in which nothing moves while operations run."""
    effort.spend(_QUICK * (len(graph.before) + len(graph.size)))
    capacity = graph.problem.levels[0].capacity
    search = _Search(graph, effort)
    beyond = capacity is not None and search.bound > capacity
    inside = not any(graph.home.values()) and (capacity is None or search.best.peak <= capacity)
    answer = search.run(effort.part(1.0 if inside or graph.rigid else _HINT if beyond else _PEAK))
    status: Literal["optimal", "feasible", "greedy"] = "feasible" if search.solved else "greedy"
    found = _as_plan(graph, answer, search.bound, "optimal" if answer.peak == search.bound else status)
    fits = capacity is None or answer.peak <= capacity
    if fits and not any(graph.home.values()):
        return found
    orders = [list(range(len(graph.before))), greedy.thrifty_order(graph), search.lightest.order]
    endless = any(level.capacity is None for level in graph.problem.levels[1:])
    cheapest = traffic.cheapest(graph, orders, effort.part(1.0 if endless else _MET))
    if cheapest is not None:
        return cheapest
    least = answer.peak
    if not fits:
        least = traffic.least_capacity(graph, orders, answer.peak, effort.part(_LEAST))
    raise too_small(graph, found, least, effort)


class _Search:
    """The state of one planning: the best answer, the bound, and whether the solver gave the answer."""

    def __init__(self, graph: Graph, effort: Effort) -> None:
        self.graph = graph
        self.bound = graph.bound()
        self.solved = False
        orders = [list(range(len(graph.before))), greedy.thrifty_order(graph)]
        answers = [self._greedy(order) for order in orders]
        if effort.left and min(answer.peak for answer in answers) > self.bound:
            found = beam.search(graph, effort.part(_BEAM))
            self.bound = max(self.bound, found.bound)
            answers.append(self._greedy(found.order))
        self.best = min(answers, key=lambda answer: (answer.peak, load(answer.blocks)))
        self.lightest = min(answers, key=lambda answer: (load(answer.blocks), answer.peak))

    def _greedy(self, order: Sequence[int]) -> _Answer:
        blocks = self.graph.blocks(order)
        return _Answer(list(order), blocks, greedy.best_fit(blocks))

    def run(self, effort: Effort) -> _Answer:
        """Improve until the bound is reached or the effort is spent."""
        if effort.left and load(self.lightest.blocks) > self.bound:
            self._improve_order(effort)
        if effort.left and self.best.peak > self.bound:
            self._improve_placement(self.lightest, effort.part(_PLACE))
        if effort.left and self.best.peak > self.bound and self.best.order != self.lightest.order:
            self._improve_placement(self.best, effort.part(_PLACE))
        if len(self.graph.before) <= SMALL and effort.left and self.best.peak > self.bound:
            self._arrange(effort)
        return self.best

    def _keep(self, answer: _Answer) -> None:
        if answer.peak < self.best.peak:
            self.best, self.solved = answer, True

    def _improve_order(self, effort: Effort) -> None:
        """Find an order of less load; raises the bound by what the solver proves."""
        most = load(self.lightest.blocks)
        if most <= self.bound:
            return
        found = divide.lightest(self.graph, self.lightest.order, effort.part(_ORDER))
        self.bound = max(self.bound, found.bound)
        order = found.order
        if load(self.graph.blocks(order)) > self.bound and len(self.graph.before) > LARGE:
            self.bound = max(self.bound, divide.least_load(self.graph, order, effort.part(_BOUND)))
            order = windows.lowered(self.graph, order, self.bound, effort.part(_LOWER))
        answer = self._greedy(order)
        if load(answer.blocks) < most:
            self.lightest = answer
            self._keep(answer)

    def _improve_placement(self, answer: _Answer, effort: Effort) -> None:
        """Place the blocks of an answer's order lower, where its own load leaves room for that."""
        least, most = load(answer.blocks), min(answer.peak, self.best.peak)
        if least >= most:
            return
        found = minimize(answer.blocks, effort=effort, known=answer.offsets)
        if found.height < most:
            self._keep(_Answer(answer.order, answer.blocks, found.offsets))

    def _arrange(self, effort: Effort) -> None:
        """Search order and placement at once; raises the bound by what the solver proves."""
        found = solver.arrange(self.graph, self.best.order, self.bound, self.best.peak, effort)
        self.bound = max(self.bound, found.bound)
        if not found.offsets:
            return
        spans = self.graph.lifetimes(found.order)
        spans |= {self.graph.scratch_name(index): (step, step + 1) for step, index in enumerate(found.order)}
        sizes = self.graph.size | {
            self.graph.scratch_name(index): size for index, size in enumerate(self.graph.scratch) if size
        }
        blocks = [Block((name,), size, *spans[name]) for name, size in sizes.items()]
        offsets = [found.offsets.get(name, 0) for name in sizes]
        self._keep(_Answer(found.order, blocks, offsets))


def _as_plan(
    graph: Graph, answer: _Answer, bound: int, status: Literal["optimal", "feasible", "greedy"]
) -> Plan:
    level = graph.problem.levels[0].name
    place = {
        name: offset
        for block, offset in zip(answer.blocks, answer.offsets, strict=True)
        for name in block.tensors
    }
    homes = [
        Home(name, level, place[name], start, end)
        for name, (start, end) in graph.lifetimes(answer.order).items()
    ]
    for step, index in enumerate(answer.order):
        if graph.scratch[index]:
            name = graph.scratch_name(index)
            homes.append(Home(name, level, place[name], step, step + 1))
    operations = tuple(graph.problem.operations[index].name for index in answer.order)
    return Plan(operations, tuple(homes), (), {level: answer.peak}, bound, status)
