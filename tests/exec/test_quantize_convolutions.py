"""Convolutions in bytes: what `compile(..., quantize="int8", calibration=)` computes, beside exact sums of
the same codes."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drystone
from tests.exec.families import relative_error


def codes(x: Any, peak: Any) -> Any:
    """The bytes of numbers of which 127 stands for `peak`, in f64."""
    return torch.round(x * (127 / peak)).clamp(-127, 127).double()


def exact(x: Any, peak: Any, layer: nn.Conv2d) -> Any:
    """What a layer gives in bytes: sums of integers, scaled in float64."""
    weight = layer.weight.detach()
    largest = weight.abs().amax((1, 2, 3))
    factors = codes(x, peak), codes(weight, largest[:, None, None, None])
    sums = F.conv2d(*factors, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    return sums * (peak / 127 * largest / 127).double()[:, None, None] + layer.bias.double()[:, None, None]


LAYERS: dict[str, nn.Conv2d] = {
    "3x3": nn.Conv2d(64, 40, 3, padding=1),
    "3x3 with a stride": nn.Conv2d(20, 40, 3, stride=2, padding=1),
    "pointwise": nn.Conv2d(96, 40, 1),
    "pointwise with a stride": nn.Conv2d(32, 40, 1, stride=2),
    "7x7 of an image": nn.Conv2d(3, 64, 7, stride=2, padding=3),
    "3x3 of an image": nn.Conv2d(3, 24, 3, stride=2, padding=1),
    "5x5 of a grey image": nn.Conv2d(1, 6, 5),
    "4x2 of two channels": nn.Conv2d(2, 32, (4, 2), padding=(3, 1), dilation=(2, 1)),
    "3x3 of 6 channels": nn.Conv2d(6, 16, 3, padding=1),
    "pointwise of 18 channels": nn.Conv2d(18, 33, 1),
    "8 groups of 4": nn.Conv2d(32, 32, 3, padding=1, groups=8),
    "4 groups of 8, 16 outputs each": nn.Conv2d(32, 64, 3, stride=2, groups=4),
    "2 groups of 32": nn.Conv2d(64, 64, 3, padding=1, groups=2),
    "16 groups of 1, 2 outputs each": nn.Conv2d(16, 32, 3, padding=1, groups=16),
    "pointwise of 3 groups": nn.Conv2d(48, 96, 1, groups=3),
}


#: Each layer is compiled for one of two targets by turns, three for both: tests/exec/test_conv.py holds every
#: kernel against sums in integers on all targets.
ON = {"cpu": [*LAYERS][::2], "cpu:zen4": ["3x3", "7x7 of an image", "2 groups of 32", *[*LAYERS][1::2]]}


@pytest.mark.parametrize(("target", "name"), [(target, name) for target in ON for name in ON[target]])
def test_sums_are_those_of_the_codes(target: str, name: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name].eval()
    x, seen = torch.randn(1, layer.in_channels, 15, 22), torch.randn(1, layer.in_channels, 15, 22)
    fitted = drystone.compile(layer, (x,), target, quantize="int8", calibration=[(seen,)])
    wanted = exact(x, seen.abs().max(), layer).detach()
    assert relative_error(fitted.call((x,), threads=2), wanted) < 1e-6


@pytest.mark.parametrize(
    "between", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.3, 0.7), nn.Hardtanh(0.1, 0.4), nn.Hardswish()]
)
def test_what_lies_between_two_layers_is_rounded_once(between: nn.Module) -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(8, 16, 3).eval(), nn.Conv2d(16, 8, 1).eval()
    model, x, seen = nn.Sequential(first, between, second), torch.randn(1, 8, 9, 9), torch.randn(1, 8, 9, 9)
    fitted = drystone.compile(model, (x,), quantize="int8", calibration=[(seen,)])
    made = between(exact(x, seen.abs().max(), first))
    wanted = exact(made, between(first(seen)).abs().max(), second).detach()
    assert relative_error(fitted(x), wanted) < 1e-3


class Block(nn.Module):
    """A convolution, a depthwise one, and one whose result is added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(channels, 2 * channels, 1, bias=False), nn.BatchNorm2d(2 * channels), nn.ReLU6()),
            nn.Conv2d(2 * channels, 2 * channels, 3, 1, 1, groups=2 * channels),
            *(nn.Hardswish(), nn.Conv2d(2 * channels, channels, 1)),
        )

    def forward(self, x: Any) -> Any:
        return torch.relu(x + self.body(x))


def network() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Block(16), Block(16)),
        *(nn.Conv2d(16, 32, 3, 2, 1), nn.GELU(), nn.Conv2d(32, 32, 3, 1, 1, groups=4), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    ).eval()


@pytest.mark.parametrize("target", ["cpu", "cpu:zen4", "cpu:avx2"])
def test_a_network_of_all_kinds(target: str) -> None:
    torch.manual_seed(0)
    model, images = network(), torch.randn(6, 3, 40, 40)
    formats, calls = {"11.weight": None, ".*": "int8"}, [(each[None],) for each in images[1:]]
    fitted = drystone.compile(model, (images[:1],), target, quantize=formats, calibration=calls)
    assert relative_error(fitted(images[:1]), model(images[:1]).detach()) < 0.03


def test_images_of_any_number_and_some_layers_alone() -> None:
    torch.manual_seed(0)
    model, images = network(), torch.randn(3, 3, 40, 40)
    batch = torch.export.Dim("batch", min=1, max=8)
    formats = {r"5\..*": None, r"[34]\..*": "int8", "11.weight": None}
    fitted = drystone.compile(
        model, (images,), dynamic_shapes=({0: batch},), quantize=formats, calibration=[(images,)]
    )
    assert relative_error(fitted(images[:2]), model(images[:2]).detach()) < 0.03


def test_images_move_as_bytes() -> None:
    model = nn.Sequential(*(nn.Conv2d(32, 32, 3, 1, 1) for _ in range(10))).eval()
    x = torch.randn(1, 32, 32, 32)
    plain = drystone.compile(model, (x,))
    fitted = drystone.compile(model, (x,), quantize="int8", calibration=[(x,)])
    moved = [sum(each.bytes for each in made.manifest.kernels) for made in (plain, fitted)]
    assert moved[1] < 0.55 * moved[0]


@pytest.mark.parametrize("shape", [(4, 2, 1, 0), (3, 2, 1, 1), (2, 2, 0, 0), (3, 1, 1, 0)], ids=str)
def test_transposed_ones_are_phases_in_bytes(shape: tuple[int, int, int, int]) -> None:
    """Kernel, stride, padding and more of the result: what lies between is rounded once, and moved as
    bytes."""
    torch.manual_seed(0)
    first = nn.ConvTranspose2d(32, 16, *shape[:3], output_padding=shape[3]).eval()
    second, x = nn.Conv2d(16, 8, 1).eval(), torch.randn(1, 32, 9, 7)
    fitted = drystone.compile(nn.Sequential(first, second), (x,), quantize="int8", calibration=[(x,)])
    weight = first.weight.detach()
    tall, wide = shape[1], shape[1]
    rounded = torch.empty_like(weight, dtype=torch.float64)
    for y in range(tall):
        for across in range(wide):
            phase = weight[:, :, (y + shape[2]) % tall :: tall, (across + shape[2]) % wide :: wide]
            largest = phase.abs().amax((0, 2, 3)).clamp(min=1e-30)[:, None, None]
            place = rounded[:, :, (y + shape[2]) % tall :: tall, (across + shape[2]) % wide :: wide]
            place.copy_(codes(phase, largest) * largest.double() / 127)
    image = codes(x, x.abs().max()) * x.abs().max() / 127
    named = {"stride": first.stride, "padding": first.padding, "output_padding": first.output_padding}
    made = F.conv_transpose2d(image, rounded, first.bias.double(), **named).detach()
    wanted = exact(made, first(x).abs().max(), second).detach()
    assert relative_error(fitted(x), wanted) < 2e-3
    assert sum("conv" in call.kind for call in fitted.manifest.kernels) == 2


def test_pools_of_one_image_share_its_step() -> None:
    """Maxima of other windows have other largest numbers, and bytes of the same scale."""

    class Pools(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.third = (nn.Conv2d(8, 8, 1) for _ in range(3))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            y = self.third(x)
            return self.first(F.max_pool2d(y, 5)), self.second(F.max_pool2d(y, 2))

    torch.manual_seed(0)
    model, x = Pools().eval(), torch.randn(1, 8, 9, 9)
    x[..., 5:] *= 4  # beyond what the first pool sees
    fitted = drystone.compile(model, (x,), quantize="int8", calibration=[(x,)])
    for made, wanted in zip(fitted(x), model(x), strict=True):
        assert relative_error(made, wanted.detach()) < 0.05


def test_without_calibration_convolutions_are_not_computed_in_bytes() -> None:
    model, x = nn.Conv2d(16, 16, 3), torch.randn(1, 16, 8, 8)
    with pytest.raises(drystone.UserError, match="convolutions need calibration="):
        drystone.compile(model, (x,), quantize="int8")


@pytest.mark.parametrize("target", ["cpu", "cpu:zen4"])
@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d(3),
    ],
)
def test_averages_are_taken_of_bytes(pool: nn.Module, target: str) -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(8, 16, 3, padding=1).eval(), nn.Conv2d(16, 8, 1).eval()
    model, x, seen = (
        nn.Sequential(first, nn.ReLU(), pool, second),
        torch.randn(1, 8, 9, 9),
        torch.randn(1, 8, 9, 9),
    )
    fitted = drystone.compile(model, (x,), target, quantize="int8", calibration=[(seen,)])
    averaged = next(each for each in fitted.manifest.kernels if each.kind == "pool")
    bytes_read = 16 * 81
    assert averaged.bytes < 4 * bytes_read
    peak = torch.relu(first(seen)).max()
    made = codes(torch.relu(exact(x, seen.abs().max(), first)), peak) * (peak.double() / 127)
    wanted = exact(pool(made), pool(torch.relu(first(seen))).abs().max(), second).detach()
    assert relative_error(fitted(x), wanted) < 1e-2
