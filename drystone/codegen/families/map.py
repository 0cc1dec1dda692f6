"""Elementwise kernels: every linalg operation whose loops are all parallel, gathers inside included.

The innermost loop of the result is walked in tiles of a few registers; where an operand lies the other way
round, in square blocks that are transposed in registers. Neighbouring loops are joined wherever all operands
allow it, so that a contiguous operation is one long run of vectors.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.generic import Generic, Positions, generic
from drystone.codegen.families.nest import Access, Nest, make_nest
from drystone.codegen.families.outlined import outlined
from drystone.codegen.families.region import spread
from drystone.codegen.families.tiling import UNIT, chunk_end, tile_width
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets.target import Target

# Narrower than this, a block costs more than reading the operand against its grain.
_BLOCK_WORTH = 4


@dataclass
class _Map:
    """One kernel being built: its loops, `wide` the innermost, `cross` the one a transposed operand runs
    along, their tile sizes."""

    op: Generic
    nest: Nest
    wide: int
    width: int
    cross: int | None = None
    depth: int = 1

    @property
    def reads(self) -> tuple[Access, ...]:
        return self.nest.accesses[: len(self.op.reads)]

    @property
    def writes(self) -> tuple[Access, ...]:
        return self.nest.accesses[len(self.op.reads) :]

    @property
    def sizes(self) -> dict[int, int]:
        """Extent of the tile along each loop it spreads over, in its own order."""
        cross = {} if self.cross is None else {self.cross: self.depth}
        return {**cross, self.wide: self.width}

    def load(self, t: TileBuilder, access: Access, at: dict[int, Index]) -> Tile:
        """The tile of one operand, its dimensions in the order of the result's tile."""
        sizes = [None if dim is None else self.sizes.get(dim) for dim in access.dims]
        tile = t.load(access.tensor, places(access, at), sizes)
        own = [dim for dim in access.dims if dim in self.sizes]
        if own == [self.wide, self.cross]:
            return t.transpose(tile)
        return t.reshape(tile, (self.depth, 1)) if own == [self.cross] else tile

    def step(self, t: TileBuilder, at: dict[int, Index], ready: dict[int, Tile]) -> None:
        """Compute and store one tile."""
        reads = iter(range(len(self.reads)))
        tiles: list[Tile | None] = []
        for operand in self.op.operands:
            place = next(reads) if operand.read else None
            if place is None:
                tiles.append(None)
            else:
                tiles.append(ready[place] if place in ready else self.load(t, self.reads[place], at))
        starts = {self.nest.members[loop][0]: start for loop, start in at.items()}
        sizes = {self.nest.members[loop][0]: size for loop, size in self.sizes.items()}
        values = self.op.apply(t, tiles, Positions(starts, sizes))
        for value, access in zip(values, self.writes, strict=True):
            shape = [None if dim is None else self.sizes.get(dim) for dim in access.dims]
            value = spread(t, value, list(self.sizes.values()))
            t.store(access.tensor, places(access, at), value, shape)

    def row(self, t: TileBuilder, at: dict[int, Index], lower: Index, upper: Index) -> None:
        """All tiles along the innermost loop; what does not change along it is read once."""
        ready = {
            place: self.load(t, access, at)
            for place, access in enumerate(self.reads)
            if self.wide not in access.dims
        }
        t.loop(upper, self.width, lambda j: self.step(t, {**at, self.wide: j}, ready), lower=lower)

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        self.nest.promise(t)
        extents = self.nest.extents
        outer = [loop for loop in range(len(extents)) if loop not in (self.wide, self.cross)]
        goal = UNIT // 2 if self.op.heavy else UNIT
        chunk = _chunk(extents[self.wide], goal // self.depth, self.width)
        rows = 1 if self.cross is not None else _rows(extents, outer, self.wide, goal)
        axes: list[tuple[Index | int, int]] = [(extents[loop], 1) for loop in outer]
        if rows > 1:
            axes[-1] = (extents[outer[-1]], rows)
        if self.cross is not None:
            axes.append((extents[self.cross], self.depth))
        whole = extents[self.wide].constant is not None and (extents[self.wide].constant or 0) <= chunk
        if not whole or not axes:
            axes.append((extents[self.wide], chunk))

        def cell(*starts: Index) -> None:
            at = dict(zip([*outer, *([] if self.cross is None else [self.cross])], starts, strict=False))
            lower = starts[-1] if len(starts) > len(at) else index(0)
            upper = chunk_end(lower, chunk, extents[self.wide])
            if rows == 1:
                self.row(t, at, lower, upper)
                return
            last = outer[-1]

            def one(r: Index) -> None:
                self.row(t, {**at, last: r}, lower, upper)

            t.loop(chunk_end(at[last], rows, extents[last]), 1, one, lower=at[last])

        t.grid(axes, cell)


def places(access: Access, at: dict[int, Index]) -> list[Index]:
    """Where the tile of an access stands in its tensor."""
    return [index(0) if dim is None else at[dim] for dim in access.dims]


def _chunk(extent: Index, goal: int, width: int) -> int:
    """Elements of the innermost loop one step of the grid takes: whole tiles."""
    tiles = max(1, goal // width)
    n = extent.constant
    if n is None:
        return tiles * width
    parts = max(1, -(-n // (tiles * width)))
    return max(width, -(-n // (parts * width)) * width)


def _rows(extents: Sequence[Index], outer: Sequence[int], wide: int, goal: int) -> int:
    """Rows one step of the grid takes, so that short rows do not make tiny steps."""
    if not outer:
        return 1
    row, count = extents[wide].constant, extents[outer[-1]].constant
    rows = max(1, goal // max(row, 16)) if row is not None else 1
    return rows if count is None else min(rows, max(count, 1))


def _crossing(nest: Nest, reads: int, wide: int) -> int | None:
    """The loop along which an operand that crosses the innermost one is contiguous."""
    last = [access.dims[-1] for access in nest.accesses[:reads] if wide in access.dims]
    crossing = [dim for dim in last if dim is not None and dim != wide]
    return crossing[0] if crossing else None


def map_program(op: Generic, target: Target, family: str = "map") -> TileProgram | None:
    """The tile program of an operation whose loops are all parallel (or reduce one element); None where
    results differ in order."""
    order = [dim for dim in op.results[0].dims if dim is not None]
    if any(r.dims != op.results[0].dims for r in op.results):
        return None
    accesses = [*op.reads, *op.results]
    nest = make_nest(accesses, order, [0] * op.loops, op.indexed)
    if not nest.extents:
        return tile_program(family, op.around.tensors, _single(op, nest), op.around.scalars)
    wide = len(nest.extents) - 1
    extent = nest.extents[wide]
    plan = _Map(op, nest, wide, tile_width(target, nest.element(wide), extent, 2 if op.heavy else 4))
    cross = _crossing(nest, len(op.reads), wide)
    if cross is not None:
        sides = [nest.extents[cross].constant, extent.constant]
        if all(n is None or n >= _BLOCK_WORTH for n in sides):
            plan.cross, plan.depth = cross, target.lanes(32)
            plan.width = plan.depth
    return tile_program(family, op.around.tensors, plan.body, op.around.scalars)


def _single(op: Generic, nest: Nest) -> Callable[[TileBuilder], None]:
    """One element: no loop is left."""

    def cell(t: TileBuilder) -> None:
        reads = iter(nest.accesses)
        tiles: list[Tile | None] = []
        for operand in op.operands:
            access = next(reads) if operand.read else None
            tiles.append(None if access is None else t.load(access.tensor, places(access, {}), _none(access)))
        values = op.apply(t, tiles, Positions({}, {}))
        for value, access in zip(values, nest.accesses[len(op.reads) :], strict=True):
            t.store(access.tensor, places(access, {}), t.reshape(value, ()), _none(access))

    return lambda t: t.grid([(1, 1)], lambda _: cell(t))


def _none(access: Access) -> list[int | None]:
    return [None for _ in access.dims]


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is an elementwise linalg operation."""
    around = outlined(kernel)
    op = None if around is None else generic(around)
    return None if op is None or op.reduced else map_program(op, target)
