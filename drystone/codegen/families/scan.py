"""Prefix sums and products, linear recurrences: columns beside the dimension are the lanes.

Along the last dimension there are none: then as many rows as there are lanes go through transposed copies, a
square block at a time; a single row goes element by element. What a column has come to stays in registers.
"""

from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.dry_op import DryOp, dry_op
from drystone.codegen.families.rows import integer, split_at
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.mlir import ir
from drystone.targets.target import Target

#: Registers of columns that a long scan takes side by side, where there are columns enough: every step reads
#: another page, so it should read much of it.
_WIDE = 8


@dataclass(frozen=True)
class _Scan:
    """One kernel: x, the factors of a linear recurrence, and out, with what lies before, along and behind the
    dimension joined."""

    given: tuple[Tensor, ...]
    out: Tensor
    op: str
    start: int
    width: int

    @property
    def x(self) -> Tensor:
        """What is combined."""
        return self.given[0]

    def carry(self, t: TileBuilder, width: int) -> list[Tile]:
        """What the first element is combined with."""
        return [t.full(self.start, (width,), self.out.dtype)]

    def combined(self, t: TileBuilder, now: Tile, new: list[Tile]) -> Tile:
        """The next element of the result, from the one before and what is given."""
        if len(new) == 1:
            return t.apply(self.op, now, new[0])
        return t.apply(self.op, new[1], now, new[0])

    def columns(self, t: TileBuilder) -> None:
        """Other dimensions follow: x is [.., n, columns]."""
        rank = len(self.x.shape)

        def cell(*start: Index) -> None:
            head, column = list(start[:-1]), start[-1]
            shape = [*(None for _ in head), None, self.width]

            def step(j: Index, now: Tile) -> Tile:
                at = [*head, j, column]
                new = self.combined(t, now, [t.load(given, at, shape) for given in self.given])
                t.store(self.out, at, new, shape)
                return new

            t.loop(self.x.dim(rank - 2), 1, step, self.carry(t, self.width))

        axes = [(self.x.dim(axis), 1) for axis in range(rank - 2)]
        t.grid([*axes, (self.x.dim(rank - 1), self.width)], cell)

    def rows(self, t: TileBuilder, lanes: int) -> None:
        """x is [rows, n]: blocks of `lanes` rows, turned so that rows are lanes."""
        blocks = [t.scratch((lanes, lanes), self.out.dtype) for _ in self.given]
        turned = t.scratch((lanes, lanes), self.out.dtype)

        def cell(r: Index) -> None:
            def square(j: Index, now: Tile) -> tuple[Tile, ...]:
                for given, block in zip(self.given, blocks, strict=True):
                    t.store(block, [0, 0], t.transpose(t.load(given, [r, j], [lanes, lanes])))

                def step(k: Index, held: Tile) -> Tile:
                    new = self.combined(t, held, [t.load(block, [k, 0], [None, lanes]) for block in blocks])
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
                new = self.combined(t, now, [t.load(given, [j], [1]) for given in self.given])
                t.store(self.out, [j], new)
                return new

            t.loop(self.x.dim(0), 1, step, self.carry(t, 1))

        t.grid([(1, 1)], cell)


def _width(x: Tensor, target: Target, *, long: bool) -> int:
    """Columns side by side."""
    columns, wide = x.dim(len(x.shape) - 1), _WIDE * target.lanes(32)
    count = columns.constant or 0
    if long and count % wide == 0 and count // wide >= 4 * target.threads:
        return wide
    return tile_width(target, x.dtype, columns)


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.scan."""
    op = dry_op(kernel)
    product = ir.StringAttr(op.main.operation.attributes["kind"]).value == "prod"
    element = "i" if op.inits[0].dtype.startswith("i") else "f"
    return _build(op, target, ("arith.mul" if product else "arith.add") + element, int(product))


def build_linear(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.linear_scan."""
    op = dry_op(kernel)
    return _build(op, target, "math.fma", 0) if op.inits[0].dtype in ("f32", "f64") else None


def _build(op: DryOp, target: Target, combine: str, start: int) -> TileProgram | None:
    given, out = tuple(op.all(op.main.operation.operands)), op.inits[0]
    if any(x.dtype != out.dtype for x in given) or not out.shape:
        return None
    dim = integer(op.main, "dim")
    last = all(n == 1 for n in out.shape[dim + 1 :])
    cuts = (dim,) if last else (dim, dim + 1)
    given, out = tuple(split_at(x, *cuts) for x in given), split_at(out, *cuts)
    scan = _Scan(given, out, combine, start, _width(out, target, long=len(given) > 1))

    def body(t: TileBuilder) -> None:
        for axis in range(len(out.shape)):
            for x in given:
                t.same(x.dim(axis), out.dim(axis))
        if not last:
            scan.columns(t)
        elif len(out.shape) == 1:
            scan.single(t)
        else:
            scan.rows(t, target.lanes(32))

    return tile_program("scan", op.tensors, body, op.scalars)
