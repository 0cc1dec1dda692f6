"""Tile decoders: the numbers of a coded matrix, some rows of the sum at a time, from its panels of codes.

A register of words holds codes of neighbouring outputs, of which a shift brings those of one k down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from drystone.codegen.elements import width as bits_of
from drystone.codegen.families.codes.numbers import (
    code_numbers,
    in_all_bytes,
    in_all_lanes,
    moved,
    number_at,
    shifted,
)
from drystone.codegen.families.codes.scales import CodedScales
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder
from drystone.errors import InternalError
from drystone.ir.encoding import Codes, Joined, Words
from drystone.ir.encoding.code import Integers

#: Bits of a word and of a byte.
_WORD, _BYTE = 32, 8


def parts(encoding: Joined, shape: Sequence[int], tensor: Tensor) -> dict[str, Tensor]:
    """The parts of a tensor of codes that lie in a parameter's bytes; short floats are read as f32."""
    found = {}
    for name, (at, held, element) in encoding.places(shape).items():
        real = element in ("f16", "bf16")
        dtype = "f32" if real else "i8" if element == "ui8" else element
        found[name] = tensor.part(at, held, dtype, element if real else "")
    return found


@dataclass(frozen=True)
class CodedMatrix(CodedScales):
    """A coded matrix [n, k] as a kernel is given it."""

    @staticmethod
    def of(encoding: Joined, shape: tuple[int, int], tensor: Tensor) -> "CodedMatrix":
        """The matrix that lies in a parameter."""
        base = encoding.base
        if not isinstance(base, Codes) or not isinstance(base.layout, Words):
            raise InternalError(f"no kernel decodes {encoding}")
        return CodedMatrix(
            base, parts(encoding, shape, tensor), base.layout.width, shape[1 - base.layout.axis]
        )

    @property
    def size(self) -> int:
        """Bytes of codes and scales."""
        return sum(prod(n or 0 for n in t.shape) * bits_of(t.held) // 8 for t in self.tensors.values())

    @property
    def run(self) -> int:
        """Neighbouring k whose codes are a string in whole words."""
        return Words.run(self.codes.code)

    @property
    def zeros(self) -> bool:
        """Whether something is taken from the numbers of codes: a zero point or a minimum."""
        scale = self.codes.scale
        return scale is not None and (scale.zero_point is not None or scale.minimum is not None)

    @property
    def zeros_in_bytes(self) -> bool:
        """Whether the numbers of codes less their zero points are signed bytes: both are integers, and those
        of few bits (`CodePanels.bytes_problem` sees to it that the others are too)."""
        zero = None if self.codes.scale is None else self.codes.scale.zero_point
        whole = isinstance(zero, Codes) and zero.scale is None and isinstance(zero.code, Integers)
        return whole and self.codes.code.bits < _BYTE

    @property
    def lowered(self) -> bool:
        """Whether something is taken from the sums of bytes: a minimum, or a zero point that leaves none."""
        scale = self.codes.scale
        if scale is None:
            return False
        return scale.minimum is not None or (scale.zero_point is not None and not self.zeros_in_bytes)

    def words(self, t: TileBuilder, panel: Index, k: Index) -> list[Tile]:
        """The words of a panel's run that starts at k."""
        tensor = self.tensors["codes"]
        count = tensor.shape[2] or 0
        at = [panel, k // self.run]
        return [t.load(tensor, [*at, word, 0], [None, None, 1, self.width]) for word in range(count)]

    def prefetch(self, t: TileBuilder, panel: Index, k: Index, ahead: int) -> None:
        """Ask for the words that lie `ahead` bytes behind those of a run, in this panel or the next; for none
        where that is 0."""
        if not ahead:
            return
        tensor = self.tensors["codes"]
        panels, runs, words, width = (n or 0 for n in tensor.shape)
        lines = tensor.reshaped((panels * runs * words, width))
        first = (panel * runs + k // self.run) * words + ahead * 8 // _WORD // width
        t.prefetch(lines, [first, 0], [words, width], read=True)

    def number(self, t: TileBuilder, words: list[Tile], j: int) -> Tile:
        """The numbers of the codes of k = j in a run, f32 [1, width]."""
        code = self.codes.code
        if len(Words.pieces(code)) == 1:
            return number_at(t, code, words, Words.place(code.bits, j))
        return code_numbers(t, code, self.joined_at(t, words, j, 0))

    def numbers(self, t: TileBuilder, panel: Index, first: Index, count: int) -> list[Tile]:
        """What `count` codes stand for, from one on where a string starts, f32 [1, width] each; groups end
        with them, or whole ones lie in them."""
        found = []
        for at in range(0, count, self.run):
            words = self.words(t, panel, first + at)
            for j in range(self.run):
                if j + at == 0 or (self.group and (j + at) % self.group == 0):
                    made = self.factors(t, panel, first + (at + j)).with_shift(t)
                found.append(made.real(t, self.number(t, words, j)))
        return found

    def joined_at(self, t: TileBuilder, words: list[Tile], j: int, up: int) -> Tile:
        """The words that have the codes of k = j in a run from bit `up` on, and others' bits around them, put
        together from the pieces that these are held in."""
        whole, below, first = None, 0, 0
        for bits in Words.pieces(self.codes.code):
            number, low = divmod(Words.place(bits, j), _WORD)
            word = moved(t, words[first + number], below + up - low)
            if whole is not None:
                kept = t.apply("arith.andi", whole, in_all_bytes(t, (1 << below + up) - 1))
                word = t.apply("arith.andi", word, in_all_bytes(t, 255 & -1 << below + up))
                word = t.apply("arith.ori", kept, word)
            whole, below, first = word, below + bits, first + Words.run(self.codes.code) * bits // _WORD
        assert whole is not None
        return whole

    def in_bytes(self, t: TileBuilder, words: list[Tile], j: int, *, signed: bool = False) -> Tile:
        """The numbers of the codes of k = j .. j + 3 in a run, plus `bias`, in the bytes of words, i32 [1,
        width]: unsigned, or signed."""
        code, (step, _) = self.codes.code, self.ramp
        word = self.joined_at(t, words, j, step - 1)
        if code.bits < _BYTE:
            word = t.apply("arith.andi", word, in_all_bytes(t, (1 << code.bits) - 1 << step - 1))
        flipped = isinstance(code, Integers) and self.bias(signed=signed) != 0
        return t.apply("arith.xori", word, in_all_bytes(t, 1 << code.bits - 1)) if flipped else word

    def signed_bytes(self, t: TileBuilder, words: list[Tile], j: int, zero: Tile | None) -> Tile:
        """The numbers of the codes of k = j .. j + 3 in a run less their zero points, which `zero` has for
        bytes, in the bytes of words, i32 [1, width]."""
        word = self.in_bytes(t, words, j, signed=True)
        if zero is None:
            return word
        high = in_all_bytes(t, 128)  # keeps bytes apart
        return t.apply("arith.xori", t.apply("arith.subi", t.apply("arith.ori", word, high), zero), high)

    def byte_zeros(self, t: TileBuilder, panel: Index, k: Index) -> Tile | None:
        """What is taken from the signed bytes of codes from k on, four times in a word; None where that is
        nothing."""
        zero, bias = self.factors(t, panel, k).zero, self.bias(signed=True)
        if zero is None or not self.zeros_in_bytes:
            return in_all_bytes(t, bias) if bias else None
        less = t.apply("arith.fptosi", t.apply("arith.addf", zero, t.full(bias, (1, 1), "f32")), dtype="i32")
        return t.apply("arith.muli", less, in_all_bytes(t, 1))

    def bias(self, *, signed: bool = False) -> int:
        """What is added to the numbers of codes so that they are bytes, unsigned or signed."""
        code, (_, least) = self.codes.code, self.ramp
        return -least - (1 << code.bits - 1) if code.bits == _BYTE and signed else -least

    @property
    def ramp(self) -> tuple[int, int]:
        """Step and least of the numbers of codes that are in bytes."""
        assert self.codes.code.ramp is not None
        return self.codes.code.ramp

    def of_output(self, t: TileBuilder, output: Index, k: Index, count: int) -> Tile:
        """The numbers of `count` neighbouring codes of one output from k on, f32 [1, count]: each lane has
        the word that its code starts in, and the next one where codes go on there."""
        at = t.iota(k, (1, count), 1)
        run = t.apply("arith.shrui", at, in_all_lanes(t, self.run.bit_length() - 1))
        j = t.apply("arith.andi", at, in_all_lanes(t, self.run - 1))
        whole, below, first = None, 0, 0
        for bits in Words.pieces(self.codes.code):
            part = self._pieces_of_output(t, output, run, j, bits, first)
            if whole is not None:
                kept = t.apply("arith.andi", whole, t.full((1 << below) - 1, (1, 1), "i32"))
                part = t.apply("arith.ori", kept, shifted(t, "arith.shli", part, below))
            whole, below, first = part, below + bits, first + self.run * bits // _WORD
        assert whole is not None
        return code_numbers(t, self.codes.code, whole)

    def _pieces_of_output(
        self, t: TileBuilder, output: Index, run: Tile, j: Tile, bits: int, first: int
    ) -> Tile:
        """The pieces of so many bits of codes j of runs of an output, i32 with others' bits above; `first`:
        the first word of a run that has such pieces."""
        tensor = self.tensors["codes"]
        panels, runs, words, width = (n or 0 for n in tensor.shape)
        memory = tensor.reshaped((panels * runs * words * width,))

        def word_at(word: Tile) -> Tile:
            start = output // width * (runs * words * width) + output % width
            place = t.apply("arith.muli", word, in_all_lanes(t, width))
            return t.gather(memory, [t.apply("arith.addi", place, in_all_lanes(t, start))])

        place = self._places(t, j, bits)
        word = t.apply("arith.shrui", place, in_all_lanes(t, _WORD.bit_length() - 1))
        word = t.apply("arith.addi", word, in_all_lanes(t, first)) if first else word
        word = t.apply("arith.addi", t.apply("arith.muli", run, in_all_lanes(t, words)), word)
        low = t.apply("arith.trunci", t.apply("arith.andi", place, in_all_lanes(t, _WORD - 1)), dtype="i32")
        found = t.apply("arith.shrui", word_at(word), low)
        if _WORD % bits:
            # A shift by all bits of a word means nothing: by one, and by the others.
            rest = shifted(t, "arith.shli", word_at(t.apply("arith.addi", word, in_all_lanes(t, 1))), 1)
            left = t.apply("arith.subi", t.full(_WORD - 1, (1, 1), "i32"), low)
            found = t.apply("arith.ori", found, t.apply("arith.shli", rest, left))
        return found

    def _places(self, t: TileBuilder, j: Tile, bits: int) -> Tile:
        """The bits that pieces of so many bits of codes j of a run start at: `Words.place`."""
        if _BYTE % bits:
            return t.apply("arith.muli", j, in_all_lanes(t, bits))
        count = (_WORD // bits).bit_length() - 1
        word = t.apply(
            "arith.shli",
            t.apply("arith.shrui", j, in_all_lanes(t, count)),
            in_all_lanes(t, _WORD.bit_length() - 1),
        )
        byte = t.apply(
            "arith.muli",
            t.apply("arith.andi", j, in_all_lanes(t, _WORD // _BYTE - 1)),
            in_all_lanes(t, _BYTE),
        )
        inside = t.apply("arith.andi", j, in_all_lanes(t, _WORD // bits - 1))
        inside = t.apply(
            "arith.muli", t.apply("arith.shrui", inside, in_all_lanes(t, 2)), in_all_lanes(t, bits)
        )
        return t.apply("arith.addi", word, t.apply("arith.addi", byte, inside))


def lay_numbers(
    t: TileBuilder,
    numbers: Sequence[Tile],
    row: Tensor | None,
    group: int,
    store: Callable[[int, Tile], None],
) -> None:
    """Lay numbers of neighbouring k, f32 [1, width] each, down as rows multiply them: `store` writes those
    from the j-th on, one, or with `row`, memory for all of them, `group` of bf16 side by side."""
    for j, number in enumerate(numbers):
        if row is None:
            store(j, number)
        else:
            t.store(row, [j, 0], number)
    if row is None:
        return
    for j in range(0, len(numbers), group):
        some = t.load(row, [j, 0], [group, numbers[j].shape[1]])
        store(j, t.interleave(t.apply("arith.truncf", some, dtype="bf16", ties="any"), group))
