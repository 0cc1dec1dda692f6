"""Codes whose scales are settled: the numbers that each element can become."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code
from drystone.ir.encoding.codebook import Learned
from drystone.ir.encoding.parts import Parts, take
from drystone.ir.encoding.scaled import Codes


@dataclass(frozen=True)
class Settled:
    """An element at (n, k) of a matrix is factor[n, k] times a number of its code, less shift[n, k]: what
    methods of rounding choose from, one column after the other."""

    codes: Sequence[Code]
    #: Which of the codes each element has, int [n, k]; None where there is one.
    which: Array | None
    factor: Array
    shift: Array

    @staticmethod
    def of(encoding: Codes, parts: Parts, shape: Sequence[int]) -> "Settled":
        """From the parts of a matrix, of which the codes do not count."""
        scale, extents = encoding.scale, tuple(shape)
        factor, shift, which = np.ones(extents), np.zeros(extents), None
        if scale is not None:
            factor = np.broadcast_to(scale.values("scale", parts, extents), extents)
            if scale.zero_point is not None:
                shift = factor * scale.values("zero_point", parts, extents)
            elif scale.minimum is not None:
                shift = np.broadcast_to(scale.values("minimum", parts, extents), extents)
            if encoding.selector is not None:
                chosen = encoding.selector.decode(take("selector", parts), scale.per.shape(extents))
                which = np.broadcast_to(scale.per.spread(chosen.astype(np.int64), extents), extents)
        codes = encoding.tables()
        if isinstance(encoding.element, Learned):
            codes, which = encoding.element.settled(parts, extents)
        return Settled(codes, which, factor, shift)

    def turned(self, order: Array | slice = slice(None)) -> "Turned":
        """With columns along rows, in this order."""
        which = None if self.which is None else np.ascontiguousarray(self.which.T[order])
        factor, shift = (np.ascontiguousarray(each.T[order]) for each in (self.factor, self.shift))
        return Turned(self.codes, which, factor, shift)

    def nearest(self, numbers: Array) -> Array:
        """The nearest numbers that are held to real ones [n, k]."""
        return _nearest(self.codes, self.which, self.factor, self.shift, numbers)


@dataclass(frozen=True)
class Turned:
    """`Settled` with arrays [k, n]: what belongs to a column lies in one piece."""

    codes: Sequence[Code]
    which: Array | None
    factor: Array
    shift: Array

    def nearest(self, numbers: Array, column: int) -> Array:
        """The nearest numbers that are held to real ones [n] of a column."""
        which = None if self.which is None else self.which[column]
        return _nearest(self.codes, which, self.factor[column], self.shift[column], numbers)


def _nearest(
    codes: Sequence[Code], which: Array | None, factor: Array, shift: Array, numbers: Array
) -> Array:
    whole = numbers + shift
    if factor.all():
        whole /= factor
    else:
        whole = np.divide(whole, factor, out=np.zeros(numbers.shape), where=factor != 0)
    found = codes[0].decode(codes[0].encode(whole))
    for number, code in enumerate(codes[1:], 1):
        assert which is not None
        found = np.where(which == number, code.decode(code.encode(whole)), found)
    found *= factor
    found -= shift
    return found
