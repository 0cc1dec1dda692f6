"""The layouts of short codes that kernels decode: words of 32 bits, panel by panel or along an axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code
from drystone.ir.encoding.layout import Layout, from_bytes, from_patterns, patterns, to_bytes
from drystone.ir.encoding.parts import Held, Parts

#: Bits of a word and of a byte, and bytes of a word.
_WORD, _BYTE, _BYTES = 32, 8, 4


@dataclass(frozen=True)
class Words(Layout):
    """Codes of a matrix in words of 32 bits, as i32 [ceil(n / width), ceil(k / run), words, width], where n
    runs along `axis` and k along the other one. `run` neighbouring k of one n, the fewest that fill whole
    words, are a string of bits in its `words` words, the first in the lowest bits: a register of words has
    codes of neighbouring n in its lanes, which shifts bring down k by k. Codes of which several fill a byte
    go round the four bytes of a word, so that a shift brings down 4 neighbouring k, one in each byte; codes
    of 3 bits lie so in two pieces, their lower 2 bits in two words and the upper ones in a third. Ragged ends
    hold the code 0."""

    axis: int  #: of the matrix, 0 or 1, whose positions lie side by side
    width: int  #: positions of a panel

    @staticmethod
    def run(code: Code) -> int:
        """Codes that fill whole words."""
        return _WORD // gcd(_WORD, code.bits)

    @staticmethod
    def pieces(code: Code) -> tuple[int, ...]:
        """The bits of the pieces that a code is held in, the lowest first, each in words of its own."""
        return (2, 1) if code.bits == 3 else (code.bits,)

    @staticmethod
    def in_bytes(code: Code) -> bool:
        """Whether shifts bring the numbers of 4 neighbouring k down, each a byte once something is added."""
        if code.ramp is None or any(_BYTE % bits for bits in Words.pieces(code)):
            return False
        return code.ramp[0] * ((1 << code.bits) - 1) < 1 << _BYTE

    @staticmethod
    def place(bits: int, j: int) -> int:
        """The bit that the piece of so many bits of code j starts at in the words of such pieces."""
        if _BYTE % bits:
            return j * bits
        count = _WORD // bits
        return j // count * _WORD + j % _BYTES * _BYTE + j % count // _BYTES * bits

    @staticmethod
    def _cut(code: Code) -> Iterator[tuple[int, int, list[int]]]:
        """Of each piece the bits below it, its bits, and which code of a run stands where in its string."""
        low = 0
        for bits in Words.pieces(code):
            yield low, bits, sorted(range(Words.run(code)), key=lambda j: Words.place(bits, j))
            low += bits

    def _sizes(self, shape: Sequence[int], code: Code) -> tuple[int, int, int]:
        """Panels, runs, and words of a run."""
        run = self.run(code)
        n, k = shape[self.axis], shape[1 - self.axis]
        return -(-n // self.width), -(-k // run), run * code.bits // _WORD

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """One array."""
        return {"codes": ((*self._sizes(shape, code), self.width), "i32")}

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        panels, runs, _ = self._sizes(codes.shape, code)
        run = self.run(code)
        laid = patterns(codes if self.axis == 0 else codes.T, code)
        missing = panels * self.width - laid.shape[0], runs * run - laid.shape[1]
        laid = np.pad(laid, [(0, n) for n in missing]) if any(missing) else laid
        laid = laid.reshape(panels, self.width, runs, run)
        strings = [
            to_bytes((laid >> low & 2**bits - 1)[..., order], bits).view("<i4")
            for low, bits, order in self._cut(code)
        ]
        whole = np.concatenate(strings, axis=-1)
        return {"codes": np.ascontiguousarray(whole.transpose(0, 2, 3, 1), dtype=np.int32)}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        strings = np.ascontiguousarray(parts["codes"].transpose(0, 3, 1, 2), dtype="<i4")
        run, first = self.run(code), 0
        laid = np.zeros((*strings.shape[:-1], run), np.uint8)
        for low, bits, order in self._cut(code):
            words = np.ascontiguousarray(strings[..., first : first + run * bits // _WORD])
            laid |= from_bytes(words.view(np.uint8), bits, run)[..., np.argsort(order)] << np.uint8(low)
            first += words.shape[-1]
        n, k = shape[self.axis], shape[1 - self.axis]
        whole = laid.reshape(laid.shape[0] * laid.shape[1], -1)[:n, :k]
        return np.ascontiguousarray(from_patterns(whole if self.axis == 0 else whole.T, code))

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        if len(shape) != 2 or self.axis not in (0, 1):
            yield f"words along axis {self.axis} of rank {len(shape)}, which is no matrix"
        if self.width < 1:
            yield f"panels of {self.width} positions"
        if code.bits > 8:
            yield f"{code.name} has more than 8 bits"


@dataclass(frozen=True)
class Strings(Layout):
    """Codes in words of 32 bits, as i32 [.., ceil(n / run), words, ..] with the axis of n positions cut in
    two: `run` neighbouring positions along it, the fewest that fill whole words, are a string of bits in its
    `words` words, the first in the lowest bits. A register of words has neighbours along the last axis in its
    lanes. Ragged ends hold the code 0."""

    axis: int  #: the axis whose neighbours are in one string; not the last

    def _sizes(self, shape: Sequence[int], code: Code) -> tuple[int, int]:
        """Runs, and words of a run."""
        run = Words.run(code)
        return -(-shape[self.axis] // run), run * code.bits // _WORD

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """One array."""
        held = (*shape[: self.axis], *self._sizes(shape, code), *shape[self.axis + 1 :])
        return {"codes": (held, "i32")}

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        runs, words = self._sizes(codes.shape, code)
        laid = np.moveaxis(patterns(codes, code), self.axis, -1)
        missing = runs * Words.run(code) - laid.shape[-1]
        laid = np.pad(laid, [*[(0, 0)] * (laid.ndim - 1), (0, missing)])
        outer = laid.shape[:-1]
        strings = to_bytes(laid.reshape(*outer, runs, -1), code.bits).view("<i4").reshape(*outer, runs, words)
        return {
            "codes": np.ascontiguousarray(np.moveaxis(strings, (-2, -1), (self.axis, self.axis + 1)), "i4")
        }

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        strings = np.moveaxis(parts["codes"], (self.axis, self.axis + 1), (-2, -1))
        held = np.ascontiguousarray(strings, dtype="<i4").view(np.uint8)
        laid = from_bytes(held, code.bits, Words.run(code))
        whole = laid.reshape(*laid.shape[:-2], -1)[..., : shape[self.axis]]
        return np.ascontiguousarray(np.moveaxis(from_patterns(whole, code), -1, self.axis))

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        if not 0 <= self.axis < len(shape) - 1:
            yield f"strings along axis {self.axis} of rank {len(shape)}"
        if code.bits > 8:
            yield f"{code.name} has more than 8 bits"
