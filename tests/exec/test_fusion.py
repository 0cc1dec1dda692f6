"""What fusion makes of whole models: fewer kernels, and the results of float64."""

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F

import drystone

ROWS = Dim("rows", min=1, max=8)


def fused(model: nn.Module, *inputs: Any, shapes: Any = None) -> Counter[str]:
    """Compile, compare with the model in float64, and count the kernels of each kind."""
    model.eval()
    fitted = drystone.compile(copy.deepcopy(model), inputs, dynamic_shapes=shapes)
    got = fitted(*inputs)
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    want = copy.deepcopy(model).double()(*wide)
    pairs = [(got, want)] if isinstance(got, torch.Tensor) else list(zip(got, want, strict=True))
    for one, other in pairs:
        torch.testing.assert_close(one.to(other.dtype), other, rtol=2e-5, atol=2e-5)
    return Counter(call.name.split("_")[0] for call in fitted.manifest.kernels)


class Rotary(nn.Module):
    """Rotary positions with halves that are turned (`turn`) or spelled out."""

    def __init__(self, turn: bool) -> None:
        super().__init__()
        self.turn = turn
        self.project = nn.Linear(12, 32)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        q = self.project(x).view(1, x.shape[1], 4, 8).transpose(1, 2)
        low, high = q.chunk(2, -1)
        if self.turn:
            return q * cos + torch.cat([-high, low], -1) * sin
        c, s = cos[:, :4], sin[:, :4]
        return torch.cat([low * c - high * s, high * c + low * s], -1)


@pytest.mark.parametrize("turn", [True, False])
@pytest.mark.parametrize("shapes", [None, ({1: ROWS}, {0: ROWS}, {0: ROWS})])
def test_rotary_positions_are_one_map(turn: bool, shapes: Any) -> None:
    inputs = torch.randn(1, 5, 12), torch.randn(5, 8), torch.randn(5, 8)
    assert fused(Rotary(turn), *inputs, shapes=shapes) == {"matmul": 1, "map": 1}


def test_maps_of_one_tensor_are_one_kernel() -> None:
    class Tables(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return x.cos(), x.sin(), x > 0

    assert fused(Tables(), torch.randn(3, 5, 44)) == {"map": 1}


@pytest.mark.parametrize("shapes", [None, ({0: ROWS}, {0: ROWS})])
def test_a_chain_of_maps_with_several_results_is_one_kernel(shapes: Any) -> None:
    class Chain(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            total = x + y.exp()
            gate = total.sigmoid()
            return total, gate, gate * total - x

    assert fused(Chain(), torch.randn(3, 70), torch.randn(3, 70), shapes=shapes) == {"map": 1}


def test_a_gated_unit_reads_its_halves_in_place() -> None:
    class Gate(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.glu(x, -1)

    assert fused(Gate(), torch.randn(3, 5, 44)) == {"map": 1}


@pytest.mark.parametrize("shapes", [None, ({2: ROWS}, {0: ROWS})])
def test_rows_of_a_cache_are_replaced_by_one_kernel(shapes: Any) -> None:
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.randn(1, 2, 10, 4))

        def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            self.kept[:, :, at] = x
            return self.kept + 1

    x = torch.randn(1, 2, 3, 4)
    kinds = fused(Cache(), x, torch.tensor([2, -1, 5]), shapes=shapes)
    assert kinds["scatter"] == 1
    assert kinds["concat"] == 0
