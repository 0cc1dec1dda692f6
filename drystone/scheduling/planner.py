"""From a problem to a plan: greedy answers first, the solver where they are not proven best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from drystone.scheduling import solver
from drystone.scheduling.budgets.budget import too_small
from drystone.scheduling.graph import Block, Graph, load
from drystone.scheduling.moves import prefetch
from drystone.scheduling.order import beam, divide, greedy, windows
from drystone.scheduling.placement.place import minimize
from drystone.scheduling.problem import Home, Plan, Problem
from drystone.scheduling.residency import traffic

#: Up to this many operations, order and placement are also searched at once.
SMALL = 30
#: Sets of operations the search for an order keeps at each step, times their number, for an effort of 1.
_WIDTH = 20000
#: Deterministic time for each second of the limit: placing takes 5 seconds and more per unit of it.
_EFFORT_PER_SECOND = 0.1


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
    level, the plan of least cost (see `Plan`). `time_limit`, in seconds of a common machine (0: greedy
    answers only), is spent in the solver's deterministic time, so that a plan does not depend on the
    machine's load. Where levels have a bandwidth, moves are then made beside operations as far as there is
    room for that.

    Raises UserError where no plan is found within the levels' capacities.
    """
    graph, effort = Graph(problem), time_limit * _EFFORT_PER_SECOND
    return prefetch.overlapped(graph, _still(graph, effort), effort)


def _still(graph: Graph, effort: float) -> Plan:
    """The plan in which nothing moves while operations run."""
    search = _Search(graph, effort)
    answer = search.run()
    status: Literal["optimal", "feasible", "greedy"] = "feasible" if search.solved else "greedy"
    found = _as_plan(graph, answer, search.bound, "optimal" if answer.peak == search.bound else status)
    capacity = graph.problem.levels[0].capacity
    fits = capacity is None or answer.peak <= capacity
    if fits and not any(graph.home.values()):
        return found
    orders = [list(range(len(graph.before))), greedy.thrifty_order(graph), search.lightest.order]
    cheapest = traffic.cheapest(graph, orders, effort)
    if cheapest is not None:
        return cheapest
    least = traffic.least_capacity(graph, orders, answer.peak, effort) if not fits else answer.peak
    raise too_small(graph, found, least)


class _Search:
    """The state of one planning: the best answer, the bound, and whether the solver gave the answer."""

    def __init__(self, graph: Graph, effort: float) -> None:
        self.graph, self.effort = graph, effort
        self.bound = graph.bound()
        self.solved = False
        orders = [list(range(len(graph.before))), greedy.thrifty_order(graph)]
        answers = [self._greedy(order) for order in orders]
        if effort and min(answer.peak for answer in answers) > self.bound:
            found = beam.search(graph, max(1, int(effort * _WIDTH / len(graph.before))))
            self.bound = max(self.bound, found.bound)
            answers.append(self._greedy(found.order))
        self.best = min(answers, key=lambda answer: (answer.peak, load(answer.blocks)))
        self.lightest = min(answers, key=lambda answer: (load(answer.blocks), answer.peak))

    def _greedy(self, order: Sequence[int]) -> _Answer:
        blocks = self.graph.blocks(order)
        return _Answer(list(order), blocks, greedy.best_fit(blocks))

    def run(self) -> _Answer:
        """Improve until the bound is reached or the effort is spent."""
        if not self.effort:
            return self.best
        if load(self.lightest.blocks) > self.bound:
            self._improve_order()
        if self.best.peak > self.bound:
            self._improve_placement(self.lightest)
        if self.best.peak > self.bound and self.best.order != self.lightest.order:
            self._improve_placement(self.best)
        if len(self.graph.before) <= SMALL and self.best.peak > self.bound:
            self._arrange()
        return self.best

    def _keep(self, answer: _Answer) -> None:
        if answer.peak < self.best.peak:
            self.best, self.solved = answer, True

    def _improve_order(self) -> None:
        """Find an order of less load; raises the bound by what the solver proves."""
        most = load(self.lightest.blocks)
        if most <= self.bound:
            return
        found = divide.lightest(self.graph, self.lightest.order, self.effort)
        self.bound = max(self.bound, found.bound)
        order = found.order
        if load(self.graph.blocks(order)) > self.bound and len(self.graph.before) > divide.LARGE:
            self.bound = max(self.bound, divide.least_load(self.graph, order, self.effort))
            order = windows.lowered(self.graph, order, self.bound, self.effort)
        answer = self._greedy(order)
        if load(answer.blocks) < most:
            self.lightest = answer
            self._keep(answer)

    def _improve_placement(self, answer: _Answer) -> None:
        """Place the blocks of an answer's order lower, where its own load leaves room for that."""
        least, most = load(answer.blocks), min(answer.peak, self.best.peak)
        if least >= most:
            return
        found = minimize(answer.blocks, effort=self.effort, known=answer.offsets)
        if found.height < most:
            self._keep(_Answer(answer.order, answer.blocks, found.offsets))

    def _arrange(self) -> None:
        """Search order and placement at once; raises the bound by what the solver proves."""
        found = solver.arrange(self.graph, self.best.order, self.bound, self.best.peak, self.effort)
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
