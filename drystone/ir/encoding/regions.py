"""Tensors of which some elements are held otherwise than others: outliers, and ranges along an axis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.parts import Encoding, Held, Parts, Search, all_inside, inside, put, take
from drystone.ir.encoding.patterns import index_element
from drystone.ir.encoding.terms import named


def columns_beyond(array: Array, threshold: float, axis: int) -> int:
    """How many positions along an axis have an element of this magnitude, or of a larger one."""
    others = tuple(d for d in range(array.ndim) if d != axis)
    return int((np.abs(array).max(axis=others, initial=0) >= threshold).sum())


def elements_beyond(array: Array, threshold: float) -> int:
    """How many elements have this magnitude, or a larger one."""
    return int((np.abs(array) >= threshold).sum())


@dataclass(frozen=True)
class OutlierColumns(Encoding):
    """The `count` positions along `axis` with the largest elements are kept apart: `kept` holds what `base`,
    made as if they were 0, lacks (LLM.int8(): Dettmers et al. 2022, section 3.2; `columns_beyond` a
    threshold). The part "index" numbers them, ascending."""

    base: Encoding  #: of the tensor, with zeros at the positions
    kept: Encoding  #: of the positions: an array with `count` along `axis`
    axis: int  #: the axis the positions are along
    count: int  #: how many they are

    def _kept_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.count if d == self.axis else n for d, n in enumerate(shape))

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Base, kept, index."""
        index = {"index": ((self.count,), index_element(shape[self.axis]))}
        return (
            inside("base", self.base.parts(shape))
            | inside("kept", self.kept.parts(self._kept_shape(shape)))
            | index
        )

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The base without the positions, then what it lacks there."""
        others = tuple(d for d in range(numbers.ndim) if d != self.axis)
        largest = np.abs(numbers).max(axis=others, initial=0)
        index = np.sort(np.argsort(-largest, kind="stable")[: self.count])
        index = given.get("index", index.astype(self.parts(numbers.shape)["index"][1].replace("i", "int")))
        at = (slice(None),) * self.axis + (index.astype(np.int64),)
        rest = numbers.copy()
        rest[at] = 0
        base = self.base.encode(rest, take("base", given), search)
        lacking = numbers[at] - self.base.decode(base, numbers.shape)[at]
        kept = self.kept.encode(lacking, take("kept", given), search)
        return put("base", base) | put("kept", kept) | {"index": index}

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The base, and what is kept added to it."""
        out = self.base.decode(take("base", parts), shape).copy()
        at = (slice(None),) * self.axis + (parts["index"].astype(np.int64),)
        out[at] += self.kept.decode(take("kept", parts), self._kept_shape(shape))
        return out

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 0 <= self.axis < len(shape):
            yield f"outliers along axis {self.axis} of rank {len(shape)}"
        elif not 0 <= self.count <= shape[self.axis]:
            yield f"{self.count} outliers along an axis of {shape[self.axis]}"
        else:
            yield from self.base.problems(shape)
            yield from (f"outliers: {problem}" for problem in self.kept.problems(self._kept_shape(shape)))


@dataclass(frozen=True)
class OutlierElements(Encoding):
    """The `count` elements of the largest magnitude are kept apart, as the compressed rows of a sparse matrix
    whose columns are the last axis: `kept` holds what `base`, made as if they were 0, lacks (SpQR: Dettmers
    et al. 2023, section 4; `elements_beyond` a threshold). Part "index" has the column of each, part "starts"
    where each row begins, and their end."""

    base: Encoding  #: of the tensor, with zeros at the elements
    kept: Encoding  #: of the elements: an array [count]
    count: int  #: how many they are

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Base, kept, index, starts."""
        own = {
            "index": ((self.count,), index_element(shape[-1])),
            "starts": ((prod(shape[:-1]) + 1,), "i32"),
        }
        return inside("base", self.base.parts(shape)) | inside("kept", self.kept.parts((self.count,))) | own

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The base without the elements, then what it lacks there."""
        flat, columns = numbers.ravel(), max(numbers.shape[-1], 1)
        places = np.sort(np.argsort(-np.abs(flat), kind="stable")[: self.count])
        if "index" in given:
            places = self._places(given, numbers.shape)
        rest = flat.copy()
        rest[places] = 0
        base = self.base.encode(rest.reshape(numbers.shape), take("base", given), search)
        lacking = flat[places] - self.base.decode(base, numbers.shape).ravel()[places]
        kept = self.kept.encode(lacking, take("kept", given), search)
        index = (places % columns).astype(self.parts(numbers.shape)["index"][1].replace("i", "int"))
        starts = np.searchsorted(places, np.arange(len(flat) // columns + 1) * columns).astype(np.int32)
        return put("base", base) | put("kept", kept) | {"index": index, "starts": starts}

    def _places(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The places of the elements in row-major order."""
        rows = np.repeat(np.arange(prod(shape[:-1])), np.diff(parts["starts"]))
        return rows * shape[-1] + parts["index"].astype(np.int64)

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The base, and what is kept added to it."""
        out = self.base.decode(take("base", parts), shape).ravel().copy()
        out[self._places(parts, shape)] += self.kept.decode(take("kept", parts), (self.count,))
        return out.reshape(tuple(shape))

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not shape:
            yield "outliers of a scalar"
        elif not 0 <= self.count <= prod(shape):
            yield f"{self.count} outliers of {prod(shape)} elements"
        else:
            yield from self.base.problems(shape)
            yield from (f"outliers: {problem}" for problem in self.kept.problems((self.count,)))


@dataclass(frozen=True)
class Mixed(Encoding):
    """Ranges of positions along an axis, one after another, each in an encoding of its own."""

    axis: int  #: the axis the ranges are along
    sizes: tuple[int, ...]  #: positions of each range
    ranges: tuple[Encoding, ...]  #: of each range, as a tensor of its own

    def _children(self, shape: Sequence[int]) -> Iterator[tuple[str, Encoding, tuple[int, ...]]]:
        for (name, child), size in zip(named(self.ranges), self.sizes, strict=True):
            yield name, child, tuple(size if d == self.axis else n for d, n in enumerate(shape))

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Those of the ranges."""
        return all_inside(self._children(shape))

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """Range by range."""
        found: Parts = {}
        cut = np.split(numbers, np.cumsum(self.sizes)[:-1], self.axis)
        for (name, child), part in zip(named(self.ranges), cut, strict=True):
            found |= put(name, child.encode(part, take(name, given), search))
        return found

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The ranges side by side."""
        children = self._children(shape)
        return np.concatenate([c.decode(take(n, parts), extents) for n, c, extents in children], self.axis)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 0 <= self.axis < len(shape):
            yield f"ranges along axis {self.axis} of rank {len(shape)}"
        elif len(self.sizes) != len(self.ranges) or not self.sizes or min(self.sizes) < 0:
            yield f"ranges of {self.sizes} positions in {len(self.ranges)} encodings"
        elif sum(self.sizes) != shape[self.axis]:
            yield f"ranges of {self.sizes} positions along an axis of {shape[self.axis]}"
        else:
            for name, child, extents in self._children(shape):
                yield from (f"range {name}: {problem}" for problem in child.problems(extents))
