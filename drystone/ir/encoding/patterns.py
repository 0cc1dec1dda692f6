"""Patterns: which elements of a tensor are held where all others are 0.

A pattern has parts that say where what it holds lies, and an array of what it holds. The first axis of a
tensor are the rows of a matrix and all others together its columns, where a pattern speaks of those.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding.parts import BY_RANGE, Held, Parts, Shape, inside, put, take
from drystone.ir.encoding.scaled import Codes


def index_element(extent: int) -> str:
    """The shortest element that numbers `extent` positions."""
    return "i16" if extent <= 2**15 else "i32"


def block_squares(matrix: Array, block: tuple[int, int]) -> Array:
    """The sum of squares of every block of a matrix, [rows of blocks, columns of blocks]; ends are ragged."""
    (rows, columns), (high, wide) = (-(-n // b) for n, b in zip(matrix.shape, block, strict=True)), block
    missing = rows * high - matrix.shape[0], columns * wide - matrix.shape[1]
    padded = np.pad(np.square(matrix), [(0, n) for n in missing])
    return np.asarray(padded.reshape(rows, high, columns, wide).sum((1, 3)))


class Pattern(ABC):
    """Which elements are held."""

    @abstractmethod
    def kept(self, shape: Sequence[int]) -> Shape:
        """The shape of the array of what is held of a tensor."""

    @abstractmethod
    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Shape and element of the parts that say where it lies."""

    @abstractmethod
    def find(self, numbers: Array) -> Parts:
        """Those parts for the elements that leave the least sum of squares out; of equal ones the first."""

    @abstractmethod
    def places(self, parts: Parts, shape: Sequence[int]) -> Array:
        """Where each element that is held lies in row-major order, int64 in the shape of what is held; -1
        for what lies outside the tensor."""

    @abstractmethod
    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""

    def settled(self, numbers: Array) -> "Pattern":
        """The pattern that holds all numbers that are not 0, where how many it holds is free."""
        return self


@dataclass(frozen=True)
class Structured(Pattern):
    """N:M: of every `of` neighbours along an axis `kept_of` (Mishra et al. 2021, section 3). Part "index" has
    the place of each in its group, ascending; what is held has them one group after the other along the
    axis, [.., kept_of ceil(n / of), ..]."""

    axis: int  #: the axis that the groups are along
    kept_of: int  #: elements of a group that are held
    of: int  #: elements of a group
    held: Codes | None = None  #: what places in a group are held in; without: as few bits as number them

    @property
    def places_held(self) -> Codes:
        """What places in a group are held in."""
        return self.held or Codes(f"uint{max(1, (self.of - 1).bit_length())}")

    def kept(self, shape: Sequence[int]) -> Shape:
        """The groups side by side."""
        groups = -(-shape[self.axis] // self.of)
        return tuple(groups * self.kept_of if d == self.axis else n for d, n in enumerate(shape))

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """A few bits for each element."""
        return inside("index", self.places_held.parts(self.kept(shape)))

    def find(self, numbers: Array) -> Parts:
        """The largest of every group."""
        turned = np.abs(np.moveaxis(numbers, self.axis, -1))
        missing = -turned.shape[-1] % self.of
        # Places beyond the end are taken only where there are no others.
        turned = np.pad(turned, [*[(0, 0)] * (turned.ndim - 1), (0, missing)], constant_values=-1)
        groups = turned.reshape(*turned.shape[:-1], -1, self.of)
        index = np.sort(np.argsort(-groups, axis=-1, kind="stable")[..., : self.kept_of], axis=-1)
        index = np.moveaxis(index.reshape(*turned.shape[:-1], -1), -1, self.axis)
        return put("index", self.places_held.encode(index.astype(np.float64), {}, BY_RANGE))

    def places(self, parts: Parts, shape: Sequence[int]) -> Array:
        """Group and place in it."""
        kept = self.kept(shape)
        at = [
            np.arange(n).reshape([-1 if e == d else 1 for e in range(len(kept))]) for d, n in enumerate(kept)
        ]
        index = self.places_held.decode(take("index", parts), kept).astype(np.int64)
        at[self.axis] = at[self.axis] // self.kept_of * self.of + index
        inside = np.broadcast_to(at[self.axis] < shape[self.axis], kept)
        return np.where(inside, np.ravel_multi_index(np.broadcast_arrays(*at), tuple(shape), mode="clip"), -1)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 0 <= self.axis < len(shape):
            yield f"groups along axis {self.axis} of rank {len(shape)}"
        elif not 1 <= self.kept_of <= self.of <= 256 or self.of < 2:
            yield f"{self.kept_of} of every {self.of} elements"
        elif self.places_held.code.low != 0 or self.places_held.code.high < self.of - 1:
            yield f"places in groups of {self.of} held as {self.places_held.code.name}"
        else:
            yield from (f"places: {p}" for p in self.places_held.problems(self.kept(shape)))


@dataclass(frozen=True)
class Compressed(Pattern):
    """`count` elements, or blocks of them, of a matrix, listed row by row of blocks (`axis` 0: CSR and BSR)
    or column by column (1: CSC and BSC). Part "index" has the column (row) of blocks of each, ascending, and
    "starts" where each row (column) begins in the list, and its end. In strips, which stay in a cache, all
    rows of the first `strip` columns are listed, then all of the next ones (cache blocking: Nishtala et al.
    2007); "starts" has the rows of one strip after the other, and "index" counts from the strip's first
    column. Of blocks what is held is [count, *block], with zeros beyond ragged ends."""

    count: int  #: elements or blocks that are held
    block: tuple[int, int] = (1, 1)  #: rows and columns of a block
    axis: int = 0  #: what is listed one after the other: rows (0) or columns (1)
    strip: int = 0  #: columns (rows) of blocks of a strip; 0: all

    def _blocks(self, shape: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return -(-shape[0] // self.block[0]), -(-prod(shape[1:]) // self.block[1])

    def _lists(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Strips, lists of each, and the longest that a list can be."""
        blocks = self._blocks(shape)
        listed, others = blocks[self.axis], blocks[1 - self.axis]
        longest = self.strip or max(others, 1)
        return max(1, -(-others // longest)), listed, longest

    def kept(self, shape: Sequence[int]) -> Shape:
        """One behind the other."""
        return (self.count,) if self.block == (1, 1) else (self.count, *self.block)

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Index and starts."""
        strips, listed, longest = self._lists(shape)
        return {
            "index": ((self.count,), index_element(longest)),
            "starts": ((strips * listed + 1,), "i32"),
        }

    def _squares(self, numbers: Array) -> Array:
        """The sum of squares of every block, in the order of the list, [lists, longest]; those of the last
        strip that are beyond the end -1."""
        sums = block_squares(numbers.reshape(numbers.shape[0], -1), self.block)
        sums = sums if self.axis == 0 else sums.T
        strips, listed, longest = self._lists(numbers.shape)
        whole = np.pad(sums, [(0, 0), (0, strips * longest - sums.shape[1])], constant_values=-1)
        ordered = whole.reshape(listed, strips, longest).transpose(1, 0, 2)
        return np.asarray(ordered.reshape(strips * listed, longest))

    def find(self, numbers: Array) -> Parts:
        """The largest, in order."""
        squares = self._squares(numbers)
        lists, longest = squares.shape
        places = np.sort(np.argsort(-squares, axis=None, kind="stable")[: self.count])
        held = numpy_dtype(self.parts(numbers.shape)["index"][1])
        starts = np.searchsorted(places, np.arange(lists + 1) * longest).astype(np.int32)
        return {"index": (places % longest).astype(held), "starts": starts}

    def places(self, parts: Parts, shape: Sequence[int]) -> Array:
        """Those of the elements of the blocks."""
        lists = np.repeat(np.arange(len(parts["starts"]) - 1), np.diff(parts["starts"]))
        _, listed, longest = self._lists(shape)
        strip, number = np.divmod(lists, max(listed, 1))
        pair = (number, strip * longest + parts["index"].astype(np.int64))
        down, right = pair if self.axis == 0 else pair[::-1]
        row = down[:, None, None] * self.block[0] + np.arange(self.block[0])[:, None]
        column = right[:, None, None] * self.block[1] + np.arange(self.block[1])
        columns = prod(shape[1:])
        found = np.where((row < shape[0]) & (column < columns), row * columns + column, -1)
        return found.reshape(self.kept(shape))

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not shape or self.axis not in (0, 1) or min(self.block) < 1 or self.strip < 0:
            yield f"lists along axis {self.axis} of blocks {list(self.block)} of a tensor {list(shape)}"
        elif not 0 <= self.count <= prod(self._blocks(shape)):
            yield f"{self.count} blocks {list(self.block)} of {prod(self._blocks(shape))}"

    def settled(self, numbers: Array) -> "Compressed":
        """With all that are not zeros alone."""
        return replace(self, count=int(np.count_nonzero(self._squares(numbers != 0) > 0)))


@dataclass(frozen=True)
class Scattered(Pattern):
    """`count` elements wherever they lie, listed in row-major order."""

    count: int  #: elements that are held

    def kept(self, shape: Sequence[int]) -> Shape:
        """One behind the other."""
        return (self.count,)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 0 <= self.count <= prod(shape):
            yield f"{self.count} of {prod(shape)} elements"

    def settled(self, numbers: Array) -> Self:
        """With all that are not 0."""
        return replace(self, count=int(np.count_nonzero(numbers)))


@dataclass(frozen=True)
class Coordinates(Scattered):
    """`count` elements, listed in row-major order. Part "index", [rank, count], has the place of each along
    every axis (COO)."""

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Index."""
        return {"index": ((len(shape), self.count), index_element(max(shape, default=0)))}

    def find(self, numbers: Array) -> Parts:
        """The largest, in order."""
        held = numpy_dtype(self.parts(numbers.shape)["index"][1])
        return {"index": np.array(np.unravel_index(_largest(numbers, self.count), numbers.shape), held)}

    def places(self, parts: Parts, shape: Sequence[int]) -> Array:
        """Joined coordinates."""
        return np.asarray(np.ravel_multi_index(tuple(parts["index"].astype(np.int64)), tuple(shape)))


@dataclass(frozen=True)
class Bitmap(Scattered):
    """`count` elements, listed in row-major order; part "mask" has a bit for every element of the tensor,
    set for those (SMASH: Kanellopoulos et al. 2019, section 3)."""

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """A bit for every element."""
        return inside("mask", Codes("uint1").parts(shape))

    def find(self, numbers: Array) -> Parts:
        """The largest."""
        mask = np.zeros(numbers.size)
        mask[_largest(numbers, self.count)] = 1
        return put("mask", Codes("uint1").encode(mask.reshape(numbers.shape), {}, BY_RANGE))

    def places(self, parts: Parts, shape: Sequence[int]) -> Array:
        """Where the mask is set."""
        return np.flatnonzero(Codes("uint1").decode(take("mask", parts), shape))


@dataclass(frozen=True)
class Positions(Pattern):
    """`count` positions along an axis with all their elements: channels, heads. Part "index" numbers them,
    ascending."""

    axis: int  #: the axis the positions are along
    count: int  #: how many are held

    def kept(self, shape: Sequence[int]) -> Shape:
        """The positions side by side."""
        return tuple(self.count if d == self.axis else n for d, n in enumerate(shape))

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Index."""
        return {"index": ((self.count,), index_element(shape[self.axis]))}

    def _squares(self, numbers: Array) -> Array:
        return np.asarray(np.square(numbers).sum(tuple(d for d in range(numbers.ndim) if d != self.axis)))

    def find(self, numbers: Array) -> Parts:
        """The largest, in order."""
        held = numpy_dtype(self.parts(numbers.shape)["index"][1])
        return {"index": _largest(np.sqrt(self._squares(numbers)), self.count).astype(held)}

    def places(self, parts: Parts, shape: Sequence[int]) -> Array:
        """All elements of the positions."""
        whole = np.arange(prod(shape)).reshape(tuple(shape))
        return whole.take(parts["index"].astype(np.int64), self.axis)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 0 <= self.axis < len(shape):
            yield f"positions along axis {self.axis} of rank {len(shape)}"
        elif not 0 <= self.count <= shape[self.axis]:
            yield f"{self.count} positions along an axis of {shape[self.axis]}"

    def settled(self, numbers: Array) -> "Positions":
        """With all that have an element that is not 0."""
        return replace(self, count=int(np.count_nonzero(self._squares(numbers != 0))))


def _largest(numbers: Array, count: int) -> Array:
    """The places, ascending, of so many elements of the largest magnitude in row-major order."""
    return np.sort(np.argsort(-np.abs(numbers), axis=None, kind="stable")[:count])
