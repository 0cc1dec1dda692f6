"""Rows rounded to signed bytes: the ends of a row, then its codes, while the row is in the nearest cache.

Rows have a scale each, found when the program runs: the vector-wise quantization of Dettmers et al.,
"LLM.int8()", 2022. With a zero point both ends of the row are at the ends of the codes, which one-sided
activations need. A kernel that makes rows one by one (a normalization) rounds them itself: `Rounding`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.dry_op import DryOp, dry_ops
from drystone.codegen.families.rows import Fold, over_rows, split_at
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import Target

#: The largest code, and the least peak of a row that is not all zeros: 127 over it is a number.
LARGEST, LEAST = 127.0, 2.0**-120
#: All bits but the sign; what rounds a number below 2^22 to an integer when it is added.
_POSITIVE, _SHIFT = 0x7FFFFFFF, 1.5 * 2.0**23

#: The part of a row that starts at a column.
Part = Callable[[Index], Tile]


@dataclass(frozen=True)
class Rounding:
    """Where codes [rows, columns] and the peak and, where it has one, the zero of each row [rows] go (without
    `rows` where there is only one), the factors of columns, and how wide tiles are."""

    codes: Tensor
    peak: Tensor
    zero: Tensor | None
    factor: Tensor | None
    width: int

    @property
    def columns(self) -> Index:
        """The length of a row."""
        return self.codes.dim(len(self.codes.shape) - 1)

    def promises(self, t: TileBuilder, rows: Index | None, columns: Index) -> None:
        """Extents that are equal."""
        t.same(columns, self.columns)
        if self.factor is not None:
            t.same(columns, self.factor.dim(0))
        if rows is not None:
            t.same(rows, self.codes.dim(0))
            for tensor in (self.peak, self.zero):
                if tensor is not None:
                    t.same(rows, tensor.dim(0))

    def row(self, t: TileBuilder, row: Index, first: Part, again: Part) -> None:
        """Round one row, whose parts `first` gives and then, once more, `again`."""
        zero = None
        if self.zero is None:
            peak = held = self.largest(t, first)
        else:
            high, low, faulty = self.ends(t, first)
            high, low = (t.apply("arith.mulf", end, t.full(0.5, (1,), "f32")) for end in (high, low))
            peak, zero = t.apply("arith.subf", high, low), t.apply("arith.addf", high, low)
            held = t.apply("arith.addf", peak, faulty)
            self.keep(t, self.zero, row, zero)
        self.keep(t, self.peak, row, held)
        least, nothing, most = (t.full(value, (1,), "f32") for value in (LEAST, 0.0, LARGEST))
        flat = t.apply("arith.cmpf", peak, least, dtype="i1", predicate="olt")
        scale = t.apply("arith.select", flat, nothing, t.apply("arith.divf", most, peak), dtype="f32")

        def write(j: Index) -> None:
            x = self.scaled(t, j, again(j))
            code = nearest(t, x if zero is None else t.apply("arith.subf", x, zero), scale)
            whole = len(self.codes.shape) == 2
            t.store(self.codes, [row, j] if whole else [j], code, [None, self.width][-1 - whole :])

        t.loop(self.columns, self.width, write)

    @staticmethod
    def keep(t: TileBuilder, tensor: Tensor, row: Index, tile: Tile) -> None:
        """Write what a row has."""
        several = len(tensor.shape) == 1
        t.store(tensor, [row] if several else [], t.reshape(tile, ()), [None] if several else [])

    def largest(self, t: TileBuilder, part: Part) -> Tile:
        """The largest |x| of a row. The bits of numbers above 0 are in the order of the numbers, those of a
        NaN above all of them."""

        def step(j: Index, now: Tile) -> list[Tile]:
            bits = t.apply("arith.bitcast", self.scaled(t, j, part(j)), dtype="i32")
            positive = t.apply("arith.andi", bits, t.full(_POSITIVE, (1,), "i32"))
            return [t.apply("arith.maxsi", now, positive)]

        (held,) = Fold(self.columns, self.width)(t, step, [t.full(0, (self.width,), "i32")])
        return t.apply("arith.bitcast", t.reduce("arith.maxsi", held, 0), dtype="f32")

    def ends(self, t: TileBuilder, part: Part) -> tuple[Tile, Tile, Tile]:
        """The largest and the least of a row; and 0, or NaN where one of its numbers is not finite."""

        def step(j: Index, high: Tile, low: Tile, faulty: Tile) -> list[Tile]:
            x = self.scaled(t, j, part(j))
            above, below = (
                t.apply("arith.cmpf", x, now, dtype="i1", predicate=predicate)
                for now, predicate in ((high, "ogt"), (low, "olt"))
            )
            return [
                t.apply("arith.select", above, x, high, dtype="f32"),
                t.apply("arith.select", below, x, low, dtype="f32"),
                t.apply("math.fma", x, t.full(0.0, (1,), "f32"), faulty),
            ]

        starts = [t.full(value, (self.width,), "f32") for value in (-math.inf, math.inf, 0.0)]
        found = Fold(self.columns, self.width)(t, step, starts)
        high, low, faulty = (
            t.reduce(f"arith.{op}", lanes, 0)
            for op, lanes in zip(("maximumf", "minimumf", "addf"), found, strict=True)
        )
        return high, low, faulty

    def scaled(self, t: TileBuilder, j: Index, x: Tile) -> Tile:
        """Part of a row times its columns' factors."""
        if self.factor is None:
            return x
        return t.apply("arith.mulf", x, t.load(self.factor, [j], [self.width]))


def nearest(t: TileBuilder, x: Tile, scale: Tile) -> Tile:
    """The integers nearest to x * scale, of at most 2^22: adding 1.5 * 2^23 leaves them in the low bits."""
    shifted = t.apply("math.fma", x, scale, t.full(_SHIFT, (1,), "f32"))
    return t.apply("arith.trunci", t.apply("arith.bitcast", shifted, dtype="i32"), dtype="i8")


def rounding_of(op: DryOp, width: int) -> Rounding:
    """How a dry.round_rows rounds."""
    codes, peak, *zeros = op.inits
    cut = len(codes.shape) - 1
    factor = next(iter(op.all(list(op.main.factor))), None)
    zero = next(map(split_at, zeros), None)
    return Rounding(split_at(codes, cut), split_at(peak), zero, factor, width)


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel of one dry.round_rows."""
    op, *others = dry_ops(kernel)
    if others:
        return None
    whole = op.tensor(op.main.x)
    x = split_at(whole, len(whole.shape) - 1)
    columns = x.dim(len(x.shape) - 1)
    rounding = rounding_of(op, tile_width(target, "f32", columns))

    def body(t: TileBuilder) -> None:
        rows = x.dim(0) if len(x.shape) == 2 else None
        rounding.promises(t, rows, columns)

        def one(row: Index) -> None:
            def part(j: Index) -> Tile:
                at, shape = ([j], [rounding.width]) if rows is None else ([row, j], [None, rounding.width])
                return t.load(x, at, shape)

            rounding.row(t, row, part, part)

        if rows is None:
            t.grid([(1, 1)], one)
        else:
            over_rows(t, rows, columns, one)

    return tile_program("round_rows", op.tensors, body, op.scalars)
