"""Products with a matrix of which blocks are listed, output by output of blocks.

The register tile is some of the vectors that are multiplied by the outputs of a block, as in a product with
panels; it sums over the blocks that are listed, whose inputs are read where they lie (BSR: Im and Yelick
2001). Lanes are outputs, or vectors where those are columns. Short elements that a dot unit multiplies lie in
groups of neighbouring inputs; tile registers take 16 or 32 of the outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.dry_op import widened_to
from drystone.codegen.families.matmul.block_codes import LaidBlocks, is_laid_down, products_of_codes
from drystone.codegen.families.matmul.form import MatMulForm, finish, program, promises
from drystone.codegen.families.sparse.listed import ListedMatrix, steps_of_outputs
from drystone.codegen.families.sparse.vectors import Vectors
from drystone.codegen.families.tiling import divisor, even, side_by_side
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: Registers that are left for operands and addresses, and registers of one row of sums at most.
_OPERANDS, _WIDE = 6, 4
#: Registers of sums of one output, where lanes are vectors, at most.
_ACROSS = 2
#: Vectors that pass by the blocks of an output, at most: those blocks stay in a cache meanwhile.
_HIGH = 512
#: Rows and columns of a tile register; rows that keep parts of laid down vectors from the same few sets.
_SIDE, _APART = 16, 4


@dataclass(frozen=True)
class _Shape:
    """vectors x outputs of the result are summed at once, `depth` inputs of a block at a time; `high` vectors
    pass by one list."""

    vectors: int
    outputs: int
    depth: int
    high: int
    tiles: bool = False


def block_product(form: MatMulForm, target: Target) -> TileProgram:
    """The program of a product one of whose matrices is listed in blocks."""
    matrix, vectors = form.sparse, Vectors(form, target.lanes(bits_of(form.dtype)))
    assert isinstance(matrix, ListedMatrix)
    outputs = matrix.block[0]

    def body(t: TileBuilder) -> None:
        promises(form, t)
        coded = matrix.coded is not None and is_laid_down(vectors)
        laid = LaidBlocks.of(t, matrix, vectors, target) if coded else None
        read = matrix if laid is None else laid.matrix
        shape = _shape(vectors, read, target)
        high, wide, rows = shape.high, outputs, None
        if shape.tiles:
            high, wide = _turned(vectors, read, target)
            rows = t.scratch((-(-read.depth // shape.depth), high + _APART, shape.depth), vectors.held.held)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(form.batch)]

        def step(*at: Index) -> None:
            *batch, n, m = at
            end = (vectors.count - m).min(high)

            def blocks(first: Index) -> None:
                made = _Step(vectors, t, read, shape, tuple(batch), m, n + first, laid, rows)
                if laid is not None:
                    laid.lay(t, *made.bounds)
                t.loop(
                    end,
                    shape.vectors,
                    lambda i: t.loop(outputs, shape.outputs, lambda c: made.tile(i, c)) and None,
                )

            if rows is not None:
                _lay(t, vectors, rows, tuple(batch), m, end)
            if wide > outputs:
                t.loop((vectors.outputs - n).min(wide), outputs, blocks)
            else:
                blocks(index(0))

        t.grid([*axes, (vectors.outputs, wide), (vectors.count, high)], step)

    return program(form, body)


def _turned(vectors: Vectors, matrix: ListedMatrix, target: Target) -> tuple[int, int]:
    """Vectors and outputs of a step that lays its vectors down: as many as a good part of the second cache
    holds, and outputs for all threads."""
    size, outputs = matrix.depth * bits_of(vectors.held.held) // 8, matrix.block[0]
    most = max(1, target.l2 // 4 // size // (2 * _SIDE)) * 2 * _SIDE
    high = min(_HIGH, most, -(-(vectors.known or _HIGH) // _SIDE) * _SIDE)
    groups = -(-(vectors.known or _HIGH) // high)
    parts = steps_of_outputs(groups, target.threads)
    return high, -(-matrix.outputs // parts) * outputs


def _lay(
    t: TileBuilder, vectors: Vectors, rows: Tensor, batch: tuple[Index, ...], m: Index, end: Index
) -> None:
    """Lay vectors from m on down, the inputs of a tile register of all of them one behind the other: where
    vectors lie a power of two apart, those of a tile share few sets of a cache."""
    count, _, depth = (n or 1 for n in rows.shape)

    def vector(i: Index) -> None:
        def part(k: Index) -> None:
            sizes = [*([None] * vectors.form.batch), 1, depth]
            tile = t.load(vectors.held, vectors.read(batch, m + i, k * depth), sizes, held=True)
            t.store(rows, [k, i, 0], tile, [None, 1, depth])

        t.loop(count, 1, part)

    t.loop(end, 1, vector)


def _shape(vectors: Vectors, matrix: ListedMatrix, target: Target) -> _Shape:
    """How much is summed at once."""
    (outputs, inputs), unit, lanes = matrix.block, _unit(vectors, matrix, target), vectors.lanes
    if unit is not None:
        width = 2 * _SIDE if outputs % (2 * _SIDE) == 0 else _SIDE
        high = 2 * _SIDE if vectors.known is None or vectors.known > _SIDE else _SIDE
        return _Shape(high, width, gcd(inputs, unit.depth), _HIGH, tiles=True)
    if vectors.across:
        some = lanes * even(-(-(vectors.known or _HIGH) // lanes), _ACROSS)
        left = (target.registers - _OPERANDS) * lanes // some
        return _Shape(some, divisor(outputs, left), divisor(inputs, 16), some * max(1, _HIGH // some))
    width = divisor(outputs, _WIDE * lanes) if matrix.coded is None else matrix.coded.width
    registers = target.registers - _OPERANDS - -(-width // lanes)
    apart = (vectors.form.depth.constant or 0) * bits_of(vectors.held.held) // 8
    some = even(vectors.known, side_by_side(apart, max(1, registers // -(-width // lanes)), target))
    depth = divisor(inputs // matrix.group, max(1, 16 // matrix.group)) * matrix.group
    return _Shape(some, width, depth, some * max(1, _HIGH // some))


def _unit(vectors: Vectors, matrix: ListedMatrix, target: Target) -> DotUnit | None:
    """The tile unit that does it, for more than a few vectors of elements that it multiplies."""
    outputs, inputs = matrix.block
    held = vectors.held.held, matrix.tensors["values"].held
    unit = target.dot(*held, tiles=True) if matrix.group > 1 else None
    known = vectors.known is None or vectors.known >= _SIDE // 2
    fits = unit is not None and outputs % _SIDE == 0 and unit.fills(inputs) and unit.group == matrix.group
    return unit if known and fits else None


@dataclass(frozen=True)
class _Step:
    """Some vectors, from m on, and the outputs of a block, from n on."""

    vectors: Vectors
    t: TileBuilder
    matrix: ListedMatrix
    shape: _Shape
    batch: tuple[Index, ...]
    m: Index
    n: Index
    laid: LaidBlocks | None = None
    rows: Tensor | None = None  #: the vectors of a step, where they are laid down

    @property
    def bounds(self) -> tuple[Index, Index]:
        """Where the list of the outputs begins, and where it ends."""
        return self.matrix.bounds(self.t, index(0), self.n // self.matrix.block[0])

    def tile(self, i: Index, output: Index) -> None:
        """The result of some outputs for some vectors."""
        t, p, matrix, m = self.t, self.shape, self.matrix, self.m + i
        inputs = matrix.block[1]
        first, end = self.bounds

        # What stays in tile registers takes one product in a round: rounds are parts of blocks there.
        parts = inputs // p.depth if p.tiles else 1

        def block(i: Index, acc: Tile) -> Tile:
            j, part = i // parts, index(0) if parts == 1 else i % parts * p.depth
            if matrix.coded is not None:
                return products_of_codes(t, acc, self.vectors, matrix, (self.batch, m), j, index(output))
            k = matrix.column(t, j) * inputs
            for d in range(0, inputs // parts, p.depth):
                own = j if self.laid is None else j - first
                acc = self.added(acc, m, k + part + d, own, part + d, output)
            return acc

        extents = (p.outputs, p.vectors) if self.vectors.across else (p.vectors, p.outputs)
        zeros = [t.full(0, extents, self.vectors.form.dtype)]
        (acc,) = t.loop(end * parts, 1, block, zeros, lower=first * parts)
        place = [self.n + output, m] if self.vectors.across else [m, self.n + output]
        finish(self.vectors.form, t, acc, [*self.batch, *place])

    def added(self, acc: Tile, m: Index, k: Index, j: Index, first: Index, output: Index) -> Tile:
        """Sums and the products of vectors from m on with some outputs of block j: with inputs from the first
        on, which are those from k on of the matrix."""
        t, p, group = self.t, self.shape, self.matrix.group
        if self.vectors.across:
            x = self.vectors.tile(t, self.batch, m, k, (p.depth, p.vectors))
            return t.dot(acc, self.block(j, [output, first], (p.outputs, p.depth)), x)
        sizes = (p.depth // group, p.outputs * group)
        if self.rows is not None:
            x = t.load(self.rows, [k // p.depth, m - self.m, 0], [None, p.vectors, p.depth], held=True)
            return t.dot(acc, x, self.block(j, [first // group, output * group], sizes), tiles=True)
        at = self.vectors.read(self.batch, m, k)
        x = self.loaded(
            t.load(
                self.vectors.held,
                at,
                [*([None] * self.vectors.form.batch), p.vectors, p.depth],
                held=group > 1,
            )
        )
        return t.dot(acc, x, self.block(j, [first // group, output * group], sizes))

    def block(self, j: Index, at: Sequence[Index], sizes: tuple[int, int]) -> Tile:
        """Some of block j, from a place in it on; bytes times the block's scale."""
        t, tensors = self.t, self.matrix.tensors
        tile = t.load(tensors["values"], [j, *at], [None, *sizes], held=self.matrix.group > 1)
        if tile.dtype != "i8":
            return self.loaded(tile)
        scale = self.loaded(t.reshape(t.load(tensors["values.scale"], [j], [None]), (1, 1)))
        return t.apply("arith.mulf", t.apply("arith.sitofp", tile, dtype=scale.dtype), scale)

    def loaded(self, tile: Tile) -> Tile:
        """A tile as it is multiplied: as it is held where a unit takes that."""
        return tile if self.matrix.group > 1 else widened_to(self.t, tile, self.vectors.form.dtype)
