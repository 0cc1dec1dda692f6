"""Codes whose scales are settled: the numbers that each element can become."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code
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
        return Settled(encoding.tables(), which, factor, shift)

    def codes_of(self, numbers: Array, columns: int | slice) -> Array:
        """The numbers of the nearest codes to real numbers of some columns, before they are scaled."""
        factor, shift = self.factor[:, columns], self.shift[:, columns]
        whole = np.divide(numbers + shift, factor, out=np.zeros(numbers.shape), where=factor != 0)
        if self.which is None:
            return self.codes[0].decode(self.codes[0].encode(whole))
        which, found = self.which[:, columns], np.zeros(numbers.shape)
        for number, code in enumerate(self.codes):
            found = np.where(which == number, code.decode(code.encode(whole)), found)
        return found

    def nearest(self, numbers: Array, columns: int | slice) -> Array:
        """The nearest numbers that are held to real numbers of some columns."""
        return self.codes_of(numbers, columns) * self.factor[:, columns] - self.shift[:, columns]
