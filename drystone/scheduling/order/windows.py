"""Plans bettered window by window: consecutive steps are ordered anew, what is where before and after them
staying as it is (large-neighbourhood search), until no window gets better or the effort is spent."""

from collections.abc import Callable, Sequence
from itertools import count, pairwise

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph, load
from drystone.scheduling.order.climb import Judge, climb
from drystone.scheduling.order.parts import Part, State, between, held
from drystone.scheduling.order.solving import Solver
from drystone.scheduling.problem import Plan

#: Steps in a window.
_LENGTH = 40
#: What it costs to cut a window out of a plan, for each of its homes.
_CUT = 5e-6
#: How often windows around the fullest step are tried.
_TRIES = 40
#: The parts of what is left of the effort for the windows of one pass, and for one around the fullest step.
_PASS, _SHARE = 0.3, 0.05


def mended(
    graph: Graph, plan: Plan, bound: int, effort: Effort, solve: Callable[[Sequence[int]], Plan | None]
) -> Plan:
    """The plan, or one that moves less under another order. `solve` plans an order; `bound` is what every
    plan must spend. Only for graphs that `joint.suits`."""
    best, idle = plan, 0
    for number in count():
        if best.cost <= bound or idle == 2 or not effort.left:
            break
        # Every other time the windows begin half a length later.
        order = _pass(graph, best, number % 2 * _LENGTH // 2, effort.part(_PASS))
        new = solve(order) if order is not None else None
        idle += 1
        if new is not None and new.cost < best.cost:
            best, idle = new, 0
    return best


def _pass(graph: Graph, plan: Plan, first: int, effort: Effort) -> list[int] | None:
    """The order with every window bettered by itself; None where none was."""
    order = [graph.number[name] for name in plan.order]
    cuts = sorted({0, len(order), *range(first, len(order), _LENGTH)})
    windows = [(start, end) for start, end in pairwise(cuts) if _moved(graph, plan, start, end)]
    better = False
    for number, (start, end) in enumerate(windows):
        effort.spend(_CUT * len(plan.homes))
        if not effort.left:
            break
        after = _state(graph, plan, end, False) if end < len(order) else None
        part = between(graph, order[start:end], _state(graph, plan, start, True), after)
        found = climb(Judge(part), range(end - start), effort.part(1 / (len(windows) - number)))
        if found is not None and found[1].cost < _moved(graph, plan, start, end):
            order[start:end] = [order[start + index] for index in found[0]]
            better = True
    return order if better else None


def _moved(graph: Graph, plan: Plan, start: int, end: int) -> int:
    """What the moves of a window cost: fetches before its steps, and copies made after them or at the very
    beginning."""
    fast = graph.problem.levels[0].name
    inside = [
        move
        for move in plan.moves
        if (move.destination == fast and start <= move.step < end)
        or (move.source == fast and (start < move.step <= end or move.step == start == 0))
    ]
    return graph.problem.levels[1].cost * sum(graph.bytes[move.tensor] for move in inside)


def _state(graph: Graph, plan: Plan, cut: int, made: bool) -> State:
    """What is where before step `cut`: in the slower level all that was copied (`made`), or only what is read
    from there again."""
    fast, slow = (level.name for level in graph.problem.levels)
    if not cut:
        return State(frozenset(n for n in graph.size if n not in graph.producer and not graph.home[n]))
    here = {home.tensor for home in plan.homes if home.level == fast and home.start < cut < home.end}
    copied = {h.tensor for h in plan.homes if h.level == slow and h.start <= cut and (made or cut < h.end)}
    return State(frozenset(here & set(graph.size)), frozenset(copied))


def lowered(graph: Graph, order: Sequence[int], bound: int, effort: Effort) -> list[int]:
    """The order, or one whose fullest step needs fewer bytes: windows around that step are ordered anew."""
    best, solving = list(order), Solver(effort)
    loads = _loads(graph, best)
    tries = failed = 0
    while max(loads) > bound and tries < _TRIES and failed < 6 and effort.left:
        tries += 1
        length = _LENGTH * (1 + failed // 3)
        start = max(0, loads.index(max(loads)) - length * (1 + failed % 3) // 4)
        end = min(len(best), start + length)
        problem, idle = held(graph, graph.lifetimes(best), best, start, end)
        solving.expect([Part(problem)], effort.part(_SHARE))
        solved = solving.least_loaded(problem, bound - idle)
        tried = [*best[:start], *(best[start + index] for index in solved.order), *best[end:]]
        new = _loads(graph, tried)
        if (max(new), new.count(max(new))) < (max(loads), loads.count(max(loads))):
            best, loads, failed = tried, new, 0
        else:
            failed += 1
    return best


def _loads(graph: Graph, order: Sequence[int]) -> list[int]:
    """The bytes alive at each step."""
    blocks = graph.blocks(order)
    change = [0] * (len(order) + 1)
    for block in blocks:
        change[block.start] += block.size
        change[block.end] -= block.size
    found, now = [], 0
    for step in range(len(order)):
        now += change[step]
        found.append(now)
    assert max(found, default=0) == load(blocks)
    return found
