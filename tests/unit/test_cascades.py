"""The passes over the keys of attention, counted by hand for the ways it is written."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from drystone import frontend, passes, targets
from drystone.ir.context import new_context


def usual(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.transpose(2, 3)).softmax(-1) @ v


def spelled_out(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(2, 3) * 0.5
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (weights / weights.sum(-1, keepdim=True)) @ v


def divided_last(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(2, 3)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (weights @ v) / weights.sum(-1, keepdim=True)


def without_peak(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.exp(q @ k.transpose(2, 3))
    return (weights @ v) / weights.sum(-1, keepdim=True)


def whole(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v)


def gated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.silu(q @ k.transpose(2, 3)) @ v


def flat(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    return torch.bmm(torch.bmm(q, k.transpose(1, 2)).unflatten(0, (1, 2)).softmax(-1).flatten(0, 1), v)


#: As it is written, and as it is compiled.
CASES: dict[str, tuple[Callable[..., Tensor], list[int], list[int]]] = {
    "usual": (usual, [3], [1]),
    "spelled out": (spelled_out, [3], [1]),
    "divided last": (divided_last, [2], [1]),
    "without a peak": (without_peak, [1], [1]),
    "whole": (whole, [1], [1]),
    "no softmax": (gated, [], []),
    "flat": (flat, [3], [1]),
}


class Written(torch.nn.Module):
    """A function as a model."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.function(q, k, v)


@pytest.mark.parametrize("name", CASES)
def test_passes_over_the_keys(name: str) -> None:
    function, written, compiled = CASES[name]
    inputs = tuple(torch.randn(3, 1, 2, 6, 4).unbind())
    program = frontend.import_model(Written(function).eval(), inputs, ctx=new_context())
    before = passes.cascades(program)
    assert [each.passes for each in before] == written
    assert all("test_cascades.py" in each.where for each in before)
    passes.run(program, passes.pipeline(targets.resolve("cpu:avx512")))
    assert [each.passes for each in passes.cascades(program)] == compiled


class Gated(torch.nn.Module):
    """Layers with a softmax between them: what they multiply by are weights, not keys."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = torch.nn.Linear(8, 12), torch.nn.Linear(12, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.one(x).softmax(-1))


def test_layers_around_a_softmax_are_no_attention() -> None:
    program = frontend.import_model(Gated().eval(), (torch.randn(5, 8),), ctx=new_context())
    assert passes.cascades(program) == []
    passes.run(program, passes.pipeline(targets.resolve("cpu:avx512")))
    assert passes.cascades(program) == []
