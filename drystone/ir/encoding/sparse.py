"""Tensors of which some elements are held and all others are 0."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.parts import Encoding, Held, Parts, Search, inside, put, take
from drystone.ir.encoding.patterns import Pattern


@dataclass(frozen=True)
class Sparse(Encoding):
    """The elements of a `pattern`, in an encoding of their own, as an array that the pattern gives the shape
    of; all others are 0. The parts of the pattern are those of the tensor, those of the elements are called
    "values". Scales of rows or columns go around it (`Diagonal`), those of blocks or groups into `values`."""

    pattern: Pattern  #: which elements
    values: Encoding  #: of the array of those

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Values, and where they lie."""
        return inside("values", self.values.parts(self.pattern.kept(shape))) | self.pattern.parts(shape)

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The elements that the pattern holds, which are given or leave the least sum of squares out."""
        names = self.pattern.parts(numbers.shape)
        where = {name: given[name] for name in names if name in given}
        if len(where) < len(names):
            where = self.pattern.find(numbers)
        places = self.pattern.places(where, numbers.shape)
        values = np.zeros(places.shape)
        values[places >= 0] = numbers.ravel()[places[places >= 0]]
        return put("values", self.values.encode(values, take("values", given), search)) | where

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The elements at their places; those that are listed twice are added up."""
        places = self.pattern.places(parts, shape)
        values = self.values.decode(take("values", parts), self.pattern.kept(shape))
        inside = places >= 0
        return np.bincount(places[inside], values[inside], prod(shape)).reshape(tuple(shape))

    def settled(self, numbers: Array) -> "Sparse":
        """With a pattern that holds all that is not 0, where it can."""
        return replace(self, pattern=self.pattern.settled(numbers))

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        found = list(self.pattern.problems(shape))
        yield from found or (f"values: {p}" for p in self.values.problems(self.pattern.kept(shape)))
