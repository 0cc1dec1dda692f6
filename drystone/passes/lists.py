"""Sparse weights in the form that kernels of products read: lists of elements, output by output."""

from dataclasses import dataclass
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import Codes, Compressed, Joined, Parts, Sparse
from drystone.ir.encoding.parts import take

#: Elements of a list in a strip, about: enough to be worth the sums that are fetched for them; columns of the
#: narrowest strip, of which 128 rows in f32 fill most of a first cache.
_LISTED, _NARROWEST = 16, 64
#: Rows that are few: a kernel gathers columns of each.
FEW = 3
#: Elements that kernels read.
_READ = ("f32", "f16", "bf16")


@dataclass(frozen=True)
class Lists:
    """How a matrix of a shape lies for a product: outputs along `axis`, in strips unless rows are few."""

    shape: tuple[int, int]
    axis: int
    few: bool = False

    def joined(self, encoding: Sparse) -> Joined | str:
        """The encoding in which a kernel reads the numbers of a sparse one; or why none does."""
        values = encoding.values
        if not isinstance(values, Codes) or values.coded or values.element not in _READ:
            return f"kernels read lists of {', '.join(_READ)}"
        count = prod(encoding.pattern.kept(self.shape))
        pattern = Compressed(count, axis=self.axis, strip=self._strip(count))
        return Joined(Sparse(pattern, Codes(values.element)))

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
        elements = values.stored(take("values", parts), encoding.pattern.kept(self.shape)).ravel()
        places = encoding.pattern.places(parts, self.shape).ravel()
        # What lies outside the tensor is listed as a zero somewhere.
        elements = np.where(places >= 0, elements, np.zeros((), elements.dtype))
        at = np.divmod(np.maximum(places, 0), max(self.shape[1], 1))
        output, column = at[self.axis], at[1 - self.axis]
        outputs, columns = self.shape[self.axis], self.shape[1 - self.axis]
        strip, within = np.divmod(column, pattern.strip or max(columns, 1))
        lists = strip * outputs + output
        order = np.lexsort((within, lists))
        declared = pattern.parts(self.shape)
        count = declared["starts"][0][0]
        made = {
            "values": elements[order],
            "index": within[order].astype(numpy_dtype(declared["index"][1])),
            "starts": np.searchsorted(lists[order], np.arange(count)).astype(np.int32),
        }
        return joined.join(made, self.shape)
