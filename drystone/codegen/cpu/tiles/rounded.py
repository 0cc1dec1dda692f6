"""Rounded numbers as bytes, four registers of them at once.

A number is rounded to a byte by adding 1.5 * 2^23 and bounding the bits of the sum, whose last byte is kept:
two bounds and a truncation of two instructions for every register. A conversion rounds as well, to the even
one of two as the sum does, and instructions that pack registers bound what they pack: a register takes its
upper bound, the conversion and a quarter of what packs four.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.elementwise import Applied
from drystone.codegen.cpu.tiles.values import Full, Row, Value

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

#: What rounds a number when it is added, the bits of that sum for 0, and the ends of bytes.
_SHIFT, _BITS, _LEAST, _MOST = 12582912.0, 0x4B400000, -128, 127
#: Registers that are packed into one, and elements of 32 bits in each.
PACKED, _LANES = 4, 16
#: Where, by 32 bits, the packed register has what follows in order: packing goes by quarters of registers.
_ORDER = [quarter * PACKED + i for i in range(PACKED) for quarter in range(PACKED)]


@dataclass(frozen=True)
class Rounded:
    """The tile of f32 that is rounded, and the least and the largest of the bytes."""

    number: Value
    least: int
    most: int


def rounded(low: "Lowering", value: Value) -> Rounded | None:
    """What a tile of bytes is the rounding of; None where it is something else, or where its rows are not
    whole registers of those that can be packed."""
    if value.dtype != "i8" or low.lanes != _LANES or value.last % _LANES:
        return None
    most, bits = _bound(_argument(value, "arith.trunci"), "arith.minsi")
    least, bits = _bound(bits, "arith.maxsi")
    total = _argument(bits, "arith.bitcast")
    if most is None or least is None or not isinstance(total, Applied) or total.op != "arith.addf":
        return None
    number, shift = total.args
    within = _LEAST <= least <= most <= _MOST
    if not within or number.shape != value.shape or number.dtype != "f32":
        return None
    return Rounded(number, least, most) if isinstance(shift, Full) and shift.constant == _SHIFT else None


def _argument(value: Value | None, op: str) -> Value | None:
    """What an operation is applied to."""
    return value.args[0] if isinstance(value, Applied) and value.op == op else None


def _bound(value: Value | None, op: str) -> tuple[int | None, Value | None]:
    """A bound of the bits of a sum that rounds, as a byte, and what is bounded."""
    inside = _argument(value, op)
    limit = value.args[1] if isinstance(value, Applied) and inside is not None else None
    if not isinstance(limit, Full) or limit.constant is None:
        return None, None
    return int(limit.constant) - _BITS, inside


def packed(low: "Lowering", found: Rounded, places: list[tuple[Row, int]]) -> str:
    """Four parts of the bytes in one register, in order."""
    emit, whole, bytes_ = low.emit, low.vector("i32"), f"vector<{PACKED * _LANES}xi8>"
    halves, real = f"vector<{2 * _LANES}xi16>", low.vector("f32")
    codes = []
    for row, j in places:
        x = found.number.spread(row, j)
        # Of a NaN the bound.
        x = emit.pure(
            f"llvm.intr.minnum({x}, {emit.constant(found.most, real)}) : ({real}, {real}) -> {real}"
        )
        codes.append(emit.pure(f"llvm.intr.lrint({x}) : ({real}) -> {whole}"))
    pairs = [_pack(low, "packssdw", codes[i : i + 2], whole, halves) for i in range(0, PACKED, 2)]
    all_ = emit.pure(f"vector.bitcast {_pack(low, 'packsswb', pairs, halves, bytes_)} : {bytes_} to {whole}")
    all_ = emit.pure(f"vector.shuffle {all_}, {all_} {_ORDER} : {whole}, {whole}")
    all_ = emit.pure(f"vector.bitcast {all_} : {whole} to {bytes_}")
    if found.least == _LEAST:
        return all_
    return emit.binary("arith.maxsi", all_, emit.constant(found.least, bytes_), bytes_)


def _pack(low: "Lowering", name: str, pair: list[str], given: str, made: str) -> str:
    """Two registers in one of elements half as wide, each bounded by their ends."""
    name = f'llvm.call_intrinsic "llvm.x86.avx512.{name}.512"'
    return low.emit.pure(f"{name}({', '.join(pair)}) : ({given}, {given}) -> {made}")


def runs(places: list[tuple[Row, int]]) -> Iterator[tuple[Row, int, int, int]]:
    """Neighbours of one row in a packed register: the row and the first one's place in it, the place in the
    register, and how many, one, two or four."""
    for row, members in groupby(enumerate(places), lambda each: each[1][0]):
        left = [(at, j) for at, (_, j) in members]
        while left:
            size = 1 << (len(left).bit_length() - 1)
            at, j = left[0]
            yield row, j, at, size
            left = left[size:]
