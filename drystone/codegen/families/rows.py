"""What the kernels that treat a tensor row by row share: joined dimensions, wide loops, masked ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from drystone.codegen.families.tiling import UNIT, chunk_end, rounded
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.mlir import ir


def integer(op: Any, name: str) -> int:
    """The value of an integer attribute."""
    return int(ir.IntegerAttr(op.operation.attributes[name]).value)


def flag(op: Any, name: str) -> bool:
    """The value of a flag."""
    return bool(ir.BoolAttr(op.operation.attributes[name]).value)


def split_at(tensor: Tensor, *cuts: int) -> Tensor:
    """The tensor with its dimensions joined between the cuts; a part without dimensions is left out."""
    edges = [0, *cuts, len(tensor.shape)]
    groups = [list(range(a, b)) for a, b in pairwise(edges) if a < b]
    return tensor.collapse(groups)


def rows_per_step(rows: Index, row: Index) -> int:
    """Rows one step of the grid takes."""
    n, count = row.constant, rows.constant
    wanted = 1 if n is None else max(1, UNIT // max(n, 64))
    return wanted if count is None else max(1, min(wanted, count))


def over_rows(t: TileBuilder, rows: Index, row: Index, one: Callable[[Index], None]) -> None:
    """The grid that runs `one` on every row."""
    step = rows_per_step(rows, row)
    if step == 1:
        t.grid([(rows, 1)], one)
        return

    def cell(start: Index) -> None:
        def body(r: Index) -> None:
            one(r)

        t.loop(chunk_end(start, step, rows), 1, body, lower=start)

    t.grid([(rows, step)], cell)


@dataclass(frozen=True)
class Fold:
    """A loop over a row that combines tiles into one: full tiles first, then the ragged end, where lanes
    outside the row keep what they hold.

    step(start, inside, *carried) gives the carried tiles anew; `inside` is None for full tiles, else the i1
    tile of lanes inside the row.
    """

    extent: Index
    width: int

    def __call__(
        self,
        t: TileBuilder,
        step: Callable[..., Sequence[Tile]],
        carry: Sequence[Tile],
        lower: Index | int = 0,
    ) -> tuple[Tile, ...]:
        """Run it."""
        n, width = self.extent, self.width
        whole = rounded(n, width)
        if n.constant is None or n.constant >= width:
            carry = t.loop(whole, width, lambda j, *now: step(j, *now), carry, lower=lower)
        if n.constant is not None and n.constant % width == 0:
            return tuple(carry)

        def ragged(j: Index, *now: Tile) -> list[Tile]:
            inside = inside_of(t, j, n, width)
            new = step(j, *now)
            return [
                t.apply("arith.select", inside, a, b, dtype=a.dtype) for a, b in zip(new, now, strict=True)
            ]

        return t.loop(n, width, ragged, carry, lower=whole)


def inside_of(t: TileBuilder, start: Index, extent: Index, width: int) -> Tile:
    """Which lanes of a tile that starts at `start` lie below the extent."""
    place = t.iota(start, (width,), 0)
    return t.apply("arith.cmpi", place, t.full(extent, (1,), "i64"), dtype="i1", predicate="slt")
