"""Attention of a single query: the keys and values go by once, the work is their bytes."""

from collections.abc import Sequence

import numpy as np

from drystone.codegen.families.attention_form import AttentionForm
from drystone.codegen.families.dry_op import narrowed, widened
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index

#: Keys per tile of scores, and per step of the online softmax.
_KEYS, _BLOCK = 8, 512


def few_queries(form: AttentionForm, t: TileBuilder, lanes: int, b: Index, h: Index, row: Index) -> None:
    """One query."""
    end = form.extent(form.k, 2)
    if form.causal:
        end = end.min(row + 1)
    weights = t.scratch([_BLOCK], form.dtype)
    lowest = float(np.finfo(np.float64 if form.dtype == "f64" else np.float32).min)
    state = [
        t.full(lowest, (1,), form.dtype),
        t.full(0, (lanes,), form.dtype),
        t.full(0, (1, form.depth_v), form.dtype),
    ]

    def block(start: Index, *carried: Tile) -> Sequence[Tile]:
        stop = (end - start).min(_BLOCK)
        t.loop(stop, _KEYS, lambda k: _scores(form, t, lanes, weights, (b, h, row), start, k))
        return _fold(form, t, lanes, weights, (b, h, row), start, stop, carried)

    _, total, acc = t.loop(end, _BLOCK, block, state)
    whole = t.reduce("arith.addf", t.reshape(total, [1, lanes]), 1)
    factor = t.apply("arith.maximumf", whole, t.full(1e-30, (1, 1), form.dtype))
    tile = narrowed(t, t.apply("arith.divf", acc, factor), form.out.dtype)
    t.store(form.out, form.place(b, h, row, index(0)), tile, form.place(None, None, 1, form.depth_v))


def _scores(
    form: AttentionForm,
    t: TileBuilder,
    lanes: int,
    weights: Tensor,
    at: tuple[Index, Index, Index],
    start: Index,
    k: Index,
) -> None:
    """Scores of some keys, unmasked."""
    b, h, row = at

    def products(d: Index, acc: Tile) -> Tile:
        q = widened(t, t.load(form.q, form.place(b, h, row, d), form.place(None, None, None, lanes)))
        place = form.place(b, form.kv_head(h), start + k, d)
        keys = widened(t, t.load(form.k, place, form.place(None, None, _KEYS, lanes)))
        return t.apply("math.fma", keys, q, acc)

    zeros = t.full(0, (_KEYS, lanes), form.dtype)
    (acc,) = t.loop(form.depth, lanes, products, [zeros])
    scores = t.reduce("arith.addf", acc, 1)
    scores = t.apply("arith.mulf", scores, t.full(form.scale, (1, 1), form.dtype))
    t.store(weights, [k], t.reshape(t.transpose(scores), [_KEYS]))


def _fold(
    form: AttentionForm,
    t: TileBuilder,
    lanes: int,
    weights: Tensor,
    at: tuple[Index, Index, Index],
    start: Index,
    stop: Index,
    carried: Sequence[Tile],
) -> list[Tile]:
    """Fold one block of scores in: peak [1], total [lanes] and weighted values [1, depth]."""
    b, h, row = at
    peak, total, acc = carried

    def live(k: Index, best: Tile) -> Tile:
        tile = t.load(weights, [k], [lanes])
        tile = form.masked(t, tile, b, h, (row, None), (start + k, lanes))
        inside = t.apply(
            "arith.cmpi", t.iota(k, (lanes,), 0), t.full(stop, (1,), "i64"), dtype="i1", predicate="slt"
        )
        tile = t.apply(
            "arith.select", inside, tile, t.full(float("-inf"), (1,), form.dtype), dtype=form.dtype
        )
        t.store(weights, [k], tile)
        return t.apply("arith.maximumf", best, tile)

    lowest = t.apply("arith.addf", t.full(0, (lanes,), form.dtype), peak)
    (best,) = t.loop(stop, lanes, live, [lowest])
    new = t.reduce("arith.maximumf", best, 0)
    fade = t.apply("math.exp", t.apply("arith.subf", peak, new))

    def grow(k: Index, sum_: Tile) -> Tile:
        tile = t.apply("math.exp", t.apply("arith.subf", t.load(weights, [k], [lanes]), new))
        t.store(weights, [k], tile)
        return t.apply("arith.addf", sum_, tile)

    (total,) = t.loop(stop, lanes, grow, [t.apply("arith.mulf", total, fade)])

    def values(k: Index, sums: Tile) -> Tile:
        p = t.reshape(t.load(weights, [k], [_KEYS]), [1, _KEYS])
        place = form.place(b, form.kv_head(h), start + k, index(0))
        v = widened(t, t.load(form.v, place, form.place(None, None, _KEYS, form.depth_v)))
        return t.dot(sums, p, v)

    (acc,) = t.loop(stop, _KEYS, values, [t.apply("arith.mulf", acc, t.reshape(fade, [1, 1]))])
    return [new, total, acc]
