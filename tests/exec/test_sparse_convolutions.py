"""Convolutions with sparse weights, executed, against dense ones in float64."""

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.ir.encoding import Codes, Compressed, Sparse

CASES = {
    "lines": (nn.Conv2d(32, 40, 3, 1, 1), (2, 32, 13, 11)),
    "stride": (nn.Conv2d(20, 33, 3, 2, 1), (1, 20, 15, 14)),
    "stride, one tap": (nn.Conv2d(24, 24, 1, 2), (1, 24, 10, 10)),
    "one tap": (nn.Conv2d(48, 16, 1), (1, 48, 9, 9)),
    "dilation": (nn.Conv2d(16, 24, 3, 2, (2, 1), (2, 3)), (1, 16, 21, 19)),
    "long lines": (nn.Conv2d(16, 20, 3), (1, 16, 4, 300)),
    "along the width": (nn.Conv1d(17, 24, 5, 2, 2), (3, 17, 40)),
    "no padding, a tap apart": (nn.Conv2d(16, 16, (1, 5), (1, 3)), (1, 16, 6, 50)),
}


def zeroed(module: nn.Module, level: float) -> None:
    """Put zeros into a weight, and into all of some outputs of it."""
    weight = module.weight
    random = np.random.default_rng(weight.shape[0])
    kept = random.random(tuple(weight.shape)) >= level
    kept[::7] = False
    with torch.no_grad():
        weight.mul_(torch.from_numpy(kept))


def held(fitted: drystone.Fitted) -> dict[str, str]:
    """The elements of a program's weights by the model's names: i8 for those that are lists."""
    return {leaf.name.split(".coded")[0].split(".packed")[0]: leaf.dtype for leaf in fitted.manifest.weights}


def distance(got: torch.Tensor, want: torch.Tensor) -> float:
    """The relative distance."""
    return float((got.double() - want.detach()).norm() / want.detach().norm())


@pytest.mark.parametrize("name", CASES)
def test_lists(name: str) -> None:
    """Of every element that is not 0, with an epilogue, and rows of none."""
    module, shape = CASES[name]
    torch.manual_seed(0)
    zeroed(module, 0.93)
    model, x = nn.Sequential(module, nn.ReLU()).eval(), torch.randn(shape)
    fitted = drystone.compile(model, (x,), quantize={".*": Sparse(Compressed(0), Codes("f32"))})
    assert held(fitted)["0.weight"] == "i8"
    assert distance(fitted(x), model.double()(x.double())) < 1e-6


def test_blocks_and_short_elements() -> None:
    """Blocks are read as lists, and numbers in bf16."""
    torch.manual_seed(1)
    module, x = nn.Conv2d(16, 32, 3, 1, 1), torch.randn(1, 16, 8, 8)
    blocks = np.kron(np.random.default_rng(1).random((4, 18)) < 0.15, np.ones((8, 8)))
    with torch.no_grad():
        module.weight.copy_((module.weight.reshape(32, -1) * torch.from_numpy(blocks)).view(32, 16, 3, 3))
        module.weight.copy_(module.weight.bfloat16())
    encoding = Sparse(Compressed(0, (8, 8)), Codes("bf16"))
    fitted = drystone.compile(module, (x,), quantize={".*": encoding})
    assert held(fitted)["weight"] == "i8"
    assert distance(fitted(x), module.double()(x.double())) < 1e-6


@pytest.mark.parametrize(
    "module",
    [nn.Conv2d(32, 32, 3, groups=2), nn.Conv2d(32, 32, 1), nn.Conv2d(3, 32, 3), nn.Conv3d(16, 16, 2)],
    ids=["groups", "many elements", "few channels", "three dimensions"],
)
def test_what_is_decoded(module: nn.Module) -> None:
    """Weights that no kernel of lists reads, or faster."""
    torch.manual_seed(2)
    zeroed(module, 0.85 if module.kernel_size[0] > 1 else 0.6)
    x = torch.randn(1, module.in_channels, *[9] * (module.weight.dim() - 2))
    fitted = drystone.compile(module, (x,), quantize={".*": Sparse(Compressed(0), Codes("f32"))})
    assert held(fitted)["weight"] == "f32"
    assert distance(fitted(x), module.double()(x.double())) < 1e-6


def test_pruned_in_a_model() -> None:
    """Between convolutions that are dense, with batch norms and a residual."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(32, 32, 3, 1, 1), nn.Conv2d(32, 32, 3, 1, 1, bias=False)
            self.norm = nn.BatchNorm2d(32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.norm(self.b(torch.relu(self.a(x)))) + x)

    torch.manual_seed(3)
    model, x = Block().eval(), torch.randn(1, 32, 14, 14)
    model.norm.running_var.uniform_(0.5, 2)
    zeroed(model.b, 0.9)
    fitted = drystone.compile(model, (x,), quantize={"b.weight": Sparse(Compressed(0), Codes("f32"))})
    assert held(fitted)["b.weight"] == "i8" and held(fitted)["a.weight"] == "f32"
    assert distance(fitted(x), model.double()(x.double())) < 1e-6
