"""Parts: the named arrays that an encoded tensor is held in, and what every encoding can do."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype

Parts = dict[str, Array]
Shape = tuple[int, ...]
#: Shape and element of a part.
Held = tuple[Shape, str]


def part_key(key: str, part: str) -> str:
    """The name of a part of what is called `key`, of a weight in the store as of an encoding in another: the
    codes go under its own."""
    return key if part == "codes" else f"{key}.{part}"


def inside(key: str, parts: dict[str, Held]) -> dict[str, Held]:
    """Declared parts of an encoding that is called `key` in another one."""
    return {part_key(key, part): held for part, held in parts.items()}


def all_inside(children: Iterable[tuple[str, "Encoding", Shape]]) -> dict[str, Held]:
    """Declared parts of several: what each is called, its encoding, its shape."""
    found: dict[str, Held] = {}
    for key, encoding, shape in children:
        found |= inside(key, encoding.parts(shape))
    return found


def put(key: str, parts: Parts) -> Parts:
    """Parts of an encoding that is called `key` in another one."""
    return {part_key(key, part): array for part, array in parts.items()}


def take(key: str, parts: Parts) -> Parts:
    """The parts of the encoding that is called `key` in the one these are parts of."""
    own = {"codes": parts[key]} if key in parts else {}
    return own | {name.removeprefix(f"{key}."): a for name, a in parts.items() if name.startswith(f"{key}.")}


@dataclass(frozen=True)
class Search:
    """How scales are chosen: of each block's scale by its range, the multiple by one of `factors` that leaves
    the least squared error, after `refits` rounds of least squares for the codes it leads to."""

    factors: tuple[float, ...] = (1.0,)
    refits: int = 0


#: The range decides: the largest magnitude becomes the largest number (of a scale that is a power of two: the
#: powers below both); the mean magnitude becomes 1 where 1 is the only one.
BY_RANGE = Search()
#: One scale too small to one too large for every block.
SEARCHED = Search((1.0, *(float(factor) for factor in np.geomspace(0.5, 2, 24))), 2)
#: The power of two that the range gives and its neighbours.
NEXT_POWERS = Search((1.0, 0.5, 2.0))


class Encoding(ABC):
    """How a tensor's numbers are held."""

    @abstractmethod
    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Shape and element of every part that a tensor of this shape is held in."""

    @abstractmethod
    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The parts that hold numbers (float64). `given`: parts that are settled, as scales are by a
        calibration or an outer scale by an earlier choice; they are among those returned."""

    @abstractmethod
    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The numbers (float64) of a tensor of this shape."""

    @abstractmethod
    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""

    @property
    def powers(self) -> bool:
        """Whether only powers of two are held."""
        return False

    @property
    def signed(self) -> bool:
        """Whether numbers below zero are held."""
        return True

    def at_least(self, numbers: Array) -> Array:
        """Numbers rounded up to such as are held exactly, where that is known: scales of a range that is not
        to be left."""
        return numbers

    def across(self, shape: Sequence[int]) -> bool:
        """Whether what a tensor of this shape is held in, but for the codes, cannot be taken apart by rows
        (positions of the first axis), unless it is one number for all."""
        return True

    def settled(self, numbers: Array) -> "Encoding":
        """The encoding for these numbers, where how much is stored depends on them; else as it is."""
        return self

    def bytes(self, shape: Sequence[int]) -> int:
        """Bytes of all parts of a tensor of this shape."""
        return sum(
            prod(held) * np.dtype(numpy_dtype(element)).itemsize
            for held, element in self.parts(shape).values()
        )

    def bits(self, shape: Sequence[int]) -> float:
        """Bits of storage for each element of a tensor of this shape."""
        return 8 * self.bytes(shape) / max(prod(shape), 1)
