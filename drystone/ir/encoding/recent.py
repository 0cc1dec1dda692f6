"""Tensors whose positions written last are held as they are, beside codes of all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.parts import Encoding, Held, Parts, Search, Shape, inside, put, take
from drystone.ir.encoding.scaled import Codes


@dataclass(frozen=True)
class Recent(Encoding):
    """Of all positions along `axis` there are codes, `base`; the `size` that were written last are read from
    a ring beside them, position p from place p mod size (the residual of KIVI: Liu et al., ICML 2024, section
    4). The part "places" says whose row each place has, -1 for none, by all axes before the last one; a row
    is what those axes give. What `encode` makes has no rows in the ring."""

    base: Codes  #: of the tensor
    axis: int  #: the axis of the positions; not the last
    size: int  #: places of the ring
    held: Encoding  #: of the ring: an array with `size` along `axis`

    def ring(self, shape: Sequence[int]) -> Shape:
        """The shape of the ring."""
        return tuple(self.size if d == self.axis else n for d, n in enumerate(shape))

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Base, rows, places."""
        ring = self.ring(shape)
        rows = inside("rows", self.held.parts(ring))
        return inside("base", self.base.parts(shape)) | rows | {"places": (ring[:-1], "i32")}

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """The base, and an empty ring."""
        ring = self.ring(numbers.shape)
        base = self.base.encode(numbers, take("base", given), search)
        rows = self.held.encode(np.zeros(ring), take("rows", given), search)
        places = given.get("places", np.full(ring[:-1], -1, np.int32))
        return put("base", base) | put("rows", rows) | {"places": places}

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The base, with the rows of the ring in their places."""
        out = np.moveaxis(self.base.decode(take("base", parts), shape).copy(), self.axis, -2)
        rows = np.moveaxis(self.held.decode(take("rows", parts), self.ring(shape)), self.axis, -2)
        places = np.moveaxis(parts["places"], self.axis, -1)
        for at in np.ndindex(places.shape):
            if places[at] >= 0:
                out[(*at[:-1], places[at])] = rows[at]
        return np.ascontiguousarray(np.moveaxis(out, -2, self.axis))

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 0 <= self.axis < len(shape) - 1:
            yield f"positions along axis {self.axis} of rank {len(shape)}"
        elif self.size < 1 or prod(shape) == 0:
            yield f"{self.size} recent positions of a tensor of {list(shape)}"
        else:
            yield from self.base.problems(shape)
            yield from (f"recent rows: {problem}" for problem in self.held.problems(self.ring(shape)))
