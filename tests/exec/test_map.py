"""Elementwise kernels: what the family makes of every form of operand, held against numpy."""

from typing import Any

import numpy as np
import pytest

from drystone.dtypes import DTYPES
from tests.exec.families import check, generic, program_of
from tests.exec.kernels import compiled

RNG = np.random.default_rng(7)
SAME = "(d0, d1) -> (d0, d1)"


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def swish(x: Any) -> Any:
    return x / (1 + np.exp(-x.astype(np.float64)))


SIGMOID = """
    %one = arith.constant 1.0 : f32
    %1 = arith.negf %x0 : f32
    %2 = math.exp %1 : f32
    %3 = arith.addf %2, %one : f32
    %4 = arith.divf %x0, %3 : f32
    linalg.yield %4 : f32"""


@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 5), (7, 64), (33, 130), (256, 48)])
def test_a_contiguous_chain_is_one_run(rows: int, columns: int) -> None:
    kind = f"{rows}x{columns}xf32"
    text = generic([kind], [kind], [SAME, SAME], "pp", SIGMOID)
    x = floats(rows, columns)
    check(text, [x], [swish(x).astype(np.float32)])
    assert "i1, i2" not in str(program_of(text))


def test_operands_broadcast_transposed_and_constant() -> None:
    body = """
    %q = linalg.index 1 : index
    %qi = arith.index_cast %q : index to i64
    %qf = arith.sitofp %qi : i64 to f32
    %1 = arith.addf %x0, %x1 : f32
    %2 = arith.mulf %1, %x2 : f32
    %3 = arith.addf %2, %x3 : f32
    %4 = arith.addf %3, %x4 : f32
    %5 = arith.mulf %4, %n : f32
    %6 = arith.addf %5, %qf : f32
    %zero = arith.constant 0.0 : f32
    %7 = arith.cmpf ogt, %6, %zero : f32
    linalg.yield %6, %7 : f32, i1"""
    maps = [
        SAME,
        "(d0, d1) -> (0, d1)",
        "(d0, d1) -> (d0)",
        "(d0, d1) -> (d1, d0)",
        "(d0, d1) -> ()",
        SAME,
        SAME,
    ]
    x, y, z, w, v = floats(40, 70), floats(1, 70), floats(40), floats(70, 40), floats()
    expected = ((x + y) * z[:, None] + w.T + v) * np.float32(1.5) + np.arange(70, dtype=np.float32)
    for rows, columns in (("40", "70"), ("?", "?"), ("?", "70")):
        wide = f"{rows}x{columns}"
        ins = [f"{wide}xf32", f"1x{columns}xf32", f"{rows}xf32", f"{columns}x{rows}xf32", "f32"]
        text = generic(ins, [f"{wide}xf32", f"{wide}xi1"], maps, "pp", body, scalars="%n: f32")
        check(text, [x, y, z, w, v], [expected, expected > 0], [1.5])


@pytest.mark.parametrize(
    "shape, order", [((5, 6, 7), (2, 0, 1)), ((32, 48), (1, 0)), ((2, 17, 3, 20), (0, 2, 1, 3))]
)
def test_transposes(shape: tuple[int, ...], order: tuple[int, ...]) -> None:
    x = floats(*shape)
    y = np.ascontiguousarray(x.transpose(order))
    kinds = ["x".join(map(str, [*s, "f32"])) for s in (x.shape, y.shape)]
    text = f"""
func.func private @k(%x: tensor<{kinds[0]}>, %i: tensor<{kinds[1]}>) -> tensor<{kinds[1]}> {{
  %r = linalg.transpose ins(%x : tensor<{kinds[0]}>) outs(%i : tensor<{kinds[1]}>) permutation = {list(order)}
  return %r : tensor<{kinds[1]}>
}}"""
    check(text, [x], [y])


@pytest.mark.parametrize(
    "source, target, operation, expected",
    [
        ("f32", "i64", "%1 = arith.fptosi %x0 : f32 to i64", lambda x: np.trunc(x).astype(np.int64)),
        ("i64", "f32", "%1 = arith.sitofp %x0 : i64 to f32", lambda x: x.astype(np.float32)),
        ("f32", "f64", "%1 = arith.extf %x0 : f32 to f64", lambda x: x.astype(np.float64)),
        ("f64", "f32", "%1 = arith.truncf %x0 : f64 to f32", lambda x: x.astype(np.float32)),
        ("i1", "i64", "%1 = arith.extui %x0 : i1 to i64", lambda x: x.astype(np.int64)),
        ("i32", "i8", "%1 = arith.trunci %x0 : i32 to i8", lambda x: x.astype(np.int8)),
        ("i8", "i32", "%1 = arith.extsi %x0 : i8 to i32", lambda x: x.astype(np.int32)),
        ("i64", "i1", "%z = arith.constant 0 : i64\n%1 = arith.cmpi ne, %x0, %z : i64", lambda x: x != 0),
        ("i1", "i1", "%t = arith.constant true\n%1 = arith.xori %x0, %t : i1", lambda x: ~x),
        ("f16", "f32", "%1 = arith.extf %x0 : f16 to f32", lambda x: x.astype(np.float32)),
    ],
)
def test_elements_of_every_kind(source: str, target: str, operation: str, expected: Any) -> None:
    x = RNG.integers(-100, 100, (9, 37))
    given = x > 0 if source == "i1" else (x / 7 if source[0] == "f" else x).astype(DTYPES[source])
    body = f"    {operation}\n    linalg.yield %1 : {target}"
    text = generic([f"9x37x{source}"], [f"9x37x{target}"], [SAME, SAME], "pp", body)
    check(text, [given], [expected(given)])


def test_gather_of_rows_and_of_elements() -> None:
    rows = """
    %c = linalg.index 1 : index
    %r = arith.index_cast %x0 : i64 to index
    %e = tensor.extract %g0[%r, %c] : tensor<8x40xf32>
    linalg.yield %e : f32"""
    table, where = floats(8, 40), np.array([3, 0, 7])
    text = generic(["3xi64"], ["3x40xf32"], ["(d0, d1) -> (d0)", SAME], "pp", rows, captured=["8x40xf32"])
    check(text, [where, table], [table[where]])
    # A position outside is moved inside: nothing else could be said of it, and no memory is read there.
    check(text, [np.array([3, -5, 99]), table], [table[[3, 0, 7]]])
    elements = """
    %r = linalg.index 0 : index
    %c = arith.index_cast %x0 : i64 to index
    %e = tensor.extract %g0[%r, %c] : tensor<8x40xf32>
    linalg.yield %e : f32"""
    text = generic(["8x21xi64"], ["8x21xf32"], [SAME, SAME], "pp", elements, captured=["8x40xf32"])
    columns = RNG.integers(0, 40, (8, 21))
    check(text, [columns, table], [np.take_along_axis(table, columns, 1)])


def test_a_flip_reads_backwards() -> None:
    body = """
    %r = linalg.index 0 : index
    %c = linalg.index 1 : index
    %last = arith.constant 39 : index
    %back = arith.subi %last, %c : index
    %e = tensor.extract %g0[%r, %back] : tensor<8x40xf32>
    linalg.yield %e : f32"""
    x = floats(8, 40)
    text = generic([], ["8x40xf32"], [SAME], "pp", body, captured=["8x40xf32"])
    check(text, [x], [np.ascontiguousarray(x[:, ::-1])])


def test_a_fill_and_a_destination_that_is_read() -> None:
    text = """
func.func private @k(%i: tensor<5x?xf32>) -> tensor<5x?xf32> {
  %c = arith.constant 3.0 : f32
  %r = linalg.fill ins(%c : f32) outs(%i : tensor<5x?xf32>) -> tensor<5x?xf32>
  return %r : tensor<5x?xf32>
}"""
    check(text, [], [np.full((5, 9), 3, np.float32)])
    body = "    %1 = arith.addf %x0, %o0 : f32\n    linalg.yield %1 : f32"
    x = floats(4, 20)
    check(
        generic(["4x20xf32"], ["4x20xf32"], [SAME, SAME], "pp", body, fills=["2.5"]),
        [x],
        [x + np.float32(2.5)],
    )


def test_windows_overlap() -> None:
    x = floats(6, 41)
    body = "    linalg.yield %x0 : f32"
    maps = ["(d0, d1, d2) -> (d0, d1 * 2 + d2 + 1)", "(d0, d1, d2) -> (d0, d1, d2)"]
    for count, size in ((18, 3), (2, 33)):
        text = generic(["6x41xf32"], [f"6x{count}x{size}xf32"], maps, "ppp", body)
        windows = np.lib.stride_tricks.sliding_window_view(x[:, 1:], size, 1)[:, ::2][:, :count]
        check(text, [x], [np.ascontiguousarray(windows)])
    reversed_rows = generic(["41xf32"], ["41xf32"], ["(d0) -> (-d0 + 40)", "(d0) -> (d0)"], "p", body)
    check(reversed_rows, [x[0].copy()], [x[0, ::-1].copy()])


def test_other_forms_are_left_to_others() -> None:
    body = "    linalg.yield %x0 : f32"
    halved = generic(["8xf32"], ["16xf32"], ["(d0) -> (d0 floordiv 2)", "(d0) -> (d0)"], "p", body)
    assert program_of(halved) is None


def test_the_last_result_may_take_over_an_operand() -> None:
    body = """
    %c = arith.constant 1.0 : f32
    %1 = arith.addf %x1, %c : f32
    %2 = arith.addf %x0, %x0 : f32
    linalg.yield %1, %2 : f32, f32"""
    line = "(d0) -> (d0)"
    program = program_of(generic(["200xf32"] * 2, ["200xf32"] * 2, [line] * 4, "p", body))
    assert program is not None
    x, y = floats(200), floats(200)
    doubled, more = x + x, y + 1
    first = np.empty_like(x)
    compiled(program)([x, y, first, x])
    np.testing.assert_array_equal(x, doubled)
    np.testing.assert_array_equal(first, more)
