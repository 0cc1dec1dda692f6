"""Products with a matrix of which blocks of codes are listed.

Of few vectors, whose numbers of one input are multiplied at a time, codes become numbers in registers. For
more, the blocks of some outputs are laid down as numbers, in memory that stays in a cache while the vectors
pass by, and are multiplied as blocks of elements are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drystone.codegen.families.codes.decoding import CodedMatrix, lay_numbers
from drystone.codegen.families.sparse.listed import ListedMatrix
from drystone.codegen.families.sparse.vectors import Vectors
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.targets.target import Target

#: Vectors whose products are summed at once with codes in registers, at most.
FEW = 8
#: Inputs whose numbers are written without a loop.
_UNROLLED = 16


def is_laid_down(vectors: Vectors) -> bool:
    """Whether there are enough vectors for blocks to be laid down."""
    return vectors.known is None or vectors.known > FEW


@dataclass(frozen=True)
class LaidBlocks:
    """Memory for the blocks of a list as numbers, and how they are read there."""

    coded: CodedMatrix
    matrix: ListedMatrix
    row: Tensor | None  #: a string of numbers as they are decoded, where they then lie in groups

    @staticmethod
    def of(t: TileBuilder, matrix: ListedMatrix, vectors: Vectors, target: Target) -> "LaidBlocks":
        """Memory for the longest list."""
        coded, (outputs, inputs) = matrix.coded, matrix.block
        assert coded is not None
        held = vectors.held.held
        group = target.neighbours(held, held) if held == "bf16" and inputs % 2 == 0 else 1
        longest, depth = -(-matrix.depth // inputs), _whole(inputs, coded.run)
        some = _at_once(coded, inputs)
        shape = (longest, depth // group, outputs * group)
        memory = t.scratch(shape, "bf16" if group > 1 else "f32")
        row = t.scratch((some, coded.width), "f32") if group > 1 else None
        tensors = {**matrix.tensors, "values": memory}
        return LaidBlocks(coded, replace(matrix, tensors=tensors, group=group, coded=None), row)

    def lay(self, t: TileBuilder, first: Index, end: Index) -> None:
        """Lay the blocks of a list down."""
        memory, group, coded = self.matrix.tensors["values"], self.matrix.group, self.coded
        outputs, inputs = self.matrix.block
        width = coded.width

        some = _at_once(coded, inputs)

        def block(j: Index) -> None:
            for column in range(0, outputs, width):
                panel = (j * outputs + column) // width

                def string(k: Index, column: int = column, panel: Index = panel) -> None:
                    def store(i: int, numbers: Tile) -> None:
                        row = k + i if group == 1 else k // group + i // group
                        t.store(memory, [j - first, row, column * group], numbers, [None, 1, width * group])

                    lay_numbers(t, coded.numbers(t, panel, k, some), self.row, group, store)

                t.loop(_whole(inputs, coded.run), some, string)

        t.loop(end, 1, block, lower=first)


def products_of_codes(
    t: TileBuilder,
    acc: Tile,
    vectors: Vectors,
    matrix: ListedMatrix,
    at: tuple[Sequence[Index], Index],
    j: Index,
    output: Index,
) -> Tile:
    """acc and the products of some vectors with the outputs of a panel of block j, from one on. at: the
    place in the batch, and the first vector."""
    coded, (outputs, inputs) = matrix.coded, matrix.block
    assert coded is not None
    (batch, m), k = at, matrix.column(t, j) * inputs
    panel = (j * outputs + output) // coded.width
    for i, number in enumerate(coded.numbers(t, panel, index(0), _whole(inputs, coded.run))[:inputs]):
        x = vectors.rows(t, batch, m, k + i, (acc.shape[0], 1))
        acc = t.dot(acc, x, number)
    return acc


def _at_once(coded: CodedMatrix, inputs: int) -> int:
    """Inputs whose numbers are written without a loop: some, whose strings and groups are whole, or all."""
    whole, group = _whole(inputs, coded.run), coded.group
    even = whole % _UNROLLED == 0 and _UNROLLED % coded.run == 0
    return _UNROLLED if even and (group % _UNROLLED == 0 or _UNROLLED % group == 0) else whole


def _whole(inputs: int, run: int) -> int:
    """Inputs whose codes are whole strings."""
    return -(-inputs // run) * run
