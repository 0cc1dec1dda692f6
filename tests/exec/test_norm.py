"""Normalization, softmax and embedding kernels, held against numpy in float64."""

from typing import Any

import numpy as np
import pytest

from tests.exec.families import check

RNG = np.random.default_rng(13)


def text(op: str, inputs: list[str], out: str, attributes: str) -> str:
    """A kernel around one `dry` operation."""
    given = [f"%a{i}: tensor<{kind}>" for i, kind in enumerate(inputs)]
    names, kinds = (", ".join(part) for part in zip(*[g.split(": ") for g in given], strict=True))
    return f"""
func.func private @k({", ".join(given)}, %i: tensor<{out}>) -> tensor<{out}> {{
  %r = "{op}"({names}) {{{attributes}}} : ({kinds}) -> tensor<{out}>
  return %r : tensor<{out}>
}}"""


def norm(shape: str, axes: int, kind: str, gain: bool, shift: bool, element: str = "f32") -> str:
    """A dry.norm."""
    columns = "x".join(shape.split("x")[-axes:])
    sizes = f"operandSegmentSizes = array<i32: 1, {int(gain)}, {int(shift)}, 0>"
    attributes = f'kind = "{kind}", axes = {axes} : i64, eps = 1.0e-5 : f64, {sizes}'
    whole = f"{shape}x{element}"
    return text("dry.norm", [whole, *[f"{columns}x{element}"] * (gain + shift)], whole, attributes)


def normalized(x: Any, axes: int, kind: str) -> Any:
    x = x.astype(np.float64)
    over = tuple(range(-axes, 0))
    x = x - x.mean(over, keepdims=True) if kind == "layer" else x
    return x / np.sqrt((x**2).mean(over, keepdims=True) + 1e-5)


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize(
    "shape, axes", [((3, 4, 70), 1), ((5, 8, 16), 2), ((128,), 1), ((6, 3), 1), ((2, 384), 1)]
)
def test_norm(kind: str, shape: tuple[int, ...], axes: int) -> None:
    x = (RNG.standard_normal(shape) * 3 + 10).astype(np.float32)
    gain, shift = (RNG.standard_normal(shape[-axes:]).astype(np.float32) for _ in range(2))
    plain = normalized(x, axes, kind)
    expected = (plain * gain + shift).astype(np.float32)
    check(
        norm("x".join(map(str, shape)), axes, kind, True, True), [x, gain, shift], [expected], tolerance=4e-6
    )
    check(
        norm("x".join("?" * len(shape)), axes, kind, False, False),
        [x],
        [plain.astype(np.float32)],
        tolerance=4e-6,
    )


def residual(kind: str, columns: str, total: bool) -> str:
    """A dry.norm of one dimension with a gain, of a sum that is a result too."""
    outs = [f"tensor<{kind}>"] * (1 + total)
    inits = "".join(f", %i{k}: {out}" for k, out in enumerate(outs))
    return f"""
func.func private @k(%x: tensor<{kind}>, %g: tensor<{columns}>, %r: tensor<{kind}>{inits})
    -> ({", ".join(outs)}) {{
  %o:{len(outs)} = "dry.norm"(%x, %g, %r) {{kind = "layer", axes = 1 : i64, eps = 1.0e-5 : f64,
    operandSegmentSizes = array<i32: 1, 1, 0, 1>}}
    : (tensor<{kind}>, tensor<{columns}>, tensor<{kind}>) -> ({", ".join(outs)})
  return {", ".join(f"%o#{k}" for k in range(len(outs)))} : {", ".join(outs)}
}}"""


@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize("shape", [(3, 4, 70), (2, 384), (45,)])
def test_norm_of_a_sum(shape: tuple[int, ...], total: bool) -> None:
    x, r = (RNG.standard_normal(shape).astype(np.float32) for _ in range(2))
    gain = RNG.standard_normal(shape[-1:]).astype(np.float32)
    wide = x.astype(np.float64) + r
    expected = [(normalized(wide, 1, "layer") * gain).astype(np.float32), x + r][: 1 + total]
    for extents in ([*map(str, shape)], ["?"] * len(shape)):
        text = residual("x".join([*extents, "f32"]), f"{extents[-1]}xf32", total)
        check(text, [x, gain, r], expected, tolerance=4e-6)


def test_norm_of_doubles_and_halves() -> None:
    x = RNG.standard_normal((3, 50))
    check(norm("3x50", 1, "layer", False, False, "f64"), [x], [normalized(x, 1, "layer")], tolerance=1e-14)
    h = x.astype(np.float16)
    expected = normalized(h, 1, "layer").astype(np.float16)
    check(norm("3x50", 1, "layer", False, False, "f16"), [h], [expected], tolerance=1e-3)


def test_a_large_offset_does_not_cost_the_variance() -> None:
    x = (RNG.standard_normal((2, 384)) + 4096).astype(np.float32)
    expected = normalized(x, 1, "layer").astype(np.float32)
    check(norm("2x384", 1, "layer", False, False), [x], [expected], tolerance=2e-4)


@pytest.mark.parametrize("log", ["false", "true"])
@pytest.mark.parametrize(
    "shape, dim", [((2, 5, 70), 2), ((2, 5, 70), 1), ((2, 5, 70), 0), ((19,), 0), ((4, 7, 1), 1)]
)
def test_softmax(shape: tuple[int, ...], dim: int, log: str) -> None:
    x = (RNG.standard_normal(shape) * 20).astype(np.float32)
    wide = x.astype(np.float64)
    wide = wide - wide.max(dim, keepdims=True)
    total = np.exp(wide).sum(dim, keepdims=True)
    expected = (wide - np.log(total) if log == "true" else np.exp(wide) / total).astype(np.float32)
    for extents in ([*map(str, shape)], ["?"] * len(shape)):
        kind = "x".join([*extents, "f32"])
        attributes = f"dim = {dim} : i64, log = {log}"
        check(text("dry.softmax", [kind], kind, attributes), [x], [expected], tolerance=4e-6)


def test_softmax_leaves_out_what_is_minus_infinity() -> None:
    x = np.full((2, 20), -np.inf, np.float32)
    x[:, 3:5] = 1
    expected = np.where(np.isfinite(x), 0.5, 0).astype(np.float32)
    check(text("dry.softmax", ["2x20xf32"], "2x20xf32", "dim = 1 : i64, log = false"), [x], [expected])


def logsumexp(kind: str, dim: int, out: str) -> str:
    """A dry.logsumexp."""
    return f"""
func.func private @k(%x: tensor<{kind}>, %i: tensor<{out}>, %j: tensor<{out}>)
    -> (tensor<{out}>, tensor<{out}>) {{
  %p, %r = "dry.logsumexp"(%x) {{dim = {dim} : i64}} : (tensor<{kind}>) -> (tensor<{out}>, tensor<{out}>)
  return %p, %r : tensor<{out}>, tensor<{out}>
}}"""


@pytest.mark.parametrize(
    "shape, dim",
    [
        ((5, 70), 1),
        ((2, 3, 4500), 2),
        ((2, 150, 37), 1),
        ((300, 3, 5), 0),
        ((19,), 0),
        ((4, 7, 1), 1),
        ((9, 1), 0),
    ],
)
def test_logsumexp(shape: tuple[int, ...], dim: int) -> None:
    # Later blocks raise the maximum of earlier ones by far.
    steps = np.floor(np.linspace(0, 3.9, shape[dim])).reshape(-1, *[1] * (len(shape) - 1 - dim))
    x = (RNG.standard_normal(shape) + 300 * steps - 600).astype(np.float32)
    peak = x.max(dim)
    rest = np.log(np.exp(x.astype(np.float64) - np.expand_dims(peak, dim)).sum(dim)).astype(np.float32)
    for extents in ([*map(str, shape)], ["?"] * len(shape)):
        out = [n for d, n in enumerate(extents) if d != dim]
        text = logsumexp("x".join([*extents, "f32"]), dim, "x".join([*out, "f32"]))
        check(text, [x], [peak, rest], tolerance=2e-6)


def test_logsumexp_leaves_out_what_is_minus_infinity() -> None:
    x = np.full((3, 200), -np.inf, np.float32)
    x[0, 3:7], x[1, 199] = 1, -5
    peak = np.array([1, -5, np.finfo(np.float32).min], np.float32)
    rest = np.array([np.log(4), 0, -np.inf], np.float32)
    check(logsumexp("3x200xf32", 1, "3xf32"), [x], [peak, rest])


@pytest.mark.parametrize("element, dtype", [("f32", np.float32), ("i64", np.int64), ("f16", np.float16)])
def test_embedding_stays_inside_its_table(element: str, dtype: Any) -> None:
    table = RNG.integers(-99, 99, (9, 70)).astype(dtype)
    rows = np.array([[0, 8, 3], [-1, 9, 5]])
    expected = table[rows.clip(0, 8)]
    check(
        text("dry.embedding", [f"9x70x{element}", "2x3xi64"], f"2x3x70x{element}", ""),
        [table, rows],
        [expected],
    )
    few = rows.astype(np.int32)[0]
    check(
        text("dry.embedding", [f"?x?x{element}", "?xi32"], f"?x?x{element}", ""), [table, few], [expected[0]]
    )
