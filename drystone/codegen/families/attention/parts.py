"""Attention of few queries with the keys shared out between threads.

FlashDecoding (Dao et al. 2023): every part of the keys gives the peak, total and weighted values of its own,
which a second round merges. As in LeanAttention (Sanovar et al. 2024) the parts of all heads lie in one row
that the threads divide evenly, whatever the number of heads; parts are of the keys that are seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import lowest
from drystone.codegen.families.attention.block import Block, Range, ranges
from drystone.codegen.families.attention.few import single_row
from drystone.codegen.families.attention.form import AttentionForm
from drystone.codegen.families.attention.rows import Rows, Seen
from drystone.codegen.families.attention.schedule import Schedule, grouped
from drystone.codegen.families.dry_op import narrowed
from drystone.codegen.tile import Index, Tensor, TileBuilder, index


def in_parts(form: AttentionForm, lanes: int, cut: Schedule) -> Callable[[TileBuilder], None]:
    """Two rounds: the parts, then their sum."""
    repeat = form.repeat if grouped(form) else 1
    width, parts, rows = cut.width, cut.parts, (form.queries.constant or 1) * repeat

    def body(t: TileBuilder) -> None:
        form.promise(t)
        heads = form.groups if grouped(form) else form.extent(form.out, 1)
        across = -(-rows // (width or 1)) * (width or 1)
        kept = Parts(
            form,
            t,
            t.shared([form.images, heads, parts, 2, across], form.dtype),
            t.shared([form.images, heads, parts, rows, form.depth_v], form.dtype),
            cut,
            lanes,
            repeat,
        )

        def step(r: Index, b: Index, g: Index, n: Index) -> None:
            t.when(r, 1, lambda: kept.blocks(b, g, n) if width else kept.singles(b, g, n))
            t.when(0, r, lambda: t.when(n, 1, lambda: kept.merge(b, g)))

        axes = [(form.images, 1), (heads, 1), (index(parts), 1)]
        t.rounds(2, lambda r: t.grid(axes, lambda b, g, n: step(r, b, g, n)))

    return body


@dataclass(frozen=True)
class Parts:
    """Peaks and totals [images, heads, parts, 2, rows], and weighted values [images, heads, parts, rows,
    depth], of every part. `repeat` query heads are rows of one head."""

    form: AttentionForm
    t: TileBuilder
    stats: Tensor
    sums: Tensor
    cut: Schedule
    lanes: int
    repeat: int

    def _part(self, seen: Seen, n: Index) -> list[Range]:
        """The keys of a part: an even share of those that are seen, the first one's with the sinks."""
        found = ranges(self.form, seen)
        start, end = found[-1]
        tile = self.cut.tile
        size = (end - start).max(0).ceildiv(self.cut.parts).ceildiv(tile) * tile
        first = (start + n * size).max(0)
        part = (first, (first + size).min(end))
        if len(found) == 1:
            return [part]
        others = (1 - n.min(1)) * self.form.sinks
        return [(index(0), found[0][1].min(others)), part]

    def blocks(self, b: Index, g: Index, n: Index) -> None:
        """One part of all rows, a block at a time."""
        form, t, width = self.form, self.t, self.cut.width

        def block(first: Index) -> None:
            rows = Rows(form, t, b, g * self.repeat, g, first, width, together=True)
            one = Block(rows, self.lanes, self.cut)
            seen = rows.seen()
            sums, peak, total = one.swept(seen, self._part(seen, n))
            for side, tile in enumerate((peak, total)):
                t.store(self.stats, [b, g, n, side, first], t.reshape(tile, [width]), [None] * 4 + [width])

            def store(row: Index, e: Index, tile: Any) -> None:
                t.store(self.sums, [b, g, n, first + row, e], tile, [None] * 4 + [tile.shape[0]])

            one.by_row(sums, store)

        t.loop(form.queries * self.repeat, width, block)

    def singles(self, b: Index, g: Index, n: Index) -> None:
        """One part of all rows, one by one."""
        form, t = self.form, self.t

        def single(row: Index) -> None:
            h, s = self._at(g, row)
            rows = Rows(form, t, b, h, g, s, 1)
            one = single_row(rows, self.lanes, self.cut)
            peak, total, acc = one.swept(self._part(rows.seen(), n))
            t.store(self.stats, [b, g, n, 0, row], peak, [None] * 4 + [1])
            t.store(self.stats, [b, g, n, 1, row], t.reshape(one.whole(total), [1]), [None] * 4 + [1])
            whole = t.reshape(acc, [form.depth_v])
            t.store(self.sums, [b, g, n, row, 0], whole, [None] * 4 + [form.depth_v])

        t.loop(form.queries * self.repeat, 1, single)

    def _at(self, g: Index, row: Index) -> tuple[Index, Index]:
        """Head and query of a row."""
        queries = self.form.queries
        return g * self.repeat + row // queries, row % queries

    def merge(self, b: Index, g: Index) -> None:
        """The results of all rows of a head: parts with their totals, brought to one peak."""
        form, t = self.form, self.t

        def stat(n: Index, side: int, row: Index) -> Any:
            return t.load(self.stats, [b, g, n, side, row], [None] * 4 + [1])

        def merged(row: Index) -> None:
            h, s = self._at(g, row)
            least = t.full(lowest(form.dtype), (1,), form.dtype)

            def highest(n: Index, peak: Any) -> Any:
                return t.apply("arith.maximumf", peak, stat(n, 0, row))

            (peak,) = t.loop(self.cut.parts, 1, highest, [least])

            def add(n: Index, total: Any, acc: Any) -> list[Any]:
                weight = t.apply("math.exp", t.apply("arith.subf", stat(n, 0, row), peak))
                part = t.load(self.sums, [b, g, n, row, 0], [None] * 4 + [form.depth_v])
                return [
                    t.apply("math.fma", weight, stat(n, 1, row), total),
                    t.apply("math.fma", weight, part, acc),
                ]

            zeros = [t.full(0, (1,), form.dtype), t.full(0, (form.depth_v,), form.dtype)]
            total, acc = t.loop(self.cut.parts, 1, add, zeros)
            divisor = t.apply("arith.maximumf", total, t.full(1e-30, (1,), form.dtype))
            tile = narrowed(t, t.apply("arith.divf", acc, divisor), form.out.dtype)
            t.store(form.out, form.place(b, h, s, index(0)), tile, form.place(None, None, None, form.depth_v))

        t.loop(form.queries * self.repeat, 1, merged)
