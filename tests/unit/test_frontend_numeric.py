"""Imported models, run by the reference interpreter, agree with torch."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from drystone.frontend import import_model
from drystone.ir import interpreter
from drystone.ir.context import new_context
from drystone.runtime.tree import flatten

BATCH = torch.export.Dim("batch", min=2, max=64)
SEQ = torch.export.Dim("seq", min=2, max=16)


def agree(model: nn.Module, *calls: tuple[Any, ...], dynamic_shapes: Any = None) -> None:
    """Import the model with the first call's inputs; every call, in turn, must give torch's results."""
    model = model.eval()
    program = import_model(copy.deepcopy(model), calls[0], ctx=new_context(), dynamic_shapes=dynamic_shapes)
    states = [program.weights[key] for key in program.signature.initial]
    for inputs in calls:
        leaves = flatten((inputs, {}), program.signature.in_tree)
        results = interpreter.run(program, [*(leaf.numpy() for leaf in leaves), *states])
        with torch.no_grad():
            expected = flatten(model(*inputs), program.signature.out_tree)
        assert len(results) == len(expected) + len(states)
        for got, wanted in zip(results, expected, strict=False):
            wanted = wanted.numpy()
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
        states = results[len(expected) :]


class Apply(nn.Module):
    """A function as a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def random_norms(model: nn.Module) -> nn.Module:
    """Statistics and gains that are not the identity's."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (*part.buffers(), *(p.data for p in part.parameters())):
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 2)
    return model


def test_mlp() -> None:
    agree(nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 4), nn.Softmax(-1)), (torch.randn(2, 3, 6),))


def test_cnn_with_batch_norm_and_dynamic_batch() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8, affine=False),
        nn.ReLU6(),
        nn.AvgPool2d(2, 1, 1),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
        nn.LogSoftmax(1),
    )
    calls = [(torch.randn(n, 3, 21, 21),) for n in (2, 5)]
    agree(random_norms(model), *calls, dynamic_shapes=({0: BATCH},))


def test_convolutions_and_pools_of_every_rank() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2)
            self.one, self.three = nn.ConvTranspose1d(6, 3, 4, dilation=2), nn.Conv3d(1, 2, 2)

        def forward(self, x: torch.Tensor) -> Any:
            y = self.two(x)
            return (
                y,
                self.one(y[:, :, 0]),
                self.three(x[:, None, :3]),
                F.max_pool3d(x, 2),
                F.max_pool1d(x[0], 2, dilation=2, padding=1),
                F.avg_pool1d(x[0], 2, ceil_mode=True, count_include_pad=False),
                F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, divisor_override=5),
                F.adaptive_avg_pool2d(x, (5, 2)),
                F.adaptive_avg_pool2d(x, (3, 4)),
            )

    agree(Windows(), (torch.randn(2, 4, 5, 6),))


def test_attention_of_every_kind() -> None:
    def every(q: Any, k: Any, v: Any, keep: Any, bias: Any) -> Any:
        attend = F.scaled_dot_product_attention
        wide = [t.repeat_interleave(2, 1) for t in (k, v)]
        return (
            attend(q, k, v, is_causal=True, enable_gqa=True),
            attend(q, *wide, attn_mask=keep, scale=0.3),
            attend(q[:, 0], k[:, 0], v[:, 0], attn_mask=bias),
            attend(q[:, 0], k[:, 0], v[:, 0], attn_mask=keep[:, 0]),
            attend(q[0, 0], k[0, 0], v[0, 0]),
            attend(q[None], q[None], q[None], attn_mask=bias[:, :6]),
            attend(q[:, :1], k, v),  # heads that are broadcast: not whole
        )

    keep = torch.rand(2, 1, 6, 7) > 0.3
    keep[..., 0] = True
    shapes = [(2, 4, 6, 8), (2, 2, 7, 8), (2, 2, 7, 5)]
    agree(Apply(every), (*(torch.randn(*shape) for shape in shapes), keep, torch.randn(6, 7)))


def test_transformer_block_with_dynamic_batch_and_length() -> None:
    model = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True, activation="gelu")
    agree(
        model,
        (torch.randn(2, 5, 16),),
        (torch.randn(3, 9, 16),),
        dynamic_shapes={"src": {0: BATCH, 1: SEQ}},
    )


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers(layer: Any, biased: bool) -> None:
    model = layer(6, 5, 2, bidirectional=True, batch_first=True, bias=biased)
    state = torch.randn(4, 3, 5)
    given = (state, torch.randn(4, 3, 5)) if layer is nn.LSTM else state
    agree(model, (torch.randn(3, 4, 6), given))


def test_recurrent_layers_with_dynamic_batch_and_projections() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.GRU(4, 4), nn.LSTM(4, 3, proj_size=2)

        def forward(self, x: torch.Tensor) -> Any:
            y, last = self.a(x)
            return self.b(y)[0], last

    agree(Both(), (torch.randn(3, 2, 4),), (torch.randn(3, 5, 4),), dynamic_shapes=({1: BATCH},))


class Decoder(nn.Module):
    """A Llama-style block: rotary positions, grouped queries, a cache, a gated feed-forward part."""

    def __init__(self, width: int = 32, heads: int = 4, groups: int = 2, length: int = 16) -> None:
        super().__init__()
        self.heads, self.groups, self.size, self.length = heads, groups, width // heads, length
        self.table = nn.Embedding(50, width)
        self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, groups * self.size, bias=False) for _ in range(2))
        self.up, self.gate = (nn.Linear(width, 64, bias=False) for _ in range(2))
        self.down, self.norm = nn.Linear(64, width, bias=False), nn.RMSNorm(width, eps=1e-5)
        self.gain = nn.Parameter(torch.rand(width))
        self.register_buffer(
            "pace", 1 / 10000 ** (torch.arange(0, self.size, 2) / self.size), persistent=False
        )
        self.register_buffer("keys", torch.zeros(1, groups, length, self.size))
        self.register_buffer("values", torch.zeros(1, groups, length, self.size))

    def turn(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            angle = torch.outer(at.float(), self.pace)
        a, b = x.chunk(2, -1)
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)

    def forward(self, ids: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        x = self.table(ids)
        batch, steps, _ = x.shape
        y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.gain
        q, k, v = (f(y).view(batch, steps, -1, self.size).transpose(1, 2) for f in (self.q, self.k, self.v))
        self.keys[:, :, at] = self.turn(k, at)
        self.values.index_copy_(2, at, v)
        mask = torch.arange(self.length)[None, :] <= at[:, None]
        a = F.scaled_dot_product_attention(
            self.turn(q, at), self.keys, self.values, attn_mask=mask[None, None], enable_gqa=True
        )
        x = x + self.o(a.transpose(1, 2).reshape(batch, steps, -1))
        y = self.norm(x)
        return F.linear(x + self.down(F.silu(self.gate(y)) * self.up(y)), self.table.weight)


def test_decoder_with_a_cache_over_several_calls() -> None:
    calls = [
        (torch.randint(0, 50, (1, n)), torch.arange(first, first + n))
        for first, n in ((0, 5), (5, 3), (8, 2))
    ]
    agree(Decoder(), *calls, dynamic_shapes=({1: SEQ}, {0: SEQ}))


def test_cache_updates_by_slices() -> None:
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.randn(4, 8))

        def forward(self, x: torch.Tensor, at: torch.Tensor) -> Any:
            self.kept[1:3] = x
            self.kept.index_put_((at,), x.sum(0, keepdim=True))
            self.kept.mul_(2)
            return self.kept.sum(0), self.kept[:, ::2]

    call = (torch.randn(2, 8), torch.tensor([3]))
    agree(Cache(), call, call)


def test_vision_transformer_with_dynamic_batch() -> None:
    class Vision(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
            self.first = nn.Parameter(torch.randn(1, 1, 16))
            self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

        def forward(self, x: torch.Tensor) -> Any:
            x = self.patch(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1)
            n, t, c = x.shape
            q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
            by_hand = torch.softmax((q @ k.transpose(-2, -1)) * 0.5, -1) @ v
            whole = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
            return self.out(whole)[:, 0], by_hand

    calls = [(torch.randn(n, 3, 8, 8),) for n in (2, 3)]
    agree(Vision(), *calls, dynamic_shapes=({0: BATCH},))


def test_a_mixed_bag() -> None:
    def bag(x: torch.Tensor, i: torch.Tensor, more: dict[str, Any]) -> Any:
        return {
            "scans": [
                x.cumsum(1),
                x.cumprod(0),
                i.cumsum(0),
                (x > 0).cumsum(1),
                x.cumsum(0, dtype=torch.float64),
            ],
            "order": (torch.sort(x)[0], torch.topk(x, 2)[1], x.argmax(1), x.argmin(), x.isfinite()),
            "parts": (torch.gather(x, 1, i[:, None]), x[1:, ::2], torch.roll(x, 1), torch.roll(x, 1, 0)),
            "norms": (
                F.group_norm(x[None], 2),
                x.norm(dim=1),
                x.std(1),
                torch.native_layer_norm(x, [6], None, None, 0),
            ),
            "products": (
                x.double() @ x.double().t(),
                i[:, None] @ i[None],
                torch.mv(x, x[0]),
                x @ x.t(),
                x[None] @ x.t(),
            ),
            "sums": (
                torch.addmm(x[0], x, torch.eye(6)),
                torch.addmm(x[0], x, torch.eye(6), beta=2),
                torch.bmm(x[None], x.t()[None]),
            ),
            "points": (1 / x, x**2, x.abs() ** 0.5, x**3, x.reciprocal(), torch.where(x > 0, x, 0.0)),
            "nested": more["a"] + more["b"][0],
            "grown": F.interpolate(x[None, None], scale_factor=2, mode="bilinear"),
        }

    more = {"a": torch.ones(2), "b": [torch.ones(1)]}
    agree(Apply(bag), (torch.randn(4, 6), torch.tensor([0, 1, 2, 3]), more))


def test_empty_tensors() -> None:
    agree(Apply(lambda x: (x.view(0, 6), F.unfold(x, 2, padding=1))), (torch.randn(0, 1, 2, 3),))
