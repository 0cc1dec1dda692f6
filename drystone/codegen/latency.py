"""How long a product with a constant matrix takes, by how that is held: what the chooser of formats goes by.

A model of what kernels do, not a measurement: weights come from memory once, their codes are turned into
numbers by so many operations of a vector each (`codegen.families.decoding`), and the unit that sums does so
many multiply-adds at a time. What takes longer, memory or instructions, hides most of the other. The rates
are those of a core of any recent machine; formats are compared, so that only their ratios count.
"""

import math
from dataclasses import dataclass

from drystone.codegen.families.codes.work import work_of
from drystone.codegen.families.matmul.schedule import IN_BYTES, LOOKED_UP
from drystone.codegen.families.matmul.split import are_split_for
from drystone.ir.encoding import Codes, Encoding, Words
from drystone.ir.encoding.code import Floats
from drystone.targets.target import Target

#: Bytes that come from memory, and instructions on vectors that are done, in a second of a core.
_BYTES, _INSTRUCTIONS = 10e9, 6e9
#: Multiply-adds in a second of a tile register for each of a vector's instructions: one takes 16 cycles.
_TILE_CYCLES = 32
#: Rows up to which codes are decoded for each by itself, in registers.
_FEW = 4
#: Bits of codes whose numbers are looked up in a table.
_LISTED = 5
#: The share of the shorter of both times that is not hidden, and entries of a table that one instruction
#: looks up in two registers, where they have 512 bits.
_BARE, _PAIR = 1 / 8, 32
#: Instructions that round an element of an activation to a byte.
_ROUNDED = 4


@dataclass(frozen=True)
class Product:
    """rows [m, k] times a constant matrix of the outputs n and inputs k."""

    target: Target
    rows: float
    shape: tuple[int, int]

    def plain(self, size: int, element: str = "f32") -> float:
        """Seconds with numbers as they are, of `size` bytes in all, summed as this element."""
        return self._both(size, self._summed(element))

    def coded(self, encoding: Encoding, size: int, element: str = "f32") -> float:
        """Seconds with codes of `size` bytes in all, which a kernel decodes."""
        if self.rows <= _FEW and self._is_split(encoding):
            assert isinstance(encoding, Codes)
            ways = work_of(encoding.code, math.ceil(self.rows), size).products
            done = min(ways[IN_BYTES], (self.target.shuffles and ways[LOOKED_UP]) or ways[IN_BYTES])
            return self._both(size, self._count / self.target.lanes(32) * done / _INSTRUCTIONS)
        times = self.rows if self.rows <= _FEW else 1
        decoded = times * self._count * self._instructions(encoding) / self.target.lanes(32)
        return self._both(size, decoded / _INSTRUCTIONS + self._summed(element))

    def bytes(self, size: int) -> float:
        """Seconds with bytes, of `size` in all, and rows that are rounded to bytes first."""
        rounded = self.rows * self.shape[1] * _ROUNDED / self.target.lanes(32) / _INSTRUCTIONS
        return self._both(size, rounded + self._summed("i8"))

    @property
    def _count(self) -> int:
        return self.shape[0] * self.shape[1]

    def _is_split(self, encoding: Encoding) -> bool:
        """Whether few rows are multiplied with codes in bytes (`codegen.families.matmul_split`)."""
        if not isinstance(encoding, Codes) or self.target.dot("ui8", "i8") is None:
            return False
        group = 0 if encoding.scale is None else encoding.scale.per.all_sizes(2)[1]
        return are_split_for(encoding.code, group)

    def _both(self, size: float, worked: float) -> float:
        """Seconds of reading so many bytes and of working."""
        read = size / _BYTES
        return max(read, worked) + _BARE * min(read, worked)

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

    def _instructions(self, encoding: Encoding) -> float:
        """Instructions for each vector of codes: shifts, what joins codes that lie in two words, the table or
        the arithmetic that gives their numbers, and their factors."""
        if not isinstance(encoding, Codes):
            return 0.0
        code, lanes, scale = encoding.code, self.target.lanes(32), encoding.scale
        run = Words.run(code)
        pieces = len(Words.pieces(code))
        joined = 2.0 * (pieces - 1) if pieces > 1 else 2.0 * (run * code.bits // 32 - 1) / run
        if code.bits <= _LISTED:
            one = _PAIR if 2 * lanes >= _PAIR else lanes
            # With one shift, and a choice between each two tables.
            number = 2 * -(-(1 << code.bits) // one)
        else:
            number = 4 if isinstance(code, Floats) else 3
        group = scale.per.all_sizes(2)[1] or self.shape[1] if scale is not None else self.shape[1]
        return joined + number + 3 * (0 if scale is None else len(scale.children())) / group
