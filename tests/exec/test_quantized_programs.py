"""Quantized programs, compiled, beside torch."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drystone
from drystone.frontend import affine

assert affine.rules()  # importing it registers the operations
OPS = torch.ops.quantized_decomposed
I8, U8 = torch.int8, torch.uint8


class Static(nn.Module):
    """As PT2E converts two layers: activations in unsigned bytes of a known range, weights in bytes."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        for name, shape in {"first": (8, 3, 3, 3), "second": (16, 8 * 36)}.items():
            codes = torch.randint(-127, 128, shape, generator=random).to(I8)
            self.register_buffer(f"{name}_codes", codes)
            self.register_buffer(f"{name}_scale", torch.rand(shape[0], generator=random) / 500 + 1e-4)
            self.register_buffer(f"{name}_zero", torch.zeros(shape[0], dtype=torch.int64))
            self.register_buffer(f"{name}_bias", torch.randn(shape[0], generator=random))

    def layer(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        codes, scale, zero, bias = (
            getattr(self, f"{name}_{part}") for part in ("codes", "scale", "zero", "bias")
        )
        return OPS.dequantize_per_channel(codes, scale, zero, 0, -127, 127, I8), bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(F.conv2d(rounded(x, 0.03, 114), *self.layer("first")))
        return F.linear(rounded(x, 0.02, 0).flatten(1), *self.layer("second"))


def rounded(x: torch.Tensor, scale: float, zero: int) -> torch.Tensor:
    codes = OPS.quantize_per_tensor(x, scale, zero, 0, 255, U8)
    return OPS.dequantize_per_tensor(codes, scale, zero, 0, 255, U8)


class Dynamic(nn.Module):
    """Two layers whose activations are quantized token by token, with weights of 4 bits in groups."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        for name in ("first", "second"):
            self.register_buffer(f"{name}_codes", torch.randint(-8, 8, (64, 64), generator=random).to(I8))
            self.register_buffer(f"{name}_scale", torch.rand(64, 4, generator=random) / 50 + 1e-3)
            self.register_buffer(f"{name}_zero", torch.randint(-3, 4, (64, 4), generator=random))

    def layer(self, x: torch.Tensor, name: str) -> torch.Tensor:
        scale, zero = OPS.choose_qparams_per_token_asymmetric(x, I8)
        codes = OPS.quantize_per_token(x, scale, zero, -128, 127, I8)
        x = OPS.dequantize_per_token(codes, scale, zero, -128, 127, I8, torch.float32)
        held = (getattr(self, f"{name}_{part}") for part in ("codes", "scale", "zero"))
        return F.linear(x, OPS.dequantize_per_channel_group(*held, -8, 7, I8, 16, torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.relu(self.layer(x, "first")), "second")


CASES = [(Static, (4, 3, 8, 8)), (Dynamic, (5, 64))]


def check(fitted: drystone.Fitted, model: nn.Module, x: torch.Tensor, ties: bool = False) -> None:
    """See that outputs are torch's, but for sums in another order, after which a code is now and then the
    next one: rarely, unless `ties` are what the largest activations are."""
    with torch.no_grad():
        wanted = model(x)
    error = (fitted(x) - wanted).abs() / wanted.abs().max()
    assert error.max() <= 0.02
    assert ties or (error > 1e-4).float().mean() <= 0.05


@pytest.mark.parametrize(("kind", "shape"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_programs_with_operations_of_pt2e(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    model, x = kind().eval(), torch.randn(shape, generator=torch.Generator().manual_seed(1))
    check(drystone.compile(torch.export.export(model, (x,)), x), model, x)


class Images(nn.Module):
    """Convolutions of every kind, a residual, maxima, a mean and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 5, 2, 2), nn.Conv2d(16, 16, 3, 1, 1)
        self.deep, self.wide = nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.Conv2d(16, 40, 1)
        self.pool, self.last = nn.MaxPool2d(2), nn.Linear(40, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        x = self.pool(torch.relu(x + self.second(x)))
        return self.last(torch.relu(self.wide(self.deep(x))).mean((2, 3)))


def converted(model: nn.Module, x: torch.Tensor) -> Any:
    """What torchao makes of a model for x86, calibrated on one call."""
    pytest.importorskip("torchao.quantization.pt2e")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(model, (x,)).module(), quantizer)
    prepared(x)
    return convert_pt2e(prepared)


@pytest.mark.parametrize("target", ["cpu", "cpu:zen4", "cpu:avx2"])
def test_images_move_as_the_bytes_that_torchao_converts_them_to(target: str) -> None:
    torch.manual_seed(0)
    plain, x = Images().eval(), torch.randn(2, 3, 32, 40)
    model = converted(plain, x)
    program = torch.export.export(model, (x,))
    fitted = drystone.compile(program, x, target)
    check(fitted, model, x)
    moved = [sum(k.bytes for k in f.manifest.kernels) for f in (fitted, drystone.compile(plain, x, target))]
    assert target == "cpu:avx2" or moved[0] < 0.75 * moved[1]


class Coded(nn.Module):
    """A convolution, or a linear layer, between codes."""

    def __init__(self, layer: nn.Module, zero: int, out: int, signed: bool) -> None:
        super().__init__()
        self.layer, self.zero, self.out = layer, zero, out
        self.kind, self.low = (I8, -128) if signed else (U8, 0)
        codes = torch.randint(-128, 128, layer.weight.shape, generator=torch.Generator().manual_seed(1))
        self.register_buffer("codes", codes.to(I8))
        self.register_buffer("scale", torch.linspace(0.001, 0.01, len(codes)))
        self.register_buffer("none", torch.zeros(len(codes), dtype=torch.int64))

    def ends(self, zero: int) -> tuple[int, int, int, torch.dtype]:
        return zero, self.low, self.low + 255, self.kind

    def weight(self) -> torch.Tensor:
        return OPS.dequantize_per_channel(self.codes, self.scale, self.none, 0, -128, 127, I8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        codes = OPS.quantize_per_tensor(x, 0.03, *self.ends(self.zero))
        real = OPS.dequantize_per_tensor(codes, 0.03, *self.ends(self.zero))
        if isinstance(self.layer, nn.Linear):
            made = F.linear(real, self.weight(), self.layer.bias)
        else:
            how = (self.layer.stride, self.layer.padding, self.layer.dilation, self.layer.groups)
            made = F.conv2d(real, self.weight(), self.layer.bias, *how)
        codes = OPS.quantize_per_tensor(torch.relu(made), 0.05, *self.ends(self.out))
        return OPS.dequantize_per_tensor(codes, 0.05, *self.ends(self.out))

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        """What is rounded to the codes of the result, less its zero point: sums of integers, in float64."""
        codes = torch.clamp(torch.round(x * (1 / 0.03)) + self.zero, self.low, self.low + 255).double()
        codes, weight = codes - self.zero, self.codes.double()
        if isinstance(self.layer, nn.Linear):
            sums, shape = codes @ weight.T, (-1,)
        else:
            how = (self.layer.stride, self.layer.padding, self.layer.dilation, self.layer.groups)
            sums, shape = F.conv2d(codes, weight, None, *how), (-1, 1, 1)
        scale, bias = (each.detach().double().reshape(shape) for each in (self.scale, self.layer.bias))
        return torch.relu(sums * (0.03 * scale) + bias) / 0.05


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "3x3": (nn.Conv2d(16, 24, 3, padding=1), (2, 16, 9, 11)),
    "3x3 with a stride": (nn.Conv2d(70, 24, 3, stride=2, padding=1), (1, 70, 9, 30)),
    "pointwise": (nn.Conv2d(64, 40, 1), (1, 64, 6, 7)),
    "an image": (nn.Conv2d(3, 32, 7, stride=2, padding=3), (1, 3, 20, 31)),
    "a grey image": (nn.Conv2d(1, 8, 5), (1, 1, 20, 31)),
    "depthwise": (nn.Conv2d(24, 24, 3, padding=1, groups=24), (1, 24, 9, 9)),
    "groups": (nn.Conv2d(16, 16, 3, groups=2), (1, 16, 9, 9)),
    "linear": (nn.Linear(64, 24), (5, 64)),
    "linear of 30": (nn.Linear(30, 24), (5, 30)),
}


@pytest.mark.parametrize(("zero", "out", "signed"), [(0, 0, False), (117, 3, False), (-9, -128, True)])
@pytest.mark.parametrize("name", LAYERS)
def test_codes_are_those_of_exact_sums_but_at_ties(name: str, zero: int, out: int, signed: bool) -> None:
    torch.manual_seed(0)
    layer, shape = LAYERS[name]
    model, x = Coded(layer.eval(), zero, out, signed).eval(), torch.randn(shape)
    fitted = drystone.compile(torch.export.export(model, (x,)), x)
    wanted = model.exact(x)
    got = torch.round(fitted(x).double() / 0.05)
    code = torch.clamp(torch.round(wanted) + out, model.low, model.low + 255) - out
    tie = (wanted - torch.floor(wanted) - 0.5).abs() < 1e-4 * (1 + wanted.abs())
    assert ((got == code) | tie).all() and tie.double().mean() < 0.05
    assert (got - code).abs().max() <= 1


def layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16)).eval()


@pytest.mark.parametrize("dynamic", [False, True])
def test_what_torchao_converts_for_x86(dynamic: bool) -> None:
    pytest.importorskip("torchao.quantization.pt2e")
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    config = x86.get_default_x86_inductor_quantization_config(is_dynamic=dynamic)
    quantizer = x86.X86InductorQuantizer().set_global(config)
    prepared = prepare_pt2e(torch.export.export(layers(), (x,)).module(), quantizer)
    prepared(x)
    model = convert_pt2e(prepared)
    fitted = drystone.compile(torch.export.export(model, (x,)), x)
    check(fitted, model, x)


class Unsigned(nn.Module):
    """A product whose left bytes are unsigned, as torchao writes those of CPUs without tile registers."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch._int_mm(x, self.weight.t())


def test_products_of_unsigned_bytes_are_exact() -> None:
    weight = torch.randint(-128, 128, (24, 64), dtype=torch.int8)
    x = torch.randint(0, 256, (20, 64), dtype=torch.uint8)
    wanted = x.to(torch.int64) @ weight.to(torch.int64).t()
    assert torch.equal(drystone.compile(Unsigned(weight), x)(x).to(torch.int64), wanted)


@pytest.mark.parametrize(
    "name",
    [
        *("IntxWeightOnlyConfig", "Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"),
        *("Int8DynamicActivationIntxWeightConfig", "Float8WeightOnlyConfig"),
    ],
)
def test_what_torchao_quantizes(name: str) -> None:
    ao: Any = pytest.importorskip("torchao.quantization")
    groups = {
        "IntxWeightOnlyConfig": {"weight_dtype": torch.int4, "granularity": ao.PerGroup(16)},
        "Int8DynamicActivationIntxWeightConfig": {
            "weight_dtype": torch.int4,
            "weight_granularity": ao.PerGroup(16),
        },
    }
    model, x = layers(), torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    ao.quantize_(model, getattr(ao, name)(**groups.get(name, {})))
    # The largest of a token is 127.5 scales there, and lies between two codes.
    check(drystone.compile(model, x), model, x, ties="DynamicActivationInt8" in name)
