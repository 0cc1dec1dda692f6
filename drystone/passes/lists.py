"""Sparse weights in the form that kernels of products read: lists of elements, output by output."""

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import Codes, Compressed, Joined, Pack, Parts, Pattern, Sparse
from drystone.ir.encoding.parts import put, take

#: Elements of a list in a strip, about: enough to be worth the sums that are fetched for them; columns of the
#: narrowest strip, of which 128 rows in f32 fill most of a first cache.
_LISTED, _NARROWEST = 16, 64
#: Rows that are few: a kernel gathers columns of each.
FEW = 3
#: Outputs of a block that are worth a vector.
_OUTPUTS = 8
#: Elements that kernels read.
_READ = ("f32", "f16", "bf16")


@dataclass(frozen=True)
class Lists:
    """How a matrix of a shape lies for a product: outputs along `axis`, in strips unless rows are few; blocks
    in whole vectors with `group` neighbouring inputs side by side."""

    shape: tuple[int, int]
    axis: int
    few: bool = False
    group: int = 1

    def joined(self, encoding: Sparse) -> Joined | str:
        """The encoding in which a kernel reads the numbers of a sparse one; or why none does."""
        values, pattern = encoding.values, encoding.pattern
        if not isinstance(values, Codes) or values.coded or values.element not in _READ:
            return f"kernels read lists of {', '.join(_READ)}"
        if self._in_blocks(pattern):
            assert isinstance(pattern, Compressed)
            return Joined(
                Sparse(replace(pattern, axis=self.axis, strip=0), self._block_values(pattern, values))
            )
        count = prod(pattern.kept(self.shape))
        listed = Compressed(count, axis=self.axis, strip=self._strip(count))
        return Joined(Sparse(listed, Codes(values.element)))

    def _in_blocks(self, pattern: Pattern) -> bool:
        """Whether kernels read blocks as such: those that fill a good part of vectors with their outputs."""
        return isinstance(pattern, Compressed) and pattern.block[self.axis] >= _OUTPUTS

    def _block_values(self, pattern: Compressed, values: Codes) -> Codes:
        """How the elements of blocks lie: inputs down, outputs across."""
        outputs, inputs = self.axis + 1, 2 - self.axis
        order = (0, inputs, outputs)
        if self.group > 1 and pattern.block[1 - self.axis] % self.group == 0:
            return Codes(values.element, None, Pack((inputs,), (self.group,), order))
        return Codes(values.element, None, Pack((), (), order))

    def _strip(self, count: int) -> int:
        """Columns of a strip, 0 for all: a power of two in which a list has enough elements."""
        outputs, columns = self.shape[self.axis], self.shape[1 - self.axis]
        wanted = _LISTED * outputs * columns / max(count, 1)
        strip = max(_NARROWEST, 1 << int(np.ceil(np.log2(max(wanted, 1)))))
        return strip if strip < columns and not self.few else 0

    def join(self, parts: Parts, encoding: Sparse) -> Array:
        """The array of `joined` with the numbers of these parts."""
        joined = self.joined(encoding)
        assert isinstance(joined, Joined) and isinstance(joined.base, Sparse)
        pattern, values = joined.base.pattern, encoding.values
        assert isinstance(pattern, Compressed) and isinstance(values, Codes)
        kept = encoding.pattern.kept(self.shape)
        elements = values.stored(take("values", parts), kept)
        places = encoding.pattern.places(parts, self.shape)
        if pattern.block != (1, 1):  # the first element of a block lies in the tensor
            places, elements = places[:, :1, :1], elements.reshape(len(elements), -1)
        else:
            elements = elements.reshape(-1, 1)
        places = places.ravel()
        # What lies outside the tensor is listed as a zero somewhere.
        elements = np.where(places[:, None] >= 0, elements, np.zeros((), elements.dtype))
        place = np.divmod(np.maximum(places, 0), max(self.shape[1], 1))
        at = [where // size for where, size in zip(place, pattern.block, strict=True)]
        output, column = at[self.axis], at[1 - self.axis]
        outputs, columns = (-(-n // b) for n, b in zip(self.shape, pattern.block, strict=True))
        outputs, columns = (outputs, columns) if self.axis == 0 else (columns, outputs)
        strip, within = np.divmod(column, pattern.strip or max(columns, 1))
        lists = strip * outputs + output
        order = np.lexsort((within, lists))
        declared = pattern.parts(self.shape)
        count = declared["starts"][0][0]
        held = joined.base.values
        assert isinstance(held, Codes)
        ordered = elements[order].reshape(pattern.kept(self.shape))
        made = put("values", held.laid(ordered)) | {
            "index": within[order].astype(numpy_dtype(declared["index"][1])),
            "starts": np.searchsorted(lists[order], np.arange(count)).astype(np.int32),
        }
        return joined.join(made, self.shape)
