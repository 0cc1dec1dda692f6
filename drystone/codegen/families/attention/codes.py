"""Attention of a single query with keys and values that are codes: nothing is decoded into memory.

A score is a sum of codes times the query, which is multiplied by the scales of channels once for all keys
that share them, or a sum by the scales of its key; minima add what the query sums up to. A weight is taken
times the scales of its value, and minima add up beside (the fused products of KIVI: Liu et al., ICML 2024,
section 4). The rows of a ring take the place of their codes' scores, and of their weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lcm

from drystone.codegen.elements import lowest
from drystone.codegen.families.attention.block import Range
from drystone.codegen.families.attention.cached import CachedRows
from drystone.codegen.families.attention.single import Single
from drystone.codegen.families.dry_op import widened
from drystone.codegen.tile import Index, Tensor, Tile, index


@dataclass(frozen=True)
class _Memory:
    """The scaled query [depth], the same by scales of channels, its sums by groups of numbers [groups, 1],
    and the weights of a step, as they are and by the scales of values [groups, keys]."""

    query: Tensor
    scaled: Tensor
    sums: Tensor
    weights: Tensor
    shares: Tensor


@dataclass(frozen=True)
class CodedSingle(Single):
    """One row."""

    @property
    def keys(self) -> CachedRows:
        """The keys."""
        assert self.form.key_cache is not None
        return self.form.key_cache

    @property
    def values(self) -> CachedRows:
        """The values."""
        assert self.form.value_cache is not None
        return self.form.value_cache

    @property
    def unit(self) -> int:
        """Keys that are handled together: whole strings, and blocks that share scales."""
        return lcm(self.keys.block, self.keys.run, self.values.run)

    @property
    def at(self) -> tuple[Index, Index]:
        """Image and head."""
        return self.rows.b, self.rows.group

    def swept(self, where: Sequence[Range]) -> Sequence[Tile]:
        """Fold keys in: peak [1], total [lanes], to be added up, and weighted values [1, depth]."""
        t, values = self.t, self.values
        block = -(-self.cut.block // self.unit) * self.unit
        groups = values.depth // values.group
        held = _Memory(
            t.scratch([self.keys.depth], "f32"),
            t.scratch([self.keys.depth], "f32"),
            t.scratch([max(1, self.keys.depth // self.keys.group), 1], "f32"),
            t.scratch([block + self.lanes], "f32"),
            t.scratch([groups, block + self.lanes], "f32"),
        )
        self._query(held)
        state: Sequence[Tile] = [
            t.full(lowest("f32"), (1,), "f32"),
            t.full(0, (self.lanes,), "f32"),
            *(t.full(0, (1, values.group), "f32") for _ in range(groups)),
        ]
        for start, end in where:

            def step(k: Index, *state: Tile, start: Index = start, end: Index = end) -> Sequence[Tile]:
                return self._step(held, k, start, (end - k).min(block), state)

            state = t.loop(end, block, step, state, lower=start // self.unit * self.unit)
        peak, total, *sums = state
        whole = t.scratch([1, values.depth], "f32")
        for group, acc in enumerate(sums):
            t.store(whole, [0, group * values.group], acc)
        return [peak, total, t.load(whole, [0, 0], [1, values.depth])]

    def _query(self, held: _Memory) -> None:
        """Lay the scaled query down, and what it sums up to in each group of numbers of a key."""
        form, t, rows = self.form, self.t, self.rows
        scale = t.full(form.scale, (1,), "f32")

        def copy(d: Index) -> None:
            place = form.place(rows.b, rows.h, rows.first, d)
            q = widened(t, t.load(form.q, place, form.place(None, None, None, self.lanes)))
            t.store(held.query, [d], t.apply("arith.mulf", q, scale))

        t.loop(form.depth, self.lanes, copy)
        if self.keys.block == 1:
            size = self.keys.group
            for group in range(self.keys.depth // size):
                q = t.load(held.query, [group * size], [size])
                t.store(held.sums, [group, 0], t.reshape(t.reduce("arith.addf", q, 0), (1, 1)))

    def _step(self, held: _Memory, k: Index, start: Index, stop: Index, state: Sequence[Tile]) -> list[Tile]:
        """Fold in the keys of one step."""
        t, lanes, weights = self.t, self.lanes, held.weights
        peak, total, *sums = state
        scores = self._by_channel if self.keys.block > 1 else self._by_position
        t.loop(stop, self.unit, lambda j: scores(held, k, j))
        self._ring_scores(held, k, stop)
        new = self.live(weights, k, start, stop, peak)
        fade = t.apply("math.exp", t.apply("arith.subf", peak, new), domain="negative")

        def grow(j: Index, sum_: Tile) -> Tile:
            tile = t.apply("arith.subf", t.load(weights, [j], [lanes]), new)
            tile = t.apply("math.exp", tile, domain="negative")
            t.store(weights, [j], tile)
            return t.apply("arith.addf", sum_, tile)

        (total,) = t.loop(stop, lanes, grow, [t.apply("arith.mulf", total, fade)])
        faded = [t.apply("arith.mulf", acc, t.reshape(fade, [1, 1])) for acc in sums]
        added = self._shared_out(held, k, stop, self._ring_values(held, k, stop, faded))
        return [new, total, *self._weighted(held, k, stop, added)]

    def _products(self, query: Tensor, place: tuple[Index, int | Index, int | Index], count: int) -> Tile:
        """The sums of the numbers of codes times a query, from one number of a row to another, of `count`
        positions of one run: [count, 1]. place: the first position, from, to."""
        t, c, lanes = self.t, self.keys, self.lanes
        p, first, end = place
        inside = index(0) if count == c.run else p % c.run

        def some(d: Index, acc: Tile) -> Tile:
            at = c.words(*self.at, p // c.run, index(0), d)
            word = t.load(c.tensors["codes"], at, c.words(None, None, None, None, lanes))
            q = t.reshape(t.load(query, [d], [lanes]), [1, lanes])
            return t.apply("math.fma", c.numbers(t, t.reshape(word, [1, lanes]), inside, count), q, acc)

        (acc,) = t.loop(end, lanes, some, [t.full(0, (count, lanes), "f32")], lower=first)
        return t.reduce("arith.addf", acc, 1)

    def _by_channel(self, held: _Memory, k: Index, j: Index) -> None:
        """The scores of a unit of keys that share the scales of channels."""
        t, c, lanes = self.t, self.keys, self.lanes

        def block(first: Index) -> None:
            def some(d: Index, low: Tile) -> Tile:
                place = c.place(*self.at, (k + first) // c.block, d)
                scale, minimum = (
                    t.load(c.tensors[name], place, [None, None, None, lanes]) for name in ("scale", "minimum")
                )
                q = t.load(held.query, [d], [lanes])
                t.store(held.scaled, [d], t.apply("arith.mulf", q, scale))
                return t.apply("math.fma", q, minimum, low)

            (low,) = t.loop(c.depth, lanes, some, [t.full(0, (lanes,), "f32")])
            low = t.reshape(t.reduce("arith.addf", low, 0), [1, 1])

            def together(at: Index) -> None:
                made = self._products(held.scaled, (k + at, 0, index(c.depth)), c.span)
                t.store(held.weights, [at], t.reshape(t.apply("arith.subf", made, low), [c.span]))

            t.loop(first + c.block, c.span, together, lower=first)

        t.loop(j + self.unit, c.block, block, lower=j)

    def _by_position(self, held: _Memory, k: Index, j: Index) -> None:
        """The scores of a unit of keys that have scales of their own."""
        t, c = self.t, self.keys

        def run(at: Index) -> None:
            score = t.full(0, (c.run,), "f32")
            for group in range(c.depth // c.group):
                first = group * c.group
                made = self._products(held.query, (k + at, first, index(first + c.group)), c.run)
                where = (*self.at, k + at, index(first))
                scale, minimum = (c.factors(t, name, where, c.run) for name in ("scale", "minimum"))
                sum_ = t.reshape(t.load(held.sums, [group, 0], [1, 1]), [1])
                score = t.apply("math.fma", t.reshape(made, [c.run]), scale, score)
                score = t.apply("arith.subf", score, t.apply("arith.mulf", sum_, minimum))
            t.store(held.weights, [at], score)

        t.loop(j + self.unit, c.run, run, lower=j)

    def _slots(
        self,
        cache: CachedRows,
        k: Index,
        stop: Index,
        body: Callable[[Index, Index, Sequence[Tile]], Sequence[Tile]],
        state: Sequence[Tile],
    ) -> Sequence[Tile]:
        """body(place in the ring, key of the step, state) for the rows of a ring that are of the step."""
        t = self.t
        if not cache.ring:
            return state

        def one(slot: Index, *state: Tile) -> Sequence[Tile]:
            held = t.load(cache.tensors["places"], cache.place(*self.at, slot, index(0))[:3], [None] * 3)
            p = t.element(held) - k
            inside = (p + 1).max(0).min(1) * (stop - p).max(0).min(1)
            return t.loop(inside, 1, lambda _, *s: body(slot, p, s), state)

        return t.loop(cache.ring, 1, one, state)

    def _ring_scores(self, held: _Memory, k: Index, stop: Index) -> None:
        """Put the scores of keys that are in the ring in the place of those of their codes."""
        t, c, lanes = self.t, self.keys, self.lanes

        def score(slot: Index, p: Index, state: Sequence[Tile]) -> Sequence[Tile]:
            def some(d: Index, acc: Tile) -> Tile:
                row = t.load(c.tensors["rows"], c.place(*self.at, slot, d), [None, None, None, lanes])
                return t.apply("math.fma", row, t.load(held.query, [d], [lanes]), acc)

            (acc,) = t.loop(c.depth, lanes, some, [t.full(0, (lanes,), "f32")])
            t.store(held.weights, [p], t.reduce("arith.addf", acc, 0))
            return state

        self._slots(c, k, stop, score, [])

    def _ring_values(self, held: _Memory, k: Index, stop: Index, sums: Sequence[Tile]) -> Sequence[Tile]:
        """Add the values that are in the ring, whose codes then weigh nothing."""
        t, c = self.t, self.values

        def add(slot: Index, p: Index, sums: Sequence[Tile]) -> Sequence[Tile]:
            weight = t.reshape(t.load(held.weights, [p], [1]), [1, 1])
            t.store(held.weights, [p], t.full(0, (1,), "f32"))
            made = []
            for group, acc in enumerate(sums):
                place = c.place(*self.at, slot, index(group * c.group))
                row = t.load(c.tensors["rows"], place, [None, None, None, c.group])
                made.append(t.apply("math.fma", weight, t.reshape(row, [1, c.group]), acc))
            return made

        return self._slots(c, k, stop, add, sums)

    def _shared_out(self, held: _Memory, k: Index, stop: Index, sums: Sequence[Tile]) -> list[Tile]:
        """Lay the weights by the scales of their values down, and take off what these are less by."""
        t, c, lanes = self.t, self.values, self.lanes
        made = []
        for group, acc in enumerate(sums):

            def some(j: Index, low: Tile, group: int = group) -> Tile:
                where = (*self.at, k + j, index(group * c.group))
                scale, minimum = (c.factors(t, name, where, lanes) for name in ("scale", "minimum"))
                weight = t.load(held.weights, [j], [lanes])
                t.store(held.shares, [group, j], t.apply("arith.mulf", weight, scale), [None, lanes])
                return t.apply("math.fma", weight, minimum, low)

            (low,) = t.loop(stop, lanes, some, [t.full(0, (lanes,), "f32")])
            made.append(t.apply("arith.subf", acc, t.reshape(t.reduce("arith.addf", low, 0), [1, 1])))
        return made

    def _weighted(self, held: _Memory, k: Index, stop: Index, sums: Sequence[Tile]) -> Sequence[Tile]:
        """Add the numbers of the values' codes, weighted."""
        t, c = self.t, self.values

        def run(j: Index, *sums: Tile) -> list[Tile]:
            made = []
            for group, acc in enumerate(sums):
                word = c.load_word(t, *self.at, (k + j) // c.run, index(group * c.group))
                for i in range(c.run):
                    weight = t.load(held.shares, [group, j + i], [1, 1])
                    acc = t.dot(acc, weight, c.number(t, word, i))
                made.append(acc)
            return made

        return t.loop(stop, c.run, run, sums)
