"""Kernels that move elements, and prefix sums, held against numpy."""

from typing import Any

import numpy as np
import pytest

from drystone.codegen import interpret
from tests.exec.families import check, program_of
from tests.exec.kernels import compiled

RNG = np.random.default_rng(17)


def kernel(inputs: list[str], out: str, body: str, scalars: str = "") -> str:
    """A function of inputs %a0, .., destination %i and scalars; `body` makes %r."""
    given = [f"%a{i}: tensor<{kind}>" for i, kind in enumerate(inputs)]
    given += [f"%i: tensor<{out}>", *([scalars] if scalars else [])]
    return f"""
func.func private @k({", ".join(given)}) -> tensor<{out}> {{
  {body}
  return %r : tensor<{out}>
}}"""


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def test_a_strided_slice() -> None:
    x = floats(5, 9, 40)
    cut = """%r = tensor.extract_slice %a0[1, 2, 3] [3, 4, 12] [1, 2, 3]
    : tensor<5x9x40xf32> to tensor<3x4x12xf32>"""
    check(kernel(["5x9x40xf32"], "3x4x12xf32", cut), [x], [np.ascontiguousarray(x[1:4, 2:10:2, 3:39:3])])
    cut = "%r = tensor.extract_slice %a0[0, 0, 3] [5, 9, 1] [1, 1, 1] : tensor<5x9x40xf32> to tensor<5x9xf32>"
    check(kernel(["5x9x40xf32"], "5x9xf32", cut), [x], [np.ascontiguousarray(x[:, :, 3])])


def test_a_slice_of_dynamic_extent() -> None:
    x = floats(6, 50)
    cut = "%r = tensor.extract_slice %a0[0, %s] [6, %n] [1, 1] : tensor<6x50xf32> to tensor<6x?xf32>"
    text = kernel(["6x50xf32"], "6x?xf32", cut, "%s: index, %n: index")
    check(text, [x], [np.ascontiguousarray(x[:, 7:40])], [7, 33])


@pytest.mark.parametrize("low, high", [((0, 1), (0, 2)), ((2, 0), (1, 19)), ((3, 3), (3, 3))])
def test_pad(low: tuple[int, int], high: tuple[int, int]) -> None:
    x = floats(7, 30)
    expected = np.pad(x, list(zip(low, high, strict=True)), constant_values=-1.5)
    out = "x".join(map(str, [*expected.shape, "f32"]))
    body = f"""%c = arith.constant -1.5 : f32
  %r = tensor.pad %a0 low{list(low)} high{list(high)} {{
  ^bb0(%p: index, %q: index):
    tensor.yield %c : f32
  }} : tensor<7x30xf32> to tensor<{out}>"""
    check(kernel(["7x30xf32"], out, body), [x], [expected])


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_concat(dim: int) -> None:
    shapes = [[3, 4, 21] for _ in range(3)]
    for i, shape in enumerate(shapes):
        shape[dim] += 5 * i
    parts = [floats(*shape) for shape in shapes]
    whole = np.concatenate(parts, dim)
    kinds = ["x".join(map(str, [*p.shape, "f32"])) for p in (*parts, whole)]
    types = ", ".join(f"tensor<{kind}>" for kind in kinds[:3])
    body = f"%r = tensor.concat dim({dim}) %a0, %a1, %a2 : ({types}) -> tensor<{kinds[3]}>"
    check(kernel(kinds[:3], kinds[3], body), parts, [whole])


def test_concat_with_a_constant() -> None:
    x = floats(5, 20)
    body = """%c = arith.constant dense<2.0> : tensor<5x2xf32>
  %r = tensor.concat dim(1) %c, %a0 : (tensor<5x2xf32>, tensor<5x20xf32>) -> tensor<5x22xf32>"""
    expected = np.concatenate([np.full((5, 2), 2, np.float32), x], 1)
    check(kernel(["5x20xf32"], "5x22xf32", body), [x], [expected])


@pytest.mark.parametrize("size", [1, 5, 40])
def test_insert_keeps_what_it_does_not_cover(size: int) -> None:
    old, new = floats(3, 9, 40), floats(3, 2, size)
    kinds = ["3x9x40xf32", f"3x2x{size}xf32"]
    where = 40 - size
    whole = f"tensor<{kinds[0]}>"
    body = f"""%c = linalg.copy ins(%a0 : {whole}) outs(%i : {whole}) -> {whole}
  %r = tensor.insert_slice %a1 into %c[0, %p, {where}] [3, 2, {size}] [1, 1, 1]
    : tensor<{kinds[1]}> into {whole}"""
    expected = old.copy()
    expected[:, 4:6, where:] = new
    check(kernel(kinds, kinds[0], body, "%p: index"), [old, new], [expected], [4])


def test_insert_into_a_fill_with_dimensions_left_out() -> None:
    new = floats(4, 20)
    body = """%z = arith.constant 0.0 : f32
  %c = linalg.fill ins(%z : f32) outs(%i : tensor<4x3x24xf32>) -> tensor<4x3x24xf32>
  %r = tensor.insert_slice %a0 into %c[0, 1, 2] [4, 1, 20] [1, 1, 1]
    : tensor<4x20xf32> into tensor<4x3x24xf32>"""
    expected = np.zeros((4, 3, 24), np.float32)
    expected[:, 1, 2:22] = new
    check(kernel(["4x20xf32"], "4x3x24xf32", body), [new], [expected])


def test_a_strided_insertion_is_left_to_others() -> None:
    body = """%c = linalg.copy ins(%a0 : tensor<9xf32>) outs(%i : tensor<9xf32>) -> tensor<9xf32>
  %r = tensor.insert_slice %a1 into %c[0] [4] [2] : tensor<4xf32> into tensor<9xf32>"""
    assert program_of(kernel(["9xf32", "4xf32"], "9xf32", body)) is None


@pytest.mark.parametrize(
    "shape, dim", [((3, 5, 37), 2), ((3, 5, 37), 1), ((3, 5, 37), 0), ((50,), 0), ((20, 64), 1)]
)
def test_scan(shape: tuple[int, ...], dim: int) -> None:
    kind = "x".join(map(str, [*shape, "i64"]))
    x = RNG.integers(-9, 9, shape)
    body = f'%r = "dry.scan"(%a0) {{dim = {dim} : i64, kind = "sum"}} : (tensor<{kind}>) -> tensor<{kind}>'
    check(kernel([kind], kind, body), [x], [x.cumsum(dim)])
    y = RNG.uniform(0.9, 1.1, shape).astype(np.float32)
    kind = "x".join(["?"] * len(shape) + ["f32"])
    body = f'%r = "dry.scan"(%a0) {{dim = {dim} : i64, kind = "prod"}} : (tensor<{kind}>) -> tensor<{kind}>'
    check(kernel([kind], kind, body), [y], [y.astype(np.float64).cumprod(dim).astype(np.float32)])


@pytest.mark.parametrize(
    "shape, dim", [((3, 5, 37), 2), ((3, 5, 37), 1), ((2, 9, 8, 256), 1), ((50,), 0), ((20, 64), 1)]
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_linear_scan(shape: tuple[int, ...], dim: int, dynamic: bool) -> None:
    x, factor = (RNG.uniform(-1, 1, shape).astype(np.float32) for _ in range(2))
    expected, state = np.empty(shape), np.zeros(np.delete(shape, dim))
    for t in range(shape[dim]):
        state = np.take(factor, t, dim) * state + np.take(x, t, dim)
        np.moveaxis(expected, dim, 0)[t] = state
    kind = "x".join([*(["?"] * len(shape) if dynamic else map(str, shape)), "f32"])
    body = f'%r = "dry.linear_scan"(%a0, %a1) {{dim = {dim} : i64}} : (tensor<{kind}>, '
    body += f"tensor<{kind}>) -> tensor<{kind}>"
    check(kernel([kind, kind], kind, body), [x, factor], [expected.astype(np.float32)])


def scatter(updates: str, count: str, out: str, dims: list[int], combine: str = "") -> str:
    """A tm_tensor.scatter into a copy of %a2."""
    element = out.rsplit("x", 1)[-1]
    whole, where = f"tensor<{out}>", f"tensor<{count}x{len(dims)}xi64>"
    body = f"""%c = linalg.copy ins(%a2 : {whole}) outs(%i : {whole}) -> {whole}
  %r = tm_tensor.scatter {{dimension_map = array<i64: {", ".join(map(str, dims))}>}} unique_indices(false)
    ins(%a0, %a1 : tensor<{updates}>, {where}) outs(%c : {whole}) {{
  ^bb0(%u: {element}, %o: {element}):
    {combine or f"%v = arith.addf %u, %o : {element}"}
    tm_tensor.yield %v : {element}
  }} -> {whole}"""
    return kernel([updates, f"{count}x{len(dims)}xi64", out], out, body)


def test_scatter_adds_rows_named_twice() -> None:
    old, new = floats(8, 40), floats(3, 1, 40)
    rows = np.array([[2], [5], [2]])
    expected = old.copy()
    np.add.at(expected, rows[:, 0], new[:, 0])
    check(scatter("3x1x40xf32", "3", "8x40xf32", [0]), [new, rows, old], [expected])
    check(scatter("?x1x?xf32", "?", "?x?xf32", [0]), [new, rows, old], [expected])


def test_scatter_along_a_middle_dimension_and_of_elements() -> None:
    old, new = floats(3, 9, 20), floats(2, 3, 1, 20)
    rows = np.array([[4], [7]])
    expected = old.copy()
    expected[:, [4, 7]] = new[:, :, 0].transpose(1, 0, 2)
    replace = "%v = arith.addf %u, %z : f32"
    text = scatter("2x3x1x20xf32", "2", "3x9x20xf32", [1], replace)
    text = text.replace("%c = linalg", "%z = arith.constant 0.0 : f32\n  %c = linalg")
    check(text, [new, rows, old], [expected])
    points = np.array([[0, 1], [5, 7], [0, 1], [7, 39]])
    old, new = floats(8, 40), floats(4, 1, 1)
    expected = old.copy()
    np.add.at(expected, tuple(points.T), new[:, 0, 0])
    check(scatter("4x1x1xf32", "4", "8x40xf32", [0, 1]), [new, points, old], [expected])
    check(scatter("4xf32", "4", "8x40xf32", [0, 1]), [new[:, 0, 0].copy(), points, old], [expected])


def test_what_took_over_its_input_is_not_copied() -> None:
    """A result in the memory of the tensor it updates: the rest stays, by meaning and as machine code."""
    new, rows = floats(3, 1, 40), np.array([[2], [5], [7]])
    text = scatter("3x1x40xf32", "3", "8x40xf32", [0])
    program = program_of(text)
    assert program is not None and "when 0 < distinct(a2, a3)" in str(program)
    for run in (compiled(program), lambda arrays: interpret.run(program, arrays)):
        held = floats(8, 40)
        expected = held.copy()
        expected[rows[:, 0]] += new[:, 0]
        run([new, rows, held, held])
        np.testing.assert_array_equal(held, expected)
