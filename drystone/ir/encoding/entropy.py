"""A lossless layout: floats whose exponents are Huffman coded (DFloat11: Zhang et al. 2025)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code
from drystone.ir.encoding.layout import Layout
from drystone.ir.encoding.parts import Held, Parts

#: Bits of a code at most.
_LONGEST = 32


@dataclass(frozen=True)
class Huffman(Layout):
    """bf16 as a byte of sign and mantissa each, "codes", and a canonical Huffman code of the exponents,
    "stream", the highest bit of a byte first. How many bytes these are depends on the numbers: `Huffman.of`
    and `settled` say. "lengths" has the bits of every exponent's code, "starts" where each block of codes
    begins, in bits: blocks are decoded side by side."""

    size: int = 0  #: bytes of the stream
    block: int = 4096  #: codes of a block

    @staticmethod
    def of(array: Array, block: int = 4096) -> "Huffman":
        """The layout for these numbers (bf16)."""
        counts = np.bincount(_exponents(array), minlength=256)
        return Huffman(int(-(-(counts @ code_lengths(counts)) // 8)), block)

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """Codes, stream, lengths, starts."""
        return {
            "codes": (tuple(shape), "ui8"),
            "stream": ((self.size,), "ui8"),
            "lengths": ((256,), "ui8"),
            "starts": ((-(-prod(shape) // self.block),), "i32"),
        }

    def settled(self, codes: Array) -> "Huffman":
        """The layout for these codes."""
        return Huffman.of(codes, self.block)

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        exponents = _exponents(codes)
        lengths = code_lengths(np.bincount(exponents, minlength=256))
        words, sizes = _canonical(lengths)[0][exponents], lengths[exponents]
        ends = np.cumsum(sizes)
        bits = np.zeros(self.size * 8, np.uint8)
        for bit in range(int(sizes.max(initial=0))):
            longer = sizes > bit
            bits[(ends - sizes)[longer] + bit] = (words >> np.maximum(sizes - 1 - bit, 0))[longer] & 1
        rest = (codes >> 8 & 0x80 | codes & 0x7F).astype(np.uint8)
        starts = (ends - sizes)[:: self.block].astype(np.int32)
        lengths8 = lengths.astype(np.uint8)
        return {"codes": rest, "stream": np.packbits(bits), "lengths": lengths8, "starts": starts}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored; blocks side by side, as a kernel decodes them."""
        lengths = parts["lengths"].astype(np.int64)
        words, order = _canonical(lengths)
        shifted = words[order] << (_LONGEST - lengths[order])
        stream = np.concatenate([parts["stream"], np.zeros(8, np.uint8)]).astype(np.int64)
        count = prod(shape)
        exponents = np.zeros((len(parts["starts"]), self.block), np.uint16)
        at = parts["starts"].astype(np.int64)
        for step in range(min(self.block, count)):
            first = np.minimum(at >> 3, len(stream) - 5)
            window = sum((stream[first + i] << (32 - 8 * i) for i in range(5)), np.zeros(len(at), np.int64))
            ahead = window >> (8 - (at & 7)) & (1 << _LONGEST) - 1
            symbol = order[np.searchsorted(shifted, ahead, side="right") - 1]
            exponents[:, step] = symbol
            at = at + lengths[symbol]
        high = exponents.reshape(-1)[:count].reshape(tuple(shape)) << 7
        rest = parts["codes"].astype(np.uint16)
        return ((rest & 0x80) << 8 | high | rest & 0x7F).astype(np.uint16)

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        if code.name != "bf16":
            yield f"{code.name} has no exponents of bf16"
        if self.size < 0 or self.block < 1 or 8 * self.size >= 2**31:
            yield f"a stream of {self.size} bytes in blocks of {self.block} codes"


def _exponents(codes: Array) -> Array:
    return (codes.ravel() >> 7 & 0xFF).astype(np.int64)


def code_lengths(counts: Array) -> Array:
    """Bits of the Huffman code of every symbol that occurs, at most 32 (Huffman 1952); 0 of others."""
    lengths = np.zeros(len(counts), np.int64)
    used = [int(symbol) for symbol in np.flatnonzero(counts)]
    if len(used) == 1:
        lengths[used] = 1
        return lengths
    heap = [(int(counts[symbol]), symbol, [symbol]) for symbol in used]
    heapify(heap)
    while len(heap) > 1:
        (one, first, left), (other, _, right) = heappop(heap), heappop(heap)
        lengths[left + right] += 1
        heappush(heap, (one + other, first, left + right))
    # Fibonacci-like counts make codes too long: flatter ones do not.
    return lengths if lengths.max(initial=0) <= _LONGEST else code_lengths((counts + 1) // 2)


def _canonical(lengths: Array) -> tuple[Array, Array]:
    """The code word of every symbol, and the symbols that have one in order of their words."""
    order = np.lexsort((np.arange(len(lengths)), lengths))
    order = order[lengths[order] > 0]
    words, word, before = np.zeros(len(lengths), np.int64), 0, 0
    for symbol in order:
        word <<= int(lengths[symbol]) - before
        words[symbol], before = word, int(lengths[symbol])
        word += 1
    return words, order
