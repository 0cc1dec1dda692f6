"""Contest graphs: the judge against hand-computed times, the solver against the judge and all solutions."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import pytest
from click.testing import CliRunner

from drystone.cli import main
from drystone.errors import UserError
from drystone.scheduling.mlsys import (
    Invalid,
    Problem,
    Step,
    evaluate,
    read_problem,
    read_solution,
    solve,
    total,
    write_solution,
)
from drystone.scheduling.mlsys.format import MATMUL, POINTWISE, Operation
from drystone.scheduling.mlsys.group import Graph
from drystone.scheduling.mlsys.judge import step_latency
from drystone.scheduling.mlsys.layout import INFINITE, Layout
from drystone.scheduling.mlsys.tiles import Pricer


def _times(problem: Problem, *steps: Step) -> list[float]:
    return [step.latency for step in evaluate(problem, steps)]


def _chain(capacity: int = 1000) -> Problem:
    """Two pointwise operations one after the other on 8x8 elements, tiles of 4x4."""
    operations = (Operation(POINTWISE, (0,), 1, 30.0), Operation(POINTWISE, (1,), 2, 5.0))
    return Problem(((8, 8),) * 3, operations, capacity, 2.0, (4, 4))


def _product(capacity: int = 1000) -> Problem:
    """A product of 8x8 by 8x8 elements, tiles of 4x4."""
    return Problem(((8, 8),) * 3, (Operation(MATMUL, (0, 1), 2, 20.0),), capacity, 2.0, (4, 4))


def _two_products() -> Problem:
    """(a @ b) @ c: 4x4, 4x8, 8x4 elements (height x width)."""
    operations = (Operation(MATMUL, (0, 1), 3, 10.0), Operation(MATMUL, (3, 2), 4, 10.0))
    return Problem(((4, 4), (8, 4), (4, 8), (8, 4), (4, 4)), operations, 1000, 2.0, (4, 4))


def test_a_tile_takes_the_longer_of_computing_and_moving() -> None:
    # Four tiles of 16 elements in and out, 16 units of time each; computing takes 30 and 5.
    assert _times(_chain(), Step((0,), (4, 4, 1)), Step((1,), (4, 4, 1))) == [120.0, 64.0]


def test_what_a_step_makes_and_reads_is_free() -> None:
    assert _times(_chain(), Step((0, 1), (4, 4, 1))) == [140.0]


def test_smaller_tiles_cost_as_much_each() -> None:
    assert _times(_chain(), Step((0, 1), (2, 4, 1))) == [280.0]


def test_an_edge_tile_moves_less_but_computes_as_much() -> None:
    # Columns of 3, 3, 2: eight elements an edge tile and twelve an inner one, each read and written.
    assert _times(replace(_chain(), bandwidth=0.1), Step((1, 0)[::-1], (3, 4, 1))) == [2 * (240 + 240 + 160)]


def test_retained_tensors_are_neither_written_nor_read() -> None:
    steps = Step((0,), (4, 4, 1), (1,)), Step((1,), (4, 4, 1))
    assert _times(_chain(), *steps) == [120.0, 4 * 8.0]


def test_the_memory_keeps_the_slice_read_last() -> None:
    # A strip is 32 elements, a tile 16: 40 for two strips and a tile, 24 where one strip stays.
    assert _times(_product(), Step((0,), (4, 4, 8))) == [40 + 24 + 40 + 24]
    assert _times(_product(), Step((0,), (4, 4, 8), (), (0, 1, 3, 2))) == [40 + 24 + 24 + 24]
    assert _times(_product(), Step((0,), (4, 4, 8), (), (0, 3, 1, 2))) == [40 + 40 + 24 + 40]


def test_a_sum_in_parts_reads_again_and_writes_last() -> None:
    # Half strips are 16 elements: 16 units for two, and 8 more for the tile; computing takes 10.
    assert _times(_product(), Step((0,), (4, 4, 4))) == [4 * (16 + 24)]
    # Parts of 5 and 3 terms: 20 and 12 + 8 units; computing takes 12.5 and 7.5.
    assert _times(_product(), Step((0,), (4, 4, 5))) == [4 * (20 + 20)]


def test_a_chain_of_products_keeps_the_left_operand() -> None:
    # By 2 of 8 terms: the left operand is 16 elements, strips of both right ones 8 each; the result 16 last.
    assert _times(_two_products(), Step((0, 1), (4, 4, 2))) == [16 + 8 + 8 + 16]
    assert _times(_two_products(), Step((0, 1), (4, 4, 8))) == [(16 + 32 + 32 + 16) / 2]


def test_operations_run_again_for_what_they_make() -> None:
    operations = (*_chain().operations, Operation(POINTWISE, (1, 2), 3, 1.0))
    problem = replace(_chain(), operations=operations, shapes=((8, 8),) * 4)
    steps = Step((0, 1), (4, 4, 1), (2,)), Step((0, 2), (4, 4, 1))
    assert _times(problem, *steps) == [140.0, 4 * 31.0]


@pytest.mark.parametrize(
    ("problem", "steps", "reason"),
    [
        (_chain(), [Step((0,), (4, 4, 1))], r"operations \[1\] are in no step"),
        (_chain(), [Step((1,), (4, 4, 1)), Step((0,), (4, 4, 1))], "in neither memory"),
        (_chain(), [Step((1, 0), (4, 4, 1))], "before this step makes it"),
        (_chain(), [Step((0, 1), (8, 4, 1))], "more than the native"),
        (_chain(31), [Step((0, 1), (4, 4, 1))], "needs 32 elements of fast memory, of which there are 31"),
        (_chain(), [Step((0, 1), (4, 4, 1), (2,))], "a result of the graph"),
        (_chain(), [Step((0, 1), (4, 4, 1), (0,))], "does not make"),
        (_chain(), [Step((0, 1), (4, 4, 1), (), (0, 1, 2))], "4 tiles, each once"),
        (_chain(), [Step((0, 1, 0), (4, 4, 1))], "each once"),
        (_chain(), [Step((0, 1, 7), (4, 4, 1))], "not operations"),
        (_chain(), [Step((0, 1), (4, 4, 1), latency=141.0)], "takes 140.0, not 141.0"),
        (
            _chain(95),
            [Step((0,), (4, 4, 1), (1,)), Step((0, 1), (4, 4, 1))],
            "needs 96 elements of fast memory",
        ),
    ],
)
def test_the_judge_says_what_is_wrong(problem: Problem, steps: list[Step], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        evaluate(problem, steps)


def test_an_ephemeral_tensor_is_nowhere_else() -> None:
    operations = (*_chain().operations, Operation(POINTWISE, (1, 2), 3, 1.0))
    problem = replace(_chain(), operations=operations, shapes=((8, 8),) * 4)
    with pytest.raises(Invalid, match="tensor 1 is ephemeral, but operation 2 needs it"):
        evaluate(problem, [Step((0, 1), (4, 4, 1)), Step((2,), (4, 4, 1))])


def test_only_chains_of_two_are_summed_in_parts() -> None:
    operations = (*_two_products().operations, Operation(POINTWISE, (4, 0), 5, 1.0))
    problem = replace(_two_products(), operations=operations, shapes=(*_two_products().shapes, (4, 4)))
    evaluate(problem, [Step((0, 1, 2), (4, 4, 2))])
    products = (Operation(MATMUL, (0, 0), 1, 1.0), Operation(MATMUL, (1, 0), 2, 1.0))
    three = Problem(((4, 4),) * 4, (*products, Operation(MATMUL, (2, 0), 3, 1.0)), 1000, 2.0, (4, 4))
    evaluate(three, [Step((0, 1, 2), (4, 4, 4))])
    with pytest.raises(Invalid, match="only one product, or one that feeds another"):
        evaluate(three, [Step((0, 1, 2), (4, 4, 2))])
    with pytest.raises(Invalid, match="three products or more need one depth"):
        evaluate(three, [Step((0, 1, 2), (2, 4, 4))])


def _random(seed: int, operations: int, sizes: tuple[int, ...], native: int) -> Problem:
    """A random graph: products and pointwise operations on old and new tensors."""
    rng = random.Random(seed)
    shapes = [(rng.choice(sizes), rng.choice(sizes)) for _ in range(2)]
    made: list[Operation] = []
    for _ in range(operations):
        source = rng.randrange(len(shapes))
        width, height = shapes[source]
        if rng.random() < 0.6:
            fits = [tensor for tensor, shape in enumerate(shapes) if shape[1] == width]
            if not fits or rng.random() < 0.5:
                fits = [len(shapes)]
                shapes.append((rng.choice(sizes), width))
            right = rng.choice(fits)
            shapes.append((shapes[right][0], height))
            made.append(Operation(MATMUL, (source, right), len(shapes) - 1, float(rng.choice([20, 90]))))
        else:
            other = rng.choice([tensor for tensor, shape in enumerate(shapes) if shape == (width, height)])
            shapes.append((width, height))
            made.append(Operation(POINTWISE, (source, other), len(shapes) - 1, float(rng.choice([3, 20]))))
    least = native * native
    return Problem(
        tuple(shapes), tuple(made), rng.choice([2, 4, 12]) * least, rng.choice([1.0, 4.0]), (native,) * 2
    )


def _subsets(of: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(of, count) for count in range(len(of) + 1))


class _Everything:
    """The best of all solutions: every sequence of groups that each run something new, all that they may
    retain, all tiles by rows and by columns, forth or back and forth."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.known: dict[tuple[tuple[int, ...], frozenset[int], tuple[int, ...]], Step | None] = {}

    def best(self) -> float:
        return min((total(steps) for steps in self._solutions((), frozenset())), default=float("inf"))

    def _solutions(self, steps: tuple[Step, ...], done: frozenset[int]) -> Iterator[tuple[Step, ...]]:
        problem = self.problem
        if len(done) == len(problem.operations):
            try:
                yield evaluate(problem, steps)
            except Invalid:
                return
            return
        before = frozenset(steps[-1].retain) if steps else frozenset()
        for group in _subsets(problem.order):
            if group and not done.issuperset(group):
                for retain in _subsets(tuple(problem.operations[op].output for op in group)):
                    step = self._step(group, before, retain)
                    if step is not None:
                        yield from self._solutions((*steps, step), done.union(group))

    def _step(self, group: tuple[int, ...], before: frozenset[int], retain: tuple[int, ...]) -> Step | None:
        key = (group, before, retain)
        if key not in self.known:
            found: list[Step] = []
            for step in self._steps(group, retain):
                try:
                    found.append(replace(step, latency=step_latency(self.problem, step, before)))
                except Invalid:
                    continue
            self.known[key] = min(found, key=lambda step: step.latency, default=None)
        return self.known[key]

    def _steps(self, group: tuple[int, ...], retain: tuple[int, ...]) -> Iterator[Step]:
        width, height = self.problem.shapes[self.problem.operations[group[-1]].output]
        products = [op for op in group if self.problem.operations[op].kind == MATMUL]
        deepest = max((self.problem.depth(op) for op in products), default=1)
        for w in range(1, self.problem.native[0] + 1):
            for h in range(1, self.problem.native[1] + 1):
                rows, columns = -(-height // h), -(-width // w)
                snake = [
                    r * columns + (c if r % 2 == 0 else columns - 1 - c)
                    for r in range(rows)
                    for c in range(columns)
                ]
                turned = [
                    (r if c % 2 == 0 else rows - 1 - r) * columns + c
                    for c in range(columns)
                    for r in range(rows)
                ]
                for k in range(1, deepest + 1):
                    for order in (None, tuple(snake), tuple(turned)):
                        yield Step(group, (w, h, k), retain, order)


@pytest.mark.parametrize("seed", range(8))
def test_the_solver_finds_the_best_of_tiny_graphs(seed: int) -> None:
    problem = _random(seed, 3, (2, 4), 2)
    solved = solve(problem, 0.5)
    assert solved.bound <= solved.time + 1e-9
    assert solved.time == pytest.approx(_Everything(problem).best())


@pytest.mark.parametrize("seed", range(12))
def test_the_solver_is_valid_and_deterministic(seed: int) -> None:
    problem = _random(100 + seed, 9, (24, 64, 96), 32)
    solved = solve(problem, 0.3)
    assert total(evaluate(problem, solved.steps)) == pytest.approx(solved.time)
    alone = solve(problem, 1e-6)
    assert total(evaluate(problem, alone.steps)) >= solved.time - 1e-6
    assert solve(problem, 1e-6) == alone


def test_what_a_copy_reads_is_no_other_groups_own() -> None:
    made = [Operation(POINTWISE, (source,), op + 1, 1.0) for op, source in enumerate((0, 1, 2, 2))]
    problem = Problem(((4, 4),) * 5, tuple(made), 1000, 1.0, (4, 4))
    layout = Layout(Graph(problem), Pricer(problem.capacity, problem.bandwidth, problem.native))
    assert layout.lay_out([0b0001, 0b0100, 0b1000], 0b0010)[0] < INFINITE
    assert layout.lay_out([0b0101, 0b1000], 0b0010)[0] == INFINITE  # operation 3 copies 1, which reads 0


def test_a_proven_optimum_ends_the_search() -> None:
    problem = replace(_chain(), bandwidth=100.0)
    solved = solve(problem, 100.0)
    assert solved.time == solved.bound == 4 * 35.0


def test_a_memory_too_small_for_one_element_each_is_refused() -> None:
    with pytest.raises(UserError, match="operation 0 does not fit 2 elements"):
        solve(_product(2))


def _file(problem: Problem, path: Path, **changes: object) -> Path:
    data = {
        "widths": [shape[0] for shape in problem.shapes],
        "heights": [shape[1] for shape in problem.shapes],
        "inputs": [op.inputs for op in problem.operations],
        "outputs": [[op.output] for op in problem.operations],
        "base_costs": [op.cost for op in problem.operations],
        "op_types": [op.kind for op in problem.operations],
        "fast_memory_capacity": problem.capacity,
        "slow_memory_bandwidth": int(problem.bandwidth),
        "native_granularity": problem.native,
    }
    path.write_text(json.dumps(data | changes))
    return path


def test_files_say_what_they_hold(tmp_path: Path) -> None:
    problem = _two_products()
    assert read_problem(_file(problem, tmp_path / "p.json")) == problem
    steps = solve(problem, 0.1).steps
    (tmp_path / "s.json").write_text(write_solution(steps))
    assert read_solution(tmp_path / "s.json") == steps


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"widths": [8, 8]}, "different lengths: widths 2, heights 3"),
        ({"widths": [8, 8, 0]}, r"widths\[2\] is 0"),
        ({"inputs": [[0], [3]]}, "operation 1 names tensor 3"),
        ({"inputs": [[2], [1]]}, "cycle"),
        ({"outputs": [[1], [1]]}, "made twice"),
        ({"outputs": [[1], [1, 2]]}, "has 2 outputs"),
        ({"op_types": ["Pointwise", "Conv"]}, "neither MatMul nor Pointwise"),
        ({"op_types": ["MatMul", "Pointwise"]}, "reads 1 tensors, not two"),
        ({"native_granularity": [4]}, "not two positive numbers"),
        ({"base_costs": [1, -1]}, r"base_costs\[1\] is -1"),
        ({"inputs": 7}, "inputs is no list"),
        ({"inputs": [[0], [True]]}, "not a list of numbers of tensors or operations"),
        ({"inputs": [[0], []]}, "operation 1 reads nothing"),
        (
            {"op_types": ["Pointwise", "MatMul"], "inputs": [[0], [0, 1]], "widths": [8, 8, 4]},
            "product 1 of 8x8 and 8x8 .* cannot make 4x8",
        ),
    ],
)
def test_bad_problems_are_explained(tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read_problem(_file(_chain(), tmp_path / "p.json", **changes))


def test_the_command_solves_and_judges(tmp_path: Path) -> None:
    problem, solution = str(_file(_chain(), tmp_path / "p.json")), str(tmp_path / "s.json")
    run = CliRunner().invoke
    done = run(main, ["mlsys", problem, "--time-limit", "1", "--output", solution])
    assert done.exit_code == 0
    assert done.output == "1 steps, latency 140.0 (at least 140.0)\n"
    judged = run(main, ["mlsys", problem, "--evaluate", solution])
    assert judged.exit_code == 0
    assert judged.output == "step 0: 140.0\n1 steps, latency 140.0\n"
    Path(solution).write_text(write_solution((Step((0,), (4, 4, 1)),)))
    wrong = run(main, ["mlsys", problem, "--evaluate", solution])
    assert wrong.exit_code == 1
    assert "operations [1] are in no step" in wrong.output
    Path(solution).write_text("{}")
    assert run(main, ["mlsys", problem, "--evaluate", solution]).exit_code == 2
    assert run(main, ["mlsys", str(tmp_path / "none.json")]).exit_code == 2
