"""Exact rewrites: tensors held in other coordinates, so that their numbers are easier to hold. Decoding gives
the original ones; a pass may instead give what a tensor is multiplied with the same coordinates."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.parts import BY_RANGE, Encoding, Held, Parts, Search, inside, put, take
from drystone.ir.encoding.patterns import index_element


@dataclass(frozen=True)
class Moved(Encoding):
    """A tensor whose positions along an axis are changed linearly before `base` holds it."""

    base: Encoding  #: of the changed tensor
    axis: int  #: the axis along which it is changed

    @abstractmethod
    def own(self, extent: int) -> dict[str, Held]:
        """The parts that say how, for an axis of this extent."""

    @abstractmethod
    def choose(self, numbers: Array) -> Parts:
        """Those parts, for numbers whose first axis is the one."""

    @abstractmethod
    def change(self, numbers: Array, parts: Parts) -> Array:
        """The changed numbers; the first axis is the one."""

    @abstractmethod
    def restore(self, numbers: Array, parts: Parts) -> Array:
        """The numbers that `change` changed."""

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """The base, and how its coordinates are others."""
        return inside("base", self.base.parts(shape)) | self.own(shape[self.axis])

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The changed numbers in the base; how they are changed is chosen where it is not given."""
        first = np.moveaxis(numbers, self.axis, 0)
        names = self.own(len(first))
        settled = {name: part for name, part in given.items() if name in names}
        own = settled if len(settled) == len(names) else self.choose(first)
        changed = np.moveaxis(self.change(first, own), 0, self.axis)
        return put("base", self.base.encode(changed, take("base", given), search)) | own

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The original numbers."""
        changed = np.moveaxis(self.base.decode(take("base", parts), shape), self.axis, 0)
        return np.moveaxis(self.restore(changed, parts), 0, self.axis)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 0 <= self.axis < len(shape):
            yield f"coordinates along axis {self.axis} of rank {len(shape)}"
        else:
            yield from self.base.problems(shape)


@dataclass(frozen=True)
class Permuted(Moved):
    """Position j of the base is position order[j] of the tensor, part "order"; by norm, ascending, where it
    is not given, so that equals share their groups (sorted channels: Trukhanov and Soloveychik 2024)."""

    def own(self, extent: int) -> dict[str, Held]:
        """The order."""
        return {"order": ((extent,), index_element(extent))}

    def choose(self, numbers: Array) -> Parts:
        """By norm."""
        norms = np.square(numbers).sum(axis=tuple(range(1, numbers.ndim)))
        element = index_element(len(numbers)).replace("i", "int")
        return {"order": np.argsort(norms, kind="stable").astype(element)}

    def change(self, numbers: Array, parts: Parts) -> Array:
        """In the new order."""
        return numbers[parts["order"].astype(np.int64)]

    def restore(self, numbers: Array, parts: Parts) -> Array:
        """In the old order."""
        return numbers[np.argsort(parts["order"])]


@dataclass(frozen=True)
class Diagonal(Moved):
    """The base holds the tensor times a number for every position, part "diagonal" (SmoothQuant: Xiao et al.
    2023; AWQ: Lin et al. 2023). Where it is not given every position gets the same range."""

    held: Encoding  #: of the diagonal: an array of the axis' extent

    def own(self, extent: int) -> dict[str, Held]:
        """The diagonal."""
        return inside("diagonal", self.held.parts((extent,)))

    def choose(self, numbers: Array) -> Parts:
        """What makes all ranges the largest one."""
        largest = np.abs(numbers).max(axis=tuple(range(1, numbers.ndim)), initial=0)
        wanted = np.divide(largest.max(initial=0), largest, out=np.ones(len(largest)), where=largest > 0)
        return put("diagonal", self.held.encode(wanted, {}, BY_RANGE))

    def _diagonal(self, numbers: Array, parts: Parts) -> Array:
        diagonal = self.held.decode(take("diagonal", parts), (len(numbers),))
        return diagonal.reshape(-1, *[1] * (numbers.ndim - 1))

    def change(self, numbers: Array, parts: Parts) -> Array:
        """Times the diagonal."""
        return numbers * self._diagonal(numbers, parts)

    def restore(self, numbers: Array, parts: Parts) -> Array:
        """Divided by the diagonal."""
        return numbers / self._diagonal(numbers, parts)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        found = list(super().problems(shape))
        yield from found
        if not found:
            yield from (f"diagonal: {problem}" for problem in self.held.problems((shape[self.axis],)))


@dataclass(frozen=True)
class Rotated(Moved):
    """Every `size` positions, a power of two, are multiplied by the Hadamard matrix of that size over the
    root of it, which is its own inverse (QuaRot: Ashkboos et al. 2024, section 3); a ragged end stays as it
    is."""

    size: int  #: positions that are rotated together

    def own(self, extent: int) -> dict[str, Held]:
        """Nothing: the matrix is known."""
        return {}

    def choose(self, numbers: Array) -> Parts:
        """Nothing."""
        return {}

    def change(self, numbers: Array, parts: Parts) -> Array:
        """Rotated."""
        whole = len(numbers) // self.size * self.size
        if not whole:
            return numbers
        out, width = numbers[:whole].reshape(-1, self.size, *numbers.shape[1:]), 1
        while width < self.size:
            pairs = out.reshape(len(out), -1, 2, width, *numbers.shape[1:])
            one, other = pairs[:, :, 0], pairs[:, :, 1]
            out = np.stack([one + other, one - other], 2).reshape(out.shape)
            width *= 2
        rotated = out.reshape(whole, *numbers.shape[1:]) / np.sqrt(self.size)
        return np.concatenate([rotated, numbers[whole:]])

    def restore(self, numbers: Array, parts: Parts) -> Array:
        """Rotated back."""
        return self.change(numbers, parts)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        yield from super().problems(shape)
        if self.size < 1 or self.size & (self.size - 1):
            yield f"a rotation of {self.size} positions, no power of two"
