"""How scales, zero points and minima are chosen for numbers: by range, or by a search over candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code, Integers
from drystone.ir.encoding.parts import BY_RANGE, Parts, Search, put, take

if TYPE_CHECKING:
    from drystone.ir.encoding.scaled import Scale

#: Numbers that are searched through at a time, and the largest multiple of the scale that the range asks for
#: of integers.
_PIECE, _LARGEST = 2**15, 1.1


def fit(
    scale: "Scale",
    numbers: Array,
    codes: Sequence[Code],
    given: Parts,
    search: Search,
    selected: Array | None = None,
) -> tuple[Parts, Array]:
    """The parts of the scales of numbers, and which of `codes` each block has: that of `selected`, or the one
    that leaves the least squared error."""
    blocks = _Blocks(scale, numbers, given)
    best = blocks.by_range(codes[0])
    parts = blocks.stored(best, codes[0], {})
    chosen = np.zeros(scale.per.shape(numbers.shape), np.int64)
    if scale.children().keys() <= given.keys():
        search = BY_RANGE
    if len(codes) == 1 and search == BY_RANGE:
        return parts, chosen
    outer = {name: part for name, part in parts.items() if name not in scale.children()}
    pieces = [
        _searched(
            _Blocks(scale, numbers[rows], _of_rows(given, rows)),
            codes,
            search,
            _of_rows(outer, rows),
            None if selected is None else selected[rows],
        )
        for rows in _pieces(scale, numbers.shape, given)
    ]
    best = _Wanted.joined([wanted for wanted, _ in pieces])
    # A zero point follows from the scale and the code, and of several codes none has one.
    return blocks.stored(best, codes[0], outer), _joined([which for _, which in pieces])


def _pieces(scale: "Scale", shape: Sequence[int], given: Parts) -> list[Any]:
    """Ranges of rows whose blocks can be searched on their own, so that they stay in the cache; all at once
    where blocks, or what their scales share, go across rows or are given."""
    settled = any(name.partition(".")[0] in scale.children() for name in given)
    across = any(child.across(scale.per.shape(shape)) for child in scale.children().values())
    if len(shape) != 2 or scale.per.all_sizes(2)[0] != 1 or settled or across:
        return [...]
    rows = max(1, _PIECE // max(shape[1], 1))
    return [slice(first, first + rows) for first in range(0, shape[0], rows)] or [...]


def _of_rows(parts: Parts, rows: Any) -> Parts:
    """What belongs to some rows; that of a whole tensor belongs to all."""
    return {name: part[rows] if part.ndim else part for name, part in parts.items()}


def _joined(pieces: Sequence[Array]) -> Array:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _searched(
    blocks: "_Blocks", codes: Sequence[Code], search: Search, outer: Parts, selected: Array | None
) -> tuple["_Wanted", Array]:
    """What leaves the least squared error of the candidates there are, and the code of each block."""
    scale, numbers, best = blocks.scale, blocks.numbers, blocks.by_range(codes[0])
    chosen = np.zeros(scale.per.shape(numbers.shape), np.int64)
    least = np.full(chosen.shape, np.inf)
    for number, code in enumerate(codes):
        start = blocks.by_range(code)
        for factor in _factors(search, code):
            wanted = start.times(factor)
            for last in range(search.refits, -1, -1):
                held = scale.numbers(blocks.stored(wanted, code, outer), numbers.shape)
                found = code.decode(code.encode(scale.divide(numbers, held)))
                error = scale.per.reduce(np.add, np.square(scale.multiply(found.copy(), held) - numbers))
                better = error < least if selected is None else (error < least) & (selected == number)
                least, chosen = np.where(better, error, least), np.where(better, number, chosen)
                best = wanted.where(better, best)
                if last:
                    wanted = blocks.least_squares(wanted, found, held)
    return best, chosen


def _factors(search: Search, code: Code) -> Sequence[float]:
    """Multiples of a scale; also negative ones where a code reaches farther on one side, and larger ones
    where the start is the mean, which a few large numbers leave far behind. Of equal steps larger ones than
    the range asks for leave codes unused."""
    if search == BY_RANGE:
        return search.factors
    if code.mean:
        return (*search.factors, *(4 * factor for factor in search.factors))
    factors = search.factors
    if isinstance(code, Integers):
        factors = tuple(factor for factor in factors if factor <= _LARGEST) or factors
    if code.low < 0 and code.low != -code.high:
        return (*factors, *(-factor for factor in factors))
    return factors


@dataclass(frozen=True)
class _Wanted:
    """What is wanted of each block before it is held: its scale, the smallest number (of which the zero point
    follows) and the minimum."""

    scale: Array
    low: Array
    minimum: Array

    @staticmethod
    def joined(pieces: Sequence["_Wanted"]) -> "_Wanted":
        """Of several ranges of rows."""
        return _Wanted(*(_joined([getattr(p, f.name) for p in pieces]) for f in fields(_Wanted)))

    def where(self, better: Array, other: "_Wanted") -> "_Wanted":
        """This one where `better`, the other elsewhere."""
        return _Wanted(
            np.where(better, self.scale, other.scale),
            np.where(better, self.low, other.low),
            np.where(better, self.minimum, other.minimum),
        )

    def times(self, factor: float) -> "_Wanted":
        """The same with other scales."""
        return replace(self, scale=self.scale * factor, low=self.low * factor)


@dataclass(frozen=True)
class _Blocks:
    """The numbers that share scales."""

    scale: "Scale"
    numbers: Array
    given: Parts

    @cached_property
    def count(self) -> Array:
        """How many numbers each block has."""
        return self.scale.per.reduce(np.add, np.ones(self.numbers.shape))

    @cached_property
    def sums(self) -> Array:
        """The sum of each block."""
        return self.scale.per.reduce(np.add, self.numbers)

    def by_range(self, code: Code) -> _Wanted:
        """What the range of each block asks for."""
        numbers, per = self.numbers, self.scale.per
        zero = np.zeros(per.shape(numbers.shape))
        if code.mean:
            return _Wanted(per.reduce(np.add, np.abs(numbers)) / np.maximum(self.count, 1), zero, zero)
        low, high = per.reduce(np.minimum, numbers), per.reduce(np.maximum, numbers)
        minimum = self.scale.minimum
        if minimum is None or not minimum.signed:
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        if minimum is not None:
            step = (high - low) / (code.high - code.low)
            return _Wanted(step, low, code.low * step - low)
        held = self.scale.held
        if self.scale.zero_point is not None:
            return _Wanted(held.at_least((high - low) / (code.high - code.low)), low, zero)
        largest = high if code.low >= 0 else np.maximum(high, -low)
        if held.powers:
            return _Wanted(_power_below(largest) / _power_below(np.array(code.high)), low, zero)
        top = code.high if isinstance(code, Integers) else max(code.high, -code.low)
        return _Wanted(held.at_least(largest / top), low, zero)

    def stored(self, wanted: _Wanted, code: Code, outer: Parts) -> Parts:
        """The parts that hold what is wanted, with what is given and the outer scales."""
        settled = outer | self.given
        found: Parts = {}
        shape = self.scale.per.shape(self.numbers.shape)
        for name, child in self.scale.children().items():
            numbers = wanted.minimum if name == "minimum" else wanted.scale
            if name == "zero_point":
                step = self.scale.held.decode(take("scale", found), shape)
                ratio = np.divide(wanted.low, step, out=np.zeros(shape), where=step != 0)
                numbers = np.clip(np.rint(code.low - ratio), code.low, code.high)
            found |= put(name, child.encode(numbers, take(name, settled), BY_RANGE))
        return found

    def least_squares(self, wanted: _Wanted, codes: Array, held: Mapping[str, Array]) -> _Wanted:
        """The scales, and minima, that leave the least squared error for the numbers that codes stand for.
        held: the scales that led to them."""
        per, x = self.scale.per, self.numbers
        if self.scale.zero_point is not None:
            codes = (codes.reshape(per.split(x.shape)) - held["zero_point"]).reshape(x.shape)
        squares, products = per.reduce(np.add, codes * codes), per.reduce(np.add, x * codes)
        if self.scale.minimum is None:
            step = np.divide(products, squares, out=np.array(wanted.scale), where=squares > 0)
            ratio = np.divide(step, wanted.scale, out=np.ones(step.shape), where=wanted.scale != 0)
            return replace(wanted, scale=step, low=wanted.low * ratio)
        count, sums, sum_of_codes = self.count, self.sums, per.reduce(np.add, codes)
        spread = count * squares - sum_of_codes**2
        step = np.divide(
            count * products - sums * sum_of_codes, spread, out=np.array(wanted.scale), where=spread > 0
        )
        minimum = (step * sum_of_codes - sums) / count
        if not self.scale.minimum.signed:
            alone = np.divide(products, squares, out=np.array(wanted.scale), where=squares > 0)
            step, minimum = np.where(minimum < 0, alone, step), np.maximum(minimum, 0)
        return replace(wanted, scale=step, minimum=minimum)


def _power_below(numbers: Array) -> Array:
    """The largest power of two that is not above a number; 0 for 0."""
    fraction, power = np.frexp(numbers)
    return np.where(fraction == 0, 0.0, np.ldexp(1.0, power - 1))
