"""Products with a matrix of which blocks are listed, output by output of blocks.

The register tile is some rows of the result by the outputs of a block, as in a product with panels; it sums
over the blocks that are listed, whose inputs are read where they lie in a (BSR: Im and Yelick 2001). Short
elements that a dot unit multiplies lie in groups of neighbouring inputs; tile registers take 16 or 32 of the
outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.dry_op import laid_down, widened_to
from drystone.codegen.families.listed import ListedMatrix
from drystone.codegen.families.matmul_form import MatMulForm, finish, places, program, promises
from drystone.codegen.families.tiling import divisor, even, side_by_side
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index
from drystone.targets.dots import DotUnit
from drystone.targets.target import CpuTarget

#: Registers that are left for operands and addresses, and registers of one row of sums at most.
_OPERANDS, _WIDE = 6, 4
#: Rows that pass by the blocks of an output, at most: those blocks stay in a cache meanwhile.
_HIGH = 512
#: Rows and columns of a tile register.
_SIDE = 16


@dataclass(frozen=True)
class _Shape:
    """rows x width of the result are summed at once, `depth` inputs of a block at a time; `high` rows pass by
    one list."""

    rows: int
    width: int
    depth: int
    high: int
    tiles: bool


def block_product(form: MatMulForm, target: CpuTarget) -> TileProgram:
    """The program of a product whose b is listed in blocks."""
    rank, matrix = form.batch, form.sparse
    assert isinstance(matrix, ListedMatrix)
    shape = _shape(form, matrix, target)
    outputs = matrix.block[0]

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]

        def step(*at: Index) -> None:
            *batch, n, m = at
            made = _Step(form, t, matrix, shape, tuple(batch), m, n)
            t.loop(
                made.end,
                shape.rows,
                lambda i: t.loop(outputs, shape.width, lambda c: made.tile(i, c)) and None,
            )

        t.grid([*axes, (form.out.dim(rank + 1), outputs), (form.out.dim(rank), shape.high)], step)

    return program(form, body)


def _shape(form: MatMulForm, matrix: ListedMatrix, target: CpuTarget) -> _Shape:
    """How much is summed at once."""
    rows, (outputs, inputs) = form.out.shape[form.batch], matrix.block
    unit = _unit(form, matrix, target)
    if unit is not None:
        width = 2 * _SIDE if outputs % (2 * _SIDE) == 0 else _SIDE
        high = 2 * _SIDE if rows is None or rows > _SIDE else _SIDE
        return _Shape(high, width, gcd(inputs, unit.depth), _HIGH, True)
    lanes = target.lanes(bits_of(form.dtype))
    width = divisor(outputs, _WIDE * lanes)
    registers = target.registers - _OPERANDS - -(-width // lanes)
    apart = (form.depth.constant or 0) * bits_of(form.a.held) // 8
    some = even(rows, side_by_side(apart, max(1, registers // -(-width // lanes)), target))
    group = matrix.group
    return _Shape(
        some,
        width,
        divisor(inputs // group, max(1, 16 // group)) * group,
        some * max(1, _HIGH // some),
        False,
    )


def _unit(form: MatMulForm, matrix: ListedMatrix, target: CpuTarget) -> DotUnit | None:
    """The tile unit that does it, for more than a few rows of elements that it multiplies."""
    rows, (outputs, inputs) = form.out.shape[form.batch], matrix.block
    held = form.a.held, matrix.tensors["values"].held
    unit = target.dot(*held, tiles=True) if matrix.group > 1 else None
    known = rows is None or rows >= _SIDE // 2
    fits = unit is not None and outputs % _SIDE == 0 and unit.fills(inputs) and unit.group == matrix.group
    return unit if known and fits else None


@dataclass(frozen=True)
class _Step:
    """Some rows, from m on, of the outputs of a block, from n on."""

    form: MatMulForm
    t: TileBuilder
    matrix: ListedMatrix
    shape: _Shape
    batch: tuple[Index, ...]
    m: Index
    n: Index

    @property
    def end(self) -> Index:
        """How many rows there are."""
        return (self.form.out.dim(self.form.batch) - self.m).min(self.shape.high)

    def tile(self, i: Index, column: Index) -> None:
        """The result of some rows of some outputs."""
        t, p, matrix, m = self.t, self.shape, self.matrix, self.m + i
        outputs, inputs = matrix.block
        first, end = matrix.bounds(t, index(0), self.n // outputs)

        def block(j: Index, acc: Tile) -> Tile:
            k = matrix.column(t, j) * inputs
            for d in range(0, inputs, p.depth):
                acc = t.dot(acc, self.left(m, k + d), self.right(j, d, column), tiles=p.tiles)
            return acc

        (acc,) = t.loop(end, 1, block, [t.full(0, (p.rows, p.width), self.form.dtype)], lower=first)
        acc = laid_down(t, acc) if p.tiles else acc
        finish(self.form, t, acc, [*self.batch, m, self.n + column])

    def left(self, m: Index, k: Index) -> Tile:
        """Rows of a, some columns from k on."""
        at = [*places(self.form, self.form.a, self.batch), m, k]
        sizes = [*([None] * self.form.batch), self.shape.rows, self.shape.depth]
        return self.loaded(self.form.a, at, sizes)

    def right(self, j: Index, first: int, column: Index) -> Tile:
        """Some inputs of block j, from the first on, of some outputs."""
        group, p = self.matrix.group, self.shape
        at = [j, index(first // group), column * group]
        sizes = [None, p.depth // group, p.width * group]
        return self.loaded(self.matrix.tensors["values"], at, sizes)

    def loaded(self, source: Tensor, at: Sequence[Index], sizes: Sequence[int | None]) -> Tile:
        """A tile as it is multiplied: as it is held where a unit takes that."""
        if self.matrix.group > 1:
            return self.t.load(source, at, sizes, held=True)
        return widened_to(self.t, self.t.load(source, at, sizes), self.form.dtype)
