"""A block of rows of attention: scores held transposed, [keys, rows], with the rows along the vectors.

So the peak and total of every row need no sum across lanes, keys and values are read as they are, and only
the queries and the result are transposed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drystone.codegen.elements import lowest
from drystone.codegen.families.attention.form import AttentionForm
from drystone.codegen.families.attention.rows import Limits, OfRows, Seen, live_block
from drystone.codegen.families.attention.schedule import Schedule
from drystone.codegen.families.attention.source import Source, sources
from drystone.codegen.families.dry_op import narrowed, widened
from drystone.codegen.families.tiling import divisor, even
from drystone.codegen.tile import Index, Tensor, Tile, index

#: Keys per round of the weighted sum of the values.
_STEP = 4

#: Where the keys of a row or block are looked at: from, to (both inside what `Seen` says).
Range = tuple[Index, Index]


def ranges(form: AttentionForm, seen: Seen) -> list[Range]:
    """The keys to look at: the sinks, and those from the first on that a row sees besides."""
    if not form.sinks:
        return [(seen.start, seen.end)]
    return [(index(0), seen.end.min(form.sinks)), (seen.start.max(form.sinks), seen.end)]


@dataclass(frozen=True)
class Block(OfRows):
    """The rows of one grid step."""

    cut: Schedule
    #: The values [images, heads, depth, keys] in the element of the dot unit, where that sums pairs of keys.
    values: Tensor | None = None

    @property
    def whole(self) -> int:
        """Keys that are looked at together."""
        return self.cut.tile

    @property
    def width(self) -> int:
        """Rows, at most."""
        return self.rows.width

    def run(self) -> None:
        """The whole step."""
        seen = self.rows.seen()
        sums, _, total = self.swept(seen, ranges(self.form, seen))
        self.finish(sums, total)

    def swept(self, seen: Seen, where: Sequence[Range]) -> tuple[Tensor, Tile, Tile]:
        """Fold keys in: the sums of weighted values [depth, rows], and the peaks and totals [1, rows]."""
        form, t = self.form, self.t
        queries = self.queries()
        rows = even(form.depth_v, self.cut.tile)
        sums = t.scratch([-(-form.depth_v // rows) * rows, self.width], form.dtype)
        zeros = t.full(0, (rows, self.width), form.dtype)
        t.loop(sums.dim(0), rows, lambda e: t.store(sums, [e, 0], zeros))
        block = self.cut.block
        # Tiles at the end reach beyond the block.
        weights = t.scratch([block + self.lanes, self.width], form.dtype)
        pairs = None
        if form.short is not None and self.values is not None:
            pairs = t.scratch([(block + self.lanes) // 2, self.width * 2], form.short)
        steps = Steps(form, seen, block, self.cut.tile)
        held = sources(self.rows, block, self.cut.tile)
        sweep = _Sweep(self, steps, self.rows.limits(), queries, weights, pairs, sums, rows, *held)
        state: Sequence[Tile] = [
            t.full(lowest(form.dtype), (1, self.width), form.dtype),
            t.full(0, (1, self.width), form.dtype),
        ]
        for begin, end in where:
            # Pairs of keys start at even ones.
            start = begin if self.values is None else begin // self.whole * self.whole

            def step(k: Index, end: Index, state: Sequence[Tile], begin: Index = begin) -> Sequence[Tile]:
                return sweep.step(k, (begin, end), state)

            state = self.over(start, end, block, step, state)
        return sums, state[0], state[1]

    def over(
        self,
        start: Index,
        end: Index,
        block: int,
        step: Callable[[Index, Index, Sequence[Tile]], Sequence[Tile]],
        state: Sequence[Tile],
    ) -> Sequence[Tile]:
        """step(key, end, state) for the blocks of keys from start to end, those that are dead left out."""
        form, t = self.form, self.t
        if form.blocks is None:
            if start == index(0) and block >= (form.keys.constant or block + 1):
                return step(index(0), end, state)
            return t.loop(end, block, lambda k, *s: step(k, end, s), state, lower=start)

        def maybe(k: Index, *carried: Tile) -> Sequence[Tile]:
            query = index(0) if self.rows.together else self.rows.first
            live = live_block(form, t, self.rows.h, query, k)
            return t.loop(live, 1, lambda _, *s: step(k, end, s), carried)

        return t.loop(end, block, maybe, state, lower=start // block * block)

    def queries(self) -> Tensor:
        """The scaled queries in scratch, transposed, as the dot unit takes them."""
        form, t = self.form, self.t
        if self.values is not None:
            return self._short_queries()
        scratch = t.scratch([form.depth, self.width], form.dtype)
        chunk = min(self.lanes, form.depth)
        scale = t.full(form.scale, (chunk,), form.dtype)
        if self.rows.count.constant != self.width:
            # What lies in lanes without a row does not count, but denormal numbers take 100 times as long.
            nothing = t.full(0, (1, self.width), form.dtype)
            t.loop(form.depth, 1, lambda d: t.store(scratch, [d, 0], nothing))

        def copy(row: Index, d: Index) -> None:
            h, s = self.rows.at(row)
            tile = widened(
                t, t.load(form.q, form.place(self.rows.b, h, s, d), form.place(None, None, None, chunk))
            )
            t.store(scratch, [d, row], t.apply("arith.mulf", tile, scale), [chunk, None])

        t.loop(self.rows.count, 1, lambda row: t.loop(form.depth, chunk, lambda d: copy(row, d)) and None)
        return scratch

    def _short_queries(self) -> Tensor:
        """The same, each lane with the neighbouring positions of the depth that the unit sums: [depth / 2,
        rows * 2]."""
        form, t = self.form, self.t
        assert form.short is not None
        scratch = t.scratch([form.depth // 2, self.width * 2], form.short)
        count = min(self.lanes, form.depth // 2)
        scale = t.full(form.scale, (count,), form.dtype)

        def copy(row: Index, d: Index, side: int) -> None:
            h, s = self.rows.at(row)
            place = form.place(self.rows.b, h, s, 2 * d + side)
            sizes = form.place(None, None, None, count)
            tile = widened(t, t.load(form.q, place, sizes, steps=form.place(1, 1, 1, 2)))
            tile = t.apply("arith.truncf", t.apply("arith.mulf", tile, scale), dtype=form.short)
            t.store(scratch, [d, 2 * row + side], tile, [count, None])

        def both(row: Index, d: Index) -> None:
            copy(row, d, 0)
            copy(row, d, 1)

        t.loop(
            self.rows.count, 1, lambda row: t.loop(form.depth // 2, count, lambda d: both(row, d)) and None
        )
        return scratch

    def finish(self, sums: Tensor, total: Tile) -> None:
        """Divide by the totals (a query without keys gives zeros) and store the result."""
        form, t = self.form, self.t
        least = t.full(1e-30, (1, self.width), form.dtype)
        one = t.full(1, (1, self.width), form.dtype)
        factor = t.apply("arith.divf", one, t.apply("arith.maximumf", total, least))

        def divide(e: Index) -> None:
            t.store(sums, [e, 0], t.apply("arith.mulf", t.load(sums, [e, 0], [1, self.width]), factor))

        t.loop(sums.dim(0), 1, divide)

        def store(row: Index, e: Index, tile: Tile) -> None:
            h, s = self.rows.at(row)
            place, sizes = form.place(self.rows.b, h, s, e), form.place(None, None, None, tile.shape[0])
            t.store(form.out, place, narrowed(t, tile, form.out.dtype), sizes)

        self.by_row(sums, store)

    def by_row(self, sums: Tensor, store: Callable[[Index, Index, Tile], None]) -> None:
        """store(row, depth, tile) for the sums of every row."""
        form, t = self.form, self.t
        chunk = min(self.lanes, sums.dim(0).constant or 1)

        def part(row: Index, e: Index) -> None:
            store(row, e, t.load(sums, [e, row], [chunk, None]))

        t.loop(self.rows.count, 1, lambda row: t.loop(form.depth_v, chunk, lambda e: part(row, e)) and None)


@dataclass(frozen=True)
class Steps:
    """Steps of so many `keys`, of tiles of `tile` keys; keys of a step are a multiple of `some`."""

    form: AttentionForm
    seen: Seen
    keys: int
    tile: int
    some: int = 1

    def stop(self, start: Index, end: Index) -> Index:
        """How many keys of the step at `start` there are."""
        keys = self.form.keys.constant
        whole = keys is not None and keys % self.keys == 0 and end == self.form.keys
        if whole and start.kind in ("var", "const") and self.form.span is None:
            return index(self.keys)
        return ((end - start).ceildiv(self.some) * self.some).min(self.keys)

    def inner(self, start: Index, stop: Index, within: Range) -> tuple[Index, Index]:
        """The tiles, from and to, in which all rows see all keys."""
        begin, end = within
        form = self.form
        keys = form.keys.constant
        low = index(0)
        if form.span is not None:
            low = ((self.seen.all_from.max(begin) - start).max(0).ceildiv(self.tile) * self.tile).min(stop)
        if not form.causal and form.span is None and keys is not None and keys % self.tile == 0:
            return low, stop
        whole = (
            (self.seen.all_to - start).min(form.keys - start).max(0).min(self.keys) // self.tile * self.tile
        )
        if form.span is None:
            return low, whole
        last = (end - start).max(0).min(stop)
        return low, whole.min(last // self.tile * self.tile).max(low)


@dataclass(frozen=True)
class _Sweep:
    """The walk of a block of rows over keys: what stays the same in every step."""

    block: Block
    steps: Steps
    limits: Limits
    queries: Tensor
    weights: Tensor
    pairs: Tensor | None
    sums: Tensor
    rows: int
    keys: Source
    values: Source

    @property
    def tile(self) -> int:
        """Keys of a tile of scores."""
        return self.block.cut.tile

    def step(self, start: Index, within: Range, state: Sequence[Tile]) -> Sequence[Tile]:
        """Fold the keys at `start` in, as far as they are `within` a range: the new peak and total."""
        rows, form, t = self.block.rows, self.block.form, self.block.t
        peak, total = state
        stop = self.steps.stop(start, within[1])
        self.keys.prepare(start, stop)
        self.values.prepare(start, stop)
        if rows.laid:
            self._lay_mask(start, stop)
        # Tiles that all rows see need no comparison.
        low, high = self.steps.inner(start, stop, within)
        new = peak
        for first, last, edge in ((index(0), low, True), (low, high, False), (high, stop, True)):
            if first == last:
                continue
            (new,) = t.loop(
                last,
                self.tile,
                lambda k, p, edge=edge: self._scores(start, within, k, p, edge=edge),
                [new],
                lower=first,
            )
        fade = t.apply("math.exp", t.apply("arith.subf", peak, new), domain="negative")

        def grow(k: Index, sum_: Tile) -> Tile:
            tile = t.load(self.weights, [k, 0], [self.tile, rows.width])
            tile = t.apply("math.exp", t.apply("arith.subf", tile, new), domain="negative")
            if self.pairs is None:
                t.store(self.weights, [k, 0], self._scaled(tile, start + k, form.value_peaks))
            else:
                short = t.apply("arith.truncf", tile, dtype=self.pairs.dtype)
                t.store(self.pairs, [k // 2, 0], t.interleave(short, 2))
            return t.apply("arith.addf", sum_, t.reduce("arith.addf", tile, 0))

        (total,) = t.loop(stop, self.tile, grow, [t.apply("arith.mulf", total, fade)])
        t.loop(self.sums.dim(0), self.rows, lambda e: self._values(start, stop, e, fade))
        return [new, total]

    def _lay_mask(self, start: Index, stop: Index) -> None:
        """Put a mask of rows by keys, transposed, where the scores go: they are added to it."""
        block, t = self.block, self.block.t

        def lay(row: Index, k: Index) -> None:
            zeros = t.full(0, (block.lanes,), block.form.dtype)
            tile = block.rows.masked_row(zeros, row, (start + k, block.lanes))
            t.store(self.weights, [k, row], tile, [block.lanes, None])

        t.loop(block.rows.count, 1, lambda row: t.loop(stop, block.lanes, lambda k: lay(row, k)) and None)

    def _scores(self, start: Index, within: Range, k: Index, peak: Tile, *, edge: bool) -> Tile:
        """One tile of scores, kept in `weights`; the new peak."""
        rows, form, t = self.block.rows, self.block.form, self.block.t
        depth = divisor(form.depth, 4) if self.pairs is None else 2 * divisor(form.depth // 2, 4)
        key = start + k

        def short(d: Index, acc: Tile) -> Tile:
            place = form.place(rows.b, rows.group, key, d)
            a = t.load(form.k, place, form.place(None, None, self.tile, depth), held=True)
            return t.dot(acc, a, t.load(self.queries, [d // 2, 0], [depth // 2, rows.width * 2]))

        def products(d: Index, acc: Tile) -> Tile:
            if self.pairs is not None:
                return short(d, acc)
            a = self.keys.load(start, k, d, self.tile, depth)
            return t.dot(acc, a, t.load(self.queries, [d, 0], [depth, rows.width]))

        shape = (self.tile, rows.width)
        laid = t.load(self.weights, [k, 0], shape) if rows.laid else t.full(0, shape, form.dtype)
        if form.key_peaks is None:
            (tile,) = t.loop(form.depth, depth, products, [laid])
        else:
            (tile,) = t.loop(form.depth, depth, products, [t.full(0, shape, form.dtype)])
            tile = t.apply("arith.addf", self._scaled(tile, key, form.key_peaks), laid)
        if not rows.laid:
            tile = rows.masked(tile, (key, self.tile))
        if edge:
            tile = self.limits.apply(tile, key, within)
        t.store(self.weights, [k, 0], tile)
        return t.apply("arith.maximumf", peak, t.reduce("arith.maximumf", tile, 0))

    def _scaled(self, tile: Tile, key: Index, peaks: Tensor | None) -> Tile:
        """A tile [keys, rows] from a key on, times the scales of its keys or values where these are bytes."""
        rows, t = self.block.rows, self.block.t
        if peaks is None:
            return tile
        scales = self.block.form.scales(t, peaks, (rows.b, rows.group, key), self.tile)
        return t.apply("arith.mulf", tile, t.reshape(scales, [self.tile, 1]))

    def _values(self, start: Index, stop: Index, e: Index, fade: Tile) -> None:
        """Add the block's weighted values to some rows of the sums."""
        rows, t = self.block.rows, self.block.t

        step = _STEP if self.pairs is None else 2 * _STEP

        def short(k: Index, acc: Tile, values: Tensor, pairs: Tensor) -> Tile:
            a = t.load(values, [rows.b, rows.group, e, start + k], [None, None, self.rows, step])
            w = t.load(pairs, [k // 2, 0], [step // 2, rows.width * 2])
            return t.dot(acc, a, w)

        def products(k: Index, acc: Tile) -> Tile:
            if self.block.values is not None and self.pairs is not None:
                return short(k, acc, self.block.values, self.pairs)
            v = self.values.load(start, k, e, _STEP, self.rows)
            return t.dot(acc, t.transpose(v), t.load(self.weights, [k, 0], [_STEP, rows.width]))

        acc = t.apply("arith.mulf", t.load(self.sums, [e, 0], [self.rows, rows.width]), fade)
        (acc,) = t.loop(stop, step, products, [acc])
        t.store(self.sums, [e, 0], acc)
