"""Convolutions with sparse weights, executed, against dense ones in float64."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.ir import formats
from drystone.ir.encoding import Codes, Compressed, Sparse, Structured, by_taps, decode, encode

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
    return {
        leaf.name.split(".coded")[0].split(".pruned")[0].split(".packed")[0]: leaf.dtype
        for leaf in fitted.manifest.weights
    }


def in_groups(module: nn.Module, encoding: Sparse) -> None:
    """Let a weight be what an encoding of its matrix holds of it."""
    held = by_taps(encoding, module.weight.dim())
    array = module.weight.detach().numpy()
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(decode(encode(array, held), held, array.shape, "f32")))


def in_blocks(module: nn.Module, block: tuple[int, int], part: float, element: str) -> Sparse:
    """Let a part of the blocks of a weight's matrix be left, with numbers of an element; its encoding."""
    plain = by_taps(Codes(element), module.weight.dim())
    matrix = plain.joined(module.weight.detach().numpy())
    grid = [-(-n // b) for n, b in zip(matrix.shape, block, strict=True)]
    kept = np.kron(np.random.default_rng(1).random(grid) < part, np.ones(block))
    encoding = Sparse(Compressed(0, block), Codes(element)).settled(
        matrix * kept[: matrix.shape[0], : matrix.shape[1]]
    )
    in_groups(module, encoding)
    return encoding


def exact(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The result in float64."""
    return copy.deepcopy(model).double()(x.double())


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
    assert distance(fitted(x), exact(model, x)) < 1e-6


def test_lists_of_codes() -> None:
    """Bytes with one scale, of convolutions and of rows that are looked up."""
    torch.manual_seed(8)
    encoding = Sparse(Compressed(0), formats.int8_tensor())
    conv, table, x, at = nn.Conv2d(32, 40, 3, 1, 1), nn.Embedding(90, 200), torch.randn(1, 32, 9, 9), [3, 70]
    for module, given in ((conv, x), (table, torch.tensor(at))):
        zeroed(module, 0.93)
        flat = encoding.settled(module.weight.detach().numpy())
        plain = module.weight.detach().numpy().reshape(len(module.weight), -1)
        parts = encode(plain, flat)
        with torch.no_grad():
            module.weight.copy_(
                torch.from_numpy(decode(parts, flat, plain.shape, "f32")).view_as(module.weight)
            )
        how = {".*": drystone.Quantize(encoding, method="nearest")}
        fitted = drystone.compile(module, (given,), quantize=how, options=drystone.Options())
        assert fitted.memory.weights < 4 * module.weight.numel() * 0.12
        wanted = module(given) if module is table else exact(module, given)
        assert distance(fitted(given), wanted) < 1e-6


def test_blocks_and_short_elements() -> None:
    """Blocks of few outputs are read as lists, and numbers in bf16."""
    torch.manual_seed(1)
    module, x = nn.Conv2d(16, 32, 3, 1, 1), torch.randn(1, 16, 8, 8)
    encoding = in_blocks(module, (4, 8), 0.15, "bf16")
    fitted = drystone.compile(module, (x,), quantize={".*": encoding})
    assert held(fitted)["weight"] == "i8"
    assert distance(fitted(x), exact(module, x)) < 1e-6


#: Convolutions whose channels fill words of places.
GROUPED = {
    "lines": (nn.Conv2d(32, 40, 3, 1, 1), (2, 32, 13, 11)),
    "stride": (nn.Conv2d(64, 65, 3, 2, 1), (1, 64, 15, 14)),
    "stride, one tap": (nn.Conv2d(64, 24, 1, 2), (1, 64, 10, 10)),
    "one tap": (nn.Conv2d(64, 80, 1), (2, 64, 9, 9)),
    "dilation": (nn.Conv2d(64, 24, 3, 2, (2, 1), (2, 3)), (1, 64, 21, 19)),
    "different strips": (nn.Conv2d(64, 32, (1, 25), 1, (0, 12)), (1, 64, 2, 37)),
    "along the width": (nn.Conv1d(64, 24, 5, 2, 2), (3, 64, 40)),
}


@pytest.mark.parametrize("block", [(16, 16), (8, 4), (32, 8), (16, 32), (48, 16)], ids=str)
@pytest.mark.parametrize("name", ["lines", "stride", "stride, one tap", "one tap", "dilation"])
def test_blocks(block: tuple[int, int], name: str) -> None:
    """Of outputs and channels of a tap, with ragged ends of outputs; of bf16, computed in f32, in turns."""
    module, shape = GROUPED[name]
    turn = [*GROUPED].index(name) % 5 == block[0] % 5
    torch.manual_seed(7)
    encoding = in_blocks(module, block, 0.4, "bf16" if turn else "f32")
    model, x = nn.Sequential(module, nn.ReLU()).eval(), torch.randn(shape)
    options = drystone.Options(compute="bf16" if turn else None)
    target = "cpu:avx2" if block == (16, 32) else "cpu"
    fitted = drystone.compile(model, (x,), target=target, quantize={".*": encoding}, options=options)
    assert held(fitted)["0.weight"] == "i8"
    assert distance(fitted(x), exact(model, x)) < 1e-6


#: Of every few channels of a tap how many are held, and as what.
HELD = {
    "2:4": Sparse(Structured(1, 2, 4), Codes("f32")),
    "4:8 of bf16": Sparse(Structured(1, 4, 8), Codes("bf16")),
    "1:2 of int8": Sparse(Structured(1, 1, 2), formats.int8_row()),
    "2:4 of w4": Sparse(Structured(1, 2, 4), formats.w4(32)),
}


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("machine", ["cpu", "cpu:avx2"])
def test_groups(name: str, machine: str) -> None:
    """Groups of channels stay groups, of elements and of codes, in turns."""
    module, shape = GROUPED[name]
    torch.manual_seed(4)
    turn = [*GROUPED].index(name) + (machine == "cpu")
    encoding = [*HELD.values()][turn % len(HELD)]
    in_groups(module, encoding)
    model, x = nn.Sequential(module, nn.ReLU()).eval(), torch.randn(shape)
    fitted = drystone.compile(model, (x,), target=machine, quantize={".*": encoding})
    assert held(fitted)["0.weight"] == "i8"
    assert distance(fitted(x), exact(model, x)) < 1e-6


@pytest.mark.parametrize(
    "module", [nn.Conv2d(64, 48, 3, 1, 1), nn.Conv2d(64, 48, 1)], ids=["taps", "one tap"]
)
@pytest.mark.parametrize("name", ["4:8 of bf16", "2:4 of w4"])
def test_groups_of_pairs(module: nn.Module, name: str) -> None:
    """In bf16, which units multiply in pairs; numbers of codes are rounded to it."""
    torch.manual_seed(5)
    in_groups(module, HELD[name])
    x = torch.randn(1, 64, 9, 9).bfloat16().float()
    options = drystone.Options(compute="bf16")
    fitted = drystone.compile(module, (x,), quantize={".*": HELD[name]}, options=options)
    assert fitted.memory.weights < 4 * module.weight.numel() * 0.45
    assert distance(fitted(x), exact(module, x)) < (5e-3 if "w4" in name else 1e-5)


def test_groups_are_of_channels() -> None:
    """What is pruned for a convolution, and how it is held is said."""
    torch.manual_seed(6)
    module, x = nn.Conv2d(32, 32, 3, 1, 1), torch.randn(2, 32, 8, 8)
    fitted = drystone.compile(module, (x,), sparsify={".*": drystone.Sparsify("2:4", method="magnitude")})
    in_groups(module, HELD["2:4"])
    assert distance(fitted(x), exact(module, x)) < 1e-6
    (found,) = fitted.manifest.sparsity
    assert (found.zeros, found.held) == (0.5, "dense") and "2:4 are estimated to take" in found.why


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
    assert distance(fitted(x), exact(module, x)) < 1e-6


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
    assert distance(fitted(x), exact(model, x)) < 1e-6
