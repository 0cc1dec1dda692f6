"""How long a product with a constant matrix takes, by how that is held: what the chooser of formats goes by.

A model of what kernels do, not a measurement: weights come from memory once, their codes are turned into
numbers by so many operations of a vector each (`codegen.families.decoding`), and the unit that sums does so
many multiply-adds at a time. The rates are those of a core of any recent machine; formats are compared, so
that only their ratios count.
"""

from dataclasses import dataclass

from drystone.ir.encoding import Codes, Encoding, Words
from drystone.ir.encoding.code import Floats
from drystone.targets.target import CpuTarget

#: Bytes that come from memory, and instructions on vectors that are done, in a second of a core.
_BYTES, _INSTRUCTIONS = 10e9, 6e9
#: Multiply-adds in a second of a tile register for each of a vector's instructions: one takes 16 cycles.
_TILE_CYCLES = 32
#: Rows up to which codes are decoded for each by itself, in registers.
_FEW = 4
#: Bits of codes whose numbers are looked up in a table.
_LISTED = 5
#: Instructions that round an element of an activation to a byte.
_ROUNDED = 4


@dataclass(frozen=True)
class Product:
    """rows [m, k] times a constant matrix of the outputs n and inputs k."""

    target: CpuTarget
    rows: float
    shape: tuple[int, int]

    def plain(self, size: int, element: str = "f32") -> float:
        """Seconds with numbers as they are, of `size` bytes in all, summed as this element."""
        return self._read(size) + self._summed(element)

    def coded(self, encoding: Encoding, size: int, element: str = "f32") -> float:
        """Seconds with codes of `size` bytes in all, which a kernel decodes."""
        times = self.rows if self.rows <= _FEW else 1
        decoded = times * self._count * _instructions(self.target, encoding) / self.target.lanes(32)
        return self._read(size) + decoded / _INSTRUCTIONS + self._summed(element)

    def bytes(self, size: int) -> float:
        """Seconds with bytes, of `size` in all, and rows that are rounded to bytes first."""
        rounded = self.rows * self.shape[1] * _ROUNDED / self.target.lanes(32) / _INSTRUCTIONS
        return self._read(size) + rounded + self._summed("i8")

    @property
    def _count(self) -> int:
        return self.shape[0] * self.shape[1]

    def _read(self, size: float) -> float:
        return size / _BYTES

    def _summed(self, element: str) -> float:
        """Multiply-adds by tiles where rows fill some, else by vectors."""
        few = self.rows < _FEW
        units = [self.target.dot(element, element, tiles=tiles) for tiles in (True, False)]
        units += [self.target.dot("ui8", "i8")] if element == "i8" else []
        unit = next((each for each in units if each is not None and not (each.tiles and few)), None)
        if unit is None:
            return self.rows * self._count / self.target.lanes(32) / _INSTRUCTIONS
        done = unit.rows * unit.columns * unit.depth
        rows = float(-(-self.rows // unit.rows) * unit.rows)
        return rows * self._count * (_TILE_CYCLES if unit.tiles else 1) / done / _INSTRUCTIONS


def _instructions(target: CpuTarget, encoding: Encoding) -> float:
    """Instructions for each vector of codes: shifts, what joins codes that lie in two words, the table or the
    arithmetic that gives their numbers, and their factors."""
    if not isinstance(encoding, Codes):
        return 0.0
    code = encoding.code
    run = Words.run(code)
    joined = 2.0 * (run * code.bits // 32 - 1) / run
    if code.bits <= _LISTED:
        tables = -(-(1 << code.bits) // target.lanes(32))
        number = 2 * tables  # with one shift, and one choice between each two
    else:
        number = 4 if isinstance(code, Floats) else 3
    scale = encoding.scale
    if scale is None:
        return joined + number
    group = max(scale.per.sizes[-1] if scale.per.sizes else 0, 1)
    factors = 3 * len(scale.children()) / group
    return joined + number + factors
