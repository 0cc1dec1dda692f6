"""Softmax and its logarithm: the maximum, then the sum of exponentials, then the result.

Along the last dimension a row is walked in wide tiles and lanes are combined once at its end; along another
one, neighbouring columns are the lanes. The exponentials wait in the result for their sum.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import FLOATS
from drystone.codegen.families.dry_op import dry_op, narrowed, widened
from drystone.codegen.families.lines import Lines, joined, lines_of
from drystone.codegen.families.rows import flag, integer
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import Target


@dataclass(frozen=True)
class _Softmax:
    """One kernel: `out` has the lines' shape."""

    lines: Lines
    out: Tensor
    log: bool

    def fold(self, t: TileBuilder, op: str, start: float, part: Callable[[Index], Tile]) -> Tile:
        """Combine the parts at all positions."""
        lines = self.lines
        carry = [t.full(start, (lines.width,), lines.held)]
        (acc,) = t.loop(lines.extent, lines.step, lambda j, now: t.apply(op, now, part(j)), carry)
        return lines.combined(t, op, acc)

    def one(self, t: TileBuilder, line: list[Index]) -> None:
        """One row, or as many columns as there are lanes."""
        lines = self.lines

        def load(j: Index) -> Tile:
            # Beyond the end x reads as -inf: it is never the maximum, and its exponential adds nothing.
            return widened(t, t.load(lines.x, *lines.place(line, j), fill=-math.inf))

        def store(j: Index, tile: Tile) -> None:
            at, shape = lines.place(line, j)
            t.store(self.out, at, narrowed(t, tile, self.out.dtype), shape)

        kept = not self.log and self.out.dtype == lines.held
        peak = self.fold(t, "arith.maximumf", -math.inf, load)

        def exponential(j: Index) -> Tile:
            e = t.apply("math.exp", t.apply("arith.subf", load(j), peak))
            if kept:
                store(j, e)
            return e

        total = self.fold(t, "arith.addf", 0.0, exponential)
        one = t.full(1.0, (1,), lines.held)
        scale = t.apply("math.log", total) if self.log else t.apply("arith.divf", one, total)

        def write(j: Index) -> None:
            if kept:
                e = t.load(self.out, *lines.place(line, j))
            else:
                x = t.apply("arith.subf", load(j), peak)
                e = x if self.log else t.apply("math.exp", x)
            store(j, t.apply("arith.subf" if self.log else "arith.mulf", e, scale))

        t.loop(lines.extent, lines.step, write)

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        for axis in range(len(self.out.shape)):
            t.same(self.lines.x.dim(axis), self.out.dim(axis))
        self.lines.each(t, lambda line: self.one(t, line))


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.softmax."""
    op = dry_op(kernel)
    x, out = op.tensor(op.main.x), op.inits[0]
    if x.dtype not in FLOATS or not x.shape:
        return None
    dim = integer(op.main, "dim")
    lines = lines_of(x, dim, target)
    softmax = _Softmax(lines, joined(out, dim, lines.across), flag(op.main, "log"))
    return tile_program("softmax", op.tensors, softmax.body, op.scalars)
