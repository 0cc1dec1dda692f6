"""Matrices of whose every m neighbouring inputs n are held, as kernels are given them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.codes.decoding import CodedMatrix, parts
from drystone.codegen.families.codes.numbers import shifted
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.errors import InternalError
from drystone.ir.encoding import Codes, Joined, Sparse, Structured, Words

#: Bytes of numbers that are asked for ahead.
_AHEAD = 2048


def values_of(values: Codes, tensors: Mapping[str, Tensor], width: int, depth: int) -> Tensor | CodedMatrix:
    """What is held of a sparse matrix, of `depth` numbers of each output in panels of `width`: elements, or
    codes."""
    if not isinstance(values.layout, Words):
        return tensors["values"]
    inner = {name.removeprefix("values."): each for name, each in tensors.items() if "." in name}
    return CodedMatrix(values, {"codes": tensors["values"], **inner}, width, depth)


@dataclass(frozen=True)
class StructuredMatrix:
    """`Joined` parts in panels of `width` outputs: the numbers that are held, [panels, slots, width] or codes
    of these, and their places in groups of `group` inputs, in words of short codes."""

    index: Tensor
    values: Tensor | CodedMatrix
    width: int
    slots: int  #: numbers of an output
    kept_of: int  #: numbers of a group
    group: int  #: inputs of a group
    bits: int  #: of a place

    @staticmethod
    def of(encoding: Joined, shape: Sequence[int], tensor: Tensor) -> "StructuredMatrix":
        """The matrix that lies in a parameter."""
        base = encoding.base
        if not isinstance(base, Sparse) or not isinstance(base.pattern, Structured):
            raise InternalError(f"no kernel reads groups of {encoding}")
        pattern, values = base.pattern, base.values
        index = pattern.places_held
        assert isinstance(index.layout, Words) and isinstance(values, Codes)
        slots, width = pattern.kept(shape)[pattern.axis], index.layout.width
        named = parts(encoding, shape, tensor)
        held = values_of(values, named, width, slots)
        return StructuredMatrix(
            named["index"], held, width, slots, pattern.kept_of, pattern.of, index.code.bits
        )

    @property
    def run(self) -> int:
        """Places in a word."""
        return 32 // self.bits

    @property
    def span(self) -> int:
        """Numbers of whole groups in whole words."""
        return lcm(self.run, self.kept_of, self.values.run if isinstance(self.values, CodedMatrix) else 1)

    @property
    def inputs(self) -> int:
        """Those of so many numbers."""
        return self.span // self.kept_of * self.group

    @property
    def depth(self) -> int:
        """Inputs of all groups."""
        return self.slots // self.kept_of * self.group

    def words(self, t: TileBuilder, panel: Index, first: Index) -> Tile:
        """The places of a word's numbers, from the first on."""
        return t.load(self.index, [panel, first // self.run, 0, 0], [None, None, 1, self.width])

    def place(self, t: TileBuilder, words: Tile, j: int) -> Tile:
        """The places of number j of a word in its group, below others' bits."""
        return shifted(t, "arith.shrui", words, Words.place(self.bits, j))

    def places(self, t: TileBuilder, panel: Index, first: Index, count: int) -> list[Tile]:
        """Those of numbers from the first of a word on."""
        words = [self.words(t, panel, first + at) for at in range(0, count, self.run)]
        return [self.place(t, words[j // self.run], j % self.run) for j in range(count)]

    def numbers(self, t: TileBuilder, panel: Index, first: Index, count: int) -> list[Tile]:
        """Numbers of every output from one on, f32 [1, width] each."""
        values = self.values
        if isinstance(values, CodedMatrix):
            return values.numbers(t, panel, first, count)
        return [t.load(values, [panel, first + j, 0], [None, 1, self.width]) for j in range(count)]

    def prefetch(self, t: TileBuilder, panel: Index, slot: Index, count: int) -> None:
        """Ask for the numbers that lie some pages behind `count` of every output, in this panel or the next:
        what a processor asks for by itself ends with the page."""
        values = self.values
        if isinstance(values, CodedMatrix):
            for at in range(0, count, values.run):
                values.prefetch(t, panel, slot + at, _AHEAD)
            return
        panels, slots, width = (n or 0 for n in values.shape)
        rows = values.reshaped((panels * slots, width))
        ahead = _AHEAD * 8 // (width * bits_of(values.held))
        t.prefetch(rows, [panel * slots + slot + ahead, 0], [count, width], read=True)
