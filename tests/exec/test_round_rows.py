"""Rows rounded to bytes, alone and by the normalization that makes them, held against numpy."""

from typing import Any

import numpy as np
import pytest

import drystone
from tests.exec.families import check, interpreted

RNG = np.random.default_rng(31)
SHAPES = [(5, 70), (2, 3, 384), (33,), (4, 3), (1, 1536)]


def kinds(shape: str) -> tuple[str, str, str, str]:
    """The types of rows, of a row, of codes and of peaks."""
    *rows, columns = shape.split("x")
    peak = "x".join([*rows, "f32"])
    return tuple(f"tensor<{kind}>" for kind in (f"{shape}xf32", f"{columns}xf32", f"{shape}xi8", peak))


def rounding(shape: str, factor: bool) -> str:
    """A kernel around one dry.round_rows."""
    rows, row, codes, peak = kinds(shape)
    more, given, of = (f", %f: {row}", ", %f", f", {row}") if factor else ("", "", "")
    return f"""
func.func private @k(%x: {rows}{more}, %i: {codes}, %j: {peak}) -> ({codes}, {peak}) {{
  %c, %p = "dry.round_rows"(%x{given}) {{operandSegmentSizes = array<i32: 1, {int(factor)}>}}
    : ({rows}{of}) -> ({codes}, {peak})
  return %c, %p : {codes}, {peak}
}}"""


def rounded(x: Any, factor: Any = 1) -> list[Any]:
    """Codes and peaks of rows in f32."""
    y = (x * factor).astype(np.float32)
    peak = np.abs(y).max(-1)
    scale = np.where(peak < 2.0**-120, np.float32(0), np.float32(127) / np.maximum(peak, np.float32(1e-36)))
    return [np.rint(y.astype(np.float64) * scale[..., None]).astype(np.int8), peak]


@pytest.mark.parametrize("shape", SHAPES)
def test_rounded_rows(shape: tuple[int, ...]) -> None:
    x = RNG.standard_normal(shape).astype(np.float32)
    factor = RNG.random(shape[-1]).astype(np.float32)
    for extents in (map(str, shape), "?" * len(shape)):
        text = "x".join(extents)
        check(rounding(text, factor=False), [x], rounded(x))
        check(rounding(text, factor=True), [x, factor], rounded(x, factor))


def test_rows_of_zeros_and_of_tiny_and_large_numbers() -> None:
    x = RNG.standard_normal((5, 40)).astype(np.float32)
    x[0], x[3] = 0, 1e-42
    x[1] *= 2.0**-118 / np.abs(x[1]).max()
    x[2] *= 3e38 / np.abs(x[2]).max()
    expected = rounded(x)
    assert not expected[0][[0, 3]].any() and np.abs(expected[0][1:3]).max() == 127
    check(rounding("5x40", factor=False), [x], expected)
    check(rounding("?x?", factor=False), [x], expected)


def test_peaks_of_rows_of_what_is_no_number() -> None:
    x = RNG.standard_normal((5, 40)).astype(np.float32)
    x[1, 3], x[2, 4], x[3, 5], x[3, 39] = np.nan, -np.inf, np.inf, -np.nan
    for shape in ("5x40", "?x?"):
        _, peak = interpreted(rounding(shape, factor=False), [x], [((5, 40), "i8"), ((5,), "f32")])
        assert np.isnan(peak[[1, 3]]).all() and peak[2] == np.inf
        assert (peak[[0, 4]] == np.abs(x[[0, 4]]).max(1)).all()


def normalization(shape: str, kind: str, stored: bool, total: bool, factor: bool) -> str:
    """A kernel that normalizes the rows of a sum, and rounds them; with the sum, and the rows themselves."""
    rows, row, codes, peak = kinds(shape)
    results = [*(["%y#0"] if stored else []), *(["%y#1"] if total else []), "%c", "%p"]
    types = [*[rows] * (stored + total), codes, peak]
    inits = "".join(f", %i{k}: {kind}" for k, kind in enumerate(types))
    outs, given, of = ", ".join([rows] * (1 + total)), ", %f" * factor, f", {row}" * factor
    return f"""
func.func private @k(%x: {rows}, %g: {row}, %s: {row}, %r: {rows}{f", %f: {row}" * factor}{inits})
    -> ({", ".join(types)}) {{
  %y:{1 + total} = "dry.norm"(%x, %g, %s, %r) {{kind = "{kind}", axes = 1 : i64, eps = 1.0e-5 : f64,
    operandSegmentSizes = array<i32: 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1, {int(total)}>}}
    : ({rows}, {row}, {row}, {rows}) -> ({outs})
  %c, %p = "dry.round_rows"(%y#0{given}) {{operandSegmentSizes = array<i32: 1, {int(factor)}>}}
    : ({rows}{of}) -> ({codes}, {peak})
  return {", ".join(results)} : {", ".join(types)}
}}"""


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize(("stored", "total"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(3, 4, 70), (2, 384), (45,)])
def test_rows_that_a_normalization_rounds(
    shape: tuple[int, ...], stored: bool, total: bool, kind: str
) -> None:
    x, r = (RNG.standard_normal(shape).astype(np.float32) for _ in range(2))
    gain, shift, factor = (RNG.random(shape[-1:]).astype(np.float32) for _ in range(3))
    wide = x.astype(np.float64) + r
    centred = wide - wide.mean(-1, keepdims=True) if kind == "layer" else wide
    y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + shift
    more = [*([y.astype(np.float32)] if stored else []), *([x + r] if total else [])]
    for extents in (map(str, shape), "?" * len(shape)):
        text = normalization("x".join(extents), kind, stored, total, factor=True)
        inputs = [x, gain, shift, r, factor]
        outputs = [(each.shape, "f32") for each in more]
        *kept, codes, peak = interpreted(text, inputs, [*outputs, (shape, "i8"), (shape[:-1], "f32")])
        # The codes are those of rows in f32, of which the last digit may be another than numpy's.
        wanted, largest = rounded(y, factor)
        np.testing.assert_allclose(peak, largest, rtol=4e-6)
        assert np.abs(codes.astype(int) - wanted).max() <= 1
        assert np.mean(codes != wanted) < 0.01
        check(text, inputs, [*kept, codes, peak], tolerance=4e-6)


def test_what_else_reads_normalized_rows_gets_them() -> None:
    """Before attention or a residual sum they are a result of the kernel, else they are not in memory."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    norm, layer, x = torch.nn.LayerNorm(64), torch.nn.Linear(64, 64), torch.randn(9, 64)

    class Block(torch.nn.Module):
        def __init__(self, residual: bool) -> None:
            super().__init__()
            self.norm, self.layer, self.residual = norm, layer, residual

        def forward(self, x: Any) -> Any:
            y = self.norm(x)
            return self.layer(y) + y if self.residual else self.layer(y)

    for residual in (False, True):
        block = Block(residual).eval()
        fitted = drystone.compile(block, (x,), quantize="int8")
        assert len(fitted.manifest.kernels) == 2
        with torch.no_grad():
            wanted = block(x)
        assert (fitted(x) - wanted).norm() < 0.02 * wanted.norm()
