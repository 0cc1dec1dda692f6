"""Results that take the place of what they are computed from: models against torch, and their arenas."""

from typing import Any

import pytest
import torch
from torch import nn

import drystone


class Residual(nn.Module):
    """A first layer, a branch of two, and their sum: the sum lies where the first result lay."""

    def __init__(self, layer: Any, last: Any = None) -> None:
        super().__init__()
        self.first, self.inner, self.outer, self.last = layer(), layer(), last or layer(), layer()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x).relu()
        result: torch.Tensor = self.last((self.outer(self.inner(first).sigmoid()) + first).tanh())
        return result


def linear() -> nn.Module:
    return nn.Linear(37, 37)


def conv(kernel: int, groups: int = 1) -> Any:
    return lambda: nn.Conv2d(24, 24, kernel, padding=kernel // 2, groups=groups)


class Normalized(nn.Module):
    """Sums that are normalized where they are made, and are needed again."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c, d = self.layers
        one, two = self.norms
        first = a(x).relu()
        total = first + b(first).cos()
        total = one(total) + total
        result: torch.Tensor = d(two(c(total).sin()).softmax(-1))
        return result


def arena(model: nn.Module, x: torch.Tensor, **options: Any) -> int:
    """The arena of a model that gives what torch does, on one and on two threads."""
    model.eval()
    fitted = drystone.compile(model, (x,), options=drystone.Options(threads=2, **options))
    with torch.no_grad():
        want = model(x)
    for threads in (1, 2):
        got = torch.as_tensor(fitted.call((x,), threads=threads))
        tolerance = 2e-5 if not options else 3e-2
        torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
    return int(fitted.memory.arena)


@pytest.mark.parametrize("options", [{}, {"compute": "bf16"}], ids=["fp32", "bf16"])
@pytest.mark.parametrize("rows", [1, 13, 200])
def test_a_residual_of_a_product(rows: int, options: Any) -> None:
    size = -(-rows * 37 * 4 // 64) * 64
    found = arena(Residual(linear), torch.randn(rows, 37), **options)
    assert options or found == 2 * size


@pytest.mark.parametrize("layer", [conv(1), conv(3), conv(5), conv(3, 24), conv(3, 4)])
def test_a_residual_of_a_convolution(layer: Any) -> None:
    size = -(-24 * 11 * 13 * 4 // 64) * 64
    assert arena(Residual(layer), torch.randn(1, 24, 11, 13)) <= 2 * size + 64


@pytest.mark.parametrize("width", [16, 70, 1030])
def test_normalizations_and_a_softmax(width: int) -> None:
    size = -(-9 * width * 4 // 64) * 64
    assert arena(Normalized(width), torch.randn(9, width)) <= 2 * size


class Depthwise(nn.Module):
    """A narrow image made wide, filtered by channel, and made narrow again."""

    def __init__(self, channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 3, 1)
        pad = dilation * (kernel - 1) // 2
        self.filter = nn.Conv2d(
            channels, channels, kernel, padding=pad, groups=channels, dilation=dilation, bias=False
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.narrow(self.norm(self.filter(self.wide(x).relu())).relu())
        return result


@pytest.mark.parametrize(
    ("channels", "kernel", "dilation", "high", "wide"),
    [(40, 3, 1, 9, 14), (16, 5, 1, 12, 11), (7, 7, 1, 4, 16), (33, 3, 2, 2, 24), (48, 1, 1, 5, 8)],
)
def test_a_depthwise_convolution_writes_over_its_input_where_memory_is_scarce(
    channels: int, kernel: int, dilation: int, high: int, wide: int
) -> None:
    model, x = Depthwise(channels, kernel, dilation).eval(), torch.randn(2, 3, high, wide)
    image = 2 * high * wide * 4
    free = drystone.compile(model, (x,))
    assert free.memory.arena >= 2 * channels * image
    budget = drystone.Budget(ram={"ram": (channels + 3) * image + 192})
    fitted = drystone.compile(model, (x,), budget=budget, options=drystone.Options(threads=2))
    assert fitted.memory.arena <= (channels + 3) * image + 192
    with torch.no_grad():
        want = model(x)
    for threads in (1, 2):
        torch.testing.assert_close(
            torch.as_tensor(fitted.call((x,), threads=threads)), want, rtol=2e-5, atol=2e-5
        )


class Strided(nn.Module):
    """As `Depthwise`, with strides, unequal padding and a result of other extents."""

    def __init__(self, channels: int, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]):
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 3, 1)
        self.filter = nn.Conv2d(channels, channels, kernel, stride, pad, groups=channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.narrow(self.filter(self.wide(x).relu()).clamp(0, 6))
        return result


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "pad", "high", "wide", "images"),
    [
        (40, (3, 3), (2, 2), (1, 1), 9, 14, 1),
        (33, (5, 5), (2, 2), (2, 2), 12, 11, 3),
        (16, (3, 5), (1, 2), (0, 1), 7, 15, 2),
        (20, (3, 3), (3, 1), (1, 0), 10, 6, 1),
        (17, (1, 2), (2, 3), (0, 0), 9, 13, 2),
        (48, (7, 7), (2, 2), (3, 3), 8, 8, 1),
        (24, (3, 3), (1, 1), (0, 0), 8, 9, 2),
    ],
)
def test_a_smaller_result_of_a_depthwise_convolution_starts_where_its_input_does(
    channels: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
    high: int,
    wide: int,
    images: int,
) -> None:
    torch.manual_seed(0)
    model, x = Strided(channels, kernel, stride, pad).eval(), torch.randn(images, 3, high, wide)
    # The wide image, with the last bytes of its alignment, and the narrow result is no part of the arena.
    most = -(-channels * images * high * wide * 4 // 64) * 64
    assert drystone.compile(model, (x,)).memory.arena > most
    options = drystone.Options(threads=2)
    fitted = drystone.compile(model, (x,), budget=drystone.Budget(ram={"ram": most}), options=options)
    assert fitted.memory.arena <= most and not fitted.manifest.patched
    with torch.no_grad():
        want = model(x)
    for threads in (1, 2):
        torch.testing.assert_close(
            torch.as_tensor(fitted.call((x,), threads=threads)), want, rtol=2e-5, atol=2e-5
        )
