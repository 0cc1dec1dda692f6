"""The model used without measurements: arithmetic by how well a register tile keeps the multiply-add units
busy, memory by which cache the panels fit in, and the greater of the two.

After Low et al., "Analytical Modeling Is Enough for High-Performance BLIS" (ACM TOMS 43(2), 2016), section 4:
enough accumulators to hide the latency of a multiply-add, panels that stay in the cache while the rows pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

from drystone.autotune.model import Features
from drystone.autotune.space import Parameter, Space
from drystone.targets.target import CpuTarget

#: Of the x86 cores drystone names: vector multiply-adds and loads begun per cycle, cycles until the result of
#: a multiply-add can be used, bytes per cycle from the second cache and from beyond it (one core), cycles per
#: second.
_ISSUED = 2
_LATENCY = 4
_FROM_L2 = 32.0
_FROM_MEMORY = 8.0
_FREQUENCY = 2.6e9
#: The part of a cache that one operand may fill.
_SHARE = 0.5
#: Cycles to begin a unit of the grid, and to enter one pass over k.
_UNIT = 100
_PASS = 20


def matmul_space(target: CpuTarget, bits: int = 32) -> Space:
    """Register tiles of a matrix product: `rows` of the result, `width` columns, `block` of k per pass over
    the rows (0: all of it). The sums, one row of b and one element of a must fit the registers."""
    lanes = target.lanes(bits)

    def fits(point: Features) -> bool:
        vectors = int(point["width"]) // lanes
        return (point["rows"] + 1) * vectors + 1 <= target.registers

    return Space(
        (
            Parameter("rows", tuple(range(14, 0, -1))),
            Parameter("width", tuple(lanes * vectors for vectors in (2, 4, 1, 3))),
            Parameter("block", (0, 1024, 512, 256)),
        ),
        (fits,),
    )


def matmul_features(m: int, n: int, k: int, bits: int = 32) -> dict[str, float]:
    """The features of out[m, n] = sum over k; `bits` of an element."""
    return {"m": m, "n": n, "k": k, "bits": bits}


def conv_features(
    positions: int, channels: int, out: int, kernel: Sequence[int], groups: int = 1, bits: int = 32
) -> dict[str, float]:
    """The features of one group of a convolution as the matrix product it is: output positions times output
    channels, summed over input channels and taps."""
    return matmul_features(positions, out // groups, channels // groups * prod(kernel), bits)


@dataclass(frozen=True)
class Analytical:
    """The default cost model of a CPU target.

    Features m, n, k, bits and parameters rows, width, block describe a tiled matrix product; without them,
    flops and bytes give the roofline.
    """

    target: CpuTarget

    def predict(self, features: Features) -> float:
        """The expected seconds on all of the target's threads."""
        if "rows" in features:
            return self._product(features)
        lanes = self.target.lanes(int(features.get("bits", 32)))
        cycles = max(
            features["flops"] / (2 * _ISSUED * lanes * self.target.threads),
            # Two cores already take most of what memory gives.
            features["bytes"] / (_FROM_MEMORY * min(2, self.target.threads)),
        )
        return cycles / _FREQUENCY

    def _product(self, f: Features) -> float:
        m, n, k, size = f["m"], f["n"], f["k"], f["bits"] / 8
        rows, width = f["rows"], f["width"]
        block = min(k, f["block"] or k)
        passes, strips, panels = ceil(k / block), ceil(m / rows), ceil(n / width)
        tile = k * self._cycles_per_step(rows, width, int(f["bits"])) + passes * _PASS
        panel = block * width * size
        # A panel of b is fetched once and read again for every strip of rows from the cache that holds it.
        again = 0.0 if panel <= self.target.l1 * _SHARE else panel / self._rate(panel)
        rows_of_a = k * rows * size
        fetched = rows_of_a / self._rate(m * k * size) + passes * again
        sums = 2 * (passes - 1) * rows * width * size / _FROM_L2
        units = strips * panels
        share = ceil(units / self.target.threads)
        first = n * k * size / _FROM_MEMORY / self.target.threads
        return (share * (max(tile, fetched) + sums + _UNIT) + first) / _FREQUENCY

    def _cycles_per_step(self, rows: float, width: float, bits: int) -> float:
        """Cycles of one step of k on a register tile."""
        vectors = ceil(width / self.target.lanes(bits))
        return max(rows * vectors / _ISSUED, (rows + vectors) / _ISSUED, _LATENCY)

    def _rate(self, held: float) -> float:
        """Bytes per cycle from the nearest cache that holds so many."""
        return _FROM_L2 if held <= self.target.l2 * _SHARE else _FROM_MEMORY
