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
