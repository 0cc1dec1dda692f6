"""Operations of upstream dialects, one small function each, against numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from drystone.errors import InternalError
from drystone.ir.interpreter import run
from drystone.mlir import text
from tests.unit.ir_cases import CONTEXT, from_text

X = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
Y = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
IMAGE = np.random.default_rng(1).standard_normal((2, 3, 7, 6)).astype(np.float32)
ID = "affine_map<(d0, d1) -> (d0, d1)>"
ROW = "affine_map<(d0, d1) -> (d0)>"


def execute(source: str, *inputs: np.ndarray) -> list[np.ndarray]:
    """The results of a module given as text (its body, or all of it)."""
    return run(from_text(source), inputs)


def main(body: str, result: str, *arguments: str) -> str:
    names = ", ".join(f"%{name}: {kind}" for name, kind in zip("abcdef", arguments, strict=False))
    return f"func.func @main({names}) -> ({result}) {{\n{body}\n}}"


def test_an_elementwise_region_over_broadcast_operands() -> None:
    source = main(
        f"""%e = tensor.empty() : tensor<3x4xf32>
        %r = linalg.generic {{indexing_maps = [{ID}, affine_map<(d0, d1) -> (d1)>, {ID}],
            iterator_types = ["parallel", "parallel"]}}
            ins(%a, %b : tensor<3x4xf32>, tensor<4xf32>) outs(%e : tensor<3x4xf32>) {{
        ^bb0(%x: f32, %y: f32, %o: f32):
          %i = linalg.index 1 : index
          %j = arith.index_cast %i : index to i64
          %k = arith.sitofp %j : i64 to f32
          %p = arith.cmpf ogt, %x, %k : f32
          %s = arith.select %p, %x, %y : f32
          linalg.yield %s : f32
        }} -> tensor<3x4xf32>
        return %r : tensor<3x4xf32>""",
        "tensor<3x4xf32>", "tensor<3x4xf32>", "tensor<4xf32>",
    )  # fmt: skip
    (ours,) = execute(source, X, Y[:, 0])
    np.testing.assert_array_equal(ours, np.where(np.arange(4) < X, X, Y[:, 0]))


@pytest.mark.parametrize(
    ("combine", "expected"),
    [("arith.addf", np.add), ("arith.maximumf", np.maximum), ("arith.mulf", np.multiply)],
)
def test_reductions(combine: str, expected: Any) -> None:
    source = main(
        f"""%r = linalg.generic {{indexing_maps = [{ID}, {ROW}], iterator_types = ["parallel", "reduction"]}}
            ins(%a : tensor<3x4xf32>) outs(%b : tensor<3xf32>) {{
        ^bb0(%x: f32, %o: f32):
          %n = arith.negf %x : f32
          %s = {combine} %n, %o : f32
          linalg.yield %s : f32
        }} -> tensor<3xf32>
        return %r : tensor<3xf32>""",
        "tensor<3xf32>", "tensor<3x4xf32>", "tensor<3xf32>",
    )  # fmt: skip
    start = np.array([1, 2, 3], np.float32)
    (ours,) = execute(source, X, start)
    np.testing.assert_array_equal(ours, expected(start, expected.reduce(-X, 1)))


ARGMAX = main(
    f"""%r:2 = linalg.generic {{indexing_maps = [{ID}, {ROW}, {ROW}],
        iterator_types = ["parallel", "reduction"]}}
        ins(%a : tensor<?x?xf32>) outs(%b, %c : tensor<?xf32>, tensor<?xi64>) {{
    ^bb0(%x: f32, %m: f32, %at: i64):
      %i = linalg.index 1 : index
      %j = arith.index_cast %i : index to i64
      %n = arith.maximumf %x, %m : f32
      %p = arith.cmpf ogt, %x, %m : f32
      %s = arith.select %p, %j, %at : i64
      linalg.yield %n, %s : f32, i64
    }} -> (tensor<?xf32>, tensor<?xi64>)
    return %r#0, %r#1 : tensor<?xf32>, tensor<?xi64>""",
    "tensor<?xf32>, tensor<?xi64>", "tensor<?x?xf32>", "tensor<?xf32>", "tensor<?xi64>",
)  # fmt: skip


def test_a_region_of_several_results_runs_in_order() -> None:
    values, places = execute(ARGMAX, Y, np.full(4, -np.inf, np.float32), np.zeros(4, np.int64))
    np.testing.assert_array_equal(values, Y.max(1))
    np.testing.assert_array_equal(places, Y.argmax(1))


def test_a_contraction_is_exact_and_adds_to_its_output() -> None:
    source = main(
        """%r = linalg.matmul ins(%a, %b : tensor<3x4xf32>, tensor<4x5xf32>) outs(%c : tensor<3x5xf32>)
            -> tensor<3x5xf32>
        return %r : tensor<3x5xf32>""",
        "tensor<3x5xf32>", "tensor<3x4xf32>", "tensor<4x5xf32>", "tensor<3x5xf32>",
    )  # fmt: skip
    start = np.ones((3, 5), np.float32)
    (ours,) = execute(source, X, Y, start)
    np.testing.assert_array_equal(ours, (X.astype(np.float64) @ Y + start).astype(np.float32))


def test_named_windows() -> None:
    source = main(
        """%r = linalg.conv_2d_nchw_fchw {dilations = dense<[1, 2]> : vector<2xi64>,
            strides = dense<2> : vector<2xi64>}
            ins(%a, %b : tensor<2x3x7x6xf32>, tensor<4x3x3x2xf32>) outs(%c : tensor<2x4x3x2xf32>)
            -> tensor<2x4x3x2xf32>
        %w = tensor.empty() : tensor<2x2xf32>
        %m = linalg.pooling_nchw_max {dilations = dense<1> : vector<2xi64>,
            strides = dense<2> : vector<2xi64>}
            ins(%a, %w : tensor<2x3x7x6xf32>, tensor<2x2xf32>) outs(%d : tensor<2x3x3x3xf32>)
            -> tensor<2x3x3x3xf32>
        return %r, %m : tensor<2x4x3x2xf32>, tensor<2x3x3x3xf32>""",
        "tensor<2x4x3x2xf32>, tensor<2x3x3x3xf32>",
        "tensor<2x3x7x6xf32>", "tensor<4x3x3x2xf32>", "tensor<2x4x3x2xf32>", "tensor<2x3x3x3xf32>",
    )  # fmt: skip
    weight = np.random.default_rng(2).standard_normal((4, 3, 3, 2)).astype(np.float32)
    zeros, least = np.zeros((2, 4, 3, 2), np.float32), np.full((2, 3, 3, 3), -np.inf, np.float32)
    convolved, pooled = execute(source, IMAGE, weight, zeros, least)
    windows = np.lib.stride_tricks.sliding_window_view(IMAGE, (3, 3), (2, 3))[:, :, ::2, ::2, :, ::2]
    np.testing.assert_allclose(
        convolved, np.einsum("nchwij,ocij->nohw", windows, weight), rtol=1e-5, atol=1e-5
    )
    squares = np.lib.stride_tricks.sliding_window_view(IMAGE, (2, 2), (2, 3))[:, :, ::2, ::2]
    np.testing.assert_array_equal(pooled, squares.max((-1, -2)))


def test_named_movements() -> None:
    source = main(
        """%z = arith.constant 2.0 : f32
        %e0 = tensor.empty() : tensor<4x3xf32>
        %t = linalg.transpose ins(%a : tensor<3x4xf32>) outs(%e0 : tensor<4x3xf32>) permutation = [1, 0]
        %e1 = tensor.empty() : tensor<4x2x3xf32>
        %u = linalg.broadcast ins(%t : tensor<4x3xf32>) outs(%e1 : tensor<4x2x3xf32>) dimensions = [1]
        %f = linalg.fill ins(%z : f32) outs(%e0 : tensor<4x3xf32>) -> tensor<4x3xf32>
        %m = linalg.map { arith.mulf } ins(%t, %f : tensor<4x3xf32>, tensor<4x3xf32>)
            outs(%e0 : tensor<4x3xf32>)
        return %u, %m : tensor<4x2x3xf32>, tensor<4x3xf32>""",
        "tensor<4x2x3xf32>, tensor<4x3xf32>", "tensor<3x4xf32>",
    )  # fmt: skip
    repeated, doubled = execute(source, X)
    np.testing.assert_array_equal(repeated, np.broadcast_to(X.T[:, None], (4, 2, 3)))
    np.testing.assert_array_equal(doubled, 2 * X.T)


MOVES: list[tuple[str, str, Any]] = [
    ("tensor.extract_slice %a[1, 0] [2, 2] [1, 2] : tensor<3x4xf32> to tensor<2x2xf32>",
     "2x2", X[1:3, 0:4:2]),
    ("tensor.extract_slice %a[1, 0] [1, 4] [1, 1] : tensor<3x4xf32> to tensor<4xf32>", "4", X[1]),
    ("tensor.concat dim(1) %a, %a : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x8xf32>",
     "3x8", np.concatenate([X, X], 1)),
    ("tensor.collapse_shape %a [[0, 1]] : tensor<3x4xf32> into tensor<12xf32>", "12", X.reshape(12)),
    ("tensor.expand_shape %a [[0], [1, 2]] output_shape [3, 2, 2] : tensor<3x4xf32> into tensor<3x2x2xf32>",
     "3x2x2", X.reshape(3, 2, 2)),
    ("tensor.pad %a low[1, 0] high[0, 2] { ^bb0(%i: index, %j: index): tensor.yield %z : f32 } "
     ": tensor<3x4xf32> to tensor<4x6xf32>", "4x6", np.pad(X, ((1, 0), (0, 2)), constant_values=9)),
    ("tensor.pad %a low[-1, 0] high[0, -1] { ^bb0(%i: index, %j: index): tensor.yield %z : f32 } "
     ": tensor<3x4xf32> to tensor<2x3xf32>", "2x3", X[1:, :-1]),
    ("tensor.splat %z : tensor<2x3xf32>", "2x3", np.full((2, 3), 9)),
    ("tensor.from_elements %z, %z : tensor<2xf32>", "2", [9, 9]),
    ("tensor.insert %z into %a[%c1, %c1] : tensor<3x4xf32>", "3x4",
     np.where(np.arange(12).reshape(3, 4) == 5, 9, X)),
    ("tensor.generate { ^bb0(%i: index, %j: index): %v = tensor.extract %a[%j, %i] : tensor<3x4xf32> "
     "tensor.yield %v : f32 } : tensor<4x3xf32>", "4x3", X.T),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shape", "expected"), MOVES, ids=[op.split()[0] for op, _, _ in MOVES])
def test_tensor_operations(op: str, shape: str, expected: Any) -> None:
    head = "%z = arith.constant 9.0 : f32\n%c1 = arith.constant 1 : index\n"
    kind = f"tensor<{shape}xf32>"
    (ours,) = execute(main(f"{head}%r = {op}\nreturn %r : {kind}", kind, "tensor<3x4xf32>"), X)
    np.testing.assert_array_equal(ours, expected)


def test_insert_slice_with_dynamic_offsets() -> None:
    source = main(
        """%c0 = arith.constant 0 : index
        %n = tensor.dim %b, %c0 : tensor<?x4xf32>
        %k = affine.apply affine_map<()[s0] -> (s0 floordiv 2)>()[%n]
        %r = tensor.insert_slice %a into %b[%k, 0] [3, 4] [1, 1] : tensor<3x4xf32> into tensor<?x4xf32>
        return %r : tensor<?x4xf32>""",
        "tensor<?x4xf32>", "tensor<3x4xf32>", "tensor<?x4xf32>",
    )  # fmt: skip
    (ours,) = execute(source, X, np.zeros((7, 4), np.float32))
    np.testing.assert_array_equal(ours, np.pad(X, ((3, 1), (0, 0))))


def test_control_flow() -> None:
    source = main(
        """%c0 = arith.constant 0 : index
        %c1 = arith.constant 1 : index
        %c5 = arith.constant 5 : index
        %one = arith.constant 1 : i64
        %hundred = arith.constant 100 : i64
        %s = tensor.extract %a[] : tensor<i64>
        %f = scf.for %i = %c0 to %c5 step %c1 iter_args(%x = %s) -> i64 {
          %j = arith.index_cast %i : index to i64
          %y = arith.addi %x, %j : i64
          scf.yield %y : i64
        }
        %w = scf.while (%x = %f) : (i64) -> i64 {
          %p = arith.cmpi slt, %x, %hundred : i64
          scf.condition(%p) %x : i64
        } do {
        ^bb0(%x: i64):
          %y = arith.muli %x, %x : i64
          scf.yield %y : i64
        }
        %q = arith.cmpi eq, %w, %f : i64
        %r = scf.if %q -> i64 { scf.yield %one : i64 } else { scf.yield %w : i64 }
        %t = func.call @twice(%r) : (i64) -> i64
        %out = tensor.from_elements %t : tensor<i64>
        return %out : tensor<i64>""",
        "tensor<i64>", "tensor<i64>",
    )  # fmt: skip
    twice = "func.func private @twice(%x: i64) -> i64 { %y = arith.addi %x, %x : i64\n return %y : i64 }\n"
    # @main comes first, where a signature is read from.
    (ours,) = execute(source + "\n" + twice, np.array(2))
    assert ours == 2 * (2 + 10) ** 2


def test_elements_that_part_ways_take_their_own_branch() -> None:
    source = main(
        """%e = tensor.empty() : tensor<4xf32>
        %r = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
            iterator_types = ["parallel"]} ins(%b : tensor<4xi64>) outs(%e : tensor<4xf32>) {
        ^bb0(%i: i64, %o: f32):
          %three = arith.constant 3 : i64
          %zero = arith.constant 0.0 : f32
          %in = arith.cmpi slt, %i, %three : i64
          %v = scf.if %in -> f32 {
            %at = arith.index_cast %i : i64 to index
            %c1 = arith.constant 1 : index
            %x = tensor.extract %a[%at, %c1] : tensor<3x4xf32>
            scf.yield %x : f32
          } else { scf.yield %zero : f32 }
          linalg.yield %v : f32
        } -> tensor<4xf32>
        return %r : tensor<4xf32>""",
        "tensor<4xf32>", "tensor<3x4xf32>", "tensor<4xi64>",
    )  # fmt: skip
    (ours,) = execute(source, X, np.array([2, 7, 0, 1]))
    np.testing.assert_array_equal(ours, [X[2, 1], 0, X[0, 1], X[1, 1]])


def scatter(body: str) -> str:
    return main(
        f"""%r = tm_tensor.scatter {{dimension_map = array<i64: 0>}} unique_indices(false)
            ins(%a, %b : tensor<3x4xf32>, tensor<3x1xi32>) outs(%c : tensor<5x4xf32>) {{
        ^bb0(%update: f32, %old: f32):
          {body}
        }} -> tensor<5x4xf32>
        return %r : tensor<5x4xf32>""",
        "tensor<5x4xf32>", "tensor<3x4xf32>", "tensor<3x1xi32>", "tensor<5x4xf32>",
    )  # fmt: skip


def test_scatter_combines_as_its_region_says() -> None:
    rows, start = np.array([[4], [0], [4]], np.int32), np.ones((5, 4), np.float32)
    (ours,) = execute(
        scatter("%s = arith.addf %update, %old : f32\n tm_tensor.yield %s : f32"), X, rows, start
    )
    expected = start.copy()
    np.add.at(expected, rows[:, 0], X)
    np.testing.assert_array_equal(ours, expected)
    (ours,) = execute(scatter("tm_tensor.yield %update : f32"), X, rows, start)
    np.testing.assert_array_equal(ours[4], X[2])


@pytest.mark.parametrize("predicate", ["ole", "oge"])
@pytest.mark.parametrize("plain", [True, False])
def test_sort_is_stable_and_carries_the_rest_along(predicate: str, plain: bool) -> None:
    more = "" if plain else "%t = arith.constant true\n %q = arith.andi %p, %t : i1\n"
    source = main(
        f"""%r:2 = tm_tensor.sort dimension(1) outs(%a, %b : tensor<3x4xf32>, tensor<3x4xi64>) {{
        ^bb0(%x: f32, %y: f32, %i: i64, %j: i64):
          %p = arith.cmpf {predicate}, %x, %y : f32
          {more} tm_tensor.yield {"%p" if plain else "%q"} : i1
        }} -> tensor<3x4xf32>, tensor<3x4xi64>
        return %r#0, %r#1 : tensor<3x4xf32>, tensor<3x4xi64>""",
        "tensor<3x4xf32>, tensor<3x4xi64>", "tensor<3x4xf32>", "tensor<3x4xi64>",
    )  # fmt: skip
    keys = np.array([[2, 1, 2, 0], [1, 1, 1, 1], [3, 2, 2, 3]], np.float32)
    places = np.broadcast_to(np.arange(4), (3, 4))
    values, order = execute(source, keys, places)
    expected = np.argsort(keys if predicate == "ole" else -keys, 1, kind="stable")
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(keys, expected, 1))


@pytest.mark.parametrize("inclusive", [True, False])
def test_scan(inclusive: bool) -> None:
    source = main(
        f"""%e = tensor.empty() : tensor<3x4xf32>
        %r:2 = tm_tensor.scan dimension(1) inclusive({str(inclusive).lower()})
            ins(%a : tensor<3x4xf32>) outs(%e, %b : tensor<3x4xf32>, tensor<3xf32>) {{
        ^bb0(%x: f32, %y: f32):
          %s = arith.addf %x, %y : f32
          tm_tensor.yield %s : f32
        }} -> tensor<3x4xf32>, tensor<3xf32>
        return %r#0 : tensor<3x4xf32>""",
        "tensor<3x4xf32>", "tensor<3x4xf32>", "tensor<3xf32>",
    )  # fmt: skip
    (ours,) = execute(source, X, np.zeros(3, np.float32))
    np.testing.assert_array_equal(ours, np.cumsum(X, 1) - (0 if inclusive else X))


def faults() -> Sequence[tuple[str, str]]:
    outside = """%c9 = arith.constant 9 : index
        %v = tensor.extract %a[%c9, %c9] : tensor<3x4xf32>"""
    failing = '%p = arith.constant false\n cf.assert %p, "sizes differ"'
    unknown = '"vector.print"() <{punctuation = #vector.punctuation<newline>}> : () -> ()'
    return [
        (outside, "tensor.extract at model.py:3: reads outside"),
        (failing, "cf.assert at model.py:3: assertion failed: sizes differ"),
        (unknown, "vector.print at model.py:3: the reference interpreter does not know"),
    ]


@pytest.mark.parametrize(("op", "message"), faults(), ids=["outside", "assertion", "unknown"])
def test_a_fault_names_the_operation_and_the_line(op: str, message: str) -> None:
    lines = op.split("\n")
    lines[-1] += ' loc("model.py":3:1)'
    source = main("\n".join(lines) + "\nreturn %a : tensor<3x4xf32>", "tensor<3x4xf32>", "tensor<3x4xf32>")
    with pytest.raises(InternalError) as error:
        execute(source, X)
    assert message in str(error.value)


def test_unwritten_memory_is_not_a_number() -> None:
    source = main("%e = tensor.empty() : tensor<2xf32>\nreturn %e : tensor<2xf32>", "tensor<2xf32>")
    assert np.isnan(execute(source)[0]).all()


def test_the_interpreter_leaves_module_and_arguments_alone() -> None:
    program = from_text(ARGMAX)
    before = text(program.module)
    arguments = [Y.copy(), np.full(4, -np.inf, np.float32), np.zeros(4, np.int64)]
    run(program, arguments)
    assert text(program.module) == before
    assert (arguments[1] == -np.inf).all()
    assert program.module.context == CONTEXT


def test_results_of_unlike_maps() -> None:
    # The second result leaves out the rows, and does not read what it overwrites.
    source = main(
        """%e = tensor.empty() : tensor<4xf32>
        %r:2 = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2, d1)>,
                affine_map<(d0, d1, d2) -> (d0, d1)>, affine_map<(d0, d1, d2) -> (d1)>],
            iterator_types = ["parallel", "parallel", "reduction"]}
            ins(%a : tensor<3x5x4xf32>) outs(%b, %e : tensor<3x4xf32>, tensor<4xf32>) {
        ^bb0(%x: f32, %o: f32, %u: f32):
          %s = arith.addf %x, %o : f32
          linalg.yield %s, %x : f32, f32
        } -> (tensor<3x4xf32>, tensor<4xf32>)
        return %r#0, %r#1 : tensor<3x4xf32>, tensor<4xf32>""",
        "tensor<3x4xf32>, tensor<4xf32>", "tensor<3x5x4xf32>", "tensor<3x4xf32>",
    )  # fmt: skip
    x = np.arange(60, dtype=np.float32).reshape(3, 5, 4)
    sums, last = execute(source, x, np.zeros((3, 4), np.float32))
    np.testing.assert_array_equal(sums, x.sum(1))
    np.testing.assert_array_equal(last, x[2, 4])
