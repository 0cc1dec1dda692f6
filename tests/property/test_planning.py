"""Plans of random graphs: always valid, never below the bound, and what the checker is for is refused."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drystone.errors import UserError
from drystone.scheduling import PlanError, check, effort, plan
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph, load
from drystone.scheduling.order import beam
from drystone.scheduling.order.greedy import best_fit, height, thrifty_order
from drystone.scheduling.problem import Operation, Plan, Problem, Tensor
from drystone.targets import Level
from tests.packing import least_height

ALIGNMENT = 64
QUICK = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def random_problem(seed: int, count: int, in_place: bool = True, extras: bool = True) -> Problem:
    """A connected-enough graph of `count` operations over tensors of 0 to 1000 bytes."""
    rng = random.Random(seed)
    tensors = [Tensor("x", rng.randrange(1, 1000))]
    operations: list[Operation] = []
    for number in range(count):
        inputs = tuple(t.name for t in rng.sample(tensors, min(len(tensors), rng.randint(1, 3))))
        outputs = []
        pairs: list[tuple[str, str]] = []
        for result in range(rng.choice((1, 1, 1, 2))):
            size = rng.choice((0, rng.randrange(1, 1000), rng.randrange(1, 1000)))
            source = rng.choice(inputs)
            if in_place and rng.random() < 0.5:
                size = next(t.size for t in tensors if t.name == source)
                size = rng.choice((size, rng.randint(0, size)))
                pairs.append((f"t{number}.{result}", source))
            outputs.append(Tensor(f"t{number}.{result}", size))
        after = (operations[rng.randrange(number)].name,) if extras and number and rng.random() < 0.2 else ()
        scratch = rng.randrange(1, 500) if extras and rng.random() < 0.2 else 0
        names = tuple(t.name for t in outputs)
        operations.append(Operation(f"op{number}", inputs, names, scratch, tuple(pairs), after))
        tensors += outputs
    kept = tuple(t.name for t in rng.sample(tensors, 1)) if extras else (tensors[-1].name,)
    return Problem(tuple(operations), tuple(tensors), (Level("ram", None, ALIGNMENT),), kept)


@QUICK
@given(st.integers(0, 10**6), st.integers(1, 14))
def test_plans_are_valid_and_not_below_their_bound(seed: int, count: int) -> None:
    problem = random_problem(seed, count)
    found = plan(problem, time_limit=0.5)
    check(problem, found)
    assert found.peaks["ram"] >= found.bound >= Graph(problem).bound()
    assert (found.status == "optimal") == (found.peaks["ram"] == found.bound)


@QUICK
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_greedy_plans_are_valid(seed: int, count: int) -> None:
    problem = random_problem(seed, count)
    found = plan(problem, time_limit=0)
    check(problem, found)


@QUICK
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_thrifty_order_respects_dependencies_and_best_fit_never_overlaps(seed: int, count: int) -> None:
    graph = Graph(random_problem(seed, count))
    order = thrifty_order(graph)
    step = {index: position for position, index in enumerate(order)}
    assert sorted(order) == list(range(count))
    assert all(step[earlier] < step[index] for index in order for earlier in graph.before[index])
    blocks = graph.blocks(order)
    offsets = best_fit(blocks)
    for (one, low), (other, base) in itertools.combinations(zip(blocks, offsets, strict=True), 2):
        for part, piece in itertools.product(one.pieces, other.pieces):
            together = part.start < piece.end and piece.start < part.end
            assert not together or low + part.high <= base + piece.low or base + piece.high <= low + part.low
    assert height(blocks, offsets) >= load(blocks)


def _orders(graph: Graph) -> list[tuple[int, ...]]:
    count = len(graph.before)
    return [
        order
        for order in itertools.permutations(range(count))
        if all(order.index(e) < order.index(i) for i in order for e in graph.before[i])
    ]


@settings(QUICK, max_examples=25)
@given(st.integers(0, 10**6))
def test_small_problems_are_solved_to_the_optimum(seed: int) -> None:
    problem = random_problem(seed, 4, in_place=False, extras=False)
    graph = Graph(problem)
    least = min(
        least_height([block for block in graph.blocks(order) if block.size]) for order in _orders(graph)
    )
    found = plan(problem, time_limit=5)
    assert (found.peaks["ram"], found.status) == (least, "optimal")


@settings(QUICK, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_the_beam_finds_the_least_loaded_order_where_it_drops_nothing(seed: int, count: int) -> None:
    graph = Graph(random_problem(seed, count))
    found = beam.search(graph, Effort(math.inf))
    assert found.load == load(graph.blocks(found.order))
    if found.bound:
        assert found.bound == found.load == min(load(graph.blocks(order)) for order in _orders(graph))


@QUICK
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 10))
def test_a_narrow_beam_still_bounds_every_order(seed: int, count: int, width: int) -> None:
    graph = Graph(random_problem(seed, count))
    found = beam.search(graph, Effort(math.inf), width=width)
    assert sorted(found.order) == list(range(count))
    assert found.bound <= found.load == load(graph.blocks(found.order))
    assert found.bound <= load(graph.blocks(thrifty_order(graph)))


def _shifted(found: Plan, rng: random.Random) -> Plan:
    """One home moved to another aligned place."""
    number = rng.randrange(len(found.homes))
    home = found.homes[number]
    moved = replace(home, offset=rng.randrange(0, 40) * ALIGNMENT)
    homes = (*found.homes[:number], moved, *found.homes[number + 1 :])
    return replace(found, homes=homes, peaks={"ram": 10**6})


def _collides(problem: Problem, found: Plan) -> bool:
    """Rectangle by rectangle: do two homes share bytes at a step, but for an output on its dying input?"""
    size = {t.name: t.size for t in problem.tensors}
    size |= {f"{op.name}.scratch": op.scratch for op in problem.operations}
    pairs = {(op.name, *pair) for op in problem.operations for pair in op.in_place}
    for one, other in itertools.combinations(found.homes, 2):
        for first, second in ((one, other), (other, one)):
            handed = first.end == second.start + 1 and first.offset == second.offset
            handed = handed and first.tensor not in problem.kept
            if handed and (found.order[second.start], second.tensor, first.tensor) in pairs:
                break
        else:
            steps = max(one.start, other.start) < min(one.end, other.end)
            low = max(one.offset, other.offset)
            high = min(one.offset + size[one.tensor], other.offset + size[other.tensor])
            if steps and low < high:
                return True
    return False


@settings(QUICK, max_examples=150)
@given(st.integers(0, 10**6), st.integers(2, 10))
def test_the_checker_refuses_exactly_the_moved_homes_that_collide(seed: int, count: int) -> None:
    problem = random_problem(seed, count)
    found = plan(problem, time_limit=0)
    changed = _shifted(found, random.Random(seed))
    if _collides(problem, changed):
        with pytest.raises(PlanError):
            check(problem, changed)
    else:
        check(problem, changed)


@QUICK
@given(st.integers(0, 10**6), st.integers(2, 10))
def test_the_checker_refuses_orders_that_break_a_dependency(seed: int, count: int) -> None:
    problem = random_problem(seed, count)
    found = plan(problem, time_limit=0)
    graph = Graph(problem)
    dependent = [index for index in range(count) if graph.before[index]]
    if dependent:
        late = problem.operations[dependent[0]].name
        order = (late, *(name for name in found.order if name != late))
        with pytest.raises(PlanError, match="depends on"):
            check(problem, replace(found, order=order))


@QUICK
@given(st.integers(0, 10**6))
def test_planning_twice_gives_the_same_plan_where_no_clock_ends_it(seed: int) -> None:
    problem = random_problem(seed, 12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(effort, "monotonic", lambda: 0.0)
        assert plan(problem, time_limit=0.5) == plan(problem, time_limit=0.5)


def _unit_problem(
    seed: int, count: int, capacity: int, levels: tuple[Level, ...] = (Level("dram"),)
) -> Problem:
    """A random graph of tensors of one size, so that any choice that fits can also be placed; some of them
    lie in the slower level from the start."""
    rng = random.Random(seed)
    problem = random_problem(seed, count, in_place=False, extras=False)
    given = {"x"} if rng.random() < 0.5 and levels else set()
    tensors = tuple(
        Tensor(t.name, ALIGNMENT, home="dram" if t.name in given else "") for t in problem.tensors
    )
    fast = Level("ram", capacity * ALIGNMENT, ALIGNMENT)
    return replace(problem, tensors=tensors, levels=(fast, *levels))


def _least_moved(problem: Problem, order: Sequence[int]) -> float:
    """The least number of tensors moved under an order, by trying every choice of what stays at each step."""
    graph = Graph(problem)
    capacity = (problem.levels[0].capacity or 0) // ALIGNMENT
    home = frozenset(name for name in graph.size if graph.home[name])
    given = frozenset(name for name in graph.size if name not in graph.producer) - home
    states: dict[tuple[frozenset[str], frozenset[str]], int] = {(given, home): 0}
    for step, index in enumerate(order):
        op = problem.operations[index]
        inputs, outputs = frozenset(op.inputs), frozenset(op.outputs)
        reached: dict[tuple[frozenset[str], frozenset[str]], int] = {}
        for (here, copied), cost in states.items():
            staying = given if step == 0 else frozenset()
            for left in _subsets(sorted(here - inputs - staying)):
                for saved in _subsets(sorted(here - copied)) if step else [frozenset()]:
                    now = (here - left) | inputs | outputs
                    copies = copied | saved
                    fetched = inputs - here
                    if len(now) > capacity or fetched - copies:
                        continue
                    key, paid = (now, copies), cost + len(saved) + len(fetched)
                    reached[key] = min(paid, reached.get(key, paid))
        states = reached
    kept = set(problem.kept)
    return min(
        (cost for (here, copied), cost in states.items() if kept <= here | copied), default=float("inf")
    )


def _subsets(names: Sequence[str]) -> list[frozenset[str]]:
    return [frozenset(c) for size in range(len(names) + 1) for c in itertools.combinations(names, size)]


@QUICK
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(3, 4))
def test_no_plan_under_any_order_moves_less(seed: int, count: int, capacity: int) -> None:
    problem = _unit_problem(seed, count, capacity)
    least = min(_least_moved(problem, order) for order in _orders(Graph(problem)))
    if least == float("inf"):
        with pytest.raises(UserError, match="the budget is"):
            plan(problem)
        return
    found = plan(problem)
    check(problem, found)
    assert found.cost == found.cost_bound == least * ALIGNMENT


_SLOWER = [
    (Level("dram", bandwidth=16),),
    (Level("dram", direct=True),),
    (Level("near", 3 * ALIGNMENT, bandwidth=64), Level("dram", cost=5, bandwidth=4)),
    (Level("near", 3 * ALIGNMENT, direct=True), Level("dram", cost=5, direct=True)),
]


@QUICK
@given(
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from([(), *_SLOWER]),
    st.booleans(),
    st.floats(0.4, 1),
)
def test_plans_of_all_levels_are_valid(
    seed: int, count: int, slower: tuple[Level, ...], again: bool, part: float
) -> None:
    problem = random_problem(seed, count)
    capacity = int(plan(problem, time_limit=0).peaks["ram"] * part)
    operations = tuple(replace(op, time=5 * number) for number, op in enumerate(problem.operations))
    if again:
        operations = tuple(replace(op, work=7 * number) for number, op in enumerate(operations))
    fast = Level("ram", max(ALIGNMENT, capacity), ALIGNMENT)
    problem = replace(problem, operations=operations, levels=(fast, *slower))
    for time_limit in (0.0, 0.5):
        try:
            found = plan(problem, time_limit)
        except UserError:
            continue
        check(problem, found)
        assert found.cost >= found.cost_bound
        assert slower or not found.moves
        assert found.time >= sum(op.time for op in operations)
