"""All parts of an encoding in one array."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding.parts import Encoding, Parts, Search, Shape

#: Bytes that every part starts at a multiple of: a cache line.
_LINE = 64


@dataclass(frozen=True)
class Joined(Encoding):
    """The parts of another encoding one after the other in one array of bytes, each from a multiple of 64
    bytes on: codes and scales are one buffer, with one place in memory, in a file and among a kernel's
    parameters."""

    base: Encoding  #: of the tensor

    def places(self, shape: Sequence[int]) -> dict[str, tuple[int, Shape, str]]:
        """Where every part starts, in bytes, with its shape and element."""
        found, at = {}, 0
        for name, (held, element) in self.base.parts(shape).items():
            found[name] = at, held, element
            at += -(-_bytes(held, element) // _LINE) * _LINE
        return found

    def parts(self, shape: Sequence[int]) -> dict[str, tuple[Shape, str]]:
        """One array of bytes (i8, as the IR spells them)."""
        at, held, element = list(self.places(shape).values())[-1]
        return {"codes": ((at + _bytes(held, element),), "i8")}

    def join(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The array that holds these parts of the other encoding."""
        ((size,), _) = self.parts(shape)["codes"]
        joined = np.zeros(size, np.int8)
        for name, (at, held, element) in self.places(shape).items():
            own = np.ascontiguousarray(parts[name], numpy_dtype(element)).reshape(-1).view(np.int8)
            joined[at : at + _bytes(held, element)] = own
        return joined

    def split(self, joined: Array, shape: Sequence[int]) -> Parts:
        """The parts in an array: views of it."""
        return {
            name: joined[at : at + _bytes(held, element)].view(numpy_dtype(element)).reshape(held)
            for name, (at, held, element) in self.places(shape).items()
        }

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """As the other encoding does."""
        if "codes" in given:
            return {"codes": given["codes"]}
        return {"codes": self.join(self.base.encode(numbers, {}, search), numbers.shape)}

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """What the other encoding says of the parts."""
        return self.base.decode(self.split(parts["codes"], shape), shape)

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        yield from self.base.problems(shape)


def _bytes(shape: Sequence[int], element: str) -> int:
    return prod(shape) * int(np.dtype(numpy_dtype(element)).itemsize)
