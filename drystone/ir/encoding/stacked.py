"""Matrices of one shape, one behind the other, held as a single one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.parts import Encoding, Held, Parts, Search


@dataclass(frozen=True)
class Stacked(Encoding):
    """A tensor of matrices, [count, rows, columns], as one of `count * rows` rows that `base` holds; with
    `axis` 1 the matrices are turned, and it has their columns one behind the other."""

    base: Encoding  #: of the matrix
    axis: int  #: of a matrix: what lies one behind the other, rows (0) or columns (1)

    def matrix(self, shape: Sequence[int]) -> tuple[int, int]:
        """The shape of the single matrix."""
        return shape[0] * shape[1 + self.axis], shape[2 - self.axis]

    def joined(self, array: Array) -> Array:
        """Something in the shape of the tensor, or with fewer of each matrix, as of the single one."""
        turned = array if self.axis == 0 else array.swapaxes(1, 2)
        return np.ascontiguousarray(turned).reshape(-1, turned.shape[2])

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Those of the matrix."""
        return self.base.parts(self.matrix(shape))

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The matrix."""
        return self.base.encode(self.joined(numbers), given, search)

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The matrix, cut and turned back."""
        rows, columns = shape[1 + self.axis], shape[2 - self.axis]
        cut = self.base.decode(parts, self.matrix(shape)).reshape(shape[0], rows, columns)
        return cut if self.axis == 0 else cut.swapaxes(1, 2)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if len(shape) != 3 or self.axis not in (0, 1):
            yield f"matrices along axis {self.axis} of a tensor of rank {len(shape)}"
        else:
            yield from self.base.problems(self.matrix(shape))
