"""Reductions: linalg operations with reduction loops, with the elementwise work inside their region.

The region itself combines: it is applied to whole tiles, with wide tiles of partial results in place of the
old content of the destination. They start at the neutral element; where lanes are positions of a reduced
loop, they are combined at the end, and last of all with what the destination starts from. An argmax is the
same with a pair (value, place), the first place winning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import is_float, limits
from drystone.codegen.families.combine import PLACE, combiners, neutral
from drystone.codegen.families.generic import Generic, Positions, generic
from drystone.codegen.families.map import map_program, places
from drystone.codegen.families.nest import Access, Nest, make_nest
from drystone.codegen.families.outlined import outlined
from drystone.codegen.families.region import spread
from drystone.codegen.families.rows import Fold
from drystone.codegen.families.tiling import UNIT, chunk_end, tile_width
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import Target


@dataclass
class _Reduce:
    """One kernel: its loops (parallel ones in the order of the results, then reduced ones), the loop the
    lanes run along, and how each result combines."""

    op: Generic
    nest: Nest
    names: list[str]
    reduced: list[int]
    wide: int
    width: int

    @property
    def kept(self) -> list[int]:
        """The parallel loops."""
        return [loop for loop in range(len(self.nest.extents)) if loop not in self.reduced]

    @property
    def across(self) -> bool:
        """Whether lanes are positions of a reduced loop."""
        return self.wide in self.reduced

    @property
    def inputs(self) -> int:
        """How many operands are not destinations."""
        return len(self.op.operands) - len(self.op.results)

    def shape(self, access: Access) -> list[int | None]:
        """The tile of an access."""
        return [self.width if dim == self.wide else None for dim in access.dims]

    def load(self, t: TileBuilder, access: Access, at: dict[int, Index]) -> Tile:
        """The tile of one operand."""
        return t.load(access.tensor, places(access, at), self.shape(access))

    def step(self, t: TileBuilder, at: dict[int, Index], *now: Tile) -> list[Tile]:
        """The partial results after one more tile of every operand."""
        reads = iter(self.nest.accesses)
        tiles: list[Tile | None] = []
        for operand in self.op.operands[: self.inputs]:
            tiles.append(self.load(t, next(reads), at) if operand.read else None)
        starts = {self.nest.members[loop][0]: start for loop, start in at.items()}
        position = Positions(starts, {self.nest.members[self.wide][0]: self.width})
        values = self.op.apply(t, [*tiles, *now], position)
        return [spread(t, value, held.shape) for value, held in zip(values, now, strict=True)]

    def fold(
        self, t: TileBuilder, at: dict[int, Index], loops: Sequence[int], now: Sequence[Tile]
    ) -> Sequence[Tile]:
        """Run the reduced loops."""
        if not loops:
            return self.step(t, at, *now)
        loop, *rest = loops
        extent = self.nest.extents[loop]

        def inner(j: Index, *held: Tile) -> Sequence[Tile]:
            return self.fold(t, {**at, loop: j}, rest, held)

        return Fold(extent, self.width)(t, inner, now) if loop == self.wide else t.loop(extent, 1, inner, now)

    def one(self, t: TileBuilder, at: dict[int, Index]) -> None:
        """The result at one position of the parallel loops, or as many as there are lanes."""
        dtypes = [result.tensor.dtype for result in self.op.results]
        start = [neutral(name, dtype) for name, dtype in zip(self.names, dtypes, strict=True)]
        carry = [t.full(n, (self.width,), dtype) for n, dtype in zip(start, dtypes, strict=True)]
        tiles = list(self.fold(t, at, self.reduced, carry))
        if self.across:
            tiles = self.lanes(t, tiles)
        before = self.before(t, at)
        for place, access in enumerate(self.nest.accesses[len(self.op.reads) :]):
            value, name = tiles[place], self.names[place]
            if PLACE not in self.names:
                value = t.apply(name, value, before[place])
            shape = self.shape(access)
            t.store(access.tensor, places(access, at), t.reshape(value, [n for n in shape if n]), shape)

    def before(self, t: TileBuilder, at: dict[int, Index]) -> list[Tile]:
        """What the destinations start from."""
        reads = iter(self.nest.accesses)
        tiles = []
        for place, operand in enumerate(self.op.operands):
            access = next(reads) if operand.read else None
            if place < self.inputs:
                continue
            found = self.op.around.tile(t, operand.source) if access is None else self.load(t, access, at)
            tiles.append(found if found.shape else t.reshape(found, (1,)))
        return tiles

    def lanes(self, t: TileBuilder, tiles: list[Tile]) -> list[Tile]:
        """One result out of one per lane."""
        if PLACE not in self.names:
            return [t.reduce(name, tile, 0) for name, tile in zip(self.names, tiles, strict=True)]
        best, place = tiles
        top = t.reduce(self.names[0], best, 0)
        integers = not is_float(best.dtype)
        compare, same = ("arith.cmpi", "eq") if integers else ("arith.cmpf", "oeq")
        equal = t.apply(compare, best, top, dtype="i1", predicate=same)
        nowhere = t.full(limits(place.dtype)[1], (1,), place.dtype)
        first = t.reduce("arith.minsi", t.apply("arith.select", equal, place, nowhere, dtype=place.dtype), 0)
        # A NaN equals nothing: then any lane's place will do, it only has to be one.
        some = t.reduce("arith.minsi", place, 0)
        found = t.apply("arith.cmpi", first, nowhere, dtype="i1", predicate="ne")
        return [top, t.apply("arith.select", found, first, some, dtype=place.dtype)]

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        self.nest.promise(t)
        extents = self.nest.extents
        loops = self.kept
        if not loops:
            t.grid([(1, 1)], lambda _: self.one(t, {}))
            return
        steps = [self.width if loop == self.wide else 1 for loop in loops]
        grouped = next((i for i in reversed(range(len(loops))) if loops[i] != self.wide), None)
        rows = 1 if grouped is None else self.rows(extents[loops[grouped]])
        if grouped is not None:
            steps[grouped] = rows

        def cell(*starts: Index) -> None:
            at = dict(zip(loops, starts, strict=True))
            if rows == 1 or grouped is None:
                self.one(t, at)
                return
            loop = loops[grouped]
            end = chunk_end(at[loop], rows, extents[loop])
            t.loop(end, 1, lambda r: self.one(t, {**at, loop: r}), lower=at[loop])

        t.grid([(extents[loop], step) for loop, step in zip(loops, steps, strict=True)], cell)

    def rows(self, extent: Index) -> int:
        """Results one step of the grid makes."""
        work = 1 if self.across else self.width
        for loop in self.reduced:
            work *= max(self.nest.extents[loop].constant or UNIT, self.width if loop == self.wide else 1)
        wanted = max(1, UNIT // max(1, work))
        return wanted if extent.constant is None else max(1, min(wanted, extent.constant))


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is a linalg operation with reduced loops."""
    around = outlined(kernel)
    op = None if around is None else generic(around)
    if op is None or not op.reduced or any(r.dims != op.results[0].dims for r in op.results):
        return None
    names = combiners(op)
    widest = max(op.reads, key=lambda access: len(access.dims), default=None)
    if names is None or widest is None:
        return None
    walked = {dim for access in (*op.reads, *op.results) for dim in access.dims}
    if not walked.issuperset(range(op.loops)):
        return None
    kept = [dim for dim in op.results[0].dims if dim is not None]
    reduced = [dim for dim in widest.dims if dim in op.reduced]
    reduced = [*(dim for dim in sorted(op.reduced) if dim not in reduced), *reduced]
    kinds = [dim in op.reduced for dim in range(op.loops)]
    nest = make_nest([*op.reads, *op.results], [*kept, *reduced], kinds, op.indexed)
    loops = [loop for loop, members in enumerate(nest.members) if members[0] in op.reduced]
    if not loops:
        return map_program(op, target)
    access = nest.accesses[op.reads.index(widest)]
    wide = next((dim for dim in reversed(access.dims) if dim is not None), loops[-1])
    if wide in loops:  # innermost
        loops.append(loops.pop(loops.index(wide)))
    width = tile_width(target, nest.element(wide), nest.extents[wide], 2 if op.heavy else 4)
    plan = _Reduce(op, nest, names, loops, wide, width)
    return tile_program("reduce", op.around.tensors, plan.body, op.around.scalars)
