"""Large graphs planned in parts: what is proven of parts holds for all, and equal parts are solved once."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from drystone.scheduling import check, effort, plan
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph, load
from drystone.scheduling.order import beam, divide, joint, windows
from drystone.scheduling.order.canonical import canonical
from drystone.scheduling.order.cells import Cuts
from drystone.scheduling.order.climb import Judge, climb
from drystone.scheduling.order.greedy import thrifty_order
from drystone.scheduling.order.parts import Part, State, between, held, loose, relaxed
from drystone.scheduling.order.solving import LARGE, Solver
from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.scheduling.residency.traffic import quick
from drystone.targets import Level
from tests.property.test_planning import _least_moved, _orders, _unit_problem, random_problem

UNIT = 64


def cell(rng: random.Random, name: str, source: str, count: int) -> tuple[list[Operation], list[Tensor]]:
    """Operations wired at random, from one tensor to one tensor."""
    operations, tensors, unread = [], [source], set()
    for number in range(count):
        new = f"{name}.{number}"
        inputs = tuple(sorted(rng.sample(tensors, min(len(tensors), rng.randint(1, 2)))))
        operations.append(Operation(f"make {new}", inputs, (new,)))
        unread = (unread | {new}) - set(inputs)
        tensors.append(new)
    operations.append(Operation(f"make {name}", tuple(sorted(unread)), (name,)))
    sizes = [Tensor(each, UNIT * rng.randint(1, 4)) for each in (*tensors[1:], name)]
    return operations, sizes


def stack(seeds: Sequence[int], count: int, capacity: int | None = None) -> Problem:
    """Cells one after the other, of one seed each."""
    operations, tensors = [], [Tensor("x", UNIT)]
    for number, seed in enumerate(seeds):
        made, new = cell(random.Random(seed), f"c{number}", tensors[-1].name, count)
        # The cells' results are of one size, so that cells of one seed are equal.
        new[-1] = replace(new[-1], size=UNIT)
        operations, tensors = operations + made, tensors + new
    levels = (Level("ram", capacity), Level("dram"))
    return Problem(tuple(operations), tuple(tensors), levels, (tensors[-1].name,))


def tight(seeds: Sequence[int], count: int) -> Problem:
    """Such a stack where no operation has room to spare."""
    return stack(seeds, count, Graph(stack(seeds, count)).least())


def test_a_graph_is_cut_where_one_result_crosses() -> None:
    problem = stack((1, 2, 3), 5)
    cuts = Cuts(Graph(problem), range(18))
    assert cuts.clean(6) and cuts.clean(12)
    assert {6, 12} <= {start for start, _ in cuts.divided()}


def test_a_tensor_that_skips_a_cell_makes_no_clean_cut() -> None:
    problem = stack((1, 2), 5)
    *others, last = problem.operations
    skipping = replace(problem, operations=(*others, replace(last, inputs=(*last.inputs, "x"))))
    cuts = Cuts(Graph(skipping), range(12))
    assert cuts.sealed[6] and not cuts.clean(6)


def _shuffled(problem: Problem, seed: int) -> Problem:
    """The same under other names and in another order."""
    rng, graph = random.Random(seed), Graph(problem)
    waiting, order = set(range(len(graph.before))), []
    while waiting:
        ready = sorted(index for index in waiting if not graph.before[index] & waiting)
        order.append(rng.choice(ready))
        waiting.remove(order[-1])
    names = [tensor.name for tensor in problem.tensors]
    called = dict(zip(names, rng.sample([f"s{n}" for n in range(len(names))], len(names)), strict=True))

    def rename(old: Sequence[str]) -> tuple[str, ...]:
        return tuple(called[name] for name in rng.sample(list(old), len(old)))

    operations = tuple(
        Operation(f"p{number}", rename(op.inputs), rename(op.outputs))
        for number, op in enumerate(problem.operations[index] for index in order)
    )
    tensors = tuple(Tensor(called[t.name], t.size) for t in rng.sample(problem.tensors, len(names)))
    return Problem(operations, tensors, problem.levels, rename(problem.kept))


@pytest.mark.parametrize("seed", range(20))
def test_parts_equal_but_for_names_have_one_canonical_form(seed: int) -> None:
    problem = stack((seed,), 8)
    form, other = canonical(Part(problem)), canonical(Part(_shuffled(problem, seed)))
    assert form.part == other.part
    assert sorted(form.operations) == list(range(9))
    larger = replace(problem.tensors[3], size=5 * UNIT)
    changed = replace(problem, tensors=(*problem.tensors[:3], larger, *problem.tensors[4:]))
    assert canonical(Part(changed)).part != form.part


def test_equal_cells_are_solved_once() -> None:
    problem = stack((5,) * 6, 8)
    graph, solver = Graph(problem), Solver(Effort(1.0))
    spans, order = graph.lifetimes(range(54)), list(range(54))
    for start in range(0, 54, 9):
        solver.least_loaded(held(graph, spans, order, start, start + 9)[0])
    assert solver.solved == 1


@pytest.mark.parametrize("seed", range(8))
def test_the_least_peak_of_cells_is_that_of_the_whole(seed: int) -> None:
    graph = Graph(stack((seed, seed + 100), 3))
    found = divide.lightest(graph, list(range(8)), Effort(5.0))
    least = min(load(graph.blocks(order)) for order in _orders(graph))
    assert load(graph.blocks(found.order)) == found.bound == least


@pytest.mark.parametrize("seed", range(30))
def test_what_any_part_needs_the_whole_needs(seed: int) -> None:
    rng = random.Random(seed)
    graph = Graph(random_problem(seed, rng.randint(2, 6)))
    order = thrifty_order(graph)
    least = min(load(graph.blocks(each)) for each in _orders(graph))
    start = rng.randrange(len(order))
    problem, idle = loose(graph, order[start : start + rng.randint(1, 4)])
    assert Solver(Effort(5.0)).least_loaded(problem).bound + idle <= least
    found = divide.lightest(graph, order, Effort(5.0))
    assert found.bound <= least <= load(graph.blocks(found.order))


@pytest.mark.parametrize("seed", range(30))
def test_a_budget_for_the_beam_proves_the_least_load(seed: int) -> None:
    graph = Graph(random_problem(seed, random.Random(seed).randint(1, 6), in_place=False))
    most = load(graph.blocks(range(len(graph.before))))
    found = beam.squeezed(graph, range(len(graph.before)), most, 0, Effort(math.inf), 1000)
    least = min(load(graph.blocks(order)) for order in _orders(graph))
    assert found.load == found.bound == least == load(graph.blocks(found.order))
    assert beam.squeezed(graph, range(len(graph.before)), most, 0, Effort(math.inf), 1).bound <= least
    assert not least or not beam.search(graph, Effort(math.inf), least - 1).order


@pytest.mark.parametrize("seed", range(40))
def test_what_parts_move_adds_up_to_a_bound_of_the_whole(seed: int) -> None:
    rng = random.Random(seed)
    problem = _unit_problem(seed, rng.randint(2, 5), rng.randint(3, 4))
    graph = Graph(problem)
    least = min(_least_moved(problem, order) for order in _orders(graph))
    if least == float("inf"):
        return
    order = thrifty_order(graph)
    cuts = sorted({0, len(order), rng.randrange(len(order)), rng.randrange(len(order))})
    solver = Solver(Effort(5.0))
    parts = [relaxed(graph, order[start:end]) for start, end in pairwise(cuts)]
    # What lies in the slower level and is read in several parts is free in all of them.
    assert sum(solver.least_moved(part).bound for part in parts) <= least * UNIT


@pytest.mark.parametrize("seed", range(4))
def test_cells_beyond_one_search_are_proven_together(seed: int) -> None:
    count, cells = 15, 11
    one = stack((seed,), count)
    alone = plan(replace(one, levels=one.levels[:1]), time_limit=2).peaks["ram"]
    whole = stack((seed,) * cells, count)
    assert len(whole.operations) > LARGE
    found = plan(whole, time_limit=2)
    check(whole, found)
    assert (found.bound, found.status) == (alone, "optimal")
    capacity = max(Graph(one).least(), alone - 2 * UNIT)
    within = replace(whole, levels=(Level("ram", capacity), Level("dram")))
    moved = plan(within, time_limit=2)
    check(within, moved)
    assert moved.cost >= moved.cost_bound
    if capacity < alone:
        assert moved.cost_bound >= cells * 2 * UNIT


def test_states_at_a_cut_say_what_has_to_come_back() -> None:
    # y is read after the part and does not fit beside what the part needs: it leaves, and comes back.
    operations = (
        Operation("y", ("x",), ("y",)),
        Operation("a", ("x",), ("a",)),
        Operation("b", ("a",), ("b",)),
        Operation("join", ("b", "y"), ("out",)),
    )
    tensors = tuple(Tensor(n, s * UNIT) for n, s in (("x", 1), ("y", 1), ("a", 3), ("b", 1), ("out", 1)))
    problem = Problem(operations, tensors, (Level("ram", 4 * UNIT), Level("dram")), ("out",))
    graph, solver = Graph(problem), Solver(Effort(5.0))
    before = State(frozenset({"x", "y"}))
    costs = [
        solver.least_moved(between(graph, (1, 2), before, State(frozenset(fast), frozenset(saved)))).cost
        for fast, saved in (({"b", "y"}, set()), ({"b"}, {"y"}), ({"b", "y"}, {"y"}), ({"y"}, {"b", "y"}))
    ]
    assert costs == [2 * UNIT, UNIT, 2 * UNIT, 3 * UNIT]


@pytest.mark.parametrize("seed", range(10))
def test_windows_never_make_a_plan_worse(seed: int) -> None:
    graph = Graph(tight((seed, seed + 1), 30))
    order = list(range(62))
    first = quick(graph, order)
    assert first is not None
    best = windows.mended(graph, first, 0, Effort(0.2), lambda order: quick(graph, order))
    check(graph.problem, best)
    assert best.cost <= first.cost
    lower = windows.lowered(graph, order, 0, Effort(1.0))
    assert load(graph.blocks(lower)) <= load(graph.blocks(order))


@pytest.mark.parametrize("seed", range(10))
def test_an_order_that_was_climbed_to_is_an_answer_of_the_joint_model(seed: int) -> None:
    graph = Graph(tight((seed,), 10))
    judge = Judge(Part(graph.problem))
    start = judge.replace(range(11))
    climbed = climb(judge, range(11), Effort(0.02))
    assert start is not None and climbed is not None
    order, found = climbed
    assert found.cost <= start.cost
    known = joint.Known(found.stays, found.spilled, found.shared)
    solved = joint.arrange(graph, order, found.cost, Effort(1.0), known=known)
    assert solved.cost is not None
    assert solved.bound <= solved.cost <= found.cost


def test_dividing_gives_the_same_plan_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "monotonic", lambda: 0.0)
    problem = tight(range(12), 15)
    assert plan(problem, time_limit=1) == plan(problem, time_limit=1)
