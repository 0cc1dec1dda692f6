"""Layer and root-mean-square normalization: one row at a time.

The mean and then the sum of squared differences from it (two passes: exact, and the row is in the nearest
cache), then the result. Sums are held in a few wide accumulators and at least in f32.
"""

from typing import Any

from drystone.codegen.families.dry_op import dry_op, narrowed, wide, widened
from drystone.codegen.families.rows import (
    FLOATS,
    Fold,
    integer,
    over_rows,
    split_at,
)
from drystone.codegen.families.space import BITS, tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.mlir import ir
from drystone.targets.target import CpuTarget


class _Norm:
    """One kernel: x and out as rows (`rows` is None where there is only one) of normalized columns."""

    def __init__(self, op: Any, x: Tensor, out: Tensor, target: CpuTarget) -> None:
        cut = len(x.shape) - integer(op, "axes")
        self.x, self.out = split_at(x, cut), split_at(out, cut)
        self.held = wide(x.dtype)
        self.centred = ir.StringAttr(op.operation.attributes["kind"]).value == "layer"
        self.eps = float(ir.FloatAttr(op.operation.attributes["eps"]).value)
        self.rows = self.x.dim(0) if cut else None
        self.columns = self.x.dim(len(self.x.shape) - 1)
        self.width = tile_width(target, BITS[self.held], self.columns)
        self.gain: Tensor | None = None
        self.shift: Tensor | None = None

    def place(self, tensor: Tensor, row: Index, j: Index) -> tuple[list[Index], list[int | None]]:
        """Position and shape of the tile at column `j`."""
        whole = len(tensor.shape) == 2
        return ([row, j], [None, self.width]) if whole else ([j], [self.width])

    def load(self, t: TileBuilder, tensor: Tensor, row: Index, j: Index) -> Tile:
        """Part of a row."""
        return widened(t, t.load(tensor, *self.place(tensor, row, j)))

    def sum(self, t: TileBuilder, row: Index, mean: Tile | None, squared: bool) -> Tile:
        """The mean over the row of x, or of the squared differences from `mean`."""

        def step(j: Index, acc: Tile) -> list[Tile]:
            x = self.load(t, self.x, row, j)
            x = x if mean is None else t.apply("arith.subf", x, mean)
            return [t.apply("math.fma", x, x, acc) if squared else t.apply("arith.addf", acc, x)]

        (acc,) = Fold(self.columns, self.width)(t, step, [t.full(0.0, (self.width,), self.held)])
        total = t.reduce("arith.addf", acc, 0)
        count = t.apply("arith.sitofp", t.full(self.columns, (1,), "i64"), dtype=self.held)
        return t.apply("arith.divf", total, count)

    def row(self, t: TileBuilder, row: Index) -> None:
        """Normalize one row."""
        mean = self.sum(t, row, None, False) if self.centred else None
        spread = self.sum(t, row, mean, True)
        root = t.apply("math.sqrt", t.apply("arith.addf", spread, t.full(self.eps, (1,), self.held)))
        scale = t.apply("arith.divf", t.full(1.0, (1,), self.held), root)

        def write(j: Index) -> None:
            x = self.load(t, self.x, row, j)
            x = x if mean is None else t.apply("arith.subf", x, mean)
            y = t.apply("arith.mulf", x, scale)
            if self.gain is not None:
                y = t.apply("arith.mulf", y, self.load(t, self.gain, row, j))
            if self.shift is not None:
                y = t.apply("arith.addf", y, self.load(t, self.shift, row, j))
            at, shape = self.place(self.out, row, j)
            t.store(self.out, at, narrowed(t, y, self.out.dtype), shape)

        t.loop(self.columns, self.width, write)

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        for tensor in (self.out, self.gain, self.shift):
            if tensor is not None:
                t.same(self.columns, tensor.dim(len(tensor.shape) - 1))
        if self.rows is None:
            t.grid([(1, 1)], lambda r: self.row(t, r))
            return
        t.same(self.rows, self.out.dim(0))
        over_rows(t, self.rows, self.columns, lambda r: self.row(t, r))


def build(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.norm."""
    op = dry_op(kernel)
    if any(tensor.dtype not in FLOATS for tensor in op.tensors):
        return None
    norm = _Norm(op.main, op.tensor(op.main.x), op.inits[0], target)
    norm.gain, norm.shift = (
        split_at(op.tensor(group[0])) if len(group) else None for group in (op.main.gain, op.main.shift)
    )
    return tile_program("norm", op.tensors, norm.body, op.scalars)
