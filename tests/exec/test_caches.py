"""Caches in bytes: a decoder whose keys and values are held as codes, beside the same in f32."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drystone

ROOM, HEADS, GROUPS, WIDTH = 40, 4, 2, 16


class Layer(nn.Module):
    """Attention with a cache; positions before heads where `flat`."""

    def __init__(self, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.project = nn.Linear(HEADS * WIDTH, (HEADS + 2 * GROUPS) * WIDTH)
        shape = (1, ROOM, GROUPS, WIDTH) if flat else (1, GROUPS, ROOM, WIDTH)
        self.register_buffer("keys", torch.zeros(shape))
        self.register_buffer("values", torch.zeros(shape))

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x).split([HEADS * WIDTH, GROUPS * WIDTH, GROUPS * WIDTH], -1)
        q = q.view(1, -1, HEADS, WIDTH).transpose(1, 2)
        k, v = (each.view(1, -1, GROUPS, WIDTH) for each in (k, v))
        mask = (at[:, None] >= torch.arange(ROOM))[None, None]
        if self.flat:
            keys, values = (
                cache.index_copy_(1, at, new).transpose(1, 2)
                for cache, new in ((self.keys, k), (self.values, v))
            )
        else:
            keys = self.keys.index_copy_(2, at, k.transpose(1, 2))
            values = self.values.index_copy_(2, at, v.transpose(1, 2))
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=True)
        return x + y.transpose(1, 2).reshape(x.shape)


class Model(nn.Module):
    """Two layers."""

    def __init__(self, flat: bool = False) -> None:
        super().__init__()
        self.one, self.two = Layer(flat), Layer(flat)

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x, at), at)


def made(flat: bool = False) -> Model:
    torch.manual_seed(0)
    return Model(flat).eval()


COUNT = torch.export.Dim("count", min=1, max=ROOM)
SHAPES = ({1: COUNT}, {0: COUNT})


def steps(model: Any, lengths: tuple[int, ...] = (9, 1, 1, 3, 1)) -> torch.Tensor:
    """What a model gives for rows that come in several calls."""
    torch.manual_seed(1)
    found, first = [], 0
    with torch.no_grad():
        for length in lengths:
            found.append(model(torch.randn(1, length, HEADS * WIDTH), torch.arange(first, first + length)))
            first += length
    return torch.cat(found, 1)


def compiled(model: nn.Module, caches: Any, **more: Any) -> Any:
    example = (torch.randn(1, 5, HEADS * WIDTH), torch.arange(5))
    return drystone.compile(model, example, dynamic_shapes=SHAPES, caches=caches, **more)


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("flat", [False, True])
def test_rows_are_rounded_once(flat: bool) -> None:
    model, plain = compiled(made(flat), "int8"), compiled(made(flat), None)
    want = steps(made(flat))
    assert error(steps(plain), want) < 1e-5
    assert 1e-5 < error(steps(model), want) < 5e-3
    rows = 2 * 2 * GROUPS * ROOM
    assert (plain.memory.states, model.memory.states) == (4 * rows * WIDTH, rows * (WIDTH + 4))


def test_by_names_and_again_from_the_start(tmp_path: Path) -> None:
    keys = compiled(made(), {r"one\.keys": "int8", r"two\..*": None, ".*": "int8"})
    row = GROUPS * ROOM
    assert keys.memory.states == 2 * row * (WIDTH + 4) + 2 * row * 4 * WIDTH
    first = steps(keys)
    loaded = drystone.load(keys.save(tmp_path / "model.dry"))
    keys.reset()
    assert torch.equal(steps(keys), first)
    assert torch.equal(steps(loaded), first)


def test_with_other_precisions() -> None:
    model = compiled(made(), "int8", options=drystone.Options(compute="bf16"))
    assert error(steps(model, (33, 1)), steps(made(), (33, 1))) < 3e-2
    model = compiled(made(), "int8", quantize="int8")
    assert error(steps(model), steps(made())) < 3e-2


@pytest.mark.parametrize(
    ("caches", "said"),
    [
        ("int3", "attention reads no keys and values held as 'int3'"),
        ({"three.*": "int8"}, r"'three\.\*' matches no state .* one.keys, one.values, two.keys"),
        (8, "attention reads no keys and values held as 8"),
    ],
)
def test_what_cannot_be(caches: Any, said: str) -> None:
    with pytest.raises(drystone.UserError, match=f"(?s){said}"):
        compiled(made(), caches)


def test_a_cache_that_is_a_result_too_is_not_one() -> None:
    class Shown(Layer):
        def forward(self, x: torch.Tensor, at: torch.Tensor) -> Any:
            return super().forward(x, at), self.keys

    model = compiled(Shown(), {".*values": "int8"})
    assert model.memory.states == GROUPS * ROOM * (WIDTH + 4) + GROUPS * ROOM * 4 * WIDTH
    with pytest.raises(drystone.UserError, match=r"(?s)matches no state.*can be held as codes: values"):
        compiled(Shown(), {".*keys": "int8"})


def test_a_cache_that_is_read_elsewhere_is_not_one() -> None:
    class Seen(Layer):
        def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
            return super().forward(x, at) + self.keys.sum() + self.values.sum()

    with pytest.raises(drystone.UserError, match=r"(?s)matches no state.*index_copy_"):
        compiled(Seen(), "int8")
