"""Weights of fewer bits: what `compile(..., quantize=)` computes, beside torch with the decoded weights."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drystone
from drystone import passes
from drystone.asking import quantizing
from drystone.dtypes import Array
from drystone.frontend import import_model
from drystone.ir import formats
from drystone.ir.context import new_context
from drystone.ir.encoding import SEARCHED, Codes, Encoding, decode, encode
from drystone.ir.interpreter import run as interpret
from drystone.passes.rounding.hessian import Hessian
from tests.exec.families import relative_error


class Small(nn.Module):
    """A table, products that read one value, a turned weight, a convolution and a head tied to the table."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(40, 64), nn.LayerNorm(64)
        self.a, self.b = nn.Linear(64, 96), nn.Linear(64, 96)
        self.turned = nn.Parameter(torch.randn(96, 64) / 10)
        self.conv = nn.Conv1d(64, 64, 3, padding=1)

    def forward(self, ids: Any) -> Any:
        h = self.norm(self.table(ids))
        h = (torch.relu(self.a(h)) * self.b(h)) @ self.turned
        return F.linear(torch.relu(self.conv(h.mT)).mT, self.table.weight)


def small() -> tuple[Small, list[torch.Tensor]]:
    torch.manual_seed(0)
    return Small().eval(), [torch.randint(0, 40, (6, 9)) for _ in range(8)]


def rounded(weight: torch.Tensor, encoding: Encoding, turned: bool = False) -> torch.Tensor:
    """A weight as it is decoded from an encoding of its matrix: the channels of each tap side by side."""
    matrix = (weight.T if turned else weight.movedim(1, -1).flatten(1)).detach().numpy()
    found = torch.from_numpy(
        np.ascontiguousarray(decode(encode(matrix, encoding, search=SEARCHED), encoding, matrix.shape, "f32"))
    )
    return found.T if turned else found.view(weight.movedim(1, -1).shape).movedim(-1, 1)


@pytest.mark.parametrize("name", ["w4", "q4_k", "mxfp4"])
def test_weights_are_those_of_the_format(name: str) -> None:
    model, (x, *_) = small()
    fitted = drystone.compile(model, (x,), quantize=name)
    with torch.no_grad():
        for weight in (model.a.weight, model.b.weight, model.conv.weight, model.table.weight):
            weight.copy_(rounded(weight, formats.TABLE[name]()))
        model.turned.copy_(rounded(model.turned, formats.TABLE[name](), turned=True))
        assert relative_error(fitted(x), model(x)) < 1e-5


@pytest.mark.parametrize("tables", [False, True])
def test_models_in_bf16(tables: bool) -> None:
    model, (x, *_) = small()
    model, asked = model.bfloat16(), {".*": "w4"} if tables else "w4"
    fitted = drystone.compile(model, (x,), quantize=asked)
    kinds = {leaf.name: str(leaf) for leaf in fitted.manifest.weights}
    assert {"a.weight.coded", "b.weight.coded", "turned.coded"} <= {
        name.removesuffix(".packed") for name in kinds
    }
    with torch.no_grad():
        for weight in (model.a.weight, model.b.weight, model.conv.weight, model.table.weight):
            weight.copy_(rounded(weight.float(), formats.w4()))
        model.turned.copy_(rounded(model.turned.float(), formats.w4(), turned=True))
        assert relative_error(fitted(x).float(), model(x).float()) < 2e-2


def test_models_in_bf16_with_calibration() -> None:
    model, (x, *calls) = small()
    model = model.bfloat16()
    with torch.no_grad():
        wanted = model(x).float()
    budget = drystone.Budget(bits=5)
    for quantize, limit, given in (("w4", 0.25, drystone.Budget()), ("auto", 0.12, budget)):
        fitted = drystone.compile(model, (x,), quantize=quantize, calibration=calls, budget=given)
        assert relative_error(fitted(x).float(), wanted) < limit


def test_entropy_coded_weights_are_the_same_to_the_bit() -> None:
    model, (x, *_) = small()
    model = model.bfloat16()
    plain, coded = drystone.compile(model, (x,)), drystone.compile(model, (x,), quantize={".*": "dfloat11"})
    assert torch.equal(plain(x), coded(x)) and plain.memory.weights == coded.memory.weights
    program = import_model(model, (x,), ctx=new_context())
    quantized = quantizing.quantization_of({".*": "dfloat11"}).weights
    passes.run(program, (quantized,))
    for key in ("a.weight", "turned", "conv.weight", "table.weight"):
        stored = [program.weights[name] for name in program.weights if name.startswith(f"{key}.coded")]
        count = model.get_parameter(key).numel()
        assert sum(array.nbytes for array in stored) < 0.72 * 2 * count + 300


def test_formats_by_name_and_bytes_beside_them() -> None:
    model, calls = small()
    own = Codes("int8", formats.int8_row().scale)
    asked = {
        "a.*": "int8",
        "b.*": drystone.Quantize("w4", group=32),
        "turned": own,
        "table.weight": None,
        ".*": "q8_0",
    }
    fitted = drystone.compile(model, (calls[0],), quantize=asked)
    names = {leaf.name for leaf in fitted.manifest.weights}
    assert any(name.startswith("a.weight.int8") for name in names)
    assert all(any(name.startswith(f"{key}.coded") for name in names) for key in ("b.weight", "turned"))
    assert not any("table" in name and "coded" in name for name in names)
    with torch.no_grad():
        wanted = model(calls[0])
    assert 1e-3 < relative_error(fitted(calls[0]), wanted) < 0.15


def test_calibration_lowers_the_error() -> None:
    """Inputs that depend on each other, as activations do: errors of some are made up for by others."""
    torch.manual_seed(0)
    model, mixed = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48)).eval(), torch.randn(12, 64)
    x, *calls = (torch.randn(40, 12) @ mixed + torch.randn(40, 64) / 10 for _ in range(6))
    with torch.no_grad():
        wanted = model(x)
    errors = [
        relative_error(drystone.compile(model, (x,), quantize="w3", calibration=given)(x), wanted)
        for given in (None, [(each,) for each in calls])
    ]
    assert errors[1] < 0.5 * errors[0]


class Biased(nn.Module):
    """Products and a convolution, some with biases; activations that are not around 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(64, 96), nn.Linear(96, 64, bias=False)
        self.conv, self.plain = nn.Conv1d(64, 48, 3, padding=1), nn.Conv1d(48, 32, 1, bias=False)

    def forward(self, x: Any) -> Any:
        h = torch.relu(self.b(torch.relu(self.a(x))))
        return self.plain(torch.relu(self.conv(h.mT)))


@pytest.mark.parametrize("method", ["nearest", "awq+gptq"])
def test_biases_take_the_mean_error(method: str) -> None:
    torch.manual_seed(0)
    model = Biased().eval()
    calls = [torch.rand(16, 9, 64) for _ in range(4)]
    with torch.no_grad():
        wanted = model(calls[0]).numpy()
    errors = []
    for asked in (method, "bias" if method == "nearest" else f"{method}+bias"):
        given = drystone.Quantize("w3", method=asked)
        fitted = drystone.compile(model, (calls[0],), quantize=given, calibration=calls)
        errors.append(np.abs((fitted(calls[0]).numpy() - wanted).mean((0, 2))).mean())
        added = sum("bias" in leaf.name for leaf in fitted.manifest.weights)
        assert added == (2 if asked == method else 4)
    assert errors[1] < 0.6 * errors[0]


def test_only_biases_that_are_there_are_corrected_unless_asked() -> None:
    torch.manual_seed(0)
    model, x = Biased().eval(), torch.rand(16, 9, 64)
    fitted = drystone.compile(model, (x,), quantize="w3", calibration=[x])
    assert sorted(leaf.name for leaf in fitted.manifest.weights if "bias" in leaf.name) == [
        "a.weight.bias",
        "conv.weight.bias",
    ]


@pytest.mark.parametrize("stride", [1, 2])
def test_statistics_of_a_convolution_are_those_of_its_windows(stride: int) -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, (3, 2), stride, (1, 2), dilation=(2, 1)).eval()
    calls = [torch.randn(2, 3, 9, 10) for _ in range(3)]
    quantized = quantizing.quantization_of("w4")
    assert isinstance(quantized.weights, passes.QuantizeWeights)

    def build(observed: passes.Quantization) -> Any:
        program = import_model(model, (calls[0],), ctx=new_context())
        passes.run(program, (observed.weights,))
        names = [spec.name for spec in program.signature.outputs]
        return lambda x: dict(zip(names, interpret(program, [x.numpy()]), strict=True))

    weights = quantizing.calibrated(quantized, build, calls).weights
    assert isinstance(weights, passes.QuantizeWeights)
    windows = [F.unfold(x, (3, 2), (2, 1), (1, 2), stride).unflatten(1, (3, 6)) for x in calls]
    # [n, channels, taps, places] -> [n * places, taps * channels]
    rows = torch.cat([each.permute(0, 3, 2, 1).flatten(2).flatten(0, 1) for each in windows]).double()
    seen = weights.seen["weight"]
    assert seen.rows == len(rows)
    np.testing.assert_allclose(seen.total, rows.sum(0), atol=1e-4)
    np.testing.assert_allclose(seen.moment, rows.T @ rows, rtol=1e-4, atol=1e-3)


def test_weights_that_read_one_value_share_what_is_known_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """H is factorized once for `a` and `b` together, and once for each of `turned` and `conv`."""
    found, made = list[int](), Hessian.of

    def counted(matrix: Array) -> Hessian:
        found.append(len(matrix))
        return made(matrix)

    monkeypatch.setattr(Hessian, "of", counted)
    model, calls = small()
    given = {".*table.*": None, ".*": drystone.Quantize("w4", method="gptq+awq")}
    drystone.compile(model, (calls[0],), quantize=given, calibration=[(each,) for each in calls])
    assert sorted(found) == [64, 96, 3 * 64]


def test_formats_chosen_within_a_budget() -> None:
    torch.manual_seed(0)
    model, mixed = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48)).eval(), torch.randn(12, 64)
    x, *calls = (torch.randn(40, 12) @ mixed + torch.randn(40, 64) / 10 for _ in range(4))
    with torch.no_grad():
        wanted = model(x)
    errors = []
    for bits in (4.0, 6.0):
        budget = drystone.Budget(bits=bits)
        fitted = drystone.compile(model, (x,), quantize="auto", calibration=calls, budget=budget)
        found = {each.weight: each for each in fitted.manifest.formats}
        assert found.keys() == {"0.weight", "2.weight"}
        mean = (found["0.weight"].bits * 64 + found["2.weight"].bits * 48) / 112
        assert bits - 1.5 < mean <= bits
        assert all(str(each) in str(fitted.report(x)) for each in fitted.manifest.formats)
        errors.append(relative_error(fitted(x), wanted))
    assert errors[1] < 0.6 * errors[0]
    asked = {"0.*": "q8_0", ".*": "auto"}
    fitted = drystone.compile(model, (x,), quantize=asked, calibration=calls, budget=drystone.Budget(bits=40))
    assert [(each.weight, each.format) for each in fitted.manifest.formats] == [("2.weight", "")]
    with pytest.raises(drystone.UserError, match="cannot take"):
        drystone.compile(model, (x,), quantize="auto", calibration=calls, budget=drystone.Budget(bits=1))


def test_formats_chosen_within_an_error() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48)).eval()
    calls = [torch.randn(2, 64) for _ in range(40)]
    sizes = []
    for error in (0.1, 0.005):
        budget = drystone.Budget(error=error)
        fitted = drystone.compile(model, calls[:1], quantize="auto", calibration=calls, budget=budget)
        assert all(relative_error(fitted(x), model(x).detach()) <= error for x in calls)
        sizes.append(sum(each.bits for each in fitted.manifest.formats))
    assert sizes[0] < sizes[1]
    budget = drystone.Budget(error=0.001, bits=4.5)
    with pytest.raises(drystone.UserError, match=r"are off by .*, 0.001 is allowed"):
        drystone.compile(model, calls[:1], quantize="auto", calibration=calls, budget=budget)


def test_products_in_bytes_are_chosen_where_they_are_fastest() -> None:
    """Of many rows, on a machine with units that sum bytes; one row is a matter of bytes that are read."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).eval()
    for rows, in_bytes in ((512, True), (1, False)):
        calls = [torch.randn(rows, 256) for _ in range(2 if in_bytes else 100)]
        budget = drystone.Budget(error=0.05)
        fitted = drystone.compile(
            model, calls[:1], "cpu:spr", quantize="auto", calibration=calls, budget=budget
        )
        assert [each.format == "int8" for each in fitted.manifest.formats] == [in_bytes] * 2


def test_a_budget_for_all_weights_counts_what_is_stored() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 256)).eval()
    calls = [torch.randn(16, 256) for _ in range(2)]
    errors = []
    for limit in (120_000, 200_000):
        budget = drystone.Budget(weights=limit)
        fitted = drystone.compile(model, calls[:1], quantize="auto", calibration=calls, budget=budget)
        assert 0.85 * limit < fitted.memory.weights <= limit
        errors.append(relative_error(fitted(calls[1]), model(calls[1]).detach()))
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(drystone.UserError, match=r"cannot take 0 bytes beside the \d+ of others"):
        budget = drystone.Budget(weights=1000)
        drystone.compile(model, calls[:1], quantize="auto", calibration=calls, budget=budget)


def test_rows_of_an_unknown_number() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32)).eval()
    rows = torch.export.Dim("rows", min=1, max=99)
    calls = [torch.randn(n, 64) for n in (7, 50, 99)]
    fitted = drystone.compile(
        model, (calls[0],), dynamic_shapes=({0: rows},), quantize="w4", calibration=calls
    )
    with torch.no_grad():
        assert relative_error(fitted(calls[1]), model(calls[1])) < 0.15


class Rows(nn.Module):
    """A gated layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(256, 96, bias=False), nn.Linear(256, 96)
        self.down = nn.Linear(96, 64)

    def forward(self, x: Any) -> Any:
        return self.down(torch.sigmoid(self.gate(x)) * self.up(x))


def in_bytes(x: torch.Tensor) -> torch.Tensor:
    """Rows rounded to 255 codes around 0."""
    step = x.abs().amax(-1, keepdim=True) / 127
    return (x / step).round() * step


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_activations_in_bytes(rows: int) -> None:
    torch.manual_seed(0)
    model, x = Rows().eval(), torch.randn(rows, 256)
    fitted = drystone.compile(model, (x,), quantize={"down.*": None, ".*": "w4a8"})
    weights = [rounded(layer.weight, formats.w4()) for layer in (model.gate, model.up)]
    gate, up = (F.linear(in_bytes(x), weight.detach()) for weight in weights)
    expected = model.down(torch.sigmoid(gate) * (up + model.up.bias)).detach()
    assert relative_error(fitted(x), expected) < 1e-5
    assert "round_rows" in {kernel.kind for kernel in fitted.manifest.kernels}


@pytest.mark.parametrize(
    ("quantize", "told"),
    [
        (drystone.Quantize("nf4", activations=8), "its codes are"),
        (drystone.Quantize("w4", activations=4), "activations=4"),
        (drystone.Quantize("int8", activations=8), "rounds activations too"),
        (drystone.Quantize(activations=8, group=32), "method= and group="),
        (drystone.Quantize(activations=8), "matches no weight whose codes are multiplied with bytes"),
        ({"down.*": "w4a8", "up.*": "w4", "other": "w4a8"}, "'other' matches no weight"),
    ],
)
def test_activations_that_cannot_be_bytes(quantize: Any, told: str) -> None:
    with pytest.raises(drystone.UserError, match=told):
        drystone.compile(Rows().eval(), (torch.randn(2, 256),), quantize=quantize)


def test_what_cannot_be_is_refused() -> None:
    model, (x, *_) = small()

    def refused(match: str, **arguments: Any) -> None:
        with pytest.raises(drystone.UserError, match=match):
            drystone.compile(model, (x,), **arguments)

    refused("'int3' names no format", quantize="int3")
    refused("'head' matches no weight whose bits can be fewer", quantize={"head": "w4"})
    refused("'spqr' needs to know outliers", quantize="spqr")
    refused("'q4_k' has no groups of 3", quantize=drystone.Quantize("q4_k", group=3))
    refused("need to see what weights", quantize=drystone.Quantize("w4", method="gptq"))
    refused("'bcq' has no such codes", quantize=drystone.Quantize("bcq", method="gptq"), calibration=[x])
    refused("no method is called 'x'", quantize=drystone.Quantize("w4", method="x"))
    refused('"int8" rounds activations too', quantize=drystone.Quantize("int8", method="awq"))
    refused("group= is for formats with names", quantize=drystone.Quantize(formats.w4(), group=8))
    refused("does not fit: ", quantize=Codes("uint4", formats.fp8_block("e4m3", (3, 3, 3)).scale))
    refused("chooses formats within a budget", quantize="auto", calibration=[x])
    refused("need to see what weights", quantize="auto", budget=drystone.Budget(bits=4))
    refused("is for formats that are chosen", quantize="w4", budget=drystone.Budget(bits=4))
    nothing = torch.full((3, 16), torch.inf)
    with pytest.raises(drystone.UserError, match="is not finite"):
        drystone.compile(nn.Linear(16, 8), (nothing,), quantize="w4", calibration=[nothing])
