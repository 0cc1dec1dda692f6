"""Rows rounded to bytes, alone and by the normalization that makes them, held against numpy."""

from typing import Any

import numpy as np
import pytest

import drystone
from tests.exec.families import check, interpreted

RNG = np.random.default_rng(31)
SHAPES = [(5, 70), (2, 3, 384), (33,), (4, 3), (1, 1536)]


def kinds(shape: str) -> tuple[str, str, str, str]:
    """The types of rows, of a row, of codes and of what each row has."""
    *rows, columns = shape.split("x")
    each = "x".join([*rows, "f32"])
    return tuple(f"tensor<{kind}>" for kind in (f"{shape}xf32", f"{columns}xf32", f"{shape}xi8", each))


def rounding(shape: str, factor: bool, zero: bool) -> str:
    """A kernel around one dry.round_rows."""
    rows, row, codes, each = kinds(shape)
    more, given, of = (f", %f: {row}", ", %f", f", {row}") if factor else ("", "", "")
    outs = ", ".join([codes, *[each] * (1 + zero)])
    inits = f"%i: {codes}, %j: {each}" + f", %k: {each}" * zero
    segments = f"resultSegmentSizes = array<i32: 1, 1, {int(zero)}>"
    return f"""
func.func private @k(%x: {rows}{more}, {inits}) -> ({outs}) {{
  %r:{2 + zero} = "dry.round_rows"(%x{given})
    {{operandSegmentSizes = array<i32: 1, {int(factor)}>, {segments}}} : ({rows}{of}) -> ({outs})
  return {", ".join(f"%r#{k}" for k in range(2 + zero))} : {outs}
}}"""


def rounded(x: Any, factor: Any = 1, zero: bool = True) -> list[Any]:
    """Codes, peaks and zero points of rows in f32."""
    y, half = (x * factor).astype(np.float32), np.float32(0.5)
    high, low = y.max(-1) * half, y.min(-1) * half
    peak, middle = (high - low, high + low) if zero else (np.abs(y).max(-1), 0 * high)
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.where(peak < 2.0**-120, np.float32(0), np.float32(127) / peak)
    codes = np.rint((y - middle[..., None]).astype(np.float64) * inverse[..., None])
    return [codes.astype(np.int8), peak, middle][: 2 + zero]


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_rounded_rows(shape: tuple[int, ...], zero: bool) -> None:
    x = RNG.standard_normal(shape).astype(np.float32)
    factor = RNG.random(shape[-1]).astype(np.float32)
    for extents in (map(str, shape), "?" * len(shape)):
        text = "x".join(extents)
        check(rounding(text, False, zero), [x], rounded(x, 1, zero))
        check(rounding(text, True, zero), [x, factor], rounded(x, factor, zero))


@pytest.mark.parametrize("zero", [False, True])
def test_rows_of_zeros_and_of_tiny_and_large_numbers(zero: bool) -> None:
    x = RNG.standard_normal((5, 40)).astype(np.float32)
    x[0], x[3] = 0, 1e-42
    x[1] *= 2.0**-118 / np.abs(x[1]).max()
    x[2] *= 3e38 / np.abs(x[2]).max()
    expected = rounded(x, 1, zero)
    assert not expected[0][[0, 3]].any() and np.abs(expected[0][1:3]).max() == 127
    check(rounding("5x40", False, zero), [x], expected)
    check(rounding("?x?", False, zero), [x], expected)


def test_both_ends_of_a_row_are_at_the_ends_of_the_codes() -> None:
    x = np.abs(RNG.standard_normal((4, 50))) * [[1], [-1], [3], [1e-3]] + [[0], [0], [50], [-7]]
    x = x.astype(np.float32)
    codes, peak, zero = rounded(x)
    assert (codes.max(1) == 127).all() and (codes.min(1) == -127).all()
    step = peak[:, None] / 127
    assert (np.abs(codes * step + zero[:, None] - x) <= 0.51 * step + 1e-6).all()
    check(rounding("4x50", False, True), [x], [codes, peak, zero])


@pytest.mark.parametrize("zero", [False, True])
def test_peaks_of_rows_of_what_is_no_number(zero: bool) -> None:
    x = RNG.standard_normal((5, 40)).astype(np.float32)
    x[1, 3], x[2, 4], x[3, 5], x[3, 39] = np.nan, -np.inf, np.inf, -np.nan
    outputs = [((5, 40), "i8"), *[((5,), "f32")] * (1 + zero)]
    for shape in ("5x40", "?x?"):
        _, peak, *_ = interpreted(rounding(shape, False, zero), [x], outputs)
        assert np.isnan(peak[[1, 3]]).all()
        assert np.isnan(peak[2]) if zero else peak[2] == np.inf
        assert np.isfinite(peak[[0, 4]]).all()


def normalization(shape: str, kind: str, stored: bool, total: bool, factor: bool) -> str:
    """A kernel that normalizes the rows of a sum, and rounds them; with the sum, and the rows themselves."""
    rows, row, codes, each = kinds(shape)
    results = [*(["%y#0"] if stored else []), *(["%y#1"] if total else []), "%c", "%p", "%z"]
    types = [*[rows] * (stored + total), codes, each, each]
    inits = "".join(f", %i{k}: {kind}" for k, kind in enumerate(types))
    outs, given, of = ", ".join([rows] * (1 + total)), ", %f" * factor, f", {row}" * factor
    return f"""
func.func private @k(%x: {rows}, %g: {row}, %s: {row}, %r: {rows}{f", %f: {row}" * factor}{inits})
    -> ({", ".join(types)}) {{
  %y:{1 + total} = "dry.norm"(%x, %g, %s, %r) {{kind = "{kind}", axes = 1 : i64, eps = 1.0e-5 : f64,
    operandSegmentSizes = array<i32: 1, 1, 1, 1>, resultSegmentSizes = array<i32: 1, {int(total)}>}}
    : ({rows}, {row}, {row}, {rows}) -> ({outs})
  %c, %p, %z = "dry.round_rows"(%y#0{given})
    {{operandSegmentSizes = array<i32: 1, {int(factor)}>, resultSegmentSizes = array<i32: 1, 1, 1>}}
    : ({rows}{of}) -> ({codes}, {each}, {each})
  return {", ".join(results)} : {", ".join(types)}
}}"""


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize(("stored", "total"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("shape", [(3, 4, 70), (2, 384), (45,)])
def test_rows_that_a_normalization_rounds(
    shape: tuple[int, ...], stored: bool, total: bool, kind: str
) -> None:
    x, r = (RNG.standard_normal(shape).astype(np.float32) for _ in range(2))
    gain, factor = (RNG.random(shape[-1:]).astype(np.float32) for _ in range(2))
    # Both ends of a row are above zero: no zero point cancels to less than errors are relative to.
    shift = 8 + RNG.random(shape[-1:]).astype(np.float32)
    wide = x.astype(np.float64) + r
    centred = wide - wide.mean(-1, keepdims=True) if kind == "layer" else wide
    y = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * gain + shift
    more = [*([y.astype(np.float32)] if stored else []), *([x + r] if total else [])]
    for extents in (map(str, shape), "?" * len(shape)):
        text = normalization("x".join(extents), kind, stored, total, factor=True)
        inputs = [x, gain, shift, r, factor]
        outputs = [(each.shape, "f32") for each in more]
        each = [(shape[:-1], "f32")] * 2
        *kept, codes, peak, zero = interpreted(text, inputs, [*outputs, (shape, "i8"), *each])
        # The codes are those of rows in f32, of which the last digit may be another than numpy's.
        wanted, *ends = rounded(y, factor)
        np.testing.assert_allclose(peak, ends[0], rtol=4e-6)
        np.testing.assert_allclose(zero, ends[1], rtol=4e-6, atol=4e-6)
        assert np.abs(codes.astype(int) - wanted).max() <= 1
        assert np.mean(codes != wanted) < 0.01
        check(text, inputs, [*kept, codes, peak, zero], tolerance=4e-6)


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
