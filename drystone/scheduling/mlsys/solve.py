"""From a contest problem to a solution within a time limit, judged before it leaves."""

import time
from dataclasses import dataclass

from drystone.errors import InternalError, UserError
from drystone.scheduling.mlsys.format import Problem, Step
from drystone.scheduling.mlsys.group import Graph, each
from drystone.scheduling.mlsys.judge import Invalid, evaluate
from drystone.scheduling.mlsys.layout import INFINITE, Layout, Placed
from drystone.scheduling.mlsys.search import Search
from drystone.scheduling.mlsys.tiles import Pricer

#: Of the time limit: when search ends at the latest, and when the last look for better tiles does.
_SEARCH, _REFINE = 0.8, 0.92
#: Changes that annealing tries per second of the limit, at most and for one operation (it falls with the
#: square of their number: about half of what a core does), and per round.
_RATE, _EFFORT = 5000, 1.2e7
_ROUND = 4000


@dataclass(frozen=True)
class Solved:
    """Steps with the times they take, their sum, and a proven lower bound on the sum of any solution."""

    steps: tuple[Step, ...]
    time: float
    bound: float


def solve(problem: Problem, time_limit: float = 10.0) -> Solved:
    """The best solution found within `time_limit` seconds (at least one, whatever the limit).

    Raises UserError where an operation does not fit the fast memory in any tile.
    """
    began = time.monotonic()
    graph = Graph(problem)
    pricer = Pricer(problem.capacity, problem.bandwidth, problem.native)
    layout = Layout(graph, pricer)
    for op in problem.order:
        if layout.time(1 << op) == INFINITE:
            raise UserError(
                f"operation {op} does not fit {problem.capacity} elements of fast memory in any tile",
                hint="give a larger fast_memory_capacity",
            )
    bound = lower_bound(problem)
    search = Search(graph, layout, began + _SEARCH * time_limit, bound)
    search.descend()
    left = int(min(_RATE, _EFFORT / len(problem.operations) ** 2) * time_limit)
    while left > 0:
        search.restart()
        search.anneal(min(left, _ROUND))
        left -= _ROUND
    steps = [_step(layout, placed, began + _REFINE * time_limit) for placed in search.best.steps]
    try:
        judged = evaluate(problem, steps, claims=False)
    except Invalid as error:
        raise InternalError(f"the solver broke a rule: {error}") from error
    return Solved(judged, sum(step.latency for step in judged), bound)


def lower_bound(problem: Problem) -> float:
    """A time that no solution is below.

    Every operation pays for every tile of a grid that is its own result's or that of one computed from it, at
    the least number of tiles; and every result of the graph is written once.
    """
    fewest: dict[int, int] = {}
    for op in reversed(problem.order):
        width, height = problem.shapes[problem.operations[op].output]
        tiles = -(-width // problem.native[0]) * -(-height // problem.native[1])
        readers = problem.readers[problem.operations[op].output]
        fewest[op] = min([tiles, *(fewest[reader] for reader in readers)])
    compute = sum(problem.operations[op].cost * tiles for op, tiles in fewest.items())
    results = [op.output for op in problem.operations if not problem.readers[op.output]]
    written = sum(problem.shapes[t][0] * problem.shapes[t][1] for t in results)
    return max(compute, written / problem.bandwidth)


def _step(layout: Layout, placed: Placed, deadline: float) -> Step:
    form = layout.form(placed)
    found = None if form is None else layout.pricer.best(form)
    if form is None or found is None:
        raise InternalError("a group that was priced has no price")
    if time.monotonic() < deadline:
        found = layout.pricer.refine(form, found)
    problem = layout.graph.problem
    width, height, _ = found.tile
    rows, columns = -(-form.height // height), -(-form.width // width)
    traversal = _back_and_forth(rows, columns, found.by_columns) if rows * columns > 1 else None
    retain = tuple(problem.operations[op].output for op in each(placed.after))
    return Step(tuple(layout.graph.members(placed.group)), found.tile, retain, traversal)


def _back_and_forth(rows: int, columns: int, by_columns: bool) -> tuple[int, ...]:
    """All tiles, along rows or columns, every other one backwards."""
    lines, length = (columns, rows) if by_columns else (rows, columns)
    order = []
    for line in range(lines):
        for at in range(length) if line % 2 == 0 else reversed(range(length)):
            order.append(at * columns + line if by_columns else line * columns + at)
    return tuple(order)
