"""Groups of N:M that are laid down with their zeros, in memory that stays in a cache, for units that multiply
all numbers.

Numbers of 32 bits are chosen by comparing places. Of bf16 two neighbouring inputs are one word: a number is
moved to the upper or the lower half first, so that what is compared and chosen is half of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.codes.numbers import shifted
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder

#: What the element is that numbers are laid down in, by how many lie side by side.
_ELEMENTS = {1: "f32", 2: "bf16"}
#: Bits of bf16, and half of the last of them in f32.
_SHORT, _HALF = 16, 1 << 15


@dataclass(frozen=True)
class LaidGroups:
    """Memory for the numbers of some inputs of a panel, or of several panels one after the other, and how
    they lie there: `group` neighbouring inputs side by side."""

    matrix: StructuredMatrix
    group: int
    memory: Tensor
    inputs: int

    @staticmethod
    def of(t: TileBuilder, matrix: StructuredMatrix, group: int, inputs: int) -> "LaidGroups":
        """Memory for so many inputs."""
        size = bits_of(_ELEMENTS[group]) // 8
        return LaidGroups(matrix, group, t.scratch((inputs * matrix.width * size,), "i8"), inputs)

    def numbers(self, shape: Sequence[int] = ()) -> Tensor:
        """The memory, [inputs / group, width * group], or in another shape."""
        own = (self.inputs // self.group, self.matrix.width * self.group)
        return self.memory.part(0, shape or own, _ELEMENTS[self.group])

    def lay(self, t: TileBuilder, panel: Index, first: Index, end: Index | int, at: Index | int = 0) -> None:
        """Lay the inputs of a panel from one on, where words start, up to another one down as those from the
        `at`-th on."""
        matrix = self.matrix

        def word(k: Index) -> None:
            row = k - first + at
            if self.group == 1:
                for j, number in enumerate(self._chosen(t, panel, k)):
                    t.store(self.numbers(), [row + j, 0], number)
                return
            words = self.memory.part(0, (self.inputs // self.group, matrix.width), "i32")
            for j, pair in enumerate(self._pairs(t, panel, k)):
                t.store(words, [row // self.group + j, 0], pair)

        t.loop(end, matrix.inputs, word, lower=first)

    def _chosen(self, t: TileBuilder, panel: Index, k: Index) -> list[Tile]:
        """The numbers of the inputs of whole words from k on, zeros among them."""
        held = self._held(t, panel, k)
        return [self._at(t, held, k, t.full(0, (1, 1), "f32")) for k in range(self.matrix.inputs)]

    def _pairs(self, t: TileBuilder, panel: Index, k: Index) -> list[Tile]:
        """The same of pairs of bf16, i32: the first of two inputs in the lower half."""
        places, numbers = self._held(t, panel, k)
        upper = [self._upper(t, number) for number in numbers]
        lower = [shifted(t, "arith.shrui", number, _SHORT) for number in upper]
        zero, found = t.full(0, (1, 1), "i32"), []
        for j in range(0, self.matrix.inputs, 2):
            low, high = self._at(t, (places, lower), j, zero), self._at(t, (places, upper), j + 1, zero)
            found.append(t.apply("arith.ori", low, high))
        return found

    def _upper(self, t: TileBuilder, number: Tile) -> Tile:
        """A number rounded to bf16, in the upper half of a word."""
        bits, values = t.apply("arith.bitcast", number, dtype="i32"), self.matrix.values
        if isinstance(values, Tensor) and values.held == "bf16":
            return bits
        bits = t.apply("arith.addi", bits, t.full(_HALF, (1, 1), "i32"))
        return t.apply("arith.andi", bits, t.full(-1 << _SHORT, (1, 1), "i32"))

    def _held(self, t: TileBuilder, panel: Index, k: Index) -> tuple[list[Tile], list[Tile]]:
        """Places and numbers that are held of the inputs of whole words from k on."""
        matrix = self.matrix
        slot = k // matrix.group * matrix.kept_of
        mask = t.full(matrix.group - 1, (1, 1), "i32")
        matrix.prefetch(t, panel, slot, matrix.span)
        places = matrix.places(t, panel, slot, matrix.span)
        numbers = matrix.numbers(t, panel, slot, matrix.span)
        return [t.apply("arith.andi", place, mask) for place in places], numbers

    def _at(self, t: TileBuilder, held: tuple[list[Tile], list[Tile]], k: int, zero: Tile) -> Tile:
        """The number of input k of those whose places and numbers these are; places ascend in a group, so
        that few of them can be this one."""
        matrix, (places, numbers) = self.matrix, held
        (group, place), left_out = divmod(k, matrix.group), matrix.group - matrix.kept_of
        at, found = t.full(place, (1, 1), "i32"), zero
        for number in range(max(0, place - left_out), min(matrix.kept_of - 1, place) + 1):
            j = group * matrix.kept_of + number
            here = t.apply("arith.cmpi", places[j], at, predicate="eq", dtype="i1")
            found = t.apply("arith.select", here, numbers[j], found, dtype=zero.dtype)
        return found
