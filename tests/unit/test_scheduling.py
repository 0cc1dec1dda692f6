"""The planner's behaviour on graphs small enough to reason about, and what it says when memory is short."""

from dataclasses import replace
from itertools import pairwise

import pytest

from drystone import mlir
from drystone.errors import InternalError, UserError
from drystone.ir.context import new_context
from drystone.ir.program import Program, Signature, TensorSpec, WeightStore
from drystone.scheduling import PlanError, arena_of, as_data, check, plan, problem_of
from drystone.scheduling.budgets.budget import spell_bytes
from drystone.scheduling.graph import Graph, load
from drystone.scheduling.order.greedy import best_fit, height
from drystone.scheduling.problem import Home, Move, Operation, Problem, Tensor
from drystone.targets import Level, resolve

KB = 1024
FREE = (Level("ram"),)


def chain(*sizes: int, in_place: bool = False, level: Level = FREE[0]) -> Problem:
    """x -> op0 -> t0 -> op1 -> t1 ...; every tensor of the given size."""
    names = ["x", *(f"t{n}" for n in range(len(sizes) - 1))]
    tensors = tuple(Tensor(n, s, f"layer {n}") for n, s in zip(names, sizes, strict=True))
    operations = tuple(
        Operation(f"op{n}", (a,), (b,), in_place=((b, a),) if in_place else (), where=f"making {b}")
        for n, (a, b) in enumerate(pairwise(names))
    )
    return Problem(operations, tensors, (level,), (names[-1],))


def test_a_chain_needs_its_largest_neighbours() -> None:
    found = plan(chain(KB, 4 * KB, 2 * KB, KB))
    assert (found.peaks, found.bound, found.status) == ({"ram": 6 * KB}, 6 * KB, "optimal")


def test_an_in_place_chain_needs_one_tensor_at_one_offset() -> None:
    problem = chain(KB, KB, KB, KB, in_place=True)
    found = plan(problem)
    check(problem, found)
    assert found.peaks == {"ram": KB}
    assert all(set(place.values()) == {0} for place in arena_of(problem, found).places)


@pytest.mark.parametrize("time_limit", [0, 1])
def test_behind_a_smaller_result_there_is_room_from_the_next_step_on(time_limit: float) -> None:
    problem = chain(4 * KB, KB, 3 * KB, in_place=False)
    shrink = replace(problem.operations[0], in_place=(("t0", "x"),))
    problem = replace(problem, operations=(shrink, problem.operations[1]))
    found = plan(problem, time_limit=time_limit)
    check(problem, found)
    assert (found.peaks, found.bound) == ({"ram": 4 * KB}, 4 * KB)
    assert [(home.tensor, home.offset) for home in found.homes] == [("x", 0), ("t0", 0), ("t1", KB)]
    moved = tuple(replace(home, offset=KB) if home.tensor == "t0" else home for home in found.homes)
    with pytest.raises(PlanError, match="overlap at step 0"):
        check(problem, replace(found, homes=moved))


def test_an_input_that_is_read_again_is_not_overwritten() -> None:
    problem = Problem(
        (
            Operation("relu", ("x",), ("y",), in_place=(("y", "x"),)),
            Operation("add", ("x", "y"), ("z",)),
        ),
        (Tensor("x", KB), Tensor("y", KB), Tensor("z", KB)),
        FREE,
        ("z",),
    )
    found = plan(problem)
    check(problem, found)
    assert found.peaks == {"ram": 3 * KB}


def test_the_order_is_changed_where_that_frees_memory() -> None:
    # Both wide branches first would hold two large tensors; each branch to its narrow end holds one.
    branches = [("a", 8 * KB), ("b", 8 * KB)]
    wide = tuple(Operation(f"wide_{n}", ("x",), (f"{n}1",)) for n, _ in branches)
    narrow = tuple(Operation(f"narrow_{n}", (f"{n}1",), (f"{n}2",)) for n, _ in branches)
    join = Operation("join", ("a2", "b2"), ("out",))
    tensors = [Tensor("x", KB), Tensor("out", KB)]
    for name, size in branches:
        tensors += [Tensor(f"{name}1", size), Tensor(f"{name}2", KB)]
    problem = Problem((*wide, *narrow, join), tuple(tensors), FREE, ("out",))
    found = plan(problem)
    check(problem, found)
    assert found.status == "optimal"
    assert found.peaks["ram"] == 10 * KB
    assert load(Graph(problem).blocks(range(5))) > 10 * KB


def test_scratch_has_a_home_beside_the_operations_own_tensors() -> None:
    problem = Problem(
        (Operation("op", ("x",), ("y",), scratch=100),), (Tensor("x", 64), Tensor("y", 64)), FREE, ("y",)
    )
    found = plan(problem)
    check(problem, found)
    assert found.peaks == {"ram": 64 + 64 + 128}
    assert Home("op.scratch", "ram", arena_of(problem, found).places[0]["op.scratch"], 0, 1) in found.homes


def test_every_offset_is_aligned() -> None:
    found = plan(chain(3, 70, 129, 1))
    assert all(home.offset % 64 == 0 for home in found.homes)


def test_an_empty_problem_has_an_empty_plan() -> None:
    problem = Problem((), (), FREE)
    found = plan(problem)
    check(problem, found)
    assert (found.order, found.homes, found.peaks, found.status) == ((), (), {"ram": 0}, "optimal")


def test_operations_wait_for_those_they_must_come_after() -> None:
    problem = Problem(
        (
            Operation("read", (), ("r",)),
            Operation("write", (), (), after=("read",)),
            Operation("use", ("r",), ()),
        ),
        (Tensor("r", KB),),
        FREE,
    )
    order = plan(problem).order
    assert order.index("read") < order.index("write")


def test_a_plan_is_data_for_a_manifest() -> None:
    data = as_data(plan(chain(KB, KB)))
    assert data["order"] == ("op0",)
    assert data["gap"] == 0.0
    assert data["homes"][0].keys() == {"tensor", "level", "offset", "start", "end"}


def test_the_solver_packs_what_best_fit_does_not() -> None:
    blocks = [("a", 3, 5, 6), ("b", 5, 3, 5), ("c", 5, 4, 6), ("d", 3, 3, 7), ("e", 3, 5, 6), ("f", 5, 3, 6)]
    blocks = [*blocks, ("g", 5, 3, 4)]
    sizes = {name: size for name, size, _, _ in blocks}
    spans = {name: (start, end) for name, _, start, end in blocks}
    made: dict[int, list[str]] = {}
    read: dict[int, list[str]] = {}
    for name, (start, end) in spans.items():
        made.setdefault(start, []).append(name)
        read.setdefault(end - 1, []).append(name)
    operations = tuple(
        Operation(
            f"op{step}",
            tuple(n for n in read.get(step, ()) if spans[n][0] < step),
            tuple(made.get(step, ())),
            after=(f"op{step - 1}",) if step else (),
        )
        for step in range(7)
    )
    problem = Problem(operations, tuple(Tensor(n, s * KB) for n, s in sizes.items()), FREE)
    as_given = Graph(problem).blocks(range(7))
    found = plan(problem)
    check(problem, found)
    assert found.peaks["ram"] == load(as_given) == found.bound < height(as_given, best_fit(as_given))


def test_a_budget_that_cannot_be_met_names_the_layers_and_the_least_that_would_do() -> None:
    problem = chain(KB, 4 * KB, 2 * KB, level=Level("ram", 5 * KB))
    with pytest.raises(UserError) as caught:
        plan(problem)
    said = str(caught.value)
    assert "need 6.00 KiB, the budget is 5.00 KiB" in said
    assert "the fullest step is making t1" in said
    assert "any of them left out, the others can" in said
    assert said.index("4.00 KiB  layer t0") < said.index("2.00 KiB  layer t1")
    assert f"ram={6 * KB}" in said


def test_a_budget_that_is_just_met_is_met() -> None:
    problem = chain(KB, 4 * KB, 2 * KB, level=Level("ram", 6 * KB))
    check(problem, plan(problem))


@pytest.mark.parametrize(("size", "text"), [(640, "640 B"), (1536, "1.50 KiB"), (3 * KB**2, "3.00 MiB")])
def test_sizes_are_spelled_in_readable_units(size: int, text: str) -> None:
    assert spell_bytes(size) == text


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda p: replace(p, order=("op0",)), "at least once"),
        (lambda p: replace(p, order=("op0", "op1", "op1")), "op1 runs again"),
        (lambda p: replace(p, order=("op1", "op0")), "depends on"),
        (lambda p: replace(p, homes=p.homes[1:]), "x without a home"),
        (lambda p: replace(p, homes=(*p.homes, p.homes[0])), "a home too many"),
        (lambda p: replace(p, homes=(replace(p.homes[0], level="sram"), *p.homes[1:])), "not for it"),
        (lambda p: replace(p, homes=(replace(p.homes[0], offset=32), *p.homes[1:])), "not a multiple"),
        (lambda p: replace(p, homes=(replace(p.homes[0], offset=-64), *p.homes[1:])), "not a multiple"),
        (lambda p: replace(p, homes=(replace(p.homes[0], offset=2**20), *p.homes[1:])), "beyond the 8192"),
        (lambda p: replace(p, homes=tuple(replace(h, offset=0) for h in p.homes)), "overlap at step 0"),
        (lambda p: replace(p, homes=(*p.homes[:1], replace(p.homes[1], end=1), *p.homes[2:])), "not there"),
        (lambda p: replace(p, homes=(*p.homes[:2], replace(p.homes[2], end=99))), "lives during steps"),
        (lambda p: replace(p, peaks={"ram": 64}), "states a peak of 64"),
        (lambda p: replace(p, bound=10**6), "below its bound"),
        (lambda p: replace(p, moves=(Move(1, "x", "ram", "ram"),)), "moved from ram to ram"),
        (lambda p: replace(p, moves=(Move(9, "x", "ram", "dram"),)), "before step 9"),
        (lambda p: replace(p, cost=64), "states a cost of 64"),
        (lambda p: replace(p, cost_bound=1), "cost 0 is below"),
    ],
)
def test_the_checker_says_what_is_wrong(change: object, fault: str) -> None:
    problem = chain(KB, 4 * KB, 2 * KB, level=Level("ram", 8 * KB))
    found = plan(problem)
    check(problem, found)
    assert callable(change)
    with pytest.raises(PlanError, match=fault):
        check(problem, change(found))


@pytest.mark.parametrize(
    ("operations", "fault"),
    [
        ((Operation("a", ("ghost",), ()),), "does not declare"),
        ((Operation("a", (), ("x",)), Operation("b", (), ("x",))), "written twice"),
        ((Operation("a", ("x",), ()), Operation("b", (), ("x",))), "read before"),
        ((Operation("a", (), ()), Operation("a", (), ())), "the same"),
        ((Operation("a", (), (), after=("b",)), Operation("b", (), ())), "must come after"),
        ((Operation("a", ("x",), ("y",), in_place=(("y", "x"),)),), "in the place of"),
    ],
)
def test_a_problem_that_contradicts_itself_is_refused(operations: tuple[Operation, ...], fault: str) -> None:
    with pytest.raises(InternalError, match=fault):
        plan(Problem(operations, (Tensor("x", 64), Tensor("y", 128)), FREE))


OUTLINED = """
func.func private @twice(%x: tensor<?x8xf32>, %o: tensor<?x8xf32>) -> tensor<?x8xf32>
  attributes {dry.in_place = [array<i64: 0, 0>]} { return %o : tensor<?x8xf32> }
func.func private @put(%old: tensor<4xf32>, %o: tensor<4xf32>, %i: index) -> tensor<4xf32>
  attributes {dry.in_place = [array<i64: 0, 0>]} { return %o : tensor<4xf32> }
func.func private @pick(%x: tensor<?x8xf32>, %o: tensor<4xf32>) -> tensor<4xf32> { return %o : tensor<4xf32> }
func.func @main(%x: tensor<?x8xf32>, %s: tensor<4xf32>) -> (tensor<?x8xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %n = tensor.dim %x, %c0 : tensor<?x8xf32>
  %e = tensor.empty(%n) : tensor<?x8xf32>
  %f = tensor.empty() : tensor<4xf32>
  %a = call @twice(%x, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b = call @twice(%a, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %p = call @pick(%b, %f) : (tensor<?x8xf32>, tensor<4xf32>) -> tensor<4xf32>
  %v = tensor.extract %p[%c0] : tensor<4xf32>
  %ok = arith.cmpf olt, %zero, %v : f32
  cf.assert %ok, "not positive"
  %out = call @twice(%b, %e) : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %last = call @pick(%out, %f) : (tensor<?x8xf32>, tensor<4xf32>) -> tensor<4xf32>
  return %out, %last : tensor<?x8xf32>, tensor<4xf32>
}
"""


def _outlined() -> Program:
    signature = Signature(
        (TensorSpec("x", "f32", ("n", 8)),),
        (TensorSpec("y", "f32", ("n", 8)),),
        None,
        None,
        {"n": (1, 10)},
        (TensorSpec("s", "f32", (4,)),),
    )
    return Program(mlir.parse(OUTLINED, new_context()), WeightStore(), signature)


def test_a_programs_problem_holds_the_arenas_buffers_at_their_bounds() -> None:
    problem = problem_of(_outlined(), resolve("cpu:avx2"), {"ram": "1KB"})
    assert problem.levels == (Level("ram", KB),)
    assert [op.name.split(".")[1] for op in problem.operations] == ["twice", "twice", "pick", "twice", "pick"]
    first, second, pick, out, last = problem.operations
    assert (first.inputs, out.outputs) == ((), ())
    assert second.in_place == ((second.outputs[0], first.outputs[0]),)
    assert {t.name: t.size for t in problem.tensors} == {
        first.outputs[0]: 320,
        second.outputs[0]: 320,
        pick.outputs[0]: 16,
        last.outputs[0]: 16,
    }


def test_a_programs_outputs_order_their_readers_and_late_reads_keep_their_buffers() -> None:
    problem = problem_of(_outlined(), resolve("cpu:avx2"))
    _, _, pick, out, last = problem.operations
    assert last.after == (out.name,)
    # One is what an assertion looks at, the other a state's new value, which is copied back at the end.
    assert set(problem.kept) == {pick.outputs[0], last.outputs[0]}
    check(problem, plan(problem))
