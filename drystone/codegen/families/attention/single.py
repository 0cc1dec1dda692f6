"""A row of attention by itself: the keys and values go by once, the work is their bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.codegen.elements import lowest
from drystone.codegen.families.attention.block import Range
from drystone.codegen.families.attention.rows import OfRows, live_block
from drystone.codegen.families.attention.schedule import Schedule
from drystone.codegen.families.attention.source import Source, sources
from drystone.codegen.families.dry_op import widened
from drystone.codegen.tile import Index, Tensor, Tile, index


@dataclass(frozen=True)
class _Memory:
    """The weights of a step, and where its keys and values are."""

    weights: Tensor
    keys: Source
    values: Source


@dataclass(frozen=True)
class Single(OfRows):
    """One row."""

    cut: Schedule

    def swept(self, where: Sequence[Range]) -> Sequence[Tile]:
        """Fold keys in: peak [1], total [lanes], to be added up, and weighted values [1, depth]."""
        form, t = self.form, self.t
        weights = t.scratch([self.cut.block + self.lanes], form.dtype)
        keys, values = sources(self.rows, self.cut.block, self.cut.tile)
        state: Sequence[Tile] = [
            t.full(lowest(form.dtype), (1,), form.dtype),
            t.full(0, (self.lanes,), form.dtype),
            t.full(0, (1, form.depth_v), form.dtype),
        ]
        for start, end in where:
            state = self._over(start, end, _Memory(weights, keys, values), state)
        return state

    def whole(self, total: Tile) -> Tile:
        """A total as one number, [1, 1]."""
        return self.t.reduce("arith.addf", self.t.reshape(total, [1, self.lanes]), 1)

    def _over(self, start: Index, end: Index, held: "_Memory", state: Sequence[Tile]) -> Sequence[Tile]:
        t, rows, block = self.t, self.rows, self.cut.block

        def step(k: Index, *carried: Tile) -> Sequence[Tile]:
            stop = (end - k).min(block)
            held.keys.prepare(k, stop)
            held.values.prepare(k, stop)
            t.loop(stop, self.cut.tile, lambda j: self._scores(held, k, j))
            return self._fold(held, k, start, stop, carried)

        def maybe(k: Index, *carried: Tile) -> Sequence[Tile]:
            live = live_block(self.form, t, rows.h, rows.first, k)
            return t.loop(live, 1, lambda _, *s: step(k, *s), carried)

        if self.form.blocks is None:
            return t.loop(end, block, step, state, lower=start)
        return t.loop(end, block, maybe, state, lower=start // block * block)

    def _scores(self, held: "_Memory", start: Index, k: Index) -> None:
        """Scores of some keys, unmasked."""
        form, t, rows, lanes = self.form, self.t, self.rows, self.lanes

        def products(d: Index, acc: Tile) -> Tile:
            place = form.place(rows.b, rows.h, rows.first, d)
            q = widened(t, t.load(form.q, place, form.place(None, None, None, lanes)))
            return t.apply("math.fma", held.keys.load(start, k, d, self.cut.tile, lanes), q, acc)

        held.keys.await_tile(start, k)
        zeros = t.full(0, (self.cut.tile, lanes), form.dtype)
        (acc,) = t.loop(form.depth, lanes, products, [zeros])
        scores = t.reduce("arith.addf", acc, 1)
        scores = t.apply("arith.mulf", scores, t.full(form.scale, (1, 1), form.dtype))
        row = t.reshape(t.transpose(scores), [self.cut.tile])
        if form.key_peaks is not None:
            at = (rows.b, rows.group, start + k)
            row = t.apply("arith.mulf", row, form.scales(t, form.key_peaks, at, self.cut.tile))
        t.store(held.weights, [k], row)

    def live(self, weights: Tensor, start: Index, first: Index | None, stop: Index, peak: Tile) -> Tile:
        """Mask the scores of `stop` keys from `start` on, those before the key `first` too: the new peak."""
        form, t, rows, lanes = self.form, self.t, self.rows, self.lanes
        never = t.full(float("-inf"), (1,), form.dtype)

        def some(k: Index, best: Tile) -> Tile:
            tile = t.load(weights, [k], [lanes])
            tile = rows.masked_row(tile, index(0), (start + k, lanes))
            at = t.iota(k, (lanes,), 0)
            inside = t.apply("arith.cmpi", at, t.full(stop, (1,), "i64"), dtype="i1", predicate="slt")
            if first is not None:
                after = t.full(first - start, (1,), "i64")
                seen = t.apply("arith.cmpi", at, after, dtype="i1", predicate="sge")
                inside = t.apply("arith.andi", inside, seen)
            tile = t.apply("arith.select", inside, tile, never, dtype=form.dtype)
            t.store(weights, [k], tile)
            return t.apply("arith.maximumf", best, tile)

        lowest_ = t.apply("arith.addf", t.full(0, (lanes,), form.dtype), peak)
        (best,) = t.loop(stop, lanes, some, [lowest_])
        return t.reduce("arith.maximumf", best, 0)

    def _fold(
        self, held: "_Memory", start: Index, first: Index, stop: Index, carried: Sequence[Tile]
    ) -> list[Tile]:
        """Fold the scores of the keys from `start` on in."""
        form, t, rows, lanes, weights = self.form, self.t, self.rows, self.lanes, held.weights
        peak, total, acc = carried
        # Blocks start at multiples of their own.
        begin = first if form.blocks is not None and form.span is not None else None
        new = self.live(weights, start, begin, stop, peak)
        fade = t.apply("math.exp", t.apply("arith.subf", peak, new), domain="negative")

        def grow(k: Index, sum_: Tile) -> Tile:
            tile = t.apply("arith.subf", t.load(weights, [k], [lanes]), new)
            tile = t.apply("math.exp", tile, domain="negative")
            weight = tile
            if form.value_peaks is not None:
                at = (rows.b, rows.group, start + k)
                weight = t.apply("arith.mulf", tile, form.scales(t, form.value_peaks, at, lanes))
            t.store(weights, [k], weight)
            return t.apply("arith.addf", sum_, tile)

        (total,) = t.loop(stop, lanes, grow, [t.apply("arith.mulf", total, fade)])

        def values(k: Index, sums: Tile) -> Tile:
            held.values.await_tile(start, k)
            p = t.reshape(t.load(weights, [k], [self.cut.tile]), [1, self.cut.tile])
            return t.dot(sums, p, held.values.load(start, k, index(0), self.cut.tile, form.depth_v))

        (acc,) = t.loop(stop, self.cut.tile, values, [t.apply("arith.mulf", acc, t.reshape(fade, [1, 1]))])
        return [new, total, acc]
