"""drystone.ops.attention: in torch and compiled, against masks written out in float64."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import drystone
import drystone.ops
from drystone import UserError

B, H, G, S, D = 2, 4, 2, 70, 16


class Model(torch.nn.Module):
    """One attention with fixed limits; the tensor it takes is the one of this name."""

    def __init__(self, tensor: str | None = None, **limits: Any) -> None:
        super().__init__()
        self.tensor, self.limits = tensor, limits

    def forward(self, q: Tensor, k: Tensor, v: Tensor, given: Tensor | None = None) -> Tensor:
        tensors = {} if self.tensor is None else {self.tensor: given}
        return drystone.ops.attention(q, k, v, **tensors, **self.limits)


def by_mask(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """All scores, in float64."""
    return functional.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True)


AT = torch.arange(S)
NEAR = (AT[None] <= AT[:, None]) & (AT[:, None] - AT[None] < 9)
LENGTHS = torch.tensor([20, 66])
LIVE = (LENGTHS[:, None] > AT)[:, None, None]
OFFSETS = torch.tensor([0, 7, 41, S])
SEQUENCE = torch.bucketize(AT, OFFSETS[1:], right=True)
SAME = SEQUENCE[:, None] == SEQUENCE[None]
BLOCKS = torch.tensor([[[True, False, True, False, True], [False, True, True, True, False]]] * H)
TILES = BLOCKS.repeat_interleave(48, 1).repeat_interleave(16, 2)[:, :S, :S]

CASES: dict[str, tuple[Model, Tensor | None, Tensor]] = {
    "window": (Model(causal=True, window=9), None, NEAR),
    "both sides": (Model(window=9), None, (AT[:, None] - AT[None]).abs() < 9),
    "sinks": (
        Model(causal=True, window=9, sinks=3),
        None,
        NEAR | ((AT[None] < 3) & (AT[None] <= AT[:, None])),
    ),
    "lengths": (Model("lengths"), LENGTHS, LIVE),
    "packed": (Model("offsets", causal=True), OFFSETS, SAME & (AT[None] <= AT[:, None])),
    "blocks": (Model("blocks", tile=(48, 16)), BLOCKS, TILES),
    "mask": (Model("mask", causal=True), LIVE, LIVE & (AT[None] <= AT[:, None])),
}


def check(model: Model, q: Tensor, k: Tensor, v: Tensor, given: Tensor | None, seen: Tensor) -> None:
    """In torch, and compiled."""
    inputs = (q, k, v) if given is None else (q, k, v, given)
    expected = by_mask(q.double(), k.double(), v.double(), seen).numpy()
    np.testing.assert_allclose(model(*inputs).numpy(), expected, rtol=1e-4, atol=1e-5)
    fitted = drystone.compile(model.eval(), inputs)
    assert sum(call.kind == "attention" for call in fitted.manifest.kernels) == 1
    np.testing.assert_allclose(fitted(*inputs).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_limits(name: str) -> None:
    torch.manual_seed(0)
    model, given, seen = CASES[name]
    images = 1 if name == "packed" else B
    q, k, v = torch.randn(images, H, S, D), torch.randn(images, G, S, D), torch.randn(images, G, S, D)
    check(model, q, k, v, given, seen)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_queries_are_the_last_of_the_keys(lengths: Tensor | None) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(B, H, 3, D), torch.randn(B, G, S, D), torch.randn(B, G, S, D)
    last = torch.tensor([S, S]) if lengths is None else lengths
    position = (last[:, None] - 3 + torch.arange(3))[:, None, :, None]
    seen = (position >= AT) & (position - AT < 30)
    check(Model(None if lengths is None else "lengths", causal=True, window=30), q, k, v, lengths, seen)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"sinks": 2}, "there is no window"),
        ({"window": 0}, "a window of 0 keys"),
        ({"blocks": BLOCKS, "tile": (10, 10)}, "multiples of 16 and 8"),
        ({"offsets": OFFSETS, "lengths": LENGTHS}, "neither lengths nor sinks"),
    ],
)
def test_limits_that_do_not_fit(limits: dict[str, Any], message: str) -> None:
    q = torch.zeros(1, 1, 4, 4)
    with pytest.raises(UserError, match=message):
        drystone.ops.attention(q, q, q, **limits)
    assert math.isfinite(drystone.ops.attention(q, q, q).sum().item())
