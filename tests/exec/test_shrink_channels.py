"""Channels, neurons and heads that go: the smaller program is the one with their zeros, and is faster."""

import time
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import nn

import drystone
from drystone import frontend
from drystone.ir.context import new_context
from drystone.ir.interpreter import run as interpret
from drystone.ir.program import Program
from drystone.passes import copy_of, run
from drystone.passes.sparsifying.shrink_channels import Removal, ShrinkChannels
from drystone.passes.sparsifying.tied_dims import Group
from drystone.passes.sparsifying.ties import tied_groups
from tests.exec.families import relative_error


class Convolutions(nn.Module):
    """A batch norm, a residual, a depthwise convolution, a gate of channels, pooling, and layers behind."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.flat = flat
        self.a, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.b, self.c = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.gate, self.d = nn.Linear(16, 16), nn.Conv2d(16, 24, 1)
        self.e, self.f = nn.Linear(24 * 16 if flat else 24, 20), nn.Linear(20, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = functional.relu(self.norm(self.a(x)))
        h = self.c(h + functional.relu(self.b(h)))
        h = h * torch.sigmoid(self.gate(h.mean((2, 3))))[:, :, None, None]
        h = functional.max_pool2d(functional.silu(self.d(h)), 2)
        h = h.flatten(1) if self.flat else h.mean((2, 3))
        return self.f(functional.gelu(self.e(h)))


class Block(nn.Module):
    """Attention whose queries share keys in groups or not, rotated or not, and a gated MLP."""

    def __init__(self, groups: int = 4, rotated: bool = False) -> None:
        super().__init__()
        self.groups, self.rotated = groups, rotated
        self.q, self.o = nn.Linear(32, 32), nn.Linear(32, 32)
        self.k, self.v = nn.Linear(32, 8 * groups), nn.Linear(32, 8 * groups)
        self.norm = nn.LayerNorm(32)
        self.gate, self.up, self.down = nn.Linear(32, 48), nn.Linear(32, 48), nn.Linear(48, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, size, _ = x.shape
        h = self.norm(x)
        q, k, v = (p(h).view(batch, size, -1, 8).transpose(1, 2) for p in (self.q, self.k, self.v))
        if self.rotated:
            angle = torch.arange(size)[:, None] * torch.tensor([1.0, 0.3, 0.1, 0.03]).repeat(2)
            q, k = (each * angle.cos() + self.turned(each) * angle.sin() for each in (q, k))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.groups < 4)
        x = x + self.o(y.transpose(1, 2).reshape(batch, size, 32))
        return x + self.down(functional.silu(self.gate(x)) * self.up(x))

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x[..., 4:], x[..., :4]], -1)


def program_of(model: nn.Module, x: torch.Tensor) -> Program:
    return frontend.import_model(model.eval(), (x,), ctx=new_context())


def groups_of(program: Program) -> list[Group]:
    with program.module.context:
        return tied_groups(program)


CASES: dict[str, tuple[Any, tuple[int, ...], bool]] = {
    "channels": (lambda: Convolutions(False), (2, 3, 8, 8), False),
    "channels that are read flat": (lambda: Convolutions(True), (1, 3, 8, 8), False),
    "neurons": (Block, (1, 6, 32), False),
    "heads": (Block, (2, 6, 32), True),
    "heads of rotated queries": (lambda: Block(rotated=True), (1, 6, 32), True),
    "heads that share keys": (lambda: Block(groups=2), (1, 6, 32), True),
}


@pytest.mark.parametrize("level", [0.25, 0.5, 0.99])
@pytest.mark.parametrize("name", CASES)
def test_the_smaller_program_is_the_one_with_zeros(name: str, level: float) -> None:
    """Zeros are in the inputs of the weights that read what is gone."""
    torch.manual_seed(len(name))
    make, shape, heads = CASES[name]
    x = torch.randn(shape)
    program = program_of(make(), x)
    whole, groups = copy_of(program), groups_of(program)
    shrunk = ShrinkChannels(((".*", Removal(level, heads)),))
    run(program, (shrunk,))
    removal = shrunk.removals[0][1]
    assert removal is not None and program.removed
    free = [group for group in groups if not group.why and group.heads == heads]
    with whole.module.context:
        left = [shrunk.kept(whole, group, removal) for group in free]
    for group, own in zip(free, left, strict=True):
        assert len(own) == removal.left(group.units)
        assert len(own) == 1 or abs(len(own) / group.units - 1 + level) < 0.26
        gone = np.setdiff1d(np.arange(group.units), own)
        for key, dim in group.inputs:
            array = np.moveaxis(whole.weights[key].copy(), dim, 0).copy()
            array.reshape(group.units, -1)[gone] = 0
            whole.weights.replace(key, np.ascontiguousarray(np.moveaxis(array, 0, dim)))
    (wanted,), (found,) = (interpret(each, [x.numpy()]) for each in (whole, program))
    assert relative_error(torch.from_numpy(found), torch.from_numpy(wanted)) < 1e-5
    sizes = [sum(each.weights[key].size for key in each.weights) for each in (program, whole)]
    assert sizes[0] < sizes[1] or all(len(own) == group.units for group, own in zip(free, left, strict=True))


def test_what_contributes_least_goes() -> None:
    """By calibration what is hardly ever on, whatever its weights; without, what has small ones."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    with torch.no_grad():
        model[0].weight[::2] *= 0.1
        model[0].bias[1::2] = -100
        model[0].bias[::2] = 1
    x = torch.randn(40, 8)
    for given, bound in (({"calibration": [x]}, 1e-5), ({}, None)):
        fitted = drystone.compile(model, (x,), sparsify=drystone.Sparsify("channels", 0.5), **given)
        error = relative_error(fitted(x), model(x).detach())
        assert error < bound if bound else error > 0.05
        assert [(each.weights, each.left) for each in fitted.manifest.removed] == [
            (("0.weight",), 3),
            (("2.weight",), 3),
        ]
        assert fitted.manifest.removed[1].why == "a result of the model"


def test_reports_say_what_went_and_what_stays(tmp_path: Any) -> None:
    model, x = Block(), torch.randn(1, 6, 32)
    asked = {r"(q|k|v)\.weight": drystone.Sparsify("heads", 0.5), ".*": drystone.Sparsify("channels", 0.25)}
    fitted = drystone.compile(model, (x,), sparsify=asked)
    text = str(fitted.report(x, runs=1))
    assert "q.weight, k.weight, v.weight: 2 of 4 heads are left" in text
    assert "gate.weight, up.weight: 36 of 48 channels are left" in text
    assert "o.weight, down.weight: all 32 channels stay: an input of the model" in text
    page = fitted.report(x, runs=1).to_html(tmp_path / "page.html").read_text()
    assert all(str(each) in page for each in fitted.manifest.removed)
    fitted.save(tmp_path / "model.dry")
    assert drystone.load(tmp_path / "model.dry").manifest.removed == fitted.manifest.removed


def test_the_rest_is_pruned_and_quantized_as_ever() -> None:
    """Statistics are those of the smaller model."""
    torch.manual_seed(0)
    model, x = Block().eval(), torch.randn(4, 6, 32)
    given = {"calibration": [x, torch.randn(4, 6, 32)]}
    channels = {r"(gate|up)\.weight": drystone.Sparsify("channels", 0.1)}
    only = drystone.compile(model, (x,), sparsify=channels, **given)
    for more, formats in (
        ({"o.*": "2:4"}, {"down.*": "w4"}),
        ({"o.*": drystone.Sparsify(level=0.2, method="sparsegpt")}, {"down.*": "int8"}),
        ({}, {".*": "int8"}),
    ):
        fitted = drystone.compile(model, (x,), sparsify=channels | more, quantize=formats, **given)
        assert relative_error(fitted(x), only(x)) < 0.3
        assert fitted.manifest.removed == only.manifest.removed


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_elements(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, x = Block().to(dtype).eval(), torch.randn(1, 6, 32).to(dtype)
    with torch.no_grad():
        for layer in (model.gate, model.up):
            layer.weight[:12] *= 1e-3
        model.up.bias[:12] = 0
    fitted = drystone.compile(model, (x,), sparsify=drystone.Sparsify("channels", 0.25))
    assert relative_error(fitted(x).float(), model(x).detach().float()) < 2e-2


def test_less_is_computed() -> None:
    """Half the channels of a chain of convolutions are a quarter of the work, and less time."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(64, 64, 3, padding=1) for _ in range(4)]
    model, x = (
        nn.Sequential(nn.Conv2d(3, 64, 1), *layers, nn.Conv2d(64, 3, 1)).eval(),
        torch.randn(1, 3, 32, 32),
    )
    whole = drystone.compile(model, (x,))
    half = drystone.compile(model, (x,), sparsify=drystone.Sparsify("channels", 0.5))
    work = [sum(call.flops for call in each.manifest.kernels) for each in (half, whole)]
    assert work[0] < 0.3 * work[1] and half.memory.weights < 0.3 * whole.memory.weights
    assert half.memory.arena < 0.6 * whole.memory.arena
    taken: list[list[float]] = [[], []]
    for _ in range(15):
        for each, times in zip((half, whole), taken, strict=True):
            began = time.perf_counter()
            each(x)
            times.append(time.perf_counter() - began)
    assert min(taken[0]) < 0.8 * min(taken[1])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("channels", "what part of the channels are zeros"),
        (drystone.Sparsify("heads", 1.0), "1.0 is no part of the heads"),
        (drystone.Sparsify("channels", 0.5, "sparsegpt"), "go by what they contribute"),
        (drystone.Sparsify("channels", 0.5, "wanda"), "give calibration="),
        ({"nothing": drystone.Sparsify("channels", 0.5)}, "'nothing' matches no weight"),
        ("rows", "names no pattern of zeros"),
    ],
    ids=str,
)
def test_what_is_refused(asked: Any, message: str) -> None:
    with pytest.raises(drystone.UserError, match=message):
        drystone.compile(Block().eval(), (torch.randn(1, 6, 32),), sparsify=asked)
