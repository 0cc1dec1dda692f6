"""Softmax and its logarithm: the maximum, then the sum of exponentials, then the result.

Along the last dimension a row is walked in wide tiles and lanes are combined once at its end; along another
one, neighbouring columns are the lanes. The exponentials wait in the result for their sum.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import FLOATS, wide
from drystone.codegen.families.dry_op import dry_op, narrowed, widened
from drystone.codegen.families.rows import (
    flag,
    integer,
    over_rows,
    split_at,
)
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import CpuTarget

# What a kernel walks: the place and the shape of the tile at position j.
Place = Callable[[Index], tuple[list[Index], list[int | None]]]


@dataclass(frozen=True)
class _Softmax:
    """One kernel. `step` positions of the dimension are one tile; `across`: the lanes are positions of it and
    not columns beside it."""

    x: Tensor
    out: Tensor
    extent: Index
    width: int
    across: bool
    log: bool

    @property
    def held(self) -> str:
        """What sums are held in."""
        return wide(self.x.dtype)

    def fold(self, t: TileBuilder, op: str, start: float, part: Callable[[Index], Tile]) -> Tile:
        """Combine the parts at all positions."""
        carry = [t.full(start, (self.width,), self.held)]
        step = self.width if self.across else 1
        (acc,) = t.loop(self.extent, step, lambda j, now: t.apply(op, now, part(j)), carry)
        return t.reduce(op, acc, 0) if self.across else acc

    def one(self, t: TileBuilder, place: Place) -> None:
        """One row, or as many columns as there are lanes."""

        def load(j: Index) -> Tile:
            # Beyond the end x reads as -inf: it is never the maximum, and its exponential adds nothing.
            return widened(t, t.load(self.x, *place(j), fill=-math.inf))

        def store(j: Index, tile: Tile) -> None:
            at, shape = place(j)
            t.store(self.out, at, narrowed(t, tile, self.out.dtype), shape)

        kept = not self.log and self.out.dtype == self.held
        peak = self.fold(t, "arith.maximumf", -math.inf, load)

        def exponential(j: Index) -> Tile:
            e = t.apply("math.exp", t.apply("arith.subf", load(j), peak))
            if kept:
                store(j, e)
            return e

        total = self.fold(t, "arith.addf", 0.0, exponential)
        one = t.full(1.0, (1,), self.held)
        scale = t.apply("math.log", total) if self.log else t.apply("arith.divf", one, total)

        def write(j: Index) -> None:
            if kept:
                e = t.load(self.out, *place(j))
            else:
                x = t.apply("arith.subf", load(j), peak)
                e = x if self.log else t.apply("math.exp", x)
            store(j, t.apply("arith.subf" if self.log else "arith.mulf", e, scale))

        t.loop(self.extent, self.width if self.across else 1, write)

    def along_rows(self, t: TileBuilder) -> None:
        """The program where the dimension is the last that matters."""
        self.promise(t)

        def row(r: Index) -> None:
            head = [r][: len(self.x.shape) - 1]
            self.one(t, lambda j: ([*head, j], [*(None for _ in head), self.width]))

        if len(self.x.shape) == 1:
            t.grid([(1, 1)], row)
        else:
            over_rows(t, self.x.dim(0), self.extent, row)

    def along_columns(self, t: TileBuilder) -> None:
        """The program where other dimensions follow."""
        self.promise(t)

        def cell(*start: Index) -> None:
            head, column = list(start[:-1]), start[-1]
            self.one(t, lambda j: ([*head, j, column], [*(None for _ in head), None, self.width]))

        outer = self.x.dim(0), 1
        columns = self.x.dim(len(self.x.shape) - 1), self.width
        t.grid([outer, columns] if len(self.x.shape) == 3 else [columns], cell)

    def promise(self, t: TileBuilder) -> None:
        """Both tensors are equally large."""
        for axis in range(len(self.x.shape)):
            t.same(self.x.dim(axis), self.out.dim(axis))


def build(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.softmax."""
    op = dry_op(kernel)
    x, out = op.tensor(op.main.x), op.inits[0]
    if x.dtype not in FLOATS or not x.shape:
        return None
    dim = integer(op.main, "dim")
    across = all(n == 1 for n in x.shape[dim + 1 :])
    cuts = (dim,) if across else (dim, dim + 1)
    x, out = split_at(x, *cuts), split_at(out, *cuts)
    axis = 1 if dim else 0
    extent, lanes = x.dim(axis), x.dim(len(x.shape) - 1)
    width = tile_width(target, wide(x.dtype), lanes, 4 if across else 2)
    softmax = _Softmax(x, out, extent, width, across, flag(op.main, "log"))
    body = softmax.along_rows if across else softmax.along_columns
    return tile_program("softmax", op.tensors, body, op.scalars)
