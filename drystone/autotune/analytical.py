"""The model used without measurements: arithmetic by how well a register tile keeps the multiply-add units
busy, memory by which cache the panels fit in, and the greater of the two.

After Low et al., "Analytical Modeling Is Enough for High-Performance BLIS" (ACM TOMS 43(2), 2016), section 4:
enough accumulators to hide the latency of a multiply-add, panels that stay in the cache while the rows pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from drystone.codegen.families.codes.schedule import coded_seconds
from drystone.codegen.families.tiling import side_by_side
from drystone.targets.target import Target

#: What the model predicts from: the sizes of a problem and the parameters of a point, by name.
Features = Mapping[str, float]
#: Of the x86 cores drystone names: vector multiply-adds and loads begun per cycle, cycles until the result of
#: a multiply-add can be used, bytes per cycle from the second cache and from beyond it (one core), cycles per
#: second.
_ISSUED = 2
_LATENCY = 4
_FROM_L2 = 32.0
_FROM_MEMORY = 8.0
_FREQUENCY = 2.6e9
#: Rows and columns of a tile register, which one instruction goes through row by row.
_SIDE = 16
#: Bytes per cycle that fill tile registers: from the first cache, the second one, and from beyond.
_TILES_FROM = (128.0, 48.0, 10.0)
#: Vectors of results that a core stores while it multiplies the next tiles, and cycles of each beyond them.
_AHEAD, _CLOSED = 32, 10
#: The part of a cache that one operand may fill.
_SHARE = 0.5
#: How much longer a tile takes whose rows of a push each other out of the first cache.
_CROWDED = 1.25
#: The features and parameters a prediction needs.
_NEEDED = frozenset({"m", "n", "k", "bits", "rows", "width", "passes"})
_CODED = frozenset({"columns", "depth", "bytes", "way", "panels", "beside", "ahead"})
#: Multiply-adds' worth of instructions that bring a register of short sums to wide ones.
_MOVED = 7
#: Cycles to begin a unit of the grid, and to enter one pass over k.
_UNIT = 100
_PASS = 20


@dataclass(frozen=True)
class Analytical:
    """The default cost model of a CPU target.

    Features m, n, k, bits and parameters rows, width, passes describe a matrix product: out[m, n] = sum over
    k of elements of so many bits, in register tiles of rows x width, with so many passes over k.
    """

    target: Target

    @staticmethod
    def knows(features: Features) -> bool:
        """Whether the features are those of a matrix product, or of one of few rows with codes."""
        return features.keys() >= _NEEDED or features.keys() >= _CODED

    def predict(self, features: Features) -> float:
        """The expected seconds on all of the target's threads."""
        f = features
        if f.keys() >= _CODED:
            return coded_seconds(f, self.target)
        m, n, k, size = f["m"], f["n"], f["k"], f["bits"] / 8 / f.get("group", 1)
        rows, width, passes = f["rows"], f["width"], f["passes"]
        strips, panels = ceil(m / rows), ceil(n / width)
        first = n * k * size / _FROM_MEMORY / self.target.threads
        units = strips * panels
        share = ceil(units / self.target.threads)
        if f.get("tile") and rows >= _SIDE:
            return (share * (self._cycles_of_tiles(f, size) + _UNIT) + first) / _FREQUENCY
        step = self._cycles_per_step(rows, width, int(f["bits"])) / f.get("group", 1)
        if f.get("run"):  # sums in registers of twice as many lanes
            step = self._cycles_per_step(rows, width / 2, int(f["bits"])) * (1 + _MOVED / f["run"])
        tile = k * step + passes * _PASS
        panel = k / passes * width * size
        # A panel of b is fetched once and read again for every strip of rows from the cache that holds it.
        again = 0.0 if panel <= self.target.l1 * _SHARE else panel / self._rate(panel)
        if side_by_side(int(k * size), int(rows), self.target) < rows:
            tile *= _CROWDED
        rows_of_a = k * rows * size
        fetched = rows_of_a / self._rate(m * k * size) + passes * again
        sums = 2 * (passes - 1) * rows * width * f["bits"] / 8 / _FROM_L2
        return (share * (max(tile, fetched) + sums + _UNIT) + first) / _FREQUENCY

    def _cycles_of_tiles(self, f: Features, size: float) -> float:
        """Cycles of a unit of the grid on tile registers, which are filled while others are multiplied. Each
        holds _SIDE rows of a, or columns of b; a row of either is loaded for every one of the other. Rows of
        a come from the second cache (`_resident` in matmul_schedule.py), those of a panel from wherever so
        much of it stays; sums of several passes are cleared, taken up and laid down each time, and copied.
        What follows on the sums overlaps with the next unit's products where it is short."""
        k, rows, width, passes = f["k"], f["rows"], f["width"], f["passes"]
        down, across = ceil(rows / _SIDE), ceil(width / _SIDE)
        multiplied = k * down * across * _SIDE / f["tile"] + passes * _PASS
        nearest, second, beyond = _TILES_FROM
        panel = k / passes * width * size
        if panel <= self.target.l1 * _SHARE:
            rate = nearest
        else:
            rate = second if panel <= self.target.l2 * _SHARE else beyond
        filled = k * rows * size / second + k * width * size / rate
        sums = 2 * (passes + 1) * rows * width * f["bits"] / 8 / _FROM_L2 if passes > 1 else 0.0
        closing = _CLOSED * max(0, rows * across - _AHEAD)
        return max(multiplied, filled) + sums + closing

    def _cycles_per_step(self, rows: float, width: float, bits: int) -> float:
        """Cycles of one step of k on a register tile."""
        vectors = ceil(width / self.target.lanes(bits))
        return max(rows * vectors / _ISSUED, (rows + vectors) / _ISSUED, _LATENCY)

    def _rate(self, held: float) -> float:
        """Bytes per cycle from the nearest cache that holds so many."""
        return _FROM_L2 if held <= self.target.l2 * _SHARE else _FROM_MEMORY
