"""Attention with an online softmax: one pass over the keys, nothing of the size of the scores.

The method is FlashAttention's (Dao et al., NeurIPS 2022; the running peak and total of Milakov and
Gimelshein, "Online normalizer calculation for softmax", 2018). One grid step takes one head and a block of
queries. The queries lie along the vectors: scores are held transposed, [keys, queries], so that the peak and
total of every query need no sum across lanes, keys and values are read as they are, and only the queries and
the result are transposed. With a few queries only (decoding) the vectors lie along the head's dimension
instead, and along the keys for the softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.codegen.families.attention_few import few_queries
from drystone.codegen.families.attention_form import AttentionForm, attention_form
from drystone.codegen.families.dry_op import narrowed, widened
from drystone.codegen.families.tiling import divisor, even
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets import CpuTarget

#: With fewer queries than this, lanes along the queries would be mostly empty.
FEW = 5
#: Keys per tile of scores.
_KEYS = 8
#: Keys per round of the weighted sum of the values.
_STEP = 4
#: Keys per step of the online softmax.
_BLOCK = 128


def attention(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The program of a `dry.attention`."""
    form = attention_form(kernel)
    lanes = target.lanes(32)
    queries = form.extent(form.q, 2)
    known = form.known(form.q, 2)
    narrow = (known is not None and known <= lanes) or target.registers < 32
    width = lanes if narrow else 2 * lanes

    def body(t: TileBuilder) -> None:
        def step(b: Index, h: Index, first: Index) -> None:
            if known is None or known >= FEW:
                block = _Block(form, t, lanes, width, b, h, first)
                t.when(FEW - 1, queries, block.run) if known is None else block.run()
            if known is None or known < FEW:
                end = queries.min(first + width)

                def few() -> None:
                    t.loop(end, 1, lambda row: few_queries(form, t, lanes, b, h, row), lower=first)

                t.when(queries, FEW, few) if known is None else few()

        form.promise(t)
        t.grid([(form.extent(form.out, 0), 1), (form.extent(form.out, 1), 1), (queries, width)], step)

    return tile_program("attention", form.op.tensors, body, form.op.scalars)


@dataclass(frozen=True)
class _Block:
    """One grid step: `width` queries from `first` of head h of image b."""

    form: AttentionForm
    t: TileBuilder
    lanes: int
    width: int
    b: Index
    h: Index
    first: Index

    def run(self) -> None:
        """The whole step."""
        form, t = self.form, self.t
        queries = self.queries()
        rows = even(form.depth_v, 8)
        sums = t.scratch([-(-form.depth_v // rows) * rows, self.width], form.dtype)
        zeros = t.full(0, (rows, self.width), form.dtype)
        t.loop(sums.dim(0), rows, lambda e: t.store(sums, [e, 0], zeros))
        block = self.block()
        # Tiles at the end reach beyond the block.
        weights = t.scratch([block + self.lanes, self.width], form.dtype)
        lowest = float(np.finfo(np.float64 if form.dtype == "f64" else np.float32).min)
        state = [t.full(lowest, (1, self.width), form.dtype), t.full(0, (1, self.width), form.dtype)]
        end = form.extent(form.k, 2)
        if form.causal:
            end = end.min(self.first + self.width)
        if block >= (form.known(form.k, 2) or block + 1):
            _, total = self.keys(queries, weights, sums, rows, index(0), end, block, state)
        else:
            _, total = t.loop(
                end, block, lambda k, *s: self.keys(queries, weights, sums, rows, k, end, block, s), state
            )
        self.finish(sums, total)

    def block(self) -> int:
        """Keys per step of the online softmax: all, where they are few, or a part that leaves no rest."""
        keys = self.form.known(self.form.k, 2)
        if keys is None:
            return _BLOCK
        if keys <= 2 * _BLOCK:
            return -(-keys // _KEYS) * _KEYS
        return _KEYS * divisor(keys // _KEYS, _BLOCK // _KEYS) if keys % (8 * _KEYS) == 0 else _BLOCK

    def queries(self) -> Tensor:
        """The scaled queries in scratch, transposed."""
        form, t = self.form, self.t
        scratch = t.scratch([form.depth, self.width], form.dtype)
        chunk = min(self.lanes, form.depth)
        scale = t.full(form.scale, (chunk,), form.dtype)

        def copy(row: Index, d: Index) -> None:
            place = form.place(self.b, self.h, self.first + row, d)
            tile = widened(t, t.load(form.q, place, form.place(None, None, None, chunk)))
            t.store(scratch, [d, row], t.apply("arith.mulf", tile, scale), [chunk, None])

        t.loop(self.count(), 1, lambda row: t.loop(form.depth, chunk, lambda d: copy(row, d)) and None)
        return scratch

    def count(self) -> Index:
        """How many queries there are in the block. Other lanes hold anything: none sees another."""
        return (self.form.extent(self.form.q, 2) - self.first).min(self.width)

    def keys(
        self,
        queries: Tensor,
        weights: Tensor,
        sums: Tensor,
        rows: int,
        start: Index,
        end: Index,
        block: int,
        state: Sequence[Tile],
    ) -> list[Tile]:
        """Fold one block of keys in: the new peak and total."""
        form, t = self.form, self.t
        peak, total = state
        keys = form.known(form.k, 2)
        even_blocks = keys is not None and keys % block == 0 and not form.causal
        stop = index(block) if even_blocks else (end - start).min(block)
        # Tiles that lie before every query's end need no comparison.
        whole = form.extent(form.k, 2) - start
        if form.causal:
            whole = whole.min(self.first + 1 - start)
        whole = whole.max(0).min(block) // _KEYS * _KEYS
        if not form.causal and keys is not None and keys % _KEYS == 0:
            whole = stop
        if form.square:
            self.lay_mask(weights, start, stop)
        (new,) = t.loop(
            whole, _KEYS, lambda k, p: self.scores(queries, weights, start, k, p, edge=False), [peak]
        )
        if whole != stop:
            (new,) = t.loop(
                stop,
                _KEYS,
                lambda k, p: self.scores(queries, weights, start, k, p, edge=True),
                [new],
                lower=whole,
            )
        fade = t.apply("math.exp", t.apply("arith.subf", peak, new))

        def grow(k: Index, sum_: Tile) -> Tile:
            tile = t.load(weights, [k, 0], [_KEYS, self.width])
            tile = t.apply("math.exp", t.apply("arith.subf", tile, new))
            t.store(weights, [k, 0], tile)
            return t.apply("arith.addf", sum_, t.reduce("arith.addf", tile, 0))

        (total,) = t.loop(stop, _KEYS, grow, [t.apply("arith.mulf", total, fade)])
        t.loop(sums.dim(0), rows, lambda e: self.values(weights, sums, rows, start, stop, e, fade))
        return [new, total]

    def lay_mask(self, weights: Tensor, start: Index, stop: Index) -> None:
        """Put a mask of queries by keys, transposed, where the scores go: they are added to it."""
        form, t = self.form, self.t

        def lay(row: Index, k: Index) -> None:
            zeros = t.full(0, (self.lanes,), form.dtype)
            tile = form.masked(t, zeros, self.b, self.h, (self.first + row, None), (start + k, self.lanes))
            t.store(weights, [k, row], tile, [self.lanes, None])

        t.loop(self.count(), 1, lambda row: t.loop(stop, self.lanes, lambda k: lay(row, k)) and None)

    def scores(
        self, queries: Tensor, weights: Tensor, start: Index, k: Index, peak: Tile, *, edge: bool
    ) -> Tile:
        """One tile of scores, kept in `weights`; the new peak. At the edge keys behind the end or behind a
        query are left out."""
        form, t = self.form, self.t
        depth = divisor(form.depth, 4)
        key = start + k

        def products(d: Index, acc: Tile) -> Tile:
            place = form.place(self.b, form.kv_head(self.h), key, d)
            a = widened(t, t.load(form.k, place, form.place(None, None, _KEYS, depth)))
            return t.dot(acc, a, t.load(queries, [d, 0], [depth, self.width]))

        shape = (_KEYS, self.width)
        acc = t.load(weights, [k, 0], shape) if form.square else t.full(0, shape, form.dtype)
        (tile,) = t.loop(form.depth, depth, products, [acc])
        if not form.square:
            tile = form.masked(t, tile, self.b, self.h, (self.first, self.width), (key, _KEYS))
        if edge:
            never = t.full(float("-inf"), (1, 1), form.dtype)
            where = t.iota(key, (_KEYS, 1), 0)
            last = t.full(form.extent(form.k, 2) - 1, (1, 1), "i64")
            if form.causal:
                last = t.apply("arith.minsi", last, t.iota(self.first, (1, self.width), 1))
            inside = t.apply("arith.cmpi", where, last, dtype="i1", predicate="sle")
            tile = t.apply("arith.select", inside, tile, never, dtype=form.dtype)
        t.store(weights, [k, 0], tile)
        return t.apply("arith.maximumf", peak, t.reduce("arith.maximumf", tile, 0))

    def values(
        self, weights: Tensor, sums: Tensor, rows: int, start: Index, stop: Index, e: Index, fade: Tile
    ) -> None:
        """Add the block's weighted values to some rows of the sums."""
        form, t = self.form, self.t

        def products(k: Index, acc: Tile) -> Tile:
            place = form.place(self.b, form.kv_head(self.h), start + k, e)
            v = widened(t, t.load(form.v, place, form.place(None, None, _STEP, rows)))
            return t.dot(acc, t.transpose(v), t.load(weights, [k, 0], [_STEP, self.width]))

        acc = t.apply("arith.mulf", t.load(sums, [e, 0], [rows, self.width]), fade)
        (acc,) = t.loop(stop, _STEP, products, [acc])
        t.store(sums, [e, 0], acc)

    def finish(self, sums: Tensor, total: Tile) -> None:
        """Divide by the totals (a query without keys gives zeros) and store the result."""
        form, t = self.form, self.t
        least = t.full(1e-30, (1, self.width), form.dtype)
        one = t.full(1, (1, self.width), form.dtype)
        factor = t.apply("arith.divf", one, t.apply("arith.maximumf", total, least))
        rows = sums.dim(0).constant or 1

        def divide(e: Index) -> None:
            t.store(sums, [e, 0], t.apply("arith.mulf", t.load(sums, [e, 0], [1, self.width]), factor))

        t.loop(rows, 1, divide)
        chunk = min(self.lanes, rows)

        def part(row: Index, e: Index) -> None:
            tile = narrowed(t, t.load(sums, [e, row], [chunk, None]), form.out.dtype)
            place = form.place(self.b, self.h, self.first + row, e)
            t.store(form.out, place, tile, form.place(None, None, None, chunk))

        t.loop(self.count(), 1, lambda row: t.loop(form.depth_v, chunk, lambda e: part(row, e)) and None)
