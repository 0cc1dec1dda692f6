"""Convolutions with a weight of which blocks of output channels and input channels of a tap are listed.

The register tile is some positions by the outputs of a block, as in a direct convolution; it sums over the
blocks that are listed, each of which says by its column which tap it belongs to, and so where in a flat copy
of the image (`copy`) its channels are read. What is 0 is neither read nor multiplied."""

from dataclasses import dataclass
from functools import cached_property

from drystone.codegen.families.conv.copy import CopiedLines, FlatImage
from drystone.codegen.families.conv.form import ConvForm
from drystone.codegen.families.dry_op import widened_to
from drystone.codegen.families.sparse.listed import ListedMatrix, steps_of_outputs
from drystone.codegen.families.tiling import divisor, even
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets.target import Target

#: Registers that are left for operands and addresses, and registers of one row of sums at most.
_OPERANDS, _WIDE = 6, 4
#: The part of the second cache that a step's copy of the image may fill; inputs that are multiplied at once.
_COPY, _DEPTH = 0.25, 16


@dataclass(frozen=True)
class _Blocks(FlatImage):
    """rows x width: positions and outputs of the register tile; `high` lines and `some` outputs of blocks are
    a grid step."""

    matrix: ListedMatrix
    rows: int
    width: int
    high: int
    some: int

    @property
    def columns(self) -> int:
        """Blocks of channels of a tap."""
        return self.form.inside // self.matrix.block[1]


def conv_blocks(form: ConvForm, target: Target) -> TileProgram:
    """The program of a convolution whose weight is listed in blocks, of an image and a result that are
    channels last and whose two spatial extents are known."""
    matrix, lanes = form.sparse, target.lanes(32)
    assert isinstance(matrix, ListedMatrix)
    image, outputs = FlatImage(form, lanes), matrix.block[0]
    lines, line = (form.known_size(form.out, d) or 1 for d in range(2))
    apart = 4 * len(image.planes) * image.across * (form.inside + form.apart(lanes))
    most = [n for n in range(1, lines + 1) if image.lines(n) * apart <= _COPY * target.l2]
    high = even(lines, max(most, default=1))
    width = divisor(outputs, _WIDE * lanes)
    vectors = -(-width // lanes)
    rows = even(high * image.across - (image.across - line), (target.registers - _OPERANDS) // vectors - 1)
    pieces = (form.out.shape[0] or 1) * -(-lines // high)
    some = -(-matrix.outputs // steps_of_outputs(pieces, target.threads))
    kernel = _Blocks(form, lanes, matrix, rows, width, high, some)

    def body(t: TileBuilder) -> None:
        t.same(form.x.dim(0), form.out.dim(0))
        axes = kernel.axes((matrix.outputs, some), high)
        t.grid(axes, lambda first, n, start: _Step(kernel, t, first, n, start).run())

    return tile_program("conv_blocks", form.op.tensors, body, form.op.scalars)


@dataclass(frozen=True)
class _Step(CopiedLines):
    """One grid step: image n, outputs from a row of blocks on, lines from `start`."""

    kernel: _Blocks
    t: TileBuilder
    first: Index
    n: Index
    start: Index

    @property
    def high(self) -> int:
        """Lines of the result."""
        return self.kernel.high

    @property
    def positions(self) -> int:
        """Positions of all planes, and those that the last register tile reads beyond them."""
        kernel = self.kernel
        return len(kernel.planes) * kernel.lines(self.high) * kernel.across + kernel.across + kernel.rows

    @cached_property
    def copy(self) -> Tensor:
        """Room for all planes."""
        form = self.kernel.form
        return self.t.scratch((self.positions, form.inside + form.apart(self.kernel.lanes)), form.x.held)

    @cached_property
    def places(self) -> Tensor:
        """By the column of a block, where its tap sees the first position, and its first channel."""
        t, kernel = self.t, self.kernel
        found = t.scratch((len(kernel.taps) * kernel.columns, 2), "i32")

        def channel(c: Index) -> None:
            for tap in range(len(kernel.taps)):
                for j, place in enumerate((index(kernel.place(tap, self.high)), c * kernel.matrix.block[1])):
                    t.store(found, [c + tap * kernel.columns, j], t.full(place, (1,), "i32"), [None, 1])

        t.loop(kernel.columns, 1, channel)
        return found

    def run(self) -> None:
        """All of it."""
        kernel, form, t, outputs = self.kernel, self.kernel.form, self.t, self.kernel.matrix.block[0]
        for number, plane in enumerate(kernel.planes):
            self.fill(number, plane)
        places = self.places
        lines = (form.size(form.out, 0) - self.start).min(self.high)
        end = lines * kernel.across - (kernel.across - (form.known_size(form.out, 1) or 0))
        sums = t.scratch((kernel.rows, kernel.width), form.sums)

        def tile(at: Index, o: Index, output: Index) -> None:
            t.store(sums, [0, 0], self.tile(places, o, at, output))
            self.store(sums, at, lines, o * outputs + output)

        def some(at: Index) -> None:
            def blocks(o: Index) -> None:
                t.loop(outputs, kernel.width, lambda c: tile(at, o, c))

            t.loop((self.first + kernel.some).min(kernel.matrix.outputs), 1, blocks, lower=self.first)

        # So the result is written in about the order it lies in.
        t.loop(end, kernel.rows, some)

    def tile(self, places: Tensor, o: Index, at: Index, output: Index) -> Tile:
        """The sums of positions from one on, for outputs from one on of a row of blocks."""
        kernel, matrix, t = self.kernel, self.kernel.matrix, self.t
        inputs = matrix.block[1]
        depth, last = (
            divisor(inputs, _DEPTH),
            max(kernel.place(tap, self.high) for tap in range(len(kernel.taps))),
        )
        first, end = matrix.bounds(t, index(0), o)

        def block(j: Index, acc: Tile) -> Tile:
            column = matrix.column(t, j)
            where = t.element(t.load(places, [column, 0], [None, None]), (0, last))
            c = t.element(t.load(places, [column, 1], [None, None]), (0, kernel.form.inside - inputs))
            for k in range(0, inputs, depth):
                x = t.load(self.copy, [at + where, c + k], [kernel.rows, depth])
                b = t.load(matrix.tensors["values"], [j, k, output], [None, depth, kernel.width])
                acc = t.dot(acc, widened_to(t, x, acc.dtype), widened_to(t, b, acc.dtype))
            return acc

        zeros = t.full(0, (kernel.rows, kernel.width), kernel.form.sums)
        return t.loop(end, 1, block, [zeros], lower=first)[0]
