"""Models computed some features at a time against torch, within budgets that only this meets."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drystone
from benchmarks.models import EncoderBlock
from drystone import frontend, passes, targets
from drystone.ir.context import new_context
from drystone.ir.interpreter import run as interpret
from drystone.ir.pieces import Grid, Span
from drystone.ir.windows import computing, is_view
from drystone.passes.pipeline import fusing
from drystone.runtime.fitted import Fitted

MIB = 1 << 20


class Gated(nn.Module):
    """The MLP of a decoder, with its norm and residual."""

    def __init__(self, width: int = 128, hidden: int = 1024) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Bottleneck(nn.Module):
    """Channels expanded, each convolved, pooled, and projected."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depthwise = nn.Conv2d(16, 128, 1), nn.Conv2d(128, 128, 3, 1, 1, groups=128)
        self.project = nn.Conv2d(128, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.depthwise(F.relu6(self.expand(x)))
        return F.relu(self.project(F.max_pool2d(F.relu6(y), 2)))


class Decoder(nn.Module):
    """Words, MLPs, and a projection onto the vocabulary."""

    def __init__(self, words: int = 8192, width: int = 256, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.layers = nn.Sequential(*(Gated(width, 768) for _ in range(layers)))
        self.head = nn.Linear(width, words, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(self.words(ids)))


def _made(model: nn.Module, x: torch.Tensor, ram: object, compute: str | None = None) -> Fitted:
    options = drystone.Options(compute=compute)
    return drystone.compile(model, (x,), budget=drystone.Budget(ram=ram), options=options)


@pytest.mark.parametrize(
    ("rows", "compute", "part"),
    [([1, 40], None, 0.4), ([1], None, 0.5), ([2, 1, 64], "bf16", 0.4)],
)
def test_hidden_features_are_never_all_there(rows: Sequence[int], compute: str | None, part: float) -> None:
    torch.manual_seed(0)
    model, x = Gated().eval(), torch.randn(*rows, 128)
    whole = _made(model, x, None, compute)
    budget = int(part * whole.memory.arena)
    fitted = _made(model, x, {"ram": budget}, compute)
    assert fitted.memory.arena <= budget
    rounding = 1e-5 if compute is None else 2e-2
    torch.testing.assert_close(fitted(x), model(x), rtol=rounding, atol=rounding)
    # Parts of the weights are all of them, and nothing is computed twice.
    assert fitted.memory.weights == whole.memory.weights
    assert (fitted.manifest.patched and sum(rows) > 1) or fitted.manifest.patched[0].features
    assert sum(k.flops for k in fitted.manifest.kernels) < 1.1 * sum(k.flops for k in whole.manifest.kernels)
    assert "piece by piece (" in str(fitted.report())


class Positioned(nn.Module):
    """Positions are added and the sum is normalized in one kernel of two results, of which one dies early."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.block = nn.Parameter(torch.randn(1, 16, 32)), EncoderBlock(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.block(x + self.positions)
        return found


def test_results_of_one_kernel_live_as_long_as_each_is_read() -> None:
    torch.manual_seed(0)
    model, x = Positioned().eval(), torch.randn(1, 16, 32)
    token = 16 * 32 * 4
    # The hidden features, the residual and its norm; queries, keys and values, their result and the residual.
    assert _made(model, x, None).memory.arena == 6 * token
    fitted = _made(model, x, {"ram": 5 * token})
    assert fitted.memory.arena == 5 * token
    torch.testing.assert_close(fitted(x), model(x), rtol=1e-5, atol=1e-5)


def test_channels_of_a_bottleneck() -> None:
    torch.manual_seed(0)
    model, x = Bottleneck().eval(), torch.randn(1, 16, 14, 14)
    program = frontend.import_model(model, (x,), ctx=new_context())
    passes.run(program, fusing(targets.resolve("cpu")))
    (wanted,) = interpret(program, [x.numpy()])
    numbers = [k for k, op in enumerate(computing(program)) if op.operation.name.startswith("dry.")]
    span = Span(numbers[0], numbers[-1], Grid((4,)), summed=True, features=True)
    before = {key: program.weights[key].nbytes for key in program.weights}
    passes.run(program, passes.outlining((span,)))
    (found,) = interpret(program, [x.numpy()])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-5, atol=1e-5)
    assert sum(program.weights[key].nbytes for key in program.weights) == sum(before.values())


def test_a_vocabulary_is_projected_on_in_parts() -> None:
    """The head has most of the weights: read as a whole, no budget below it could be met."""
    torch.manual_seed(0)
    model, ids = Decoder().eval(), torch.randint(0, 8192, (1, 1))
    head = 8192 * 256 * 4
    for budget in (9 * MIB, 5 * MIB):
        assert budget < head + 2 * MIB
        fitted = _made(model, ids, budget)
        assert fitted.memory.resident + fitted.memory.arena <= budget
        assert fitted.memory.weights == _made(model, ids, None).memory.weights
        (part, *_) = [each for each in fitted.manifest.patched if "head" in each.last]
        assert part.features and part.operations == 1
        for _ in range(2):
            torch.testing.assert_close(fitted(ids), model(ids), rtol=1e-4, atol=1e-4)
    with pytest.raises(drystone.UserError, match="about ram=4206592, with layers computed piece by piece"):
        _made(model, ids, 3 * MIB)


def test_pieces_stay_apart() -> None:
    """Parts of one product read the same rows; they are not made by one kernel, all at once."""
    torch.manual_seed(0)
    model, x = Gated().eval(), torch.randn(40, 128)
    program = frontend.import_model(model, (x,), ctx=new_context())
    passes.run(program, fusing(targets.resolve("cpu")))
    found = [k for k, op in enumerate(computing(program)) if not is_view(op)]
    span = Span(found[1], found[-1], Grid((4,)), summed=True, features=True)
    passes.run(program, passes.outlining((span,)))
    kernels = [op.operation.attributes["callee"].value for op in computing(program) if "call" in str(op)]
    # The norm, and in each of the pieces the gate beside what it is for, then the sum.
    assert len(kernels) == 1 + 4 * 2
    assert len(set(kernels)) == 1 + 1 + 3
