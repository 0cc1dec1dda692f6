"""Products in bytes: what `compile(..., quantize=)` computes, beside exact sums of the same codes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import compiler
from tests.exec.families import relative_error


def codes_of(rows: Any, middle: Any = 0) -> tuple[Any, Any]:
    """The codes of rows around their middle, and the peak of each, in f32 as the model rounds them."""
    reach = (rows - middle).abs().amax(-1, keepdim=True)
    factor = torch.where(reach == 0, reach, torch.tensor(127.0) / reach)
    return torch.round((rows - middle).double() * factor), reach


def exact(x: Any, layer: nn.Linear) -> Any:
    """What a layer gives in bytes: integer sums, scaled in float64."""
    middle = x.amax(-1, keepdim=True) * 0.5 + x.amin(-1, keepdim=True) * 0.5
    (a, row), (w, column) = codes_of(x, middle), codes_of(layer.weight.detach())
    sums = a.to(torch.int64) @ w.to(torch.int64).T
    real = sums.double() * row.double() / 127 + middle.double() * w.double().sum(-1)
    return real * column.double().T / 127 + layer.bias.double()


@pytest.mark.parametrize("rows", [1, 3, 17, 64])
@pytest.mark.parametrize(("k", "n"), [(64, 96), (20, 5), (132, 40)])
def test_sums_are_those_of_the_codes(rows: int, k: int, n: int) -> None:
    torch.manual_seed(rows)
    layer, x = nn.Linear(k, n).eval(), torch.randn(rows, k)
    fitted = drystone.compile(layer, (x,), quantize="int8")
    assert relative_error(fitted.call((x,), threads=2), exact(x, layer).detach()) < 1e-6


@pytest.mark.parametrize(("k", "n"), [(64, 96), (20, 5), (132, 1)])
def test_sums_without_a_unit_for_bytes(k: int, n: int) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(k, n).eval(), torch.randn(7, k)
    fitted = drystone.compile(layer, (x,), "cpu:avx2", quantize="int8")
    assert relative_error(fitted.call((x,), threads=2), exact(x, layer).detach()) < 1e-6


def test_a_model_of_several_layers_and_unknown_rows() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 32)).eval()
    rows = torch.export.Dim("rows", min=1, max=99)
    fitted = drystone.compile(model, (torch.randn(8, 64),), dynamic_shapes=({0: rows},), quantize="int8")
    for count in (1, 5, 33, 80):
        x = torch.randn(count, 64)
        assert relative_error(fitted(x), model(x).detach()) < 0.02
    plain = drystone.compile(model, (torch.randn(8, 64),))
    assert fitted.memory.weights < 0.35 * plain.memory.weights


def test_rows_of_zeros_and_rows_that_are_no_numbers() -> None:
    layer = nn.Linear(32, 16)
    x = torch.randn(3, 32)
    x[0], x[1, 5] = 0, math.nan
    got = drystone.compile(layer, (x,), quantize="int8")(x)
    assert torch.equal(got[0], layer.bias)
    assert got[1].isnan().all()
    assert got[2].isfinite().all()


def test_each_weight_by_the_first_pattern_that_matches() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval(), torch.randn(8, 64)
    fitted = drystone.compile(model, (x,), quantize={r"2\.weight": None, ".*": "int8"})
    hidden = torch.relu(exact(x, model[0])).float()
    assert relative_error(fitted(x), model[2](hidden).detach()) < 1e-5


class Outliers(nn.Module):
    """A layer of numbers of which a few columns are large, and a count of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.where(torch.arange(64) % 16 == 0, 60.0, 1.0))
        self.layer = nn.Linear(64, 48)
        self.layer.weight.data /= self.gain
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return self.layer(x * self.gain), self.calls + 0


def test_what_calibration_shows_to_be_large_is_made_small() -> None:
    torch.manual_seed(0)
    model, batches = Outliers().eval(), [torch.randn(16, 64) for _ in range(5)]
    x = batches[0]
    with torch.no_grad():
        wanted, first = model.layer(x * model.gain), float(model.calls)
    plain = drystone.compile(model, (x,), quantize="int8")
    calibrated = drystone.compile(
        model, (x,), quantize="int8", calibration=[batches[1], (batches[2],), [batches[3]]]
    )
    errors = [relative_error(each(x)[0], wanted) for each in (plain, calibrated)]
    assert errors[1] < 0.5 * errors[0]
    assert float(calibrated(x)[1]) == first + 2  # of its own calls, none of those it was calibrated on


def test_what_is_not_there_is_refused() -> None:
    layer, x = nn.Linear(32, 16), torch.randn(3, 32)

    def refused(match: str, **arguments: Any) -> None:
        with pytest.raises(drystone.UserError, match=match):
            drystone.compile(layer, (x,), **arguments)

    refused("'int3' names no format", quantize="int3")
    refused("quantize=8 names no format", quantize=8)
    refused(r"'\(' is no regular expression", quantize={"(": "int8"})
    refused("'head.*' matches no weight .* computed in bytes", quantize={"head.*": "int8"})
    refused("calibration is for quantize=", calibration=[x])
    refused("calibration has no calls", quantize="int8", calibration=[])
    refused("judges formats that are chosen", quantize="int8", budget=drystone.Budget(error=0.1))
    odd = nn.Linear(30, 16)
    with pytest.raises(drystone.UserError, match="matches no weight"):
        drystone.compile(odd, (torch.randn(3, 30),), quantize="int8")


def test_a_model_is_imported_once_for_all_that_is_built_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    imports, built, run, taken = [], [], compiler.passes.run, compiler.frontend.import_model
    monkeypatch.setattr(compiler.passes, "run", lambda *a, **k: (built.append(a), run(*a, **k))[1])
    monkeypatch.setattr(
        compiler.frontend, "import_model", lambda *a, **k: (imports.append(a), taken(*a, **k))[1]
    )
    layer, x = nn.Linear(64, 8), torch.randn(6, 64)
    fitted = drystone.compile(layer, (x,), quantize="w4", calibration=[(x,)])
    assert len(imports) == 1 < len(built)
    assert relative_error(fitted(x), layer(x).detach()) < 0.2


def test_a_bound_of_the_error() -> None:
    """Rounding both factors to codes costs at most half a step of each: a bound no random luck enters."""
    rng = np.random.default_rng(0)
    for _ in range(4):
        layer, x = nn.Linear(64, 8, bias=False), torch.from_numpy(rng.standard_normal((6, 64)).astype("f"))
        got = drystone.compile(layer, (x,), quantize="int8")(x).double()
        w = layer.weight.detach().double()
        step_x, step_w = x.double().abs().amax(-1) / 127, w.abs().amax(-1) / 127
        bound = 0.5 * (
            step_x[:, None] * w.abs().sum(-1)
            + step_w * x.double().abs().sum(-1)[:, None]
            + 32 * step_x[:, None] * step_w
        )
        assert ((got - x.double() @ w.T).abs() <= bound * (1 + 1e-6)).all()


class Gated(nn.Module):
    """A gated MLP behind a normalization, with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(32)
        self.gate, self.up, self.down = nn.Linear(32, 64), nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x: Any) -> Any:
        rows = self.norm(x)
        return x + self.down(nn.functional.silu(self.gate(rows)) * self.up(rows))


def kinds(fitted: Any) -> list[str]:
    return [each.kind for each in fitted.manifest.kernels]


@pytest.mark.parametrize("ranges", ["minmax", "mse", 99.9])
def test_static_scales_of_a_gated_block(ranges: Any) -> None:
    torch.manual_seed(0)
    model, calls = Gated().eval(), [torch.randn(2, 9, 32) for _ in range(4)]
    dynamic, static = (
        drystone.compile(
            model,
            (calls[0],),
            quantize=drystone.Quantize("int8", dynamic=each, ranges=ranges),
            calibration=calls,
        )
        for each in (True, False)
    )
    wanted = model(calls[0]).detach()
    assert "round_rows" not in kinds(static)
    errors = [relative_error(each(calls[0]), wanted) for each in (dynamic, static)]
    assert errors[1] < max(0.02, 2 * errors[0])


def test_static_scales_are_chosen_where_they_are_faster_and_as_exact() -> None:
    """Between products rounding is part of the first; a normalization rounds rows itself, and a tensor whose
    rows differ in size has scales of rows."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.Hardsigmoid(), nn.LayerNorm(64), nn.Linear(64, 64))
    model = model.append(nn.Hardsigmoid()).append(nn.Linear(64, 16)).eval()
    model[3].weight.data *= 20
    calls = [torch.randn(9, 32) for _ in range(4)]
    fitted = drystone.compile(model, (calls[0],), quantize="int8", calibration=calls)
    assert relative_error(fitted(calls[0]), model(calls[0]).detach()) < 0.03
    # The last product alone reads bytes that the one before it has made.
    assert kinds(fitted)[-3:] == ["round_rows", "matmul", "matmul"]
    layer, rows = nn.Linear(64, 16).eval(), torch.randn(8, 64) * 4.0 ** torch.arange(8)[:, None]
    fitted = drystone.compile(layer, (rows,), quantize="int8", calibration=[rows])
    assert kinds(fitted) == ["round_rows", "matmul"]


def test_static_scales_need_calibration_and_products_in_bytes() -> None:
    layer, x = nn.Linear(32, 16), torch.randn(3, 32)
    with pytest.raises(drystone.UserError, match=r"static scales .* calibration shows"):
        drystone.compile(layer, (x,), quantize=drystone.Quantize("int8", dynamic=False))
    with pytest.raises(drystone.UserError, match="say how products in bytes round, not w4"):
        drystone.compile(layer, (x,), quantize=drystone.Quantize("w4", ranges="mse"))
    both = {"weight": drystone.Quantize("int8", ranges="mse"), ".*": "int8"}
    with pytest.raises(drystone.UserError, match="ranges= is one for all weights, not 'minmax' and 'mse'"):
        drystone.compile(layer, (x,), quantize=both, calibration=[x])
