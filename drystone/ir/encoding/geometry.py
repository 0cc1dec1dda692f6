"""Which elements share something: a scale, a zero point, a codebook."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array


@dataclass(frozen=True)
class Per:
    """Blocks of `sizes[i]` positions along `axes[i]` (0: all of them; ends are ragged); other axes are in one
    block as a "whole", or have one block for "each" position."""

    axes: tuple[int, ...] = ()  #: the axes whose blocks have a size
    sizes: tuple[int, ...] = ()  #: positions of a block along each of them; 0: all
    rest: str = "whole"  #: a block of the other axes: "whole", or "each" position its own

    @staticmethod
    def tensor() -> "Per":
        """One for all elements."""
        return Per()

    @staticmethod
    def axis(axis: int) -> "Per":
        """One for each position along an axis."""
        return Per((axis,), (1,))

    @staticmethod
    def group(axis: int, size: int) -> "Per":
        """One for every `size` elements along an axis."""
        return Per((axis,), (size,), "each")

    @staticmethod
    def row(axis: int) -> "Per":
        """One for all elements along an axis: for a token, or an output channel."""
        return Per((axis,), (0,), "each")

    @staticmethod
    def block(sizes: Sequence[int]) -> "Per":
        """One for each block of a size along every axis."""
        return Per(tuple(range(len(sizes))), tuple(sizes), "each")

    def all_sizes(self, rank: int) -> list[int]:
        """The size of a block along every axis; 0: all."""
        given = dict(zip(self.axes, self.sizes, strict=True))
        return [given.get(d, 0 if self.rest == "whole" else 1) for d in range(rank)]

    def kept(self, shape: Sequence[int]) -> tuple[int, ...]:
        """How many blocks lie along every axis."""
        sizes = self.all_sizes(len(shape))
        return tuple(-(-n // size) if size else 1 for n, size in zip(shape, sizes, strict=True))

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of one value per block of a tensor: axes in one block as a whole are left out."""
        sizes = self.all_sizes(len(shape))
        return tuple(n for n, size in zip(self.kept(shape), sizes, strict=True) if size)

    def spread(self, values: Array, shape: Sequence[int]) -> Array:
        """One value per block, in a shape that broadcasts against the tensor's."""
        out = values.reshape(self.kept(shape))
        for d, (n, size) in enumerate(zip(shape, self.all_sizes(len(shape)), strict=True)):
            if size > 1:
                out = np.repeat(out, size, d)
                out = out if out.shape[d] == n else out.take(range(n), d)
        return out

    def split(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape with two axes, of blocks and of the positions in one, for each whose blocks have a size;
        as it is where an end is ragged."""
        sizes = self.all_sizes(len(shape))
        if any(size > 1 and n % size for n, size in zip(shape, sizes, strict=True)):
            return tuple(shape)
        pairs = ((n // size, size) if size > 1 else (n,) for n, size in zip(shape, sizes, strict=True))
        return tuple(extent for pair in pairs for extent in pair)

    def beside(self, values: Array, shape: Sequence[int]) -> Array:
        """One value per block, in a shape that broadcasts against `split`: nothing is repeated but at ragged
        ends."""
        if self.split(shape) == tuple(shape):
            return self.spread(values, shape)
        sizes = self.all_sizes(len(shape))
        pairs = ((n, 1) if size > 1 else (n,) for n, size in zip(self.kept(shape), sizes, strict=True))
        return values.reshape([extent for pair in pairs for extent in pair])

    def reduce(self, function: Any, array: Array) -> Array:
        """`function` (np.maximum, np.minimum, np.add) over each block; 0 where a block has no elements."""
        shape, out = array.shape, array
        if array.size == 0:
            return np.zeros(self.shape(shape), array.dtype)
        for d, size in enumerate(self.all_sizes(array.ndim)):
            if size == 0 or size >= shape[d]:
                out = function.reduce(out, axis=d, keepdims=True)
            elif size > 1 and shape[d] % size == 0:
                split = out.reshape(*out.shape[:d], -1, size, *out.shape[d + 1 :])
                out = function.reduce(split, axis=d + 1)
            elif size > 1:
                out = function.reduceat(out, range(0, shape[d], size), axis=d)
        return np.asarray(out).reshape(self.shape(shape))

    def problems(self, rank: int) -> Iterator[str]:
        """What cannot be for a tensor of this rank."""
        if self.rest not in ("whole", "each"):
            yield f"blocks of other axes are {self.rest}, neither whole nor each"
        if len(self.sizes) != len(self.axes) or min(self.sizes, default=0) < 0:
            yield f"blocks of {self.sizes} positions along axes {self.axes}"
        if len(set(self.axes)) != len(self.axes) or not all(0 <= axis < rank for axis in self.axes):
            yield f"blocks along axes {self.axes} of rank {rank}"
