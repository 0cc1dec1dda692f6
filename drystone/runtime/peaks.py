"""What this machine can do, measured: the yardstick of the report."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

#: Bytes read and written by the copies: within a core's own cache, within the shared one, from memory.
_WORKING_SETS = (1 << 19, 1 << 23, 1 << 28)
_TRIES = 9


@dataclass(frozen=True)
class Peaks:
    """flops: fp32 operations per second in numpy's matrix product.

    copies: for working sets up to so many bytes, the bytes per second of a copy, read and write counted.
    """

    flops: float
    copies: tuple[tuple[int, float], ...]

    def least(self, flops: int, touched: int) -> float:
        """The seconds that `flops` operations on `touched` bytes need, whichever of the two limits them."""
        rate = next((rate for size, rate in self.copies if touched <= size), self.copies[-1][1])
        return max(flops / self.flops, touched / rate)

    def __str__(self) -> str:
        return f"{self.flops / 1e9:.0f} GFLOP/s, {self.copies[-1][1] / 1e9:.1f} GB/s from memory"


@cache
def measure() -> Peaks:
    """Time a 1024^3 product and copies of three sizes in numpy, once in a process; the best of nine tries
    each."""
    a = np.ones((1024, 1024), np.float32)
    product = partial(np.matmul, a, a, out=np.empty_like(a))
    copies = []
    for size in _WORKING_SETS:
        source, target = np.ones(size // 2, np.uint8), np.empty(size // 2, np.uint8)
        copies.append((size, size / _best(partial(np.copyto, target, source))))
    return Peaks(2 * 1024**3 / _best(product), tuple(copies))


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
