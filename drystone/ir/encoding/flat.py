"""Tensors held as matrices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.parts import Encoding, Held, Parts, Search


@dataclass(frozen=True)
class Flat(Encoding):
    """A tensor as a matrix that `base` holds: its axes in an `order`, the first of which are the rows, and
    all others together the columns. So the channels of a convolution's weight [O, C, *K] that a tap reads are
    neighbours in a matrix [O, taps * C]."""

    base: Encoding  #: of the matrix
    order: tuple[int, ...]  #: the axes, those of the columns from the second on

    def matrix(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape of the matrix."""
        rows, *columns = (shape[axis] for axis in self.order)
        return rows, prod(columns)

    def joined(self, array: Array) -> Array:
        """The matrix of an array."""
        return np.ascontiguousarray(array.transpose(self.order)).reshape(self.matrix(array.shape))

    def parted(self, matrix: Array, shape: Sequence[int]) -> Array:
        """The array of this shape that `joined` makes a matrix of."""
        turned = matrix.reshape([shape[axis] for axis in self.order])
        return turned.transpose([self.order.index(axis) for axis in range(len(shape))])

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Those of the matrix."""
        return self.base.parts(self.matrix(shape))

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The matrix."""
        return self.base.encode(self.joined(numbers), given, search)

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The matrix, its axes in their own order."""
        return self.parted(self.base.decode(parts, self.matrix(shape)), shape)

    def settled(self, numbers: Array) -> "Flat":
        """For the numbers of the matrix."""
        return replace(self, base=self.base.settled(self.joined(numbers)))

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if len(shape) < 2 or sorted(self.order) != list(range(len(shape))):
            yield f"axes in the order {list(self.order)} of a tensor of rank {len(shape)}"
        else:
            yield from self.base.problems(self.matrix(shape))


def by_taps(base: Encoding, rank: int) -> Flat:
    """A convolution's weight [O, C, *K] of this rank as the matrix [O, taps * C]."""
    return Flat(base, (0, *range(2, rank), 1))
