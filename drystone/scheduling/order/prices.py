"""The least that must be paid for a tensor that is not in the fast level when it is needed, whatever the
levels and whatever may run again; and the problem with one slower level that stands for all."""

from dataclasses import dataclass, replace

from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Problem
from drystone.targets.target import Level


@dataclass(frozen=True)
class Prices:
    """What a byte costs that comes from or goes to a slower level (`far`; None where there is no such level);
    that stays in the `near` ones alone, which have `room` bytes in all (None where all levels cost the same);
    and that an operation reads or writes directly in a slower level (None where none does)."""

    far: int | None
    near: int | None = None
    room: int = 0
    direct: int | None = None


def prices_of(graph: Graph) -> Prices:
    """The prices of a graph's levels. Those before the first one without end are near, where the costs rise
    from level to level: then every move to or from another one costs no less than `far`."""
    slow = graph.problem.levels[1:]
    if not slow:
        return Prices(None)
    costs = [level.cost for level in slow]
    direct = [level.cost for level in slow if level.direct]
    if direct:
        return Prices(min(costs), direct=min(direct))
    near = next((number for number, level in enumerate(slow) if level.capacity is None), len(slow) - 1)
    if not near or sorted(costs) != costs or costs[0] == costs[near]:
        return Prices(min(costs))
    return Prices(costs[near], costs[0], sum(level.capacity or 0 for level in slow[:near]))


def rerun(graph: Graph, name: str) -> int | None:
    """What running a tensor's operation again costs for this tensor: its share of the work, as all results
    may come of one run. None where it may not run again."""
    if name not in graph.producer:
        return None
    op = graph.problem.operations[graph.producer[name]]
    results = sum(1 for each in op.outputs if graph.size[each])
    return None if op.work is None else op.work // max(1, results)


def merged(problem: Problem) -> Problem:
    """The problem with one slower level without end in the place of all: its cost is the least of theirs.
    Where nothing works in slower levels directly, every plan of the problem is one of this, at no higher
    cost: moves between slower levels fall away, and so does every copy but the first."""
    fast, *slow = problem.levels
    level = Level("slow", alignment=fast.alignment, cost=min(each.cost for each in slow))
    tensors = tuple(replace(t, home=level.name if t.home else "") for t in problem.tensors)
    return replace(problem, tensors=tensors, levels=(fast, level))
