"""Statistics of the rows of a product that is never in memory: of logits, for a loss or a choice.

The register tiles of the product pass by; beside each row of a block lie its largest element so far, the sum
of exponentials that fades when a larger one comes (Milakov and Gimelshein, "Online normalizer calculation for
softmax", 2018), the place of the largest, the element wanted and the sum of all, for every lane of a tile (as
cross entropy is computed in Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2024,
section 4). Blocks of columns are shared between threads; a second round merges what they found.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import lowest
from drystone.codegen.families.dry_op import DryOp, dry_ops, narrowed, widened
from drystone.codegen.families.matmul.form import MatMulForm, promises, result_tile
from drystone.codegen.families.matmul.kernel import form_of, product_of
from drystone.codegen.families.matmul.panels import Step
from drystone.codegen.families.matmul.schedule import Product, Schedule, default, schedule, space
from drystone.codegen.families.tiling import even
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.errors import InternalError
from drystone.targets.target import Target

#: The part of the second cache that what is kept beside the rows of a step may fill: so many rows pass by
#: each panel of the weight.
_PART = 0.25
#: Steps of the grid that threads share evenly.
_STEPS = 32


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The program of a kernel of a `dry.matmul` and the `dry.row_stats` of its result."""
    found = search(kernel, target)
    return found.build(found.default)


def search(kernel: Any, target: Target) -> Search:
    """The schedules of such a kernel: those of the product, whose panels are not cut along k."""
    product, stats = dry_ops(kernel)
    if product.main.operation.name != "dry.matmul" or stats.main.operation.name != "dry.row_stats":
        raise InternalError(f"statistics of the rows of a {product.main.operation.name}")
    a = product.tensor(product.main.a)
    columns = product.main.operation.results[0].type.shape[1]
    # The product as it would lie: it has the rows of a.
    scores = Tensor(a.name, str(product.main.out.type.element_type), (a.shape[0], columns))
    form = form_of(product, scores, {})
    if form is None:
        raise InternalError("statistics of the rows of a product that no panels give")
    sizes = product_of([form], target)

    def make(point: Point) -> TileProgram:
        cut = schedule(sizes, {**point, "passes": 1}, target)
        return _RowStats(form, stats, sizes, cut, columns, target.l2).program()

    features = {"m": float(sizes.m or 256), "n": float(columns), "k": float(sizes.k or 256), "bits": 32.0}
    return Search(space(sizes, target), default(sizes, target), features, make)


#: What is kept of every row: its largest element, the sum of exponentials, the place of the largest, the
#: element that is picked, the sum of all. Those that are wanted, by name and in this order.
_KINDS = ("peak", "total", "place", "picked", "summed")
#: What of these adds up.
_ADDED = ("picked", "summed")
_Kept = dict[str, Tensor]


@dataclass(frozen=True)
class _RowStats:
    form: MatMulForm
    stats: DryOp
    sizes: Product
    p: Schedule
    columns: int
    l2: int

    @property
    def dtype(self) -> str:
        """What sums are held in."""
        return self.form.dtype

    @property
    def kinds(self) -> list[str]:
        """What is wanted."""
        main = self.stats.main
        groups = ([main.peak], main.rest, main.place, main.picked, main.summed)
        return [kind for kind, group in zip(_KINDS, groups, strict=True) if len(group)]

    def element(self, kind: str) -> str:
        """What one of the kinds is held in."""
        return "i32" if kind == "place" else self.dtype

    def first(self, kind: str, shape: Sequence[int], t: TileBuilder) -> Tile:
        """What one of the kinds starts from: exponentials cannot do with a largest element of -inf."""
        start = lowest(self.dtype) if "total" in self.kinds else -math.inf
        return t.full(start if kind == "peak" else 0, shape, self.element(kind))

    @property
    def high(self) -> int:
        """Rows of a step."""
        rows = self.p.rows
        most = max(rows, int(self.l2 * _PART) // (self.p.width * 4 * len(self.kinds)))
        return -(-even(self.sizes.m, most) // rows) * rows

    @property
    def parts(self) -> int:
        """Blocks of columns: enough for the threads."""
        panels = -(-self.columns // self.p.width)
        blocks = -(-(self.sizes.m or 1) // self.high)
        return max(1, min(panels, -(-_STEPS // blocks)))

    def program(self) -> TileProgram:
        """The tile program."""
        rows = self.form.a.dim(0)

        def body(t: TileBuilder) -> None:
            promises(self.form, t)
            for out in self.stats.inits:
                t.same(out.dim(0), rows)
            kept = {kind: t.shared([self.parts, rows], self.element(kind)) for kind in self.kinds}

            def step(r: Index, m: Index, part: Index) -> None:
                t.when(r, 1, lambda: self.part(t, kept, m, part))
                t.when(0, r, lambda: t.when(part, 1, lambda: self.merge(t, kept, m)))

            axes = [(rows, self.high), (index(self.parts), 1)]
            t.rounds(2, lambda r: t.grid(axes, lambda m, part: step(r, m, part)))

        with self.stats.main.operation.context:
            return tile_program("row_stats", self.stats.tensors, body, self.stats.scalars)

    def part(self, t: TileBuilder, kept: _Kept, m: Index, part: Index) -> None:
        """Some rows through one block of columns."""
        p, width = self.p, self.p.width
        lanes = {kind: t.scratch((self.high, width), self.element(kind)) for kind in self.kinds}
        sums = t.scratch((p.rows, width), self.dtype)
        end = (self.form.a.dim(0) - m).min(self.high)

        def clear(i: Index) -> None:
            for kind, each in lanes.items():
                t.store(each, [i, 0], self.first(kind, (1, width), t))

        t.loop(end, 1, clear)
        panels = -(-self.columns // width)
        across = -(-panels // self.parts) * width

        def panel(n: Index) -> None:
            step = Step(self.form, self.sizes, t, p, n, m)

            def rows(i: Index) -> None:
                t.store(sums, [0, 0], step.whole(m + i))
                stop = (end - i).min(p.rows)
                t.loop(stop, 1, lambda r: self.add(t, lanes, t.load(sums, [r, 0], [1, width]), i + r, m, n))

            t.loop(end, p.rows, rows)

        t.loop(((part + 1) * across).min(self.columns), width, panel, lower=part * across)
        t.loop(end, 1, lambda i: self.close(t, lanes, kept, i, m, part))

    def add(self, t: TileBuilder, lanes: _Kept, acc: Tile, i: Index, m: Index, n: Index) -> None:
        """The elements of columns n.. of row i of the step, from their sums."""
        shape, one = acc.shape, (1, 1)
        x = widened(t, result_tile(self.form, t, [acc], [m + i, n], list(shape)))
        column, term = t.iota(n, shape, 1, "i32"), x
        if self.columns % self.p.width:
            end = t.full(self.columns, one, "i32")
            inside = t.apply("arith.cmpi", column, end, dtype="i1", predicate="slt")
            term = _select(t, inside, x, t.full(0, one, self.dtype))
            x = _select(t, inside, x, t.full(-math.inf, one, self.dtype))
        old = {kind: t.load(each, [i, 0], shape) for kind, each in lanes.items()}
        above = t.apply("arith.cmpf", x, old["peak"], dtype="i1", predicate="ogt")
        new = {"peak": t.apply("arith.maximumf", old["peak"], x)}
        if "total" in old:
            # One exponential: of the distance, by which either what there was fades or what comes.
            fall = t.apply("arith.negf", t.apply("math.absf", t.apply("arith.subf", x, old["peak"])))
            fade = t.apply("math.exp", fall, domain="negative")
            faded = t.apply("math.fma", old["total"], fade, t.full(1.0, one, self.dtype))
            new["total"] = _select(t, above, faded, t.apply("arith.addf", old["total"], fade))
        if "place" in old:
            new["place"] = _select(t, above, column, old["place"])
        if "picked" in old:
            pick = t.load(self.stats.tensor(self.stats.main.pick[0]), [m + i], [1])
            wanted = t.reshape(t.apply("arith.trunci", pick, dtype="i32"), one)
            here = t.apply("arith.cmpi", column, wanted, dtype="i1", predicate="eq")
            new["picked"] = _select(t, here, x, old["picked"])
        if "summed" in old:
            new["summed"] = t.apply("arith.addf", old["summed"], term)
        for kind, tile in new.items():
            t.store(lanes[kind], [i, 0], tile)

    def close(self, t: TileBuilder, lanes: _Kept, kept: _Kept, i: Index, m: Index, part: Index) -> None:
        """The lanes of one row brought together."""
        each = {kind: t.load(tensor, [i, 0], (1, self.p.width)) for kind, tensor in lanes.items()}
        peak = t.reduce("arith.maximumf", each["peak"], 1)
        found = {"peak": peak}
        if "total" in each:
            faded = t.apply("arith.mulf", each["total"], _grown(t, each["peak"], peak))
            found["total"] = t.reduce("arith.addf", faded, 1)
        if "place" in each:
            there = t.apply("arith.cmpf", each["peak"], peak, dtype="i1", predicate="uge")
            far = t.full(2**31 - 1, (1, 1), "i32")
            found["place"] = t.reduce("arith.minsi", _select(t, there, each["place"], far), 1)
        found |= {kind: t.reduce("arith.addf", each[kind], 1) for kind in _ADDED if kind in each}
        for kind, tile in found.items():
            t.store(kept[kind], [part, m + i], t.reshape(tile, [1]), [None, 1])

    def merge(self, t: TileBuilder, kept: _Kept, m: Index) -> None:
        """The results of some rows."""

        def row(i: Index) -> None:
            carry = [self.first(kind, (1,), t) for kind in kept]
            found = t.loop(self.parts, 1, lambda part, *now: self.joined(t, kept, part, i, now), carry)
            for kind, out, tile in zip(kept, self.stats.inits, found, strict=True):
                if kind == "place":
                    t.store(out, [i], t.apply("arith.extsi", tile, dtype="i64"), [1])
                    continue
                last = t.apply("math.log", tile) if kind == "total" else tile
                t.store(out, [i], narrowed(t, last, out.dtype), [1])

        t.loop((m + self.high).min(self.form.a.dim(0)), 1, row, lower=m)

    def joined(self, t: TileBuilder, kept: _Kept, part: Index, i: Index, now: Sequence[Tile]) -> list[Tile]:
        """What is known of a row and what a part says of it."""
        old = dict(zip(kept, now, strict=True))
        new = {kind: t.load(each, [part, i], [None, 1]) for kind, each in kept.items()}
        peak = t.apply("arith.maximumf", old["peak"], new["peak"])
        found = [peak]
        if "total" in old:
            sides = [t.apply("arith.mulf", s["total"], _grown(t, s["peak"], peak)) for s in (old, new)]
            found.append(t.apply("arith.addf", *sides))
        if "place" in old:
            above = t.apply("arith.cmpf", new["peak"], old["peak"], dtype="i1", predicate="ogt")
            found.append(_select(t, above, new["place"], old["place"]))
        found += [t.apply("arith.addf", old[kind], new[kind]) for kind in _ADDED if kind in old]
        return found


def _select(t: TileBuilder, flag: Tile, one: Tile, other: Tile) -> Tile:
    return t.apply("arith.select", flag, one, other, dtype=one.dtype)


def _grown(t: TileBuilder, x: Tile, peak: Tile) -> Tile:
    """exp(x - peak), which is no more than 1."""
    return t.apply("math.exp", t.apply("arith.subf", x, peak), domain="negative")
