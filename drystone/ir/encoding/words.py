"""The layout of short codes that kernels decode: words of 32 bits, panel by panel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code
from drystone.ir.encoding.layout import Layout, from_bytes, from_patterns, patterns, to_bytes
from drystone.ir.encoding.parts import Held, Parts

#: Bits of a word.
_WORD = 32


@dataclass(frozen=True)
class Words(Layout):
    """Codes of a matrix in words of 32 bits, as i32 [ceil(n / width), ceil(k / run), words, width], where n
    runs along `axis` and k along the other one. `run` neighbouring k of one n, the fewest that fill whole
    words, are a string of bits in its `words` words, the first in the lowest bits: a register of words has
    codes of neighbouring n in its lanes, which shifts bring down k by k. Ragged ends hold the code 0."""

    axis: int  #: of the matrix, 0 or 1, whose positions lie side by side
    width: int  #: positions of a panel

    @staticmethod
    def run(code: Code) -> int:
        """Codes that fill whole words."""
        return _WORD // gcd(_WORD, code.bits)

    def _sizes(self, shape: Sequence[int], code: Code) -> tuple[int, int, int]:
        """Panels, runs, and words of a run."""
        run = self.run(code)
        n, k = shape[self.axis], shape[1 - self.axis]
        return -(-n // self.width), -(-k // run), run * code.bits // _WORD

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """One array."""
        return {"codes": ((*self._sizes(shape, code), self.width), "i32")}

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        panels, runs, _ = self._sizes(codes.shape, code)
        run = self.run(code)
        laid = patterns(codes if self.axis == 0 else codes.T, code)
        missing = panels * self.width - laid.shape[0], runs * run - laid.shape[1]
        laid = np.pad(laid, [(0, n) for n in missing]) if any(missing) else laid
        strings = to_bytes(laid.reshape(panels, self.width, runs, run), code.bits).view("<i4")
        return {"codes": np.ascontiguousarray(strings.transpose(0, 2, 3, 1), dtype=np.int32)}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        strings = np.ascontiguousarray(parts["codes"].transpose(0, 3, 1, 2), dtype="<i4")
        laid = from_bytes(strings.view(np.uint8), code.bits, self.run(code))
        n, k = shape[self.axis], shape[1 - self.axis]
        whole = laid.reshape(laid.shape[0] * laid.shape[1], -1)[:n, :k]
        return np.ascontiguousarray(from_patterns(whole if self.axis == 0 else whole.T, code))

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        if len(shape) != 2 or self.axis not in (0, 1):
            yield f"words along axis {self.axis} of rank {len(shape)}, which is no matrix"
        if self.width < 1:
            yield f"panels of {self.width} positions"
        if code.bits > 8:
            yield f"{code.name} has more than 8 bits"
