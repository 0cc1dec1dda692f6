"""Matrices of whose every m neighbouring inputs n are held, as kernels are given them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.code_numbers import shifted
from drystone.codegen.families.decoding import parts
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.errors import InternalError
from drystone.ir.encoding import Joined, Sparse, Structured, Words

#: Bytes of numbers that are asked for ahead.
_AHEAD = 4096


@dataclass(frozen=True)
class StructuredMatrix:
    """`Joined` parts in panels of `width` outputs: the numbers that are held, [panels, slots, width], and
    their places in groups of `group` inputs, in words of short codes."""

    tensors: Mapping[str, Tensor]
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
        pattern = base.pattern
        index = pattern.places_held
        assert isinstance(index.layout, Words)
        slots = pattern.kept(shape)[pattern.axis]
        named = parts(encoding, shape, tensor)
        return StructuredMatrix(
            named, index.layout.width, slots, pattern.kept_of, pattern.of, index.code.bits
        )

    @property
    def run(self) -> int:
        """Places in a word."""
        return 32 // self.bits

    @property
    def span(self) -> int:
        """Numbers of whole groups in whole words."""
        return lcm(self.run, self.kept_of)

    def words(self, t: TileBuilder, panel: Index, first: Index) -> Tile:
        """The places of a word's numbers, from the first on."""
        return t.load(self.tensors["index"], [panel, first // self.run, 0, 0], [None, None, 1, self.width])

    def place(self, t: TileBuilder, words: Tile, j: int) -> Tile:
        """The places of number j of a word in its group, below others' bits."""
        return shifted(t, "arith.shrui", words, Words.place(self.bits, j))

    def number(self, t: TileBuilder, panel: Index, slot: Index) -> Tile:
        """A number of every output, f32 [1, width]."""
        held = t.load(self.tensors["values"], [panel, slot, 0], [None, 1, self.width])
        return t.apply("arith.sitofp", held, dtype="f32") if held.dtype == "i8" else held

    def prefetch(self, t: TileBuilder, panel: Index, slot: Index, count: int) -> None:
        """Ask for the numbers that lie some pages behind `count` of every output, in this panel or the next:
        what a processor asks for by itself ends with the page."""
        tensor = self.tensors["values"]
        panels, slots, width = (n or 0 for n in tensor.shape)
        rows = tensor.reshaped((panels * slots, width))
        ahead = _AHEAD * 8 // (width * bits_of(tensor.held))
        t.prefetch(rows, [panel * slots + slot + ahead, 0], [count, width], read=True)

    def scale(self, t: TileBuilder, panel: Index) -> Tile | None:
        """What the sums of every output are multiplied with, [1, width]."""
        scale = self.tensors.get("values.scale")
        return None if scale is None else t.load(scale, [panel, 0], [1, self.width])
