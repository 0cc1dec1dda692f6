"""Tile decoders: the numbers of a coded matrix, some rows of the sum at a time, from its panels of codes.

A register of words holds codes of neighbouring outputs; a shift brings those of one k down, and a table in a
register, or a few operations, give their numbers. Adding an element code means one case of `_number`, adding
a way to hold scales one of `_scale_number`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from drystone.codegen.elements import width as bits_of
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.errors import InternalError
from drystone.ir.encoding import Codes, Joined, Per, Words
from drystone.ir.encoding.code import Code, Floats, Integers, code_of
from drystone.ir.encoding.layout import from_patterns

#: Bits of a word and of a byte, and bits of codes up to which numbers are looked up.
_WORD, _BYTE, _LISTED = 32, 8, 5
#: Bits of f32 behind the exponent, and what is added to exponents.
_FRACTION, _BIAS = 23, 127


@dataclass(frozen=True)
class Factors:
    """What makes the numbers of codes real: (number - zero) * scale - minimum. f32 tiles [1, width] or
    [1, 1]; None: there are none."""

    scale: Tile | None
    zero: Tile | None
    minimum: Tile | None

    def with_shift(self, t: TileBuilder) -> "Factors":
        """The same with the zero point in the minimum: number * scale - minimum."""
        if self.zero is None or self.scale is None:
            return self
        shift = t.apply("arith.mulf", self.scale, self.zero)
        shift = shift if self.minimum is None else t.apply("arith.addf", shift, self.minimum)
        return Factors(self.scale, None, shift)

    def real(self, t: TileBuilder, number: Tile) -> Tile:
        """What the numbers of codes stand for."""
        if self.zero is not None:
            number = t.apply("arith.subf", number, self.zero)
        if self.scale is not None:
            number = t.apply("arith.mulf", number, self.scale)
        return number if self.minimum is None else t.apply("arith.subf", number, self.minimum)


def parts(encoding: Joined, shape: Sequence[int], tensor: Tensor) -> dict[str, Tensor]:
    """The parts of a tensor of codes that lie in a parameter's bytes; short floats are read as f32."""
    found = {}
    for name, (at, held, element) in encoding.places(shape).items():
        real = element in ("f16", "bf16")
        dtype = "f32" if real else "i8" if element == "ui8" else element
        found[name] = tensor.part(at, held, dtype, element if real else "")
    return found


@dataclass(frozen=True)
class CodedMatrix:
    """A coded matrix [n, k] as a kernel is given it: `Joined` parts in panels of `width` outputs, each a
    tensor that lies in the parameter's bytes."""

    codes: Codes
    tensors: Mapping[str, Tensor]
    width: int
    depth: int  #: k

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
    def group(self) -> int:
        """Neighbouring k that share their factors; 0: all."""
        scale = self.codes.scale
        size = 0 if scale is None else scale.per.sizes[0]
        return 0 if size >= self.depth else size

    @property
    def zeros(self) -> bool:
        """Whether something is taken from the numbers of codes: a zero point or a minimum."""
        scale = self.codes.scale
        return scale is not None and (scale.zero_point is not None or scale.minimum is not None)

    @property
    def zeros_in_bytes(self) -> bool:
        """Whether the numbers of codes less their zero points are signed bytes: both are integers, and those
        of few bits (`Panels.bytes_problem` sees to it that the others are too)."""
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
        assert tensor.base is not None and tensor.offset is not None
        lines = tensor.base.part(tensor.offset, (panels * runs * words, width), tensor.dtype)
        first = (panel * runs + k // self.run) * words + ahead * 8 // _WORD // width
        t.prefetch(lines, [first, 0], [words, width], read=True)

    def number(self, t: TileBuilder, words: list[Tile], j: int) -> Tile:
        """The numbers of the codes of k = j in a run, f32 [1, width]."""
        code = self.codes.code
        if len(Words.pieces(code)) == 1:
            return number_at(t, code, words, Words.place(code.bits, j))
        return _number(t, code, self._joined(t, words, j, 0), 0)

    def _joined(self, t: TileBuilder, words: list[Tile], j: int, up: int) -> Tile:
        """The words that have the codes of k = j in a run from bit `up` on, and others' bits around them, put
        together from the pieces that these are held in."""
        whole, below, first = None, 0, 0
        for bits in Words.pieces(self.codes.code):
            number, low = divmod(Words.place(bits, j), _WORD)
            word = _moved(t, words[first + number], below + up - low)
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
        word = self._joined(t, words, j, step - 1)
        if code.bits < _BYTE:
            word = t.apply("arith.andi", word, in_all_bytes(t, (1 << code.bits) - 1 << step - 1))
        flipped = isinstance(code, Integers) and self.bias(signed=signed) != 0
        return t.apply("arith.xori", word, in_all_bytes(t, 1 << code.bits - 1)) if flipped else word

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
        run = t.apply("arith.shrui", at, _wide(t, self.run.bit_length() - 1))
        j = t.apply("arith.andi", at, _wide(t, self.run - 1))
        whole, below, first = None, 0, 0
        for bits in Words.pieces(self.codes.code):
            part = self._pieces_of_output(t, output, run, j, bits, first)
            if whole is not None:
                kept = t.apply("arith.andi", whole, t.full((1 << below) - 1, (1, 1), "i32"))
                part = t.apply("arith.ori", kept, _shifted(t, "arith.shli", part, below))
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
        assert tensor.base is not None and tensor.offset is not None
        memory = tensor.base.part(tensor.offset, (panels * runs * words * width,), tensor.dtype)

        def word_at(word: Tile) -> Tile:
            start = output // width * (runs * words * width) + output % width
            place = t.apply("arith.muli", word, _wide(t, width))
            return t.gather(memory, [t.apply("arith.addi", place, _wide(t, start))])

        place = self._places(t, j, bits)
        word = t.apply("arith.shrui", place, _wide(t, _WORD.bit_length() - 1))
        word = t.apply("arith.addi", word, _wide(t, first)) if first else word
        word = t.apply("arith.addi", t.apply("arith.muli", run, _wide(t, words)), word)
        low = t.apply("arith.trunci", t.apply("arith.andi", place, _wide(t, _WORD - 1)), dtype="i32")
        found = t.apply("arith.shrui", word_at(word), low)
        if _WORD % bits:
            # A shift by all bits of a word means nothing: by one, and by the others.
            rest = _shifted(t, "arith.shli", word_at(t.apply("arith.addi", word, _wide(t, 1))), 1)
            left = t.apply("arith.subi", t.full(_WORD - 1, (1, 1), "i32"), low)
            found = t.apply("arith.ori", found, t.apply("arith.shli", rest, left))
        return found

    def _places(self, t: TileBuilder, j: Tile, bits: int) -> Tile:
        """The bits that pieces of so many bits of codes j of a run start at: `Words.place`."""
        if _BYTE % bits:
            return t.apply("arith.muli", j, _wide(t, bits))
        count = (_WORD // bits).bit_length() - 1
        word = t.apply(
            "arith.shli", t.apply("arith.shrui", j, _wide(t, count)), _wide(t, _WORD.bit_length() - 1)
        )
        byte = t.apply("arith.muli", t.apply("arith.andi", j, _wide(t, _WORD // _BYTE - 1)), _wide(t, _BYTE))
        inside = t.apply("arith.andi", j, _wide(t, _WORD // bits - 1))
        inside = t.apply("arith.muli", t.apply("arith.shrui", inside, _wide(t, 2)), _wide(t, bits))
        return t.apply("arith.addi", word, t.apply("arith.addi", byte, inside))

    def factors(self, t: TileBuilder, panel: Index, k: Index, lane: Index | None = None) -> Factors:
        """What the codes from k on, as far as they share it, are to be multiplied with and less by; of one
        lane of the panel alone if it is given."""
        scale = self.codes.scale
        if scale is None:
            return Factors(None, None, None)
        place = panel, k // self.group if self.group else index(0), lane
        made = {name: self._held(t, name, child, *place) for name, child in scale.children().items()}
        return Factors(made["scale"], made.get("zero_point"), made.get("minimum"))

    def _held(
        self, t: TileBuilder, key: str, child: object, panel: Index, block: Index, lane: Index | None
    ) -> Tile:
        """Scales, zero points or minima of one block along k, or scales of those."""
        assert isinstance(child, Codes) and isinstance(child.element, str)
        tensor = self.tensors[key]
        first, width = (index(0), self.width) if lane is None else (lane, 1)
        match len(tensor.shape):
            case 3:
                held = t.load(tensor, [panel, block, first], [None, 1, width])
            case 2:
                held = t.load(tensor, [panel, first], [1, width])
            case _:
                held = t.reshape(t.load(tensor, [], []), (1, 1))
        real = _scale_number(t, code_of(child.element), held)
        if child.scale is None:
            return real
        inner = block // size if (size := _along_k(child.scale.per)) else index(0)
        second = self._held(t, f"{key}.scale", child.scale.held, panel, inner, lane)
        return t.apply("arith.mulf", real, second)


def number(t: TileBuilder, code: Code, words: list[Tile], j: int) -> Tile:
    """The numbers of the codes at place j of strings that lie in these words, f32 of their shape."""
    return number_at(t, code, words, j * code.bits)


def number_at(t: TileBuilder, code: Code, words: list[Tile], place: int) -> Tile:
    """The numbers of the codes that start at a bit of strings, f32 of their shape."""
    first, low = divmod(place, _WORD)
    if low + code.bits <= _WORD:
        word = words[first]
    else:  # the string goes on in the next word
        rest = _shifted(t, "arith.shli", words[first + 1], _WORD - low)
        word, low = t.apply("arith.ori", _shifted(t, "arith.shrui", words[first], low), rest), 0
    return _number(t, code, word, low)


def _along_k(per: Per) -> int:
    """Blocks along k that share a scale of scales; 0: all."""
    return per.sizes[0] if per.sizes else 0


def code_numbers(t: TileBuilder, code: Code, words: Tile) -> Tile:
    """The numbers of the codes in the lowest bits of words."""
    return _number(t, code, words, 0)


def _number(t: TileBuilder, code: Code, word: Tile, low: int) -> Tile:
    """The numbers of codes that lie from bit `low` of words on."""
    if code.bits <= _LISTED:
        numbers = numbers_of(code)
        return t.lookup(_shifted(t, "arith.shrui", word, low), numbers)
    top = _shifted(t, "arith.shli", word, _WORD - code.bits - low)
    if isinstance(code, Floats):
        return _float(t, code, top)
    if not isinstance(code, Integers):
        raise InternalError(f"no kernel decodes {code.name}")
    shift = "arith.shrui" if code.unsigned else "arith.shrsi"
    return t.apply("arith.sitofp", _shifted(t, shift, top, _WORD - code.bits), dtype="f32")


def in_all_bytes(t: TileBuilder, number: int) -> Tile:
    """A byte four times, i32 [1, 1]."""
    return t.full(int.from_bytes(bytes([number] * 4), "little", signed=True), (1, 1), "i32")


def numbers_of(code: Code) -> tuple[float, ...]:
    """The number of every pattern of a code, 0 where it has none."""
    numbers = code.decode(from_patterns(np.arange(2**code.bits), code))
    return tuple(float(x) for x in np.where(np.isfinite(numbers), numbers, 0))


def _float(t: TileBuilder, code: Floats, top: Tile) -> Tile:
    """Numbers of codes that lie in the highest bits: exponent and fraction where f32 has them, which makes
    subnormals right too, times the quotient of what is added to the exponents."""
    fields = ((1 << code.exponent + code.mantissa) - 1) << _FRACTION - code.mantissa
    sign = -(1 << _WORD - 1)
    moved = _shifted(t, "arith.shrsi", top, _WORD - 1 - _FRACTION - code.exponent)
    kept = t.apply("arith.andi", moved, t.full(sign | fields, (1, 1), "i32"))
    real = t.apply("arith.bitcast", kept, dtype="f32")
    factor = 2.0 ** (_BIAS - (2 ** (code.exponent - 1) - 1))
    return t.apply("arith.mulf", real, t.full(factor, (1, 1), "f32"))


def _scale_number(t: TileBuilder, code: Code, held: Tile) -> Tile:
    """The numbers of scales, zero points or minima as they were loaded."""
    if held.dtype == "f32":
        return held
    if isinstance(code, Integers):
        wide = t.apply("arith.extui" if code.unsigned else "arith.extsi", held, dtype="i32")
        return t.apply("arith.sitofp", wide, dtype="f32")
    wide = t.apply("arith.extui", held, dtype="i32")
    if code.name == "e8m0":
        # 2^-127, whose code is 0, is half the least number with an exponent.
        bits = t.apply(
            "arith.maxsi", _shifted(t, "arith.shli", wide, _FRACTION), t.full(1 << 22, (1, 1), "i32")
        )
        return t.apply("arith.bitcast", bits, dtype="f32")
    if not isinstance(code, Floats):
        raise InternalError(f"no kernel decodes scales of {code.name}")
    return _float(t, code, _shifted(t, "arith.shli", wide, _WORD - code.bits))


def _wide(t: TileBuilder, value: Index | int) -> Tile:
    """A position for all lanes."""
    return t.full(value, (1, 1), "i64")


def _moved(t: TileBuilder, word: Tile, up: int) -> Tile:
    """Words with their bits moved up, or down."""
    return _shifted(t, "arith.shli", word, up) if up > 0 else _shifted(t, "arith.shrui", word, -up)


def _shifted(t: TileBuilder, op: str, tile: Tile, by: int) -> Tile:
    return t.apply(op, tile, t.full(by, (1, 1), "i32")) if by else tile
