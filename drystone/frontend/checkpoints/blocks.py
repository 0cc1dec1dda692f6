"""GGUF's blocks of numbers, taken apart into the parts of an encoding without changing a number.

A tensor is given as bytes [.., blocks, bytes of a block], the blocks of a row along the last dimension of the
tensor; the layouts are those that ggml's sources and the package `gguf` describe. Every function gives the
codes [.., n], and what belongs to their scales, of one row after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir import formats
from drystone.ir.encoding import Codes, Encoding, Interleaved, Parts, Scale
from drystone.ir.encoding.parts import put

#: Takes the bytes of all blocks: codes, scales, minima and the like, by the names of their parts.
Taken = dict[str, Array]


@dataclass(frozen=True)
class Block:
    """How numbers lie in blocks: how many, in how many bytes; the encoding along an axis; how it is taken
    apart."""

    numbers: int
    bytes: int
    encoding: Callable[[int], Codes]
    take: Callable[[Array], Taken]

    def held(self, raw: Array) -> tuple[Encoding, Parts]:
        """The encoding and its parts of a tensor in bytes [.., blocks, bytes]."""
        encoding = self.encoding(raw.ndim - 2)
        return encoding, _laid(encoding, self.take(raw))


def _laid(encoding: Codes, taken: Taken) -> Parts:
    """Codes in the order of the encoding's layout, as are those of its scales."""
    codes = taken["codes"]
    # What lies as the layout has it already is only copied out of its block.
    interleaved = isinstance(encoding.layout, Interleaved) and codes.dtype == np.uint8
    parts = {"codes": np.ascontiguousarray(codes)} if interleaved else encoding.laid(codes)
    scale = encoding.scale
    for name, child in (scale.children() if isinstance(scale, Scale) else {}).items():
        inner = {
            key.removeprefix(name).removeprefix(".") or "codes": array
            for key, array in taken.items()
            if key.split(".")[0] == name
        }
        assert isinstance(child, Codes), "scales of GGUF are codes"
        parts |= put(name, _laid(child, inner))
    return parts


def _half(raw: Array) -> Array:
    """Two bytes of every block as one number of f16: [.., blocks]."""
    return np.ascontiguousarray(raw).view(np.float16)[..., 0]


def _row(codes: Array, last: int) -> Array:
    """The last dimensions of an array, from `last` on, as one."""
    return codes.reshape(*codes.shape[:last], -1)


def _pieces(raw: Array, run: int, bits: int) -> Array:
    """Codes of a few bits from bytes [.., blocks, n]: of every `run` bytes first the lowest bits of each,
    then the next: [.., blocks, codes]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    cut = raw.reshape(*raw.shape[:-1], -1, 1, run) >> shifts & np.uint8(2**bits - 1)
    return _row(cut, raw.ndim - 1)


def _cut(raw: Array, run: int) -> Array:
    """The bytes [.., blocks, n] of every row in blocks of `run`, as interleaved layouts have them."""
    return raw.reshape(*raw.shape[:-2], -1, run)


def _simple(raw: Array) -> Taken:
    """A scale and codes that lie as they are to."""
    return {"scale": _half(raw[..., :2]), "codes": raw[..., 2:]}


def _q4_1(raw: Array) -> Taken:
    """Scale, minimum, nibbles; the minimum is added."""
    return {"scale": _half(raw[..., :2]), "minimum": -_half(raw[..., 2:4]), "codes": raw[..., 4:]}


def _fifth(high: Array, low: Array) -> Array:
    """Codes of 5 bits: bit i of the four bytes `high` above nibble i."""
    above: Array = np.unpackbits(high, axis=-1, bitorder="little") << 4
    return _pieces(low, 16, 4) | above


def _q5_0(raw: Array) -> Taken:
    codes = _fifth(raw[..., 2:6], raw[..., 6:]).astype(np.int8) - 16
    return {"scale": _half(raw[..., :2]), "codes": _row(codes, raw.ndim - 2)}


def _q5_1(raw: Array) -> Taken:
    codes = _row(_fifth(raw[..., 4:8], raw[..., 8:]), raw.ndim - 2)
    return {"scale": _half(raw[..., :2]), "minimum": -_half(raw[..., 2:4]), "codes": codes}


def _q8_0(raw: Array) -> Taken:
    return {"scale": _half(raw[..., :2]), "codes": _row(raw[..., 2:].view(np.int8), raw.ndim - 2)}


def _q2_k(raw: Array) -> Taken:
    rank = raw.ndim - 2
    return {
        "scale": _row(raw[..., :16] & 15, rank),
        "minimum": _row(raw[..., :16] >> 4, rank),
        "scale.scale": _half(raw[..., 80:82]),
        "minimum.scale": _half(raw[..., 82:84]),
        "codes": _row(_pieces(raw[..., 16:80], 32, 2), rank),
    }


def _q3_k(raw: Array) -> Taken:
    rank = raw.ndim - 2
    high = _pieces(raw[..., :32], 32, 1)
    codes = (_pieces(raw[..., 32:96], 32, 2) | high << 2).astype(np.int8) - 4
    # 16 scales of 6 bits: nibbles, then two bits above each.
    scales = _pieces(raw[..., 96:104], 8, 4) | _pieces(raw[..., 104:108], 4, 2) << 4
    return {
        "scale": _row(scales.astype(np.int8) - 32, rank),
        "scale.scale": _half(raw[..., 108:110]),
        "codes": _row(codes, rank),
    }


def _sixes(raw: Array, rank: int) -> Taken:
    """Eight scales and eight minima of 6 bits in 12 bytes: six bits of the first four of each; then nibbles
    of the last four, whose upper bits are above the first ones."""
    first, second, third = raw[..., :4], raw[..., 4:8], raw[..., 8:]
    scale = np.concatenate([first & 63, third & 15 | first >> 6 << 4], -1)
    minimum = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], -1)
    return {"scale": _row(scale, rank), "minimum": _row(minimum, rank)}


def _k_scales(raw: Array) -> Taken:
    outer = {"scale.scale": _half(raw[..., :2]), "minimum.scale": _half(raw[..., 2:4])}
    return _sixes(raw[..., 4:16], raw.ndim - 2) | outer


def _q4_k(raw: Array) -> Taken:
    return _k_scales(raw) | {"codes": _cut(raw[..., 16:], 32)}


def _q5_k(raw: Array) -> Taken:
    codes = _pieces(raw[..., 48:], 32, 4) | _pieces(raw[..., 16:48], 32, 1) << 4
    return _k_scales(raw) | {"codes": _row(codes, raw.ndim - 2)}


def _q6_k(raw: Array) -> Taken:
    rank = raw.ndim - 2
    codes = (_pieces(raw[..., :128], 64, 4) | _pieces(raw[..., 128:192], 32, 2) << 4).astype(np.int8) - 32
    return {
        "scale": _row(raw[..., 192:208].view(np.int8), rank),
        "scale.scale": _half(raw[..., 208:210]),
        "codes": _row(codes, rank),
    }


def _iq4_xs(raw: Array) -> Taken:
    rank = raw.ndim - 2
    upper = _pieces(np.ascontiguousarray(raw[..., 2:4]), 1, 2)
    lower = _pieces(raw[..., 4:8], 1, 4)
    return {
        "scale": _row((lower | upper << 4).astype(np.int8) - 32, rank),
        "scale.scale": _half(raw[..., :2]),
        "codes": _cut(raw[..., 8:], 16),
    }


def _tq1_0(raw: Array) -> Taken:
    """Five digits in base 3 to a byte, four in the last four bytes: the first is what times 3 overflows."""
    digits = []
    for first, end, count in ((0, 32, 5), (32, 48, 5), (48, 52, 4)):
        powers = np.array([1, 3, 9, 27, 81][:count], np.uint8)[:, None]
        digits.append(_row(raw[..., None, first:end] * powers, raw.ndim - 1))
    codes = np.concatenate(digits, -1).astype(np.uint16) * 3 >> 8
    return {"scale": _half(raw[..., 52:54]), "codes": _row(codes.astype(np.uint8), raw.ndim - 2)}


def _tq2_0(raw: Array) -> Taken:
    return {"scale": _half(raw[..., 64:66]), "codes": _cut(raw[..., :64], 32)}


def _mxfp4(raw: Array) -> Taken:
    return {"scale": _row(raw[..., :1], raw.ndim - 2), "codes": raw[..., 1:]}


def _nvfp4(raw: Array) -> Taken:
    return {"scale": _row(raw[..., :4], raw.ndim - 2), "codes": _cut(raw[..., 4:], 8)}


#: The blocks of GGUF by the number of their type there.
BLOCKS: dict[int, Block] = {
    2: Block(32, 18, formats.q4_0, _simple),
    3: Block(32, 20, formats.q4_1, _q4_1),
    6: Block(32, 22, formats.q5_0, _q5_0),
    7: Block(32, 24, formats.q5_1, _q5_1),
    8: Block(32, 34, formats.q8_0, _q8_0),
    10: Block(256, 84, formats.q2_k, _q2_k),
    11: Block(256, 110, formats.q3_k, _q3_k),
    12: Block(256, 144, formats.q4_k, _q4_k),
    13: Block(256, 176, formats.q5_k, _q5_k),
    14: Block(256, 210, formats.q6_k, _q6_k),
    20: Block(32, 18, formats.iq4_nl, _simple),
    23: Block(256, 136, formats.iq4_xs, _iq4_xs),
    34: Block(256, 54, formats.tq1_0, _tq1_0),
    35: Block(256, 66, formats.tq2_0, _tq2_0),
    39: Block(32, 17, formats.mxfp4, _mxfp4),
    40: Block(64, 36, formats.nvfp4_blocks, _nvfp4),
}
