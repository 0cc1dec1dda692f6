"""Attention written by hand, compiled: one kernel, and what torch computes in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import drystone

B, H, S, D = 2, 4, 40, 16
AT = torch.arange(S)
TRIANGLE = AT[None] <= AT[:, None]


class Written(torch.nn.Module):
    """A function as a model, with a buffer."""

    def __init__(self, function: Callable[..., Tensor], kept: Tensor) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("kept", kept)

    def forward(self, *args: Tensor) -> Tensor:
        return self.function(*args, self.kept) if self.kept.numel() else self.function(*args)


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(D), -1) @ v


def einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    weights = (torch.einsum("bshd,bthd->bhst", q, k) * D**-0.5).masked_fill(~TRIANGLE, -math.inf)
    return torch.einsum("bhst,bthd->bshd", weights.softmax(-1), v)


def flat(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    q, k, v = (x.reshape(B * H, S, D) for x in (q, k, v))
    scores = torch.bmm(q * D**-0.5, k.transpose(1, 2)).view(B, H, S, S) + mask
    return torch.bmm(scores.view(B * H, S, S).softmax(-1), v).view(B, H, S, D)


def groups(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = k[:, ::2].repeat_interleave(2, 1), v[:, ::2, None].expand(-1, -1, 2, -1, -1).reshape(B, H, S, D)
    bias = torch.triu(torch.full((S, S), torch.finfo(torch.float32).min), 1)
    return ((q * D**-0.5) @ k.transpose(2, 3) + bias).softmax(-1) @ v


def buffer(q: Tensor, k: Tensor, v: Tensor, kept: Tensor) -> Tensor:
    scores = (q @ k.transpose(-2, -1)).masked_fill(kept[:, :, :S, :S] == 0, -math.inf)
    return scores.softmax(-1) @ v


def window(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    near = TRIANGLE & ((AT[:, None] - AT[None] < 5) | (AT[None] < 2))
    return torch.where(near, q @ k.transpose(2, 3), -math.inf).softmax(-1) @ v


def local(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v, (AT[:, None] - AT[None]).abs() < 7)


def lengths(q: Tensor, k: Tensor, v: Tensor, n: Tensor) -> Tensor:
    at = torch.arange(q.shape[2])
    live = (at[None] < n[:, None])[:, None, None] & (at[None] <= at[:, None])
    return functional.scaled_dot_product_attention(q, k, v, live)


def slopes(q: Tensor, k: Tensor, v: Tensor, kept: Tensor) -> Tensor:
    scores = q @ k.transpose(2, 3) + kept * (AT[None] - AT[:, None])
    return scores.masked_fill(~TRIANGLE, -math.inf).softmax(-1) @ v


def padded(q: Tensor, k: Tensor, v: Tensor, live: Tensor, bias: Tensor) -> Tensor:
    scores = q @ k.transpose(2, 3) + bias
    return scores.masked_fill(~live[:, None, None, :], -math.inf).softmax(-1) @ v


def tiles(q: Tensor, k: Tensor, v: Tensor, kept: Tensor) -> Tensor:
    q, k, v = (x.repeat(1, 1, 4, 1) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, kept)


def by_blocks() -> Tensor:
    """Tiles of 64 x 64 on the diagonal and some others, one of them a band."""
    mask = torch.block_diag(*[torch.ones(64, 64)] * 3)[: 4 * S, : 4 * S].bool()
    mask[:64, 70:72] = True
    mask[64:128, 130:] = torch.eye(64, 30).bool()
    return mask


#: What a model takes besides q, k and v; the buffer; how many operands the attention has, and how it masks.
CASES: dict[str, tuple[Callable[..., Tensor], list[Tensor], Tensor, str]] = {
    "plain": (plain, [], torch.zeros(0), "1, 1, 1, 0, 0, 0"),
    "einsum": (einsum, [], torch.zeros(0), "1, 1, 1, 0, 0, 0"),
    "flat": (flat, [torch.randn(B, 1, S, S)], torch.zeros(0), "1, 1, 1, 1, 0, 0"),
    "groups": (groups, [], torch.zeros(0), "1, 1, 1, 0, 0, 0"),
    "buffer": (buffer, [], torch.ones(64, 64).tril().view(1, 1, 64, 64), "1, 1, 1, 0, 0, 0"),
    "window": (window, [], torch.zeros(0), "1, 1, 1, 0, 1, 0"),
    "local": (local, [], torch.zeros(0), "1, 1, 1, 0, 1, 0"),
    "lengths": (lengths, [torch.tensor([5, 33])], torch.zeros(0), "1, 1, 1, 0, 1, 0"),
    "slopes": (slopes, [], torch.tensor([0.5, 0.25, 0.1, 0.05])[:, None, None], "1, 1, 1, 1, 0, 0"),
    "padded": (padded, [torch.rand(B, S) > 0.4, torch.randn(1, H, S, S)], torch.zeros(0), "1, 1, 1, 1, 0, 0"),
    "tiles": (tiles, [], by_blocks(), "1, 1, 1, 1, 0, 1"),
}


def attention_kernels(model: torch.nn.Module, inputs: tuple[Tensor, ...], tmp_path: Any) -> list[str]:
    """The attention operations of the last program a compilation dumped."""
    text = sorted(tmp_path.glob("*_outline-kernels.mlir"))[-1].read_text()
    return [line for line in text.splitlines() if '"dry.attention"' in line]


@pytest.mark.parametrize("name", CASES)
def test_attention_by_hand_is_one_kernel(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    function, others, kept, operands = CASES[name]
    model = Written(function, kept).eval()
    inputs = (*torch.randn(3, B, H, S, D).unbind(), *others)
    monkeypatch.setenv("DRYSTONE_DUMP", str(tmp_path))
    fitted = drystone.compile(model, inputs)
    found = attention_kernels(model, inputs, tmp_path)
    assert len(found) == 1 and f"<i32: {operands}, 0, 0>" in found[0]
    assert not any(call.kind in ("matmul", "softmax") for call in fitted.manifest.kernels)
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    expected = model.double()(*wide).numpy()
    np.testing.assert_allclose(fitted(*inputs).numpy(), expected, rtol=1e-4, atol=1e-5)
