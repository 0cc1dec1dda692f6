"""The logarithm of a sum of exponentials, in one pass over memory.

A line is walked in blocks that stay in the nearest cache: the maximum of a block, then its exponentials. What
was summed before fades when a block raises the maximum (Milakov and Gimelshein, "Online normalizer
calculation for softmax", 2018, algorithm 3, with a block in place of an element).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import FLOATS, lowest
from drystone.codegen.families.dry_op import dry_op, narrowed, widened
from drystone.codegen.families.lines import Lines, lines_of
from drystone.codegen.families.rows import integer, split_at
from drystone.codegen.families.tiling import chunk_end
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets.target import Target

#: Tiles of a block: a few KiB.
_BLOCK = 32


@dataclass(frozen=True)
class _LogSumExp:
    """One kernel: both results have an element for every line."""

    lines: Lines
    peak: Tensor
    rest: Tensor

    def one(self, t: TileBuilder, line: list[Index]) -> None:
        """One line, or as many as there are lanes."""
        lines = self.lines
        held, block = lines.held, _BLOCK * lines.step

        def load(j: Index) -> Tile:
            # Beyond the end x reads as -inf: it is never the maximum, and its exponential adds nothing.
            return widened(t, t.load(lines.x, *lines.place(line, j), fill=-math.inf))

        def step(start: Index, peak: Tile, total: Tile) -> list[Tile]:
            end = chunk_end(start, block, lines.extent)

            def over(body: Callable[[Index, Tile], Tile], first: Tile) -> Tile:
                return t.loop(end, lines.step, body, [first], lower=start)[0]

            new = over(lambda j, now: t.apply("arith.maximumf", now, load(j)), peak)
            faded = t.apply("arith.mulf", total, _grown(t, peak, new))
            return [new, over(lambda j, now: t.apply("arith.addf", now, _grown(t, load(j), new)), faded)]

        carry = [t.full(first, (lines.width,), held) for first in (lowest(held), 0.0)]
        peak, total = t.loop(lines.extent, block, step, carry)
        if lines.across:
            lanes, peak = peak, t.reduce("arith.maximumf", peak, 0)
            total = t.reduce("arith.addf", t.apply("arith.mulf", total, _grown(t, lanes, peak)), 0)
        for out, tile in ((self.peak, peak), (self.rest, t.apply("math.log", total))):
            at = [*line, *(index(0) for _ in out.shape[len(line) :])]
            shape: list[int | None] = [None] * len(at)
            if not lines.across:
                shape[-1] = lines.width
            tile = narrowed(t, tile, out.dtype)
            t.store(out, at, t.reshape(tile, [n for n in shape if n is not None]), shape)

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        x = self.lines.x
        dims = [0, 2] if len(x.shape) == 3 else [1 - int(self.lines.across)] if len(x.shape) == 2 else []
        for out in (self.peak, self.rest):
            for axis, dim in enumerate(dims):
                t.same(x.dim(dim), out.dim(axis))
        self.lines.each(t, lambda line: self.one(t, line))


def _grown(t: TileBuilder, x: Tile, peak: Tile) -> Tile:
    """exp(x - peak), which is no more than 1."""
    return t.apply("math.exp", t.apply("arith.subf", x, peak), domain="negative")


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.logsumexp."""
    op = dry_op(kernel)
    x = op.tensor(op.main.x)
    if x.dtype not in FLOATS:
        return None
    dim = integer(op.main, "dim")
    lines = lines_of(x, dim, target)
    cuts = () if lines.across else (dim,)
    peak, rest = (split_at(out, *cuts) if out.shape else out for out in op.inits)
    return tile_program("logsumexp", op.tensors, _LogSumExp(lines, peak, rest).body, op.scalars)
