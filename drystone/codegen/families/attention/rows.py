"""Rows of an attention kernel: queries that are handled together, and which keys they see."""

from dataclasses import dataclass

from drystone.codegen.families.attention.form import AttentionForm
from drystone.codegen.families.attention.schedule import MOST_TOGETHER
from drystone.codegen.families.dry_op import widened
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index

#: Beyond every position.
_FAR = 2**31 - 1


@dataclass(frozen=True)
class Seen:
    """Keys below `start` and from `end` on are seen by no row; those from `all_from` to `all_to` by all of
    them, as far as positions say."""

    start: Index
    end: Index
    all_from: Index
    all_to: Index


@dataclass(frozen=True)
class Rows:
    """`width` rows of image b, which read the keys of head `group`: queries from `first` on of head h; or,
    `together`, those of all the heads from h on that share these keys, one head after the other."""

    form: AttentionForm
    t: TileBuilder
    b: Index
    h: Index
    group: Index
    first: Index
    width: int
    together: bool = False

    @property
    def count(self) -> Index:
        """How many rows there are. Other lanes hold anything: none sees another."""
        rows = self.form.queries * (self.form.repeat if self.together else 1)
        return (rows - self.first).min(self.width)

    def at(self, row: Index) -> tuple[Index, Index]:
        """Head and query of a row."""
        row = self.first + row
        if not self.together:
            return self.h, row
        if self.form.queries.constant == 1:
            return self.h + row, index(0)
        return self.h + row // self.form.queries, row % self.form.queries

    def _of_queries(self, side: int, fill: int) -> Tile:
        """A side of the span of the queries of these rows; what is no query is `fill`."""
        span, t = self.form.span, self.t
        assert span is not None
        count = 1 if span.shape[2] == 1 else MOST_TOGETHER if self.together else self.width
        first = index(0) if self.together or span.shape[2] == 1 else self.first
        at = [index(side), index(0) if span.shape[1] == 1 else self.b, first]
        return t.load(span, at, [None, None, count], fill=fill)

    def _extreme(self, side: int, op: str, fill: int) -> Index:
        tile = self._of_queries(side, fill)
        one = tile if tile.shape == (1,) else self.t.reduce(op, tile, 0)
        return self.t.element(one)

    def seen(self) -> Seen:
        """The keys the rows see."""
        form = self.form
        start, all_from = index(0), index(0)
        end = all_to = form.keys
        if form.causal and not self.together:
            end = end.min(self.first + self.width)
            all_to = all_to.min(self.first + 1)
        elif form.causal:
            end, all_to = end.min(form.queries), index(1).min(form.keys)
        if form.span is not None:
            start = self._extreme(0, "arith.minsi", _FAR).max(0)
            all_from = self._extreme(0, "arith.maxsi", 0).max(0)
            end = end.min(self._extreme(1, "arith.maxsi", 0))
            all_to = all_to.min(self._extreme(1, "arith.minsi", _FAR)).max(0)
            end = end.max(0)
        return Seen(start, end, all_from, all_to)

    def limits(self) -> "Limits":
        """What positions say of every row, to be compared with at the edges."""
        form, t = self.form, self.t
        first: Tile | None = None
        last = t.full(form.keys - 1, (1, 1), "i64")
        if form.causal:
            last = t.apply("arith.minsi", last, self._positions())
        if form.span is not None:
            first, end = (self._side(side) for side in (0, 1))
            last = t.apply("arith.minsi", last, t.apply("arith.subi", end, t.full(1, (1, 1), "i64")))
        return Limits(form, t, first, last)

    def _positions(self) -> Tile:
        """The number of every row's query: [1, width]."""
        t = self.t
        if not self.together:
            return t.iota(self.first, (1, self.width), 1)
        if self.form.queries.constant == 1:
            return t.full(0, (1, 1), "i64")
        return t.apply(
            "arith.remsi", t.iota(self.first, (1, self.width), 1), t.full(self.form.queries, (1, 1), "i64")
        )

    def _side(self, side: int) -> Tile:
        """A side of the span of every row: [1, width] or [1, 1] of i64."""
        form, t = self.form, self.t
        assert form.span is not None
        if not self.together or form.span.shape[2] == 1:
            tile = self._of_queries(side, 0)
        else:
            span = form.span
            b = index(0) if span.shape[1] == 1 else self.b
            held = t.scratch([self.width], span.dtype)

            def copy(row: Index) -> None:
                t.store(held, [row], t.load(span, [index(side), b, self.at(row)[1]], [None, None, 1]))

            t.loop(self.count, 1, copy)
            tile = t.load(held, [index(0)], [self.width])
        tile = t.reshape(tile, [1, tile.shape[0]])
        return tile if tile.dtype == "i64" else t.apply("arith.extsi", tile, dtype="i64")

    @property
    def laid(self) -> bool:
        """Whether the mask differs between rows as well as between keys, or otherwise than along queries, so
        that it is laid down first and the scores are added to it."""
        mask = self.form.mask
        if mask is None:
            return False
        return 1 not in mask.shape[2:] or (self.together and (mask.shape[2] != 1 or mask.shape[1] != 1))

    def masked_row(self, scores: Tile, row: Index, keys: tuple[Index, int]) -> Tile:
        """The mask applied to the scores [keys] of one row."""
        h, s = self.at(row)
        return self._masked(scores, h, (s, None), keys)

    def masked(self, scores: Tile, keys: tuple[Index, int]) -> Tile:
        """The mask, where it is not `laid`, applied to scores [keys, rows]."""
        return self._masked(scores, self.h, (self.first, self.width), keys)

    def _masked(
        self, scores: Tile, h: Index, queries: tuple[Index, int | None], keys: tuple[Index, int]
    ) -> Tile:
        mask, t = self.form.mask, self.t
        if mask is None:
            return scores
        (q, width), (k, count) = queries, keys
        at: list[Index] = []
        sizes: list[int | None] = []
        for axis, (start, size) in enumerate(((self.b, None), (h, None), (q, width), (k, count))):
            one = mask.shape[axis] == 1
            at.append(index(0) if one else start)
            sizes.append(None if one else size)
        tile = t.load(mask, at, sizes)
        if width is not None:
            tile = t.reshape(tile, [sizes[3] or 1, sizes[2] or 1])
        elif not tile.shape:
            tile = t.reshape(tile, [1])
        if mask.dtype == "i1":
            never = t.full(float("-inf"), (1,) * len(scores.shape), scores.dtype)
            return t.apply("arith.select", tile, scores, never, dtype=scores.dtype)
        return t.apply("arith.addf", scores, widened(t, tile))


@dataclass(frozen=True)
class OfRows:
    """Rows as a program handles them, on vectors of `lanes`."""

    rows: Rows
    lanes: int

    @property
    def form(self) -> AttentionForm:
        """The operation."""
        return self.rows.form

    @property
    def t(self) -> TileBuilder:
        """Where it is recorded."""
        return self.rows.t


@dataclass(frozen=True)
class Limits:
    """The first (None: 0) and the last key of every row, [1, rows] or [1, 1]."""

    form: AttentionForm
    t: TileBuilder
    first: Tile | None
    last: Tile

    def apply(self, scores: Tile, key: Index, within: tuple[Index, Index]) -> Tile:
        """Scores [keys, rows] from a key on, without those of keys that a row does not see. With sinks, also
        without those outside a range."""
        t, form = self.t, self.form
        where = t.iota(key, (scores.shape[0], 1), 0)
        inside = t.apply("arith.cmpi", where, self.last, dtype="i1", predicate="sle")
        if self.first is not None:
            after = t.apply("arith.cmpi", where, self.first, dtype="i1", predicate="sge")
            if form.sinks:
                sinks = t.full(form.sinks, (1, 1), "i64")
                sink = t.apply("arith.cmpi", where, sinks, dtype="i1", predicate="slt")
                after = t.apply("arith.ori", after, sink)
                # Keys behind the sinks have their turn later, and the sinks none again.
                for bound, predicate in zip(within, ("sge", "slt"), strict=True):
                    limit = t.full(bound, (1, 1), "i64")
                    here = t.apply("arith.cmpi", where, limit, dtype="i1", predicate=predicate)
                    after = t.apply("arith.andi", after, here)
            inside = t.apply("arith.andi", inside, after)
        never = t.full(float("-inf"), (1, 1), scores.dtype)
        return t.apply("arith.select", inside, scores, never, dtype=scores.dtype)


def live_block(form: AttentionForm, t: TileBuilder, h: Index, query: Index, key: Index) -> Index:
    """1 where the tile of `form.blocks` with this query and key is computed, else 0."""
    blocks: Tensor | None = form.blocks
    if blocks is None:
        return index(1)
    rows, columns = form.tile
    at = [index(0) if blocks.shape[0] == 1 else h, query // rows, key // columns]
    one = t.load(blocks, at, [None, None, 1])
    return t.element(t.apply("arith.extui", one, dtype="i64"))
