"""The numbers of element codes that lie in words of 32 bits.

A shift brings codes down, and a table in a register, or a few operations, give their numbers. An element code
of more bits than a table has needs a rule in `RULES`.
"""

from collections.abc import Callable
from typing import cast

import numpy as np

from drystone.codegen.tile import Index, Tile, TileBuilder
from drystone.errors import InternalError
from drystone.ir.encoding.code import Code, Floats, Integers
from drystone.ir.encoding.layout import from_patterns
from drystone.registry import Registry

#: Bits of a word, and bits of codes up to which numbers are looked up.
_WORD, _LISTED = 32, 5
#: Bits of f32 behind the exponent, and what is added to exponents.
FRACTION, _BIAS = 23, 127


def number(t: TileBuilder, code: Code, words: list[Tile], j: int) -> Tile:
    """The numbers of the codes at place j of strings that lie in these words, f32 of their shape."""
    return number_at(t, code, words, j * code.bits)


def number_at(t: TileBuilder, code: Code, words: list[Tile], place: int) -> Tile:
    """The numbers of the codes that start at a bit of strings, f32 of their shape."""
    first, low = divmod(place, _WORD)
    if low + code.bits <= _WORD:
        word = words[first]
    else:  # the string goes on in the next word
        rest = shifted(t, "arith.shli", words[first + 1], _WORD - low)
        word, low = t.apply("arith.ori", shifted(t, "arith.shrui", words[first], low), rest), 0
    return _number(t, code, word, low)


def code_numbers(t: TileBuilder, code: Code, words: Tile) -> Tile:
    """The numbers of the codes in the lowest bits of words."""
    return _number(t, code, words, 0)


def _number(t: TileBuilder, code: Code, word: Tile, low: int) -> Tile:
    """The numbers of codes that lie from bit `low` of words on."""
    if code.bits <= _LISTED:
        numbers = numbers_of(code)
        return t.lookup(shifted(t, "arith.shrui", word, low), numbers)
    if code.rule not in RULES:
        raise InternalError(f"no kernel decodes {code.name}")
    return RULES[code.rule](t, code, shifted(t, "arith.shli", word, _WORD - code.bits - low))


def _integer_of(t: TileBuilder, code: Code, top: Tile) -> Tile:
    """Numbers of codes that lie in the highest bits and are integers."""
    shift = "arith.shrui" if cast(Integers, code).unsigned else "arith.shrsi"
    return t.apply("arith.sitofp", shifted(t, shift, top, _WORD - code.bits), dtype="f32")


def in_all_bytes(t: TileBuilder, number: int) -> Tile:
    """A byte four times, i32 [1, 1]."""
    return t.full(int.from_bytes(bytes([number] * 4), "little", signed=True), (1, 1), "i32")


def numbers_of(code: Code) -> tuple[float, ...]:
    """The number of every pattern of a code, 0 where it has none."""
    numbers = code.decode(from_patterns(np.arange(2**code.bits), code))
    return tuple(float(x) for x in np.where(np.isfinite(numbers), numbers, 0))


def float_of(t: TileBuilder, code: Code, top: Tile) -> Tile:
    """Numbers of codes that lie in the highest bits: exponent and fraction where f32 has them, which makes
    subnormals right too, times the quotient of what is added to the exponents."""
    code = cast(Floats, code)
    fields = ((1 << code.exponent + code.mantissa) - 1) << FRACTION - code.mantissa
    sign = -(1 << _WORD - 1)
    lower = shifted(t, "arith.shrsi", top, _WORD - 1 - FRACTION - code.exponent)
    kept = t.apply("arith.andi", lower, t.full(sign | fields, (1, 1), "i32"))
    real = t.apply("arith.bitcast", kept, dtype="f32")
    factor = 2.0 ** (_BIAS - (2 ** (code.exponent - 1) - 1))
    return t.apply("arith.mulf", real, t.full(factor, (1, 1), "f32"))


def in_all_lanes(t: TileBuilder, value: Index | int) -> Tile:
    """A position for all lanes."""
    return t.full(value, (1, 1), "i64")


def moved(t: TileBuilder, word: Tile, up: int) -> Tile:
    """Words with their bits moved up, or down."""
    return shifted(t, "arith.shli", word, up) if up > 0 else shifted(t, "arith.shrui", word, -up)


def shifted(t: TileBuilder, op: str, tile: Tile, by: int) -> Tile:
    return t.apply(op, tile, t.full(by, (1, 1), "i32")) if by else tile


#: How the numbers of codes, which lie in the highest bits of words (i32), are computed (f32): by `Code.rule`.
RULES: Registry[Callable[[TileBuilder, Code, Tile], Tile]] = Registry(
    "rule for numbers of codes", {"floats": float_of, "integers": _integer_of}
)
