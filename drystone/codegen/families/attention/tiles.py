"""A block of rows of attention with both products in tile registers, and few instructions for a score.

As in `block` scores are held transposed, [keys, rows]. What bounds them is the exponential, so it
comes to base 2 (its factor is in the queries), to as many digits as a weight in bf16 keeps, and no peak is
looked for first: weights are taken relative to the peak of the first keys. A weight may be far above 1 then,
but its digits are as many, so the peak is raised, and the step done again, only where weights have grown so
much that sums of them could overflow (FlashAttention-4 raises it as seldom; Milakov and Gimelshein 2018 each
time). Scores of a few keys at a time are all that is kept of them, so a step may be of many keys: the sums
are read into the tile registers, and written, once in it.

Where whole steps of keys are seen by all rows, products and exponentials take turns: while the weights of
some keys are made, the next scores are multiplied, and a part of the sums of the weights of the step before.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drystone.codegen.elements import lowest
from drystone.codegen.families.attention.block import Block, Range, Steps
from drystone.codegen.families.attention.rows import Limits, Seen
from drystone.codegen.families.dry_op import narrowed, widened
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, index
from drystone.targets.dots import DotUnit

#: Rows, and columns, of a square that is transposed at a time.
_SIDE = 16
#: A row's weights of one step, added up, that are too large: their peak is raised.
_MANY = 2.0**16
_LOG2E = math.log2(math.e)


@dataclass(frozen=True)
class TiledBlock(Block):
    """The rows of one grid step; `values` are [images, heads, keys / depth of the unit, depth, that]."""

    unit: DotUnit | None = None
    #: The keys [images, heads, keys, depth] with some of zeros behind them, where they are no whole tiles.
    keys: Tensor | None = None

    @property
    def whole(self) -> int:
        """Keys that are looked at together."""
        assert self.unit is not None
        return self.unit.depth

    def swept(self, seen: Seen, where: Sequence[Range]) -> tuple[Tensor, Tile, Tile]:
        """Fold keys in: the sums of weighted values [depth, rows], and the peaks (to base 2) and totals
        [1, rows]."""
        form, t, block, whole = self.form, self.t, self.cut.block, self.whole
        assert form.short is not None
        sums = t.scratch([form.depth_v, self.width], form.dtype)
        rows = self.cut.part(form)
        zeros = t.full(0, (rows, self.width), form.dtype)
        t.loop(form.depth_v, rows, lambda e: t.store(sums, [e, 0], zeros))
        laid = t.scratch([whole + self.lanes, self.width], form.dtype) if self.rows.laid else None
        sweep = _Sweep(
            self,
            Steps(form, seen, block, whole, whole),
            self.rows.limits(),
            self.queries(),
            t.scratch([3 * whole, self.width], form.dtype),
            t.scratch([block, self.width * 2], form.short),
            sums,
            rows,
            laid,
        )
        none = t.full(lowest(form.dtype), (1, self.width), form.dtype)
        state: Sequence[Tile] = [none, t.full(0, (1, self.width), form.dtype)]
        for number, (begin, end) in enumerate(where):
            start = begin // whole * whole
            if number == 0 and sweep.steady and form.blocks is None:
                first = (begin, end.min(start + whole))
                state = [sweep.peaks(start, first, none), state[1]]
                if sweep.in_turns:
                    start = seen.all_to.min(end) // block * block
                    state = sweep.turns(start, state)
                    begin = start
                    if start == end:
                        continue

            def step(k: Index, end: Index, state: Sequence[Tile], begin: Index = begin) -> Sequence[Tile]:
                return sweep.step(k, (begin, end), state)

            state = self.over(start, end, block, step, state)
        return sums, state[0], state[1]

    def queries(self) -> Tensor:
        """The scaled queries in scratch, transposed, pairs of positions side by side: [depth / 2, rows *
        2]."""
        form, t = self.form, self.t
        assert form.short is not None
        scratch = t.scratch([form.depth // 2, self.width * 2], form.short)
        deep = _SIDE if form.depth % _SIDE == 0 else 2 * divisor(form.depth // 2, _SIDE // 2)
        scale = t.full(form.scale * _LOG2E, (1, 1), form.dtype)

        def square(row: Index, d: Index) -> None:
            h, s = self.rows.at(row)
            tile = t.load(form.q, form.place(self.rows.b, h, s, d), form.place(None, None, _SIDE, deep))
            tile = t.apply("arith.mulf", t.transpose(widened(t, tile)), scale)
            tile = t.interleave(t.apply("arith.truncf", tile, dtype=form.short), 2)
            t.store(scratch, [d // 2, 2 * row], tile)

        self._squares(form.depth, deep, square)
        return scratch

    def finish(self, sums: Tensor, total: Tile) -> None:
        """Divide by the totals (a query without keys gives zeros) and store the result."""
        form, t = self.form, self.t
        least = t.full(1e-30, (1, self.width), form.dtype)
        one = t.full(1, (1, self.width), form.dtype)
        self.grown(sums, t.apply("arith.divf", one, t.apply("arith.maximumf", total, least)))

        def square(row: Index, e: Index) -> None:
            h, s = self.rows.at(row)
            tile = t.transpose(t.load(sums, [e, row], [_SIDE, _SIDE]))
            place, sizes = form.place(self.rows.b, h, s, e), form.place(None, None, _SIDE, _SIDE)
            t.store(form.out, place, narrowed(t, tile, form.out.dtype), sizes)

        self._squares(form.depth_v, _SIDE, square)

    def grown(self, sums: Tensor, factor: Tile) -> None:
        """The sums of every row times a factor."""
        t, rows = self.t, divisor(sums.dim(0).constant or 1, _SIDE // 2)

        def scale(e: Index) -> None:
            t.store(sums, [e, 0], t.apply("arith.mulf", t.load(sums, [e, 0], [rows, self.width]), factor))

        t.loop(sums.dim(0), rows, scale)

    def _squares(self, depth: int, deep: int, body: Callable[[Index, Index], None]) -> None:
        """body(row, depth) for the squares of all rows there are."""
        t = self.t
        t.loop(self.rows.count, _SIDE, lambda row: t.loop(depth, deep, lambda d: body(row, d)) and None)


@dataclass(frozen=True)
class _Sweep:
    """The walk of a block of rows over keys: what stays the same in every step.

    scores: of as many keys as are looked at together, three times: in two slots that take turns, and in one
    beside them. weights: in pairs, of all keys of a step, in two slots. laid: a mask, as scores are held.
    """

    block: TiledBlock
    steps: Steps
    limits: Limits
    queries: Tensor
    scores: Tensor
    weights: Tensor
    sums: Tensor
    rows: int
    laid: Tensor | None

    @property
    def steady(self) -> bool:
        """Whether scores are rarely far above those before: added masks may make them climb."""
        mask = self.block.form.mask
        return mask is None or mask.dtype == "i1"

    def step(self, start: Index, within: Range, state: Sequence[Tile]) -> Sequence[Tile]:
        """Fold the keys at `start` in, as far as they are `within` a range: the new peak and total."""
        t = self.block.t
        if not self.steady:
            state = self._raised(start, within, *state)
        peak, total = state
        part = self._weights(start, within, peak, index(0))
        if self.steady:
            peak, total, part = self._checked(start, within, [peak, total, part], index(0))
        stop = self.steps.stop(start, within[1])
        t.loop(self.block.form.depth_v, self.rows, lambda e: self._values(start, stop, e, index(0)))
        return [peak, t.apply("arith.addf", total, part)]

    def _checked(self, start: Index, within: Range, state: Sequence[Tile], slot: Index) -> Sequence[Tile]:
        """The peak and total before a step and the step's own sums; with a higher peak, where these are
        large."""
        t = self.block.t
        many = t.full(_MANY, (1, self.block.width), self.block.form.dtype)
        more = t.apply("arith.cmpf", state[2], many, dtype="i1", predicate="oge")
        some = t.apply("arith.extui", t.reduce("arith.ori", more, 1), dtype="i64")

        def again(_: Index, peak: Tile, total: Tile, part: Tile) -> Sequence[Tile]:
            peak, total = self._raised(start, within, peak, total)
            return [peak, total, self._weights(start, within, peak, slot, edges=True)]

        return t.loop(t.element(some), 1, again, state)

    @property
    def in_turns(self) -> bool:
        """Whether whole steps can be done with products and exponentials in turns: as many groups of keys in
        a step as parts of the sums."""
        form = self.block.form
        even = form.depth_v // self.rows == self.steps.keys // self.block.whole
        return even and self.steady and form.span is None and form.blocks is None and self.laid is None

    def turns(self, end: Index, state: Sequence[Tile]) -> Sequence[Tile]:
        """Fold the keys from 0 to `end`, whole steps that all rows see, in: the new peak and total."""
        t, whole, keys = self.block.t, self.block.whole, self.steps.keys
        form, width = self.block.form, self.block.width
        # No weights before the first step.
        none = t.full(0, (whole // 2, width * 2), self.weights.dtype)
        t.loop(keys, whole // 2, lambda k: t.store(self.weights, [k, 0], none), lower=keys // 2)
        self._products(index(0), index(0), index(0))
        zeros = t.full(0, (1, width), form.dtype)

        def step(k: Index, peak: Tile, total: Tile) -> Sequence[Tile]:
            slot = k // keys % 2

            def chunk(c: Index, part: Tile) -> Sequence[Tile]:
                now = c // whole % 2
                if keys // whole % 2:
                    now = (k + c) // whole % 2

                def ahead() -> None:
                    self._products(k, c + whole, 1 - now)
                    self._values((k - keys).max(0), index(keys), c // whole * self.rows, 1 - slot)

                def weigh() -> Sequence[Tile]:
                    sums = part
                    for i in range(0, whole, self.block.cut.tile):
                        sums = self._weigh(k, c, index(i), (index(0), end), peak, sums, now, slot, edge=False)
                    return [sums]

                return t.beside(ahead, weigh)

            (part,) = t.loop(keys, whole, chunk, [zeros])
            # Scores of the next keys are there already, so that others come beside them.
            state = self._checked(k, (index(0), k + keys), [peak, total, part], slot)
            return [state[0], t.apply("arith.addf", state[1], state[2])]

        state = t.loop(end, keys, step, state)
        last = (end - keys).max(0)
        slot = (end // keys + 1) % 2
        t.loop(form.depth_v, self.rows, lambda e: self._values(last, index(keys), e, slot))
        return state

    def peaks(self, start: Index, within: Range, peak: Tile) -> Tile:
        """The peak of some keys too."""
        t, tile = self.block.t, self.block.cut.tile

        def chunk(c: Index, peak: Tile) -> Tile:
            self._products(start, c, index(2))

            def highest(k: Index, peak: Tile) -> Tile:
                score = self._score(start, c, k, within, index(2), edge=self._has_edges)
                return t.apply("arith.maximumf", peak, t.reduce("arith.maximumf", score, 0))

            return t.loop(self.block.whole, tile, highest, [peak])[0]

        return t.loop(self.steps.stop(start, within[1]), self.block.whole, chunk, [peak])[0]

    def _raised(self, start: Index, within: Range, peak: Tile, total: Tile) -> Sequence[Tile]:
        """The peak and total with the keys of a step, whose weights are not yet in it; sums are brought to
        the new peak."""
        t = self.block.t
        new = self.peaks(start, within, peak)
        fade = t.apply("math.exp2", t.apply("arith.subf", peak, new), digits="few")
        self.block.grown(self.sums, fade)
        return [new, t.apply("arith.mulf", total, fade)]

    @property
    def _has_edges(self) -> bool:
        form = self.block.form
        return form.causal or form.span is not None or self.block.keys is not None

    def _weights(self, start: Index, within: Range, peak: Tile, slot: Index, *, edges: bool = False) -> Tile:
        """Put the weights of a step's keys into pairs: their sums."""
        t, width, whole = self.block.t, self.block.width, self.block.whole
        stop = self.steps.stop(start, within[1])
        low, high = self.steps.inner(start, stop, within)
        # Tiles that all rows see need no comparison.
        parts = [(index(0), low, True), (low, high, False), (high, stop, True)]
        if edges:
            parts = [(index(0), stop, self._has_edges)]
        part = t.full(0, (1, width), self.block.form.dtype)
        for first, last, edge in parts:
            if first == last:
                continue

            def chunk(c: Index, part: Tile, edge: bool = edge) -> Tile:
                self._products(start, c, index(2))

                def grow(k: Index, part: Tile) -> Tile:
                    return self._weigh(start, c, k, within, peak, part, index(2), slot, edge=edge)

                return t.loop(whole, self.block.cut.tile, grow, [part])[0]

            (part,) = t.loop(last, whole, chunk, [part], lower=first)
        return part

    def _weigh(
        self,
        start: Index,
        c: Index,
        k: Index,
        within: Range,
        peak: Tile,
        part: Tile,
        scores: Index,
        slot: Index,
        *,
        edge: bool,
    ) -> Tile:
        """Put the weights of a tile of keys into pairs, from and to the slots of scores and weights: the sums
        with them."""
        t = self.block.t
        tile = t.apply("arith.subf", self._score(start, c, k, within, scores, edge=edge), peak)
        tile = t.apply("math.exp2", tile, digits="few")
        short = t.apply("arith.truncf", tile, dtype=self.weights.dtype, ties="any")
        at = slot * (self.steps.keys // 2) + (c + k) // 2
        t.store(self.weights, [at, 0], t.interleave(short, 2))
        return t.apply("arith.addf", part, t.reduce("arith.addf", tile, 0))

    def _products(self, start: Index, c: Index, slot: Index) -> None:
        """The products of the rows with some keys, into a slot; the mask of these beside them."""
        rows, form, t, whole = self.block.rows, self.block.form, self.block.t, self.block.whole
        assert self.block.unit is not None
        depth, _ = self.block.unit.parts_of(form.depth)
        self._lay_mask(start + c)

        def products(d: Index, acc: Tile) -> Tile:
            key = self._key(start + c)
            if self.block.keys is not None:
                a = t.load(self.block.keys, [rows.b, rows.group, key, d], [None, None, whole, depth])
            else:
                at = form.place(rows.b, rows.group, key, d)
                a = t.load(form.k, at, form.place(None, None, whole, depth), held=True)
            b = t.load(self.queries, [d // 2, 0], [depth // 2, rows.width * 2])
            return t.dot(acc, a, b, tiles=True)

        zeros = t.full(0, (whole, rows.width), form.dtype)
        (acc,) = t.loop(form.depth, depth, products, [zeros])
        t.store(self.scores, [slot * whole, 0], acc)

    def _key(self, key: Index) -> Index:
        """The first key of a whole tile: the bound says nothing new, but lets it be proven to lie inside."""
        whole = self.block.whole
        return key.min((self.block.form.keys.ceildiv(whole) - 1) * whole)

    def _lay_mask(self, key: Index) -> None:
        """Put a mask of rows by keys, transposed, beside the scores."""
        block, t, laid = self.block, self.block.t, self.laid
        if laid is None:
            return

        def lay(row: Index, k: Index) -> None:
            zeros = t.full(0, (block.lanes,), block.form.dtype)
            tile = block.rows.masked_row(zeros, row, (key + k, block.lanes))
            t.store(laid, [k, row], tile, [block.lanes, None])

        t.loop(
            block.rows.count, 1, lambda row: t.loop(block.whole, block.lanes, lambda k: lay(row, k)) and None
        )

    def _score(self, start: Index, c: Index, k: Index, within: Range, slot: Index, *, edge: bool) -> Tile:
        """One tile of the scores in a slot, masked, to base 2."""
        rows, t, form, tile = self.block.rows, self.block.t, self.block.form, self.block.cut.tile
        key, shape = start + c + k, (tile, self.block.width)
        scores = t.load(self.scores, [slot * self.block.whole + k, 0], shape)
        if self.laid is not None:
            mask = t.load(self.laid, [k, 0], shape)
            scores = t.apply("math.fma", mask, t.full(_LOG2E, (1, 1), form.dtype), scores)
        elif self.steady:
            scores = rows.masked(scores, (key, tile))
        else:
            mask = rows.masked(t.full(0, (1, 1), form.dtype), (key, tile))
            scores = t.apply("math.fma", mask, t.full(_LOG2E, (1, 1), form.dtype), scores)
        return self.limits.apply(scores, key, within) if edge else scores

    def _values(self, start: Index, stop: Index, e: Index, slot: Index) -> None:
        """Add the weighted values of a step, its weights in a slot, to some rows of the sums."""
        rows, t, whole = self.block.rows, self.block.t, self.block.whole
        values, shape = self.block.values, (self.rows, self.block.width)
        assert values is not None

        def products(k: Index, acc: Tile) -> Tile:
            place = [rows.b, rows.group, self._key(start + k) // whole, e, index(0)]
            a = t.load(values, place, [None, None, None, self.rows, whole])
            at = slot * (self.steps.keys // 2) + k // 2
            w = t.load(self.weights, [at, 0], [whole // 2, rows.width * 2])
            return t.dot(acc, a, w, tiles=True)

        (acc,) = t.loop(stop, whole, products, [t.load(self.sums, [e, 0], shape)])
        t.store(self.sums, [e, 0], acc)
