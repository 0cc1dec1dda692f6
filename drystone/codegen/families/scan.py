"""Prefix sums and products: columns beside the dimension are the lanes.

Along the last dimension there are none: then as many rows as there are lanes go through a transposed copy, a
square block at a time; a single row goes element by element.
"""

from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.dry_op import dry_op
from drystone.codegen.families.rows import integer, split_at
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.mlir import ir
from drystone.targets.target import CpuTarget


@dataclass(frozen=True)
class _Scan:
    """One kernel: x and out with what lies before, along and behind the dimension joined."""

    x: Tensor
    out: Tensor
    op: str
    start: int
    width: int

    def carry(self, t: TileBuilder, width: int) -> list[Tile]:
        """What the first element is combined with."""
        return [t.full(self.start, (width,), self.out.dtype)]

    def columns(self, t: TileBuilder) -> None:
        """Other dimensions follow: x is [.., n, columns]."""
        rank = len(self.x.shape)

        def cell(*start: Index) -> None:
            head, column = list(start[:-1]), start[-1]
            shape = [*(None for _ in head), None, self.width]

            def step(j: Index, now: Tile) -> Tile:
                at = [*head, j, column]
                new = t.apply(self.op, now, t.load(self.x, at, shape))
                t.store(self.out, at, new, shape)
                return new

            t.loop(self.x.dim(rank - 2), 1, step, self.carry(t, self.width))

        axes = [(self.x.dim(axis), 1) for axis in range(rank - 2)]
        t.grid([*axes, (self.x.dim(rank - 1), self.width)], cell)

    def rows(self, t: TileBuilder, lanes: int) -> None:
        """x is [rows, n]: blocks of `lanes` rows, turned so that rows are lanes."""
        block, turned = (t.scratch((lanes, lanes), self.out.dtype) for _ in range(2))

        def cell(r: Index) -> None:
            def square(j: Index, now: Tile) -> tuple[Tile, ...]:
                t.store(block, [0, 0], t.transpose(t.load(self.x, [r, j], [lanes, lanes])))

                def step(k: Index, held: Tile) -> Tile:
                    new = t.apply(self.op, held, t.load(block, [k, 0], [None, lanes]))
                    t.store(turned, [k, 0], new, [None, lanes])
                    return new

                after = t.loop(lanes, 1, step, [now])
                t.store(self.out, [r, j], t.transpose(t.load(turned, [0, 0], [lanes, lanes])))
                return after

            t.loop(self.x.dim(1), lanes, square, self.carry(t, lanes))

        t.grid([(self.x.dim(0), lanes)], cell)

    def single(self, t: TileBuilder) -> None:
        """x is [n]."""

        def cell(_: Index) -> None:
            def step(j: Index, now: Tile) -> Tile:
                new = t.apply(self.op, now, t.load(self.x, [j], [1]))
                t.store(self.out, [j], new)
                return new

            t.loop(self.x.dim(0), 1, step, self.carry(t, 1))

        t.grid([(1, 1)], cell)


def build(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.scan."""
    op = dry_op(kernel)
    x, out = op.tensor(op.main.x), op.inits[0]
    if x.dtype != out.dtype or not x.shape:
        return None
    product = ir.StringAttr(op.main.operation.attributes["kind"]).value == "prod"
    combine = ("arith.mul" if product else "arith.add") + ("i" if x.dtype.startswith("i") else "f")
    dim = integer(op.main, "dim")
    last = all(n == 1 for n in x.shape[dim + 1 :])
    cuts = (dim,) if last else (dim, dim + 1)
    x, out = split_at(x, *cuts), split_at(out, *cuts)
    columns = x.dim(len(x.shape) - 1)
    scan = _Scan(x, out, combine, int(product), tile_width(target, x.dtype, columns))

    def body(t: TileBuilder) -> None:
        for axis in range(len(x.shape)):
            t.same(x.dim(axis), out.dim(axis))
        if not last:
            scan.columns(t)
        elif len(x.shape) == 1:
            scan.single(t)
        else:
            scan.rows(t, target.lanes(32))

    return tile_program("scan", op.tensors, body, op.scalars)
