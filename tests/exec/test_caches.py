"""Caches in bytes: a decoder whose keys and values are held as codes, beside the same in f32."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drystone
from drystone import Cache, Coded

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

    def __init__(self, one: bool = False, two: bool = False) -> None:
        super().__init__()
        self.one, self.two = Layer(one), Layer(two)

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x, at), at)


def made(*flat: bool) -> Model:
    torch.manual_seed(0)
    return Model(*flat).eval()


def layer() -> Layer:
    torch.manual_seed(0)
    return Layer().eval()


COUNT = torch.export.Dim("count", min=1, max=ROOM)
SHAPES = ({1: COUNT}, {0: COUNT})


def steps(
    model: Any, lengths: tuple[int, ...] = (9, 1, 1, 3, 1), dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """What a model gives for rows that come in several calls."""
    torch.manual_seed(1)
    found, first = [], 0
    with torch.no_grad():
        for length in lengths:
            x = torch.randn(1, length, HEADS * WIDTH).to(dtype)
            found.append(model(x, torch.arange(first, first + length)))
            first += length
    return torch.cat(found, 1)


def compiled(model: nn.Module, caches: Any, **more: Any) -> Any:
    example = (torch.randn(1, 5, HEADS * WIDTH), torch.arange(5))
    return drystone.compile(model, example, dynamic_shapes=SHAPES, caches=caches, **more)


def error(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: Coded(3), "2, 4 or 8 bits"),
        (lambda: Coded(by="channels"), "'channels'. names no neighbours"),
        (lambda: Coded(group=0), "a group has numbers"),
        (lambda: Coded(2, by="channel", group=24), "(?s)words of 16 codes.*give a group of 16 or 32"),
        (lambda: Coded(8, by="channel", group=3), "(?s)words of 4 codes.*give a group of 2 or 4"),
        (lambda: Cache("kivi2", Coded()), r"(?s)keys='kivi2'. says nothing of codes.*drystone.Coded"),
        (lambda: Cache(Coded(), Coded(), held="int8"), "is no element"),
        (lambda: Cache(Coded(), Coded(), window=-1), "a window has positions, or none"),
        (lambda: Cache(Coded(by="channel"), Coded()), "no whole groups of 32 positions"),
        (lambda: Cache(Coded(), Coded(by="channel"), window=40), "(?s)no whole groups.*window=64"),
        (
            lambda: Cache(Coded(2, "channel", 8), Coded(8, "channel", 12), window=16),
            "(?s)no whole groups of 24 positions.*window=24",
        ),
    ],
)
def test_formats_that_cannot_be(given: Callable[[], Any], said: str) -> None:
    with pytest.raises(drystone.UserError, match=said):
        given()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({(0, 0): "int8"}, "head 0 is named twice"),
        ({(0,): "int8", (1, 0): None}, "head 0 is named twice"),
        ({3: "int8"}, "3 names no heads"),
        ({(0,): "int3"}, "held as 'int3'"),
        ({(0,): drystone.Heads({})}, "held as Heads"),
    ],
)
def test_heads_that_cannot_be(given: Any, said: str) -> None:
    with pytest.raises(drystone.UserError, match=said):
        drystone.Heads(given)


#: One layer of each layout.
BOTH = (False, True)


def test_rows_are_rounded_once() -> None:
    model, want, rows = compiled(made(*BOTH), "int8"), steps(made()), 2 * 2 * GROUPS * ROOM
    assert 1e-5 < error(steps(model), want) < 5e-3
    assert model.memory.states == rows * (WIDTH + 4)
    plain = compiled(made(*BOTH), None)
    assert error(steps(plain), want) < 1e-5
    assert plain.memory.states == 4 * rows * WIDTH


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
    few = Cache(Coded(4, by="channel", group=8), Coded(4, group=8), window=24)
    for caches, off in (("int8", 3e-2), (few, 5e-2)):
        model = compiled(made(), caches, quantize="int8", options=drystone.Options(compute="bf16"))
        assert error(steps(model, (33, 1)), steps(made(), (33, 1))) < off


def rounded(x: torch.Tensor, bits: int, dim: int, group: int) -> torch.Tensor:
    """Numbers by the nearest of 2^bits even steps between the ends of their group."""
    cut = x.double().unflatten(dim, (-1, group))
    axis = dim % x.dim() + 1
    low, high = cut.amin(axis, keepdim=True), cut.amax(axis, keepdim=True)
    scale = ((high - low) / (2**bits - 1)).half().double()
    low = low.half().double()
    code = torch.where(scale == 0, 0.0, ((cut - low) / scale).round().clamp(0, 2**bits - 1))
    return (code * scale + low).flatten(axis - 1, axis)


class Simulated(Layer):
    """The same in float64 with all rows kept, of which those before the last `window` are rounded anew for
    every call: keys by groups of positions, values by groups of 16 numbers."""

    window = 16

    def __init__(self, keys: Coded, values: Coded) -> None:
        super().__init__()
        self.codes = keys, values

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x).split([HEADS * WIDTH, GROUPS * WIDTH, GROUPS * WIDTH], -1)
        q = q.view(1, -1, HEADS, WIDTH).transpose(1, 2)
        k, v = (each.view(1, -1, GROUPS, WIDTH).transpose(1, 2) for each in (k, v))
        self.keys, self.values = self.keys.index_copy(2, at, k), self.values.index_copy(2, at, v)
        recent = (torch.arange(ROOM) > at.max() - self.window)[:, None]
        keys, values = (
            torch.where(
                recent,
                held.bfloat16().double(),
                rounded(
                    held if own.block == 1 else held.bfloat16(), own.bits, 2 + (own.block == 1), own.group
                ),
            )
            for held, own in zip((self.keys, self.values), self.codes, strict=True)
        )
        mask = (at[:, None] >= torch.arange(ROOM))[None, None]
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=True)
        return x + y.transpose(1, 2).reshape(x.shape)


#: Groups of positions of a word of codes, of several words and of less than one; 40 positions are no whole
#: words of 16 codes.
CODED = [
    (Coded(4, by="channel", group=8), Coded(4, group=16)),
    (Coded(8, by="channel", group=8), Coded(4, group=16)),
    (Coded(4, by="channel", group=4), Coded(2, group=16, search=False)),
    (Coded(2, by="channel", group=8, search=False), Coded(8, group=16)),
    (Coded(2, by="channel", group=8, search=False), Coded(4, by="channel", group=2)),
]


@pytest.mark.parametrize(("keys", "values"), CODED)
def test_keys_by_channel(keys: Coded, values: Coded) -> None:
    wanted = Model()
    wanted.one, wanted.two = Simulated(keys, values), Simulated(keys, values)
    model = compiled(made(*BOTH), Cache(keys, values, window=16))
    for lengths in ((9, 1, 1, 3, 1, 1, 1, 1), (37, 1, 1), (1,) * 40):
        wanted.load_state_dict(made().state_dict())
        want = steps(wanted.double(), lengths, torch.float64)
        model.reset()
        assert error(steps(model, lengths), want) < 1e-4
        assert error(steps(made(), lengths), want) > 1e-3
    rows, ring = GROUPS * ROOM * WIDTH, 2 * GROUPS * 16 * WIDTH + 4 * GROUPS * 16
    words = GROUPS * WIDTH * 4
    codes = sum(words * -(-ROOM * own.bits // 32) + 4 * rows // own.group for own in (keys, values))
    assert codes + 2 * ring <= model.memory.states // 2 <= codes + 2 * ring + 8 * 64


def test_keys_and_values_are_told_apart() -> None:
    cache = Cache(Coded(4, by="channel", group=8), Coded(2, group=16), window=16)
    model = compiled(layer(), cache)
    other = compiled(layer(), {".*keys": cache, ".*values": Cache(Coded(8), cache.values, window=16)})
    assert torch.equal(steps(model, (33, 1)), steps(other, (33, 1)))


def test_codes_again_from_the_start(tmp_path: Path) -> None:
    model = compiled(layer(), Cache(Coded(4, "channel", 8), Coded(4, group=8), window=8))
    first = steps(model)
    loaded = drystone.load(model.save(tmp_path / "model.dry"))
    assert torch.equal(steps(model), first)  # a new sequence needs no reset
    model.reset()
    assert torch.equal(steps(model), first)
    assert torch.equal(steps(loaded), first)


class Streaming(Layer):
    """The same with all rows kept, of which a query of a head with `sinks` sees the first so many and the
    last nine up to its own; of one without (None) all up to its own."""

    sinks: tuple[int | None, ...] = (2, 2)

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x).split([HEADS * WIDTH, GROUPS * WIDTH, GROUPS * WIDTH], -1)
        q = q.view(1, -1, HEADS, WIDTH).transpose(1, 2)
        k, v = (each.view(1, -1, GROUPS, WIDTH).transpose(1, 2) for each in (k, v))
        self.keys, self.values = self.keys.index_copy(2, at, k), self.values.index_copy(2, at, v)
        key, query = torch.arange(ROOM), at[:, None]
        masks = [
            (query >= key) & ((key > query - 9) | (key < (ROOM if sinks is None else sinks)))
            for sinks in self.sinks
            for _ in range(HEADS // GROUPS)
        ]
        y = F.scaled_dot_product_attention(
            q, self.keys, self.values, attn_mask=torch.stack(masks)[None], enable_gqa=True
        )
        return x + y.transpose(1, 2).reshape(x.shape)


FEW, CALLS = torch.export.Dim("few", min=1, max=8), (5, 1, 1, 8, 8, 1, 1, 1, 3, 8)


def test_sinks_and_a_window_are_kept() -> None:
    model, got = in_few_rows(drystone.Keep(sinks=2, window=9), *BOTH)
    want = streaming((2, 2), (2, 2))
    assert error(got, want) < 1e-5 < 1e-2 < error(steps(made(), CALLS), want)
    kept, row = 2 + 9 + 8 - 1, 2 * GROUPS * WIDTH * 4
    assert model.memory.states == 2 * kept * (row + 8)
    model.reset()
    assert torch.equal(steps(model, CALLS), got)


def streaming(*sinks: tuple[int | None, ...]) -> torch.Tensor:
    """What the model gives where its layers' heads have so many sinks, for rows in calls of up to eight."""
    model = Model()
    model.one, model.two = Streaming(), Streaming()
    model.one.sinks, model.two.sinks = sinks
    model.load_state_dict(made().state_dict())
    return steps(model.double(), CALLS, torch.float64)


def in_few_rows(caches: Any, *flat: bool) -> tuple[Any, torch.Tensor]:
    """The model compiled for calls of up to eight rows, and what it gives for the same."""
    example = (torch.randn(1, 5, HEADS * WIDTH), torch.arange(5))
    model = drystone.compile(made(*flat), example, dynamic_shapes=({1: FEW}, {0: FEW}), caches=caches)
    return model, steps(model, CALLS)


def test_heads_that_keep_different_positions() -> None:
    keep = drystone.Keep(sinks=2, window=9)
    model, got = in_few_rows({r"one\..*": drystone.Heads({(1,): keep}), ".*": None}, True)
    assert error(got, streaming((None, 2), (None, None))) < 1e-5
    assert error(got, streaming((2, None), (None, None))) > 1e-2
    kept, row = 2 + 9 + 8 - 1, 2 * WIDTH * 4
    assert model.memory.states == 3 * ROOM * row + kept * (row + 8)


def test_positions_are_kept_as_codes() -> None:
    few = Cache(Coded(8, "channel", 8), Coded(8, group=8), window=8)
    caches = {r"one\..*": drystone.Keep(2, 9, encoding="int8"), ".*": drystone.Keep(8, 9, encoding=few)}
    model, got = in_few_rows(caches)
    want = streaming((2, 2), (8, 8))
    assert 1e-4 < error(got, want) < 5e-3
    assert torch.equal(steps(model, CALLS), got)
    rows, ring = GROUPS * WIDTH * (8 + 9 + 7), GROUPS * 8 * (2 * WIDTH + 4)
    factors = GROUPS * WIDTH * 3 * 4 + GROUPS * 24 * 2 * 4
    codes = 2 * (rows + ring) + factors
    assert 0 <= model.memory.states - 2 * GROUPS * 18 * (WIDTH + 4) - 8 * (18 + 24) - codes <= 8 * 64


class Chosen(Layer):
    """The same with all rows kept, of which each head forgets those of the least weights, but for two sinks
    and a window of five, as far as calls of up to eight rows would find no room beside four others."""

    sinks, window, room = 2, 5, 2 + 5 + 4 + 7

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[list[int]] = [[] for _ in range(GROUPS)]
        self.sums = torch.zeros(GROUPS, ROOM, dtype=torch.float64)

    def forget(self, head: int, at: torch.Tensor) -> None:
        """Make room for the positions of a call, and enter these."""
        first, sums = int(at[0]), self.sums[head]
        kept = [p for p in self.kept[head] if p < first]
        others = sorted((p for p in kept if self.sinks <= p <= first - self.window), key=lambda p: sums[p])
        gone = others[: max(0, len(kept) + len(at) - self.room)]
        self.kept[head] = [p for p in kept if p not in gone] + at.tolist()
        sums[at] = 0

    def count(self, at: torch.Tensor, weights: torch.Tensor) -> None:
        """What weights [groups, queries, positions] count."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x).split([HEADS * WIDTH, GROUPS * WIDTH, GROUPS * WIDTH], -1)
        q = q.view(1, -1, HEADS, WIDTH).transpose(1, 2)
        k, v = (each.view(1, -1, GROUPS, WIDTH).transpose(1, 2) for each in (k, v))
        self.keys, self.values = self.keys.index_copy(2, at, k), self.values.index_copy(2, at, v)
        mask = torch.zeros(GROUPS, len(at), ROOM, dtype=torch.bool)
        for head, own in enumerate(mask):
            self.forget(head, at)
            own[:, self.kept[head]] = True
        mask &= at[:, None] >= torch.arange(ROOM)
        shared = HEADS // GROUPS
        keys, values, mask = (
            each.repeat_interleave(shared, -3) for each in (self.keys, self.values, mask[None])
        )
        weights = (q @ keys.mT * WIDTH**-0.5).masked_fill(~mask, -torch.inf).softmax(-1)
        self.count(at, weights[0].unflatten(0, (GROUPS, shared)).sum(1))
        return x + (weights @ values).transpose(1, 2).reshape(x.shape)


class Heavy(Chosen):
    """By the weights of all queries so far."""

    def count(self, at: torch.Tensor, weights: torch.Tensor) -> None:
        self.sums += weights.sum(1)


class Snapped(Chosen):
    """By those of the last three queries of calls of three rows and more; of the call's own positions the
    means over three neighbours before those of these queries."""

    def count(self, at: torch.Tensor, weights: torch.Tensor) -> None:
        if len(at) < 3:
            return
        self.sums = weights[:, -3:].sum(1)
        prompt = slice(int(at[0]), int(at[-1]) - 2)
        means = F.avg_pool1d(self.sums[:, prompt], 3, stride=1, padding=1) if len(at) > 3 else 0
        self.sums[:, at] = 0
        self.sums[:, prompt] = means


@pytest.mark.parametrize(
    ("kind", "more"), [(Heavy, {"heavy": 4}), (Snapped, {"snap": 4, "observed": 3, "pool": 3})]
)
def test_positions_are_chosen_by_weights(kind: type[Chosen], more: dict[str, int]) -> None:
    wanted, keep = Model(), drystone.Keep(sinks=2, window=5, **more)
    wanted.one, wanted.two = kind(), kind()
    wanted.load_state_dict(made().state_dict())
    want = steps(wanted.double(), CALLS, torch.float64)
    model, got = in_few_rows(keep, *BOTH)
    assert error(got, want) < 1e-5 < 1e-2 < error(got, streaming((None, None), (None, None)))
    assert torch.equal(steps(model, CALLS), got)  # a new sequence needs no reset
    row = 2 * WIDTH * 4
    assert model.memory.states == 2 * GROUPS * Chosen.room * (row + 8 + 4)


def test_one_row_takes_the_place_of_the_least_weight() -> None:
    wanted = Model()
    wanted.one = Heavy()
    wanted.one.room = 2 + 5 + 4
    wanted.load_state_dict(made().state_dict())
    caches = {r"one\..*": drystone.Keep(sinks=2, window=5, heavy=4), ".*": None}
    example = (torch.randn(1, 1, HEADS * WIDTH), torch.arange(1))
    model, calls = drystone.compile(made(), example, caches=caches), (1,) * 30
    assert error(steps(model, calls), steps(wanted.double(), calls, torch.float64)) < 1e-5
    assert model.memory.states == GROUPS * (ROOM * 2 * WIDTH * 4 + 11 * (2 * WIDTH * 4 + 8 + 4))


class Masked(Layer):
    """Attention with a mask of its own beside."""

    def forward(self, x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        q, k, v = self.project(x).split([HEADS * WIDTH, GROUPS * WIDTH, GROUPS * WIDTH], -1)
        q = q.view(1, -1, HEADS, WIDTH).transpose(1, 2)
        k, v = (each.view(1, -1, GROUPS, WIDTH).transpose(1, 2) for each in (k, v))
        keys, values = self.keys.index_copy_(2, at, k), self.values.index_copy_(2, at, v)
        mask = (x.sum(-1)[0, :, None] * torch.arange(ROOM) > 0)[None, None]
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, enable_gqa=True)
        return x + y.transpose(1, 2).reshape(x.shape)


def test_positions_that_cannot_be_dropped() -> None:
    keep = drystone.Keep(2, 9)
    with pytest.raises(drystone.UserError, match=r"(?s)needs 50 places where a call may write 40 rows"):
        compiled(made(), keep)
    example, shapes = (torch.randn(1, 5, HEADS * WIDTH), torch.arange(5)), ({1: FEW}, {0: FEW})
    with pytest.raises(drystone.UserError, match=r"the keys and the values .* keep the same positions"):
        drystone.compile(made(), example, dynamic_shapes=shapes, caches={".*keys": keep, ".*": "int4"})
    with pytest.raises(drystone.UserError, match="needs a mask that says how far each query sees"):
        drystone.compile(Masked(), example, dynamic_shapes=shapes, caches=keep)
    filled = made()
    filled.one.keys += 1
    with pytest.raises(drystone.UserError, match=r"one\.keys starts with rows"):
        drystone.compile(filled, example, dynamic_shapes=shapes, caches=keep)
    with pytest.raises(drystone.UserError, match="keeps no positions"):
        drystone.Keep(sinks=4, window=0)
    with pytest.raises(drystone.UserError, match=r"(?s)newer rows would change .* sinks=32, or 0"):
        drystone.Keep(sinks=4, encoding="kivi4")
    with pytest.raises(drystone.UserError, match="chosen by their weights are kept as they are"):
        drystone.Keep(heavy=4, encoding="int8")
    with pytest.raises(
        drystone.UserError, match="by the weights of all queries and by those of a prompt's last"
    ):
        drystone.Keep(heavy=4, snap=4)
    with pytest.raises(drystone.UserError, match=r"(?s)some of the window's.*observed of 1 to 9"):
        drystone.Keep(2, 9, snap=4)
    with pytest.raises(drystone.UserError, match="an odd pool"):
        drystone.Keep(snap=4, pool=4)
    with pytest.raises(drystone.UserError, match=r"(?s)none has more than 8.*observed=8"):
        drystone.compile(
            made(), example, dynamic_shapes=shapes, caches=drystone.Keep(2, 9, snap=4, observed=9)
        )
    with pytest.raises(drystone.UserError, match=r"one\.keys are not such two"):
        caches = {r"one\.keys": drystone.Keep(2, 9, heavy=2), ".*": None}
        drystone.compile(made(), example, dynamic_shapes=shapes, caches=caches)


@pytest.mark.parametrize(
    ("caches", "said"),
    [
        ("int3", "attention reads no keys and values held as 'int3'"),
        ({r"tow\.val.*": "int8"}, r"'tow.* matches no state .* two.values, .*, one.keys"),
        (
            Cache(Coded(2, by="channel"), Coded(2), window=32),
            "one.keys has 40 positions, no whole groups of 32",
        ),
        (8, "attention reads no keys and values held as 8"),
        (drystone.Heads({(0, 2): "int8"}), "one.keys has 2 heads, of which there is no number 2"),
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
