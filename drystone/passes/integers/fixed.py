"""Numbers as fixed-point integers: sums of integers times factors, and what is computed of such sums.

A `Sum` is a real number of which every term is an integer that the program has, or something computed of
other sums, times a factor that is known when compiling. Factors are pushed down to the terms, so that a
convolution's sums, a residual and a bias become one sum of products with integer multipliers in 64 bits, and
the code stored is that sum shifted once: round(real / unit) = (sum_i m_i n_i + c + 2^(s-1)) >> s, where m_i
is round(factor_i / unit * 2^s). That is the requantization of gemmlowp and TFLite (Jacob et al. 2018,
section 2.2) with one shift for all terms and channels and one rounding, half up. s is as large as 62 bits of
the sum allow, or as 31 bits of every multiplier where that is exact enough: such products take one
instruction.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor, log2
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.mlir import arith
from drystone.passes.integers.code import Code

#: Bits of a sum, its sign apart; of a multiplier; of a factor of a product or quotient.
_BITS, _MULTIPLIER, _FACTOR = 62, 31, 30
#: The part of a unit that multipliers of so few bits may be off by.
_ERROR = 1 / 32


class Term:
    """A number that sums are made of. low, high: its bounds."""

    low: float
    high: float

    def peak(self, factor: Array) -> float:
        """The largest magnitude that computing `make` meets."""
        raise NotImplementedError

    def leaves(self, factor: Array) -> Iterator[tuple[float, float]]:
        """The largest multiplier of every integer that `make` multiplies, and the integer's magnitude."""
        raise NotImplementedError

    def make(self, code: Code, factor: Array) -> Any:
        """The number times a factor, as i64."""
        raise NotImplementedError

    @property
    def size(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))


@dataclass(frozen=True, eq=False)
class Sum:
    """sum_i factor_i term_i + constant; factors and the constant are f64 arrays of the rank of the result,
    of extent 1 along what they do not change with."""

    terms: tuple[tuple[Term, Array], ...]
    constant: Array

    @staticmethod
    def of(number: Any) -> "Sum":
        """A number that is known."""
        return Sum((), np.asarray(number, np.float64))

    @staticmethod
    def term(term: Term, factor: Any = 1.0) -> "Sum":
        """A term times a factor."""
        return Sum(((term, np.asarray(factor, np.float64)),), np.zeros(()))

    @property
    def known(self) -> bool:
        """Whether it is a number that is known when compiling."""
        return not self.terms

    def __add__(self, other: "Sum") -> "Sum":
        found = list(self.terms)
        for term, factor in other.terms:
            at = next((n for n, (mine, _) in enumerate(found) if mine is term), None)
            if at is None:
                found.append((term, factor))
            else:
                found[at] = (term, found[at][1] + factor)
        return Sum(tuple(found), self.constant + other.constant)

    def __mul__(self, factor: Any) -> "Sum":
        array = np.asarray(factor, np.float64)
        return Sum(tuple((term, each * array) for term, each in self.terms), self.constant * array)

    def __sub__(self, other: "Sum") -> "Sum":
        return self + other * -1.0

    @property
    def bounds(self) -> tuple[float, float]:
        """What it is within, for every element."""
        low = high = self.constant
        for term, factor in self.terms:
            sides = factor * term.low, factor * term.high
            low, high = low + np.minimum(*sides), high + np.maximum(*sides)
        return float(np.min(low)), float(np.max(high))

    def peak(self, factor: Array) -> float:
        """As for a term."""
        total = float(np.max(np.abs(self.constant * factor), initial=0))
        return total + sum(term.peak(each * factor) for term, each in self.terms)

    def make(self, code: Code, factor: Array) -> Any:
        """The sum times a factor, rounded term by term, as i64."""
        whole = np.rint(self.constant * factor)
        total = None
        for number, (term, each) in enumerate(self.terms):
            made = term.make(code, each * factor)
            total = made if number == 0 else code.make(arith.AddIOp, total, made)
        return code.plus(total, whole) if self.terms else code.number(whole)

    def rounded(self, code: Code, unit: float) -> Any:
        """round(sum / unit), half up, as i64."""
        bits = self.shift(unit)
        shifted = self + Sum.of(unit / 2) if bits else self
        return code.shifted(shifted.make(code, np.asarray(2.0**bits / unit)), bits)

    def leaves(self, factor: Array) -> Iterator[tuple[float, float]]:
        """As for a term."""
        for term, each in self.terms:
            yield from term.leaves(each * factor)

    def shift(self, unit: float) -> int:
        """How many bits behind the unit are computed."""
        if self.plain is not None and self.plain[1] == unit:
            return 0
        peak = (self + Sum.of(unit / 2)).peak(np.asarray(1 / unit))
        bits = min(floor(_BITS - log2(peak)), _BITS - 1) if peak > 0 else 0
        if bits < 0:
            raise InternalError(f"numbers of a unit of {unit} do not fit in {_BITS} bits")
        found = list(self.leaves(np.asarray(1 / unit)))
        short = floor(_MULTIPLIER - log2(max((factor for factor, _ in found), default=1.0) or 1.0))
        error = sum(size for _, size in found) / 2.0 ** (max(short, 0) + 1)
        return short if 0 <= short < bits and error <= _ERROR else bits

    @property
    def plain(self) -> tuple[Term, float, int] | None:
        """(term, factor, n) where the sum is factor * (term + n) for an integer n; None for any other."""
        if len(self.terms) != 1:
            return None
        ((term, factor),) = self.terms
        if factor.size != 1 or self.constant.size != 1 or not isinstance(term, Leaf):
            return None
        one = float(factor.reshape(-1)[0])
        offset = float(self.constant.reshape(-1)[0]) / one if one else 0.5
        return (term, one, round(offset)) if abs(offset - round(offset)) < 1e-6 else None

    def whole(self, code: Code, bits: int = _FACTOR) -> tuple[Any, float, float]:
        """An integer (i64) of at most so many bits, its unit and its largest magnitude. What is an integer
        already is taken as it is."""
        plain = self.plain
        if plain is not None and plain[0].size + abs(plain[2]) < 2**bits and plain[1] > 0:
            made = code.plus(plain[0].make(code, np.ones(())), np.asarray(plain[2]))
            return made, plain[1], plain[0].size + abs(plain[2])
        return self.fine(code, bits)

    def fine(self, code: Code, bits: int = 2 * _FACTOR) -> tuple[Any, float, float]:
        """The same with as many bits as there can be."""
        largest = max(map(abs, self.bounds))
        unit = max(largest / 2.0**bits, self.peak(np.ones(())) / 2.0 ** (_BITS - 1), 1e-30)
        return code.once(("whole", self, bits), lambda: self.rounded(code, unit)), unit, largest / unit + 1


class Leaf(Term):
    """An integer that an argument of the block, or another value, is."""

    def __init__(self, number: int, low: float, high: float) -> None:
        self.number, self.low, self.high = number, low, high

    def peak(self, factor: Array) -> float:
        return float(np.max(np.abs(factor), initial=0)) * self.size

    def leaves(self, factor: Array) -> Iterator[tuple[float, float]]:
        yield float(np.max(np.abs(factor), initial=0)), self.size

    def make(self, code: Code, factor: Array) -> Any:
        return code.times(self.value(code), np.rint(factor))

    def value(self, code: Code) -> Any:
        """The integer as i64."""
        return code.leaf(self.number)


class Made(Leaf):
    """An integer that is computed of sums."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(-1, low, high)

    def value(self, code: Code) -> Any:
        return code.once(("made", self), lambda: self.compute(code))

    def compute(self, code: Code) -> Any:
        """The integer."""
        raise NotImplementedError


class Computed(Made):
    """An integer that a function makes."""

    def __init__(self, low: float, high: float, make: Callable[[Code], Any]) -> None:
        super().__init__(low, high)
        self.function = make

    def compute(self, code: Code) -> Any:
        return self.function(code)


class Product(Made):
    """Two sums multiplied; an integer whose unit is `unit`."""

    def __init__(self, one: Sum, other: Sum) -> None:
        self.sums = one, other
        look = Code()
        (_, first, size), (_, second, extent) = one.whole(look), other.whole(look)
        bits = max(0, floor(log2(max(size * extent, 1))) + 1 - _FACTOR)
        self.bits, self.unit = bits, first * second * 2.0**bits
        sides = [a * b / self.unit for a in one.bounds for b in other.bounds]
        low, high = (0.0 if one is other else min(sides)), max(sides)
        super().__init__(low - 2, high + 2)

    def compute(self, code: Code) -> Any:
        one, other = (each.whole(code)[0] for each in self.sums)
        return code.shifted(code.make(arith.MulIOp, one, other), self.bits)


class Root(Made):
    """The square root of a sum that is not negative; an integer whose unit is `unit`."""

    def __init__(self, of: Sum) -> None:
        self.of = of
        _, unit, size = of.fine(Code())
        self.unit = float(np.sqrt(unit))
        super().__init__(0, float(np.sqrt(size)) + 1)

    def compute(self, code: Code) -> Any:
        return square_root(code, self.of.fine(code)[0])


def square_root(code: Code, value: Any) -> Any:
    """The integer square root of an i64 of at most 62 bits, by Newton's iteration from a power of two that is
    not below it; of what is not positive 0."""
    if code.values is None:
        return None
    value = code.make(arith.MaxSIOp, value, code.constant(0))
    found = code.constant(1 << 31)
    # A start that is at most twice too large, by halving while a smaller power of two still suffices.
    for bits in (16, 8, 4, 2, 1):
        smaller = code.make(arith.ShRSIOp, found, code.constant(bits))
        enough = code.compare(arith.CmpIPredicate.sge, code.make(arith.MulIOp, smaller, smaller), value)
        found = code.select(enough, smaller, found)
    for _ in range(6):
        quotient = code.make(arith.DivSIOp, value, code.make(arith.MaxSIOp, found, code.constant(1)))
        found = code.shifted(code.make(arith.AddIOp, found, quotient), 1)
    return found


class Quotient(Term):
    """A sum divided by another; by 0 as if by the least number that the divisor can be."""

    def __init__(self, top: Sum, bottom: Sum) -> None:
        self.top, self.bottom = top, bottom
        _, self.unit, _ = bottom.whole(Code())
        least = max(bottom.bounds[0], self.unit)
        size = max(map(abs, top.bounds)) / least
        self.low, self.high = -size, size

    def peak(self, factor: Array) -> float:
        return self.top.peak(factor / self.unit)

    def leaves(self, factor: Array) -> Iterator[tuple[float, float]]:
        yield from self.top.leaves(factor / self.unit)

    def make(self, code: Code, factor: Array) -> Any:
        top = self.top.make(code, factor / self.unit)
        bottom = self.bottom.whole(code)[0]
        nothing = code.compare(arith.CmpIPredicate.eq, bottom, code.constant(0))
        return code.make(arith.DivSIOp, top, code.select(nothing, code.constant(1), bottom))


class Either(Term):
    """One of two sums."""

    def __init__(self, one: Sum, other: Sum) -> None:
        self.sums = one, other
        (low, high), (least, most) = one.bounds, other.bounds
        self.low, self.high = min(low, least), max(high, most)

    def peak(self, factor: Array) -> float:
        return max(each.peak(factor) for each in self.sums)

    def leaves(self, factor: Array) -> Iterator[tuple[float, float]]:
        for each in self.sums:
            yield from each.leaves(factor)


class Larger(Either):
    """The larger of two sums."""

    def __init__(self, one: Sum, other: Sum) -> None:
        super().__init__(one, other)
        self.low = max(each.bounds[0] for each in self.sums)

    def make(self, code: Code, factor: Array) -> Any:
        one, other = (each.make(code, factor) for each in self.sums)
        if np.all(factor >= 0):
            return code.make(arith.MaxSIOp, one, other)
        if np.all(factor <= 0):
            return code.make(arith.MinSIOp, one, other)
        holds = Compared(arith.CmpIPredicate.sgt, self.sums[0] - self.sums[1]).make(code)
        return code.select(holds, one, other)


class Condition:
    """What is true or false of an element."""

    def make(self, code: Code) -> Any:
        """An i1."""
        raise NotImplementedError


class Compared(Condition):
    """How a sum compares with 0."""

    def __init__(self, predicate: Any, of: Sum) -> None:
        self.predicate, self.of = predicate, of

    def make(self, code: Code) -> Any:
        return code.compare(self.predicate, self.of.whole(code, 2 * _FACTOR)[0], code.constant(0))


class Chosen(Either):
    """One sum where a condition holds, else another."""

    def __init__(self, condition: Condition, one: Sum, other: Sum) -> None:
        super().__init__(one, other)
        self.condition = condition

    def make(self, code: Code, factor: Array) -> Any:
        one, other = (each.make(code, factor) for each in self.sums)
        return code.select(self.condition.make(code), one, other)


class Lookup(Made):
    """A function of a sum, from a table of its numbers: `numbers[i]` is the function of start + i * step, in
    units of `unit`. table: the tensor of them, made when the code is."""

    def __init__(self, of: Sum, start: float, step: float, numbers: Array, table: Any) -> None:
        self.of, self.start, self.step, self.numbers, self.table = of, start, step, numbers, table
        self.unit = max(float(np.max(np.abs(numbers))), 1e-30) / 32767
        self.made: dict[bytes, Any] = {}
        super().__init__(float(np.min(numbers)) / self.unit, float(np.max(numbers)) / self.unit)

    def compute(self, code: Code) -> Any:
        return self.entry(code, np.rint(self.numbers / self.unit).astype(np.int16))

    def entry(self, code: Code, entries: Array) -> Any:
        """The entry of a table of integers that belongs to the number."""
        place = (self.of - Sum.of(self.start)).rounded(code, self.step)
        place = code.within(place, 0, len(entries) - 1)
        # Made in the first walk: an operation stands behind what its region reads.
        key = entries.tobytes()
        if key not in self.made:
            self.made[key] = self.table(entries)
        return code.entry(self.made[key], place)


def lookup(total: Sum) -> Lookup | None:
    """The table that a sum is an entry of, where it is nothing else, times a factor and with a constant that
    are the same for all elements."""
    if len(total.terms) != 1 or total.constant.size != 1:
        return None
    ((term, factor),) = total.terms
    return term if isinstance(term, Lookup) and factor.size == 1 else None
