"""Layer and root-mean-square normalization: one row at a time.

The mean, then the sums of differences from it and of their squares (the corrected two-pass algorithm: Chan,
Golub and LeVeque, "Algorithms for computing the sample variance", 1983, eq. 1.7), then the result; the row is
in the nearest cache by then, and so is a residual that is added to it. Sums are held in a few wide
accumulators and at least in f32. What the row is rounded to is made of the result, which need not be stored.
"""

from typing import Any

from drystone.codegen.elements import FLOATS, wide
from drystone.codegen.families.dry_op import dry_ops, narrowed, widened
from drystone.codegen.families.round_rows import Rounding, rounding_of
from drystone.codegen.families.rows import Fold, integer, over_rows, split_at
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.mlir import ir
from drystone.targets.target import Target


class _Norm:
    """One kernel: x and out, where it is stored, as rows (`rows` is None where there is only one) of
    normalized columns."""

    def __init__(self, op: Any, x: Tensor, out: Tensor | None, target: Target) -> None:
        self.cut = cut = len(x.shape) - integer(op, "axes")
        self.x, self.out = split_at(x, cut), None if out is None else split_at(out, cut)
        self.held = wide(x.dtype)
        self.centred = ir.StringAttr(op.operation.attributes["kind"]).value == "layer"
        self.eps = float(ir.FloatAttr(op.operation.attributes["eps"]).value)
        self.rows = self.x.dim(0) if cut else None
        self.columns = self.x.dim(len(self.x.shape) - 1)
        self.width = tile_width(target, self.held, self.columns)
        self.gain: Tensor | None = None
        self.shift: Tensor | None = None
        self.residual: Tensor | None = None
        self.total: Tensor | None = None
        self.rounding: Rounding | None = None

    def place(self, tensor: Tensor, row: Index, j: Index) -> tuple[list[Index], list[int | None]]:
        """Position and shape of the tile at column `j`."""
        whole = len(tensor.shape) == 2
        return ([row, j], [None, self.width]) if whole else ([j], [self.width])

    def load(self, t: TileBuilder, tensor: Tensor, row: Index, j: Index) -> Tile:
        """Part of a row."""
        return widened(t, t.load(tensor, *self.place(tensor, row, j)))

    def store(self, t: TileBuilder, tensor: Tensor, row: Index, j: Index, tile: Tile) -> None:
        """Write part of a row."""
        at, shape = self.place(tensor, row, j)
        t.store(tensor, at, narrowed(t, tile, tensor.dtype), shape)

    @property
    def waiting(self) -> Tensor | None:
        """Where sums with the residual wait for their moments: in a result that can hold them."""
        results = (self.total, self.out) if self.residual is not None else ()
        return next((r for r in results if r is not None and r.dtype == self.held), None)

    def first(self, t: TileBuilder, row: Index, j: Index) -> Tile:
        """Part of a row of what is normalized, when it is read for the first time."""
        x = self.load(t, self.x, row, j)
        if self.residual is not None:
            x = t.apply("arith.addf", x, self.load(t, self.residual, row, j))
        if self.waiting is not None:
            self.store(t, self.waiting, row, j, x)
        return x

    def again(self, t: TileBuilder, row: Index, j: Index) -> Tile:
        """The same when it is read again."""
        return self.first(t, row, j) if self.waiting is None else self.load(t, self.waiting, row, j)

    def after(self, t: TileBuilder, row: Index, j: Index) -> Tile:
        """The same when all sums are stored, which may have taken the place of what they are made of."""
        return self.again(t, row, j) if self.total is None else self.load(t, self.total, row, j)

    def constant(self, t: TileBuilder, value: float) -> Tile:
        """One number."""
        return t.full(value, (1,), self.held)

    def mean(self, t: TileBuilder, lanes: Tile) -> Tile:
        """The mean over the row, of the sums in `lanes`."""
        count = t.apply("arith.sitofp", t.full(self.columns, (1,), "i64"), dtype=self.held)
        return t.apply("arith.divf", t.reduce("arith.addf", lanes, 0), count)

    def moments(self, t: TileBuilder, row: Index) -> tuple[Tile | None, Tile | None, Tile]:
        """About the mean, the mean of what is left after taking that away, and the mean square of the rest.
        The first mean is as exact as its rounding; the second is what that rounding lost."""
        fold, zero = Fold(self.columns, self.width), t.full(0.0, (self.width,), self.held)
        if not self.centred:
            (squares,) = fold(t, lambda j, acc: [self.square(t, self.first(t, row, j), acc)], [zero])
            return None, None, self.mean(t, squares)
        (sums,) = fold(t, lambda j, acc: [t.apply("arith.addf", acc, self.first(t, row, j))], [zero])
        about = self.mean(t, sums)

        def step(j: Index, rest: Tile, squares: Tile) -> list[Tile]:
            x = t.apply("arith.subf", self.again(t, row, j), about)
            return [t.apply("arith.addf", rest, x), self.square(t, x, squares)]

        rest, squares = (self.mean(t, lanes) for lanes in fold(t, step, [zero, zero]))
        return about, rest, t.apply("arith.subf", squares, t.apply("arith.mulf", rest, rest))

    @staticmethod
    def square(t: TileBuilder, x: Tile, acc: Tile) -> Tile:
        """acc + x * x."""
        return t.apply("math.fma", x, x, acc)

    def row(self, t: TileBuilder, row: Index) -> None:
        """Normalize one row."""
        about, rest, square = self.moments(t, row)
        root = t.apply("math.sqrt", t.apply("arith.addf", square, self.constant(t, self.eps)))
        scale = t.apply("arith.divf", self.constant(t, 1.0), root)
        offset = None if rest is None else t.apply("arith.negf", t.apply("arith.mulf", rest, scale))

        def normalized(j: Index, x: Tile) -> Tile:
            x = x if about is None else t.apply("arith.subf", x, about)
            y = t.apply("arith.mulf", x, scale) if offset is None else t.apply("math.fma", x, scale, offset)
            if self.gain is not None:
                y = t.apply("arith.mulf", y, self.load(t, self.gain, row, j))
            if self.shift is not None:
                y = t.apply("arith.addf", y, self.load(t, self.shift, row, j))
            return y

        def made(j: Index) -> Tile:
            x = self.again(t, row, j)
            if self.total is not None and self.total is not self.waiting:
                self.store(t, self.total, row, j, x)
            y = normalized(j, x)
            if self.out is not None:
                self.store(t, self.out, row, j, y)
            return y

        def stored(j: Index) -> Tile:
            if self.out is not None:
                return self.load(t, self.out, row, j)
            return normalized(j, self.after(t, row, j))

        def write(j: Index) -> None:
            made(j)

        if self.rounding is None:
            t.loop(self.columns, self.width, write)
        else:
            self.rounding.row(t, row, made, stored)

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        for tensor in (self.out, self.total, self.residual, self.gain, self.shift):
            if tensor is not None:
                t.same(self.columns, tensor.dim(len(tensor.shape) - 1))
        if self.rounding is not None:
            self.rounding.promises(t, self.rows, self.columns)
        if self.rows is None:
            t.grid([(1, 1)], lambda r: self.row(t, r))
            return
        for tensor in (self.out, self.total, self.residual):
            if tensor is not None:
                t.same(self.rows, tensor.dim(0))
        over_rows(t, self.rows, self.columns, lambda r: self.row(t, r))


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel of one dry.norm, and of a dry.round_rows of its result."""
    op, *rounded = dry_ops(kernel)
    if op.main.operation.name != "dry.norm":
        return None
    x, made = op.tensor(op.main.x), list(op.inits)
    if any(tensor.dtype not in FLOATS for tensor in (x, *made)):
        return None
    stored = len(made) == len(op.main.operation.results)
    norm = _Norm(op.main, x, made.pop(0) if stored else None, target)
    norm.gain, norm.shift = (
        split_at(op.tensor(group[0])) if len(group) else None for group in (op.main.gain, op.main.shift)
    )
    norm.residual = next((split_at(tensor, norm.cut) for tensor in op.all(op.main.residual)), None)
    norm.total = next((split_at(tensor, norm.cut) for tensor in made), None)
    norm.rounding = next((rounding_of(each, norm.width) for each in rounded), None)
    return tile_program("round_rows" if rounded else "norm", op.tensors, norm.body, op.scalars)
