"""Layouts of short codes beside the plain one: in which bits of which bytes they lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code, Ternary
from drystone.ir.encoding.layout import Layout, Pack, from_bytes, from_patterns, patterns, rows, to_bytes
from drystone.ir.encoding.parts import Held, Parts


def _short(code: Code) -> Iterator[str]:
    if code.bits > 8:
        yield f"{code.name} has more than 8 bits"


@dataclass(frozen=True)
class Planes(Layout):
    """Bit planes: all lowest bits first, then all second ones, .. as T-MAC and ABQ-LLM read them; within a
    plane eight codes to a byte along the innermost dimension of `order`."""

    order: Pack = field(default_factory=Pack)  #: in what order the codes of a plane lie

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """One array [bits, ..]."""
        *outer, row = rows(self.order.shape(shape))
        return {"codes": ((code.bits, *outer, -(-row // 8)), "ui8")}

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        laid = self.order.apply(patterns(codes, code))
        laid = laid.reshape(rows(laid.shape))
        return {"codes": np.stack([to_bytes((laid >> bit) & 1, 1) for bit in range(code.bits)])}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        stored = self.order.shape(shape)
        planes = from_bytes(parts["codes"], 1, rows(stored)[-1]).reshape(code.bits, *stored)
        laid = sum((plane << bit for bit, plane in enumerate(planes)), np.zeros(stored, np.uint8))
        return from_patterns(self.order.undo(laid, shape), code)

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        yield from _short(code)
        yield from self.order.problems(shape, code)


@dataclass(frozen=True)
class Split(Layout):
    """Codes cut into pieces of `widths` bits, the highest first, each piece an array of its own: "codes",
    "codes.1", .. (FP6 in 2 + 4 bits: FP6-LLM, Xia et al. 2024, section 4)."""

    widths: tuple[int, ...]  #: bits of each piece
    order: Pack = field(default_factory=Pack)  #: in what order the codes of a piece lie

    def _pieces(self) -> Iterator[tuple[str, int, int]]:
        """Name, bits and place of each piece."""
        for number, width in enumerate(self.widths):
            yield "codes" if number == 0 else f"codes.{number}", width, sum(self.widths[number + 1 :])

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """An array for each piece."""
        *outer, row = rows(self.order.shape(shape))
        return {name: ((*outer, -(-row * bits // 8)), "ui8") for name, bits, _ in self._pieces()}

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        laid = self.order.apply(patterns(codes, code))
        laid = laid.reshape(rows(laid.shape))
        return {name: to_bytes((laid >> at) & (2**bits - 1), bits) for name, bits, at in self._pieces()}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        stored = self.order.shape(shape)
        laid = np.zeros(stored, np.uint8)
        for name, bits, at in self._pieces():
            laid |= from_bytes(parts[name], bits, rows(stored)[-1]).reshape(stored) << at
        return from_patterns(self.order.undo(laid, shape), code)

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        yield from _short(code)
        if sum(self.widths) != code.bits or min(self.widths, default=0) < 1:
            yield f"pieces of {self.widths} bits of a code of {code.bits}"
        yield from self.order.problems(shape, code)


@dataclass(frozen=True)
class Base3(Layout):
    """Five ternary codes to a byte along the innermost dimension, the first the lowest digit in base 3."""

    order: Pack = field(default_factory=Pack)  #: in what order the codes lie

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """One array."""
        *outer, row = rows(self.order.shape(shape))
        return {"codes": ((*outer, -(-row // 5)), "ui8")}

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        laid = self.order.apply(codes)
        laid = laid.reshape(rows(laid.shape))
        padded = np.pad(laid, [*[(0, 0)] * (laid.ndim - 1), (0, -laid.shape[-1] % 5)])
        digits = padded.reshape(*laid.shape[:-1], -1, 5)
        return {"codes": (digits @ 3 ** np.arange(5)).astype(np.uint8)}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        stored = self.order.shape(shape)
        digits = parts["codes"][..., None] // 3 ** np.arange(5) % 3
        flat = digits.reshape(*digits.shape[:-2], -1)[..., : rows(stored)[-1]]
        return self.order.undo(flat.reshape(stored).astype(np.uint8), shape)

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        if not isinstance(code, Ternary):
            yield f"{code.name} is not ternary"
        yield from self.order.problems(shape, code)


@dataclass(frozen=True)
class Interleaved(Layout):
    """Codes of 1, 2 or 4 bits in blocks of `block` along the innermost dimension: byte j of a block's n has
    codes j, j + n, j + 2n, .., the first in the lowest bits or, with `high_first`, in the highest. Blocks of
    32 are the order of GGUF's Q4_0 and MXFP4; 128 codes of 2 bits, the highest first, that of BitNet's I2_S.
    A signed code is stored with its sign bit turned (offset binary) where `offset`."""

    block: int  #: codes of a block
    high_first: bool = False  #: whether the first code lies in the highest bits
    offset: bool = False  #: whether a signed code is stored as what it is above the lowest

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """One array [.., blocks, bytes of a block]."""
        *outer, row = rows(tuple(shape))
        return {"codes": ((*outer, -(-row // self.block), self.block * code.bits // 8), "ui8")}

    def _places(self, code: Code) -> Array:
        places = np.arange(0, 8, code.bits, dtype=np.uint8)
        return places[::-1] if self.high_first else places

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        laid = patterns(codes, code) ^ self._turned(code)
        laid = laid.reshape(rows(laid.shape))
        padded = np.pad(laid, [*[(0, 0)] * (laid.ndim - 1), (0, -laid.shape[-1] % self.block)])
        split = padded.reshape(*laid.shape[:-1], -1, 8 // code.bits, self.block * code.bits // 8)
        return {"codes": np.bitwise_or.reduce(split << self._places(code)[:, None], axis=-2).astype(np.uint8)}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        mask = np.uint8(2**code.bits - 1)
        split = parts["codes"][..., None, :] >> self._places(code)[:, None] & mask
        flat = split.reshape(*split.shape[:-3], -1)[..., : rows(tuple(shape))[-1]]
        return from_patterns(flat.reshape(tuple(shape)) ^ self._turned(code), code)

    def _turned(self, code: Code) -> np.uint8:
        return np.uint8(1 << code.bits - 1 if self.offset else 0)

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        if code.bits not in (1, 2, 4):
            yield f"{code.bits} bits do not divide a byte"
        elif self.block < 1 or self.block * code.bits % 8:
            yield f"blocks of {self.block} codes of {code.bits} bits"
