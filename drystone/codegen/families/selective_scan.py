"""Linear recurrences whose coefficients are computed inside, with the sum over the states where it is wanted.

Nothing of the extents of the states is in memory: a unit of the grid takes as many columns as a few registers
hold through all steps, and what it has come to stays in its first cache (in registers where a column has one
state). Lanes are neighbouring positions of the result's last dimension; where the scan itself runs along
that one, they are states, and a step ends with the sum of its lanes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.dry_op import dry_op, pack_of
from drystone.codegen.families.nest import Access, dims_of
from drystone.codegen.families.region import apply_region, spread
from drystone.codegen.families.rows import flag, inside_of, integer
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.mlir import ir
from drystone.targets.target import Target

At = dict[int, Index]


@dataclass(frozen=True)
class _Plan:
    """One kernel: loops are the dimensions of h; `dim` is the scan's, `lane` the one of the lanes, `state`
    the summed one."""

    block: Any
    reads: tuple[Access, ...]
    out: Access
    extents: tuple[Index, ...]
    dim: int
    lane: int
    state: int | None
    width: int

    @property
    def turned(self) -> bool:
        """Whether lanes are states."""
        return self.lane == self.state

    @property
    def states(self) -> int:
        """States of a column, whole tiles where they are lanes."""
        count = self.extents[self.state].constant or 1 if self.state is not None else 1
        return -(-count // self.width) * self.width if self.turned else count

    def load(self, t: TileBuilder, access: Access, at: At) -> Tile:
        """The elements of one operand."""
        where = [index(0) if d is None else at[d] for d in access.dims]
        tile = t.load(access.tensor, where, [self.width if d == self.lane else None for d in access.dims])
        return tile if tile.shape else t.reshape(tile, (1,))

    def room(self, t: TileBuilder, dtype: str) -> Tensor:
        """Working memory for one tile of every state."""
        return t.scratch((self.states,) if self.turned else (self.states, self.width), dtype)

    def part(self, k: Index) -> tuple[list[Index | int], list[int | None]]:
        """Where in it the tile of states `k` is."""
        return ([k], [self.width]) if self.turned else ([k, 0], [None, self.width])

    def each_state(
        self, t: TileBuilder, body: Callable[..., Tile | None], carry: tuple[Tile, ...] = ()
    ) -> tuple[Tile, ...]:
        """Run `body` for the tile of states at each place, and what it carries."""
        return t.loop(self.states, self.width if self.turned else 1, body, carry)

    def fixed(self, t: TileBuilder, rooms: dict[int, Tensor], at: At) -> dict[int, Tile]:
        """Read what is the same in every step: tiles, or into `rooms` where there is one for each state."""
        ready = {}
        for number, access in enumerate(self.reads):
            if self.dim not in access.dims and self.state not in access.dims:
                ready[number] = self.load(t, access, at)
        if rooms:

            def copy(k: Index) -> None:
                for number, room in rooms.items():
                    tile = self.load(t, self.reads[number], {**at, self.state or 0: k})
                    where, sizes = self.part(k)
                    t.store(room, where, spread(t, tile, (self.width,)), sizes)

            self.each_state(t, copy)
        return ready

    def coefficients(self, t: TileBuilder, tiles: dict[int, Tile]) -> list[Tile]:
        """Factor, x and weight."""
        values = apply_region(t, self.block, [tiles[number] for number in range(len(self.reads))])
        return [spread(t, value, (self.width,)) for value in values]

    def columns(self, t: TileBuilder, at: At) -> None:
        """All steps of a tile of columns that have one state each."""
        ready = self.fixed(t, {}, at)

        def step(j: Index, h: Tile) -> Tile:
            here = {**at, self.dim: j}
            now = {n: self.load(t, a, here) for n, a in enumerate(self.reads) if n not in ready}
            factor, x = self.coefficients(t, {**ready, **now})
            h = t.apply("math.fma", factor, h, x)
            self.store(t, here, h)
            return h

        t.loop(self.extents[self.dim], 1, step, [t.full(0.0, (self.width,), self.out.tensor.dtype)])

    def sums(self, t: TileBuilder, at: At) -> None:
        """All steps of a tile of columns with their states: every step gives the sum over them."""
        held = self.room(t, self.out.tensor.dtype)
        rooms = {
            number: self.room(t, access.tensor.dtype)
            for number, access in enumerate(self.reads)
            if self.state in access.dims and self.dim not in access.dims
        }
        zero = t.full(0.0, (self.width,), self.out.tensor.dtype)

        def clear(k: Index) -> None:
            where, sizes = self.part(k)
            t.store(held, where, zero, sizes)

        self.each_state(t, clear)
        ready = self.fixed(t, rooms, at)

        def step(j: Index) -> None:
            here = {**at, self.dim: j}
            known = dict(ready)
            for number, access in enumerate(self.reads):
                if number not in known and self.state not in access.dims:
                    known[number] = self.load(t, access, here)

            def one(k: Index, total: Tile) -> Tile:
                where, sizes = self.part(k)
                tiles = dict(known)
                for number, access in enumerate(self.reads):
                    if number in rooms:
                        tiles[number] = t.load(rooms[number], where, sizes)
                    elif number not in tiles:
                        tiles[number] = self.load(t, access, {**here, self.state or 0: k})
                factor, x, weight = self.coefficients(t, tiles)
                h = t.apply("math.fma", factor, t.load(held, where, sizes), x)
                t.store(held, where, h, sizes)
                return self.added(t, k, total, t.apply("math.fma", weight, h, total))

            (total,) = self.each_state(t, one, (zero,))
            self.store(t, here, t.reduce("arith.addf", total, 0) if self.turned else total)

        t.loop(self.extents[self.dim], 1, step)

    def added(self, t: TileBuilder, k: Index, before: Tile, after: Tile) -> Tile:
        """The sum after one more tile; lanes beyond the last state add nothing."""
        assert self.state is not None
        count = self.extents[self.state]
        if not self.turned or (count.constant or 0) % self.width == 0:
            return after
        inside = inside_of(t, k, count, self.width)
        return t.apply("arith.select", inside, after, before, dtype=after.dtype)

    def store(self, t: TileBuilder, at: At, tile: Tile) -> None:
        """Write what one step gives."""
        sizes: list[int | None] = [self.width if d == self.lane else None for d in self.out.dims]
        where = [at[d] for d in self.out.dims if d is not None]
        t.store(self.out.tensor, where, tile if self.lane in self.out.dims else t.reshape(tile, ()), sizes)

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        for access in (*self.reads, self.out):
            for axis, d in enumerate(access.dims):
                if d is not None:
                    t.same(self.extents[d], access.tensor.dim(axis))
        loops = [d for d in range(len(self.extents)) if d not in (self.dim, self.state)]

        def cell(*starts: Index) -> None:
            at = dict(zip(loops, starts, strict=False))
            if self.state is None:
                self.columns(t, at)
            else:
                self.sums(t, at)

        axes = [(self.extents[d], self.width if d == self.lane else 1) for d in loops]
        t.grid(axes or [(1, 1)], cell)


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.selective_scan."""
    op = dry_op(kernel)
    main, out = op.main, op.inits[0]
    maps = [dims_of(ir.AffineMapAttr(item).value) for item in main.indexing_maps]
    values = list(main.operation.operands)
    if out.dtype not in ("f32", "f64") or any(pack_of(value) is not None for value in values):
        return None
    reads = tuple(
        Access(op.tensor(v), dims) for v, dims in zip(values, maps, strict=True) if dims is not None
    )
    if len(reads) != len(values):
        return None
    dim, summed, rank = integer(main, "dim"), flag(main, "summed"), len(out.shape) + flag(main, "summed")
    state = rank - 1 if summed else None
    lane = rank - 2 if summed and dim != rank - 2 else rank - 1
    if lane == dim or (state is not None and _extent(reads, state).constant is None):
        return None
    extents = tuple(_extent(reads, d) for d in range(rank))
    width = tile_width(target, out.dtype, extents[lane], 2)
    plan = _Plan(
        main.step.blocks[0],
        reads,
        Access(out, tuple(range(len(out.shape)))),
        extents,
        dim,
        lane,
        state,
        width,
    )
    return tile_program("scan", op.tensors, plan.body, op.scalars)


def _extent(reads: tuple[Access, ...], loop: int) -> Index:
    found = [a.tensor.dim(a.dims.index(loop)) for a in reads if loop in a.dims]
    return next((extent for extent in found if extent.constant is not None), found[0])
