"""Statements of tile programs that make tiles of numbers and of other tiles, as methods that record them."""

from collections.abc import Sequence

from drystone.codegen.elements import width as element_width
from drystone.codegen.index import Index, index
from drystone.codegen.operands import Scalar, Tile, broadcast
from drystone.codegen.recording import Recording
from drystone.codegen.statements import (
    Apply,
    Dot,
    Full,
    Interleave,
    Iota,
    LaneDot,
    Lookup,
    Reduce,
    Reshape,
    Shuffle,
    Split,
    Transpose,
)


class Calculations(Recording):
    """Tiles that are computed."""

    def full(self, value: float | int | Scalar | Index, shape: Sequence[int], dtype: str) -> Tile:
        """A tile of one value."""
        result = self._tile(shape, dtype)
        self._emit(Full(result, value))
        return result

    def iota(self, start: Index | int, shape: Sequence[int], axis: int, dtype: str = "i64") -> Tile:
        """Positions start, start + 1, ... along `axis`."""
        result = self._tile(shape, dtype)
        self._emit(Iota(result, index(start), axis))
        return result

    def apply(self, op: str, *args: Tile, dtype: str | None = None, **attributes: str) -> Tile:
        """One arith or math operation on every element; dtype is that of the first argument unless given."""
        result = self._tile(broadcast([tile.shape for tile in args]), dtype or args[0].dtype)
        self._emit(Apply(result, op, args, tuple(sorted(attributes.items()))))
        return result

    def dot(self, acc: Tile, a: Tile, b: Tile, *, tiles: bool = False) -> Tile:
        """acc + a @ b; b as it is or interleaved; `tiles`: in tile registers."""
        (m, n), k, (rows, columns) = acc.shape, a.shape[1], b.shape
        if a.shape[0] != m or k % rows or columns != n * (k // rows):
            raise ValueError(f"dot of {a.shape} and {b.shape} into {acc.shape}")
        result = self._tile(acc.shape, acc.dtype)
        self._emit(Dot(result, acc, a, b, tiles))
        return result

    def lane_dot(self, acc: Tile, a: Tile, b: Tile) -> Tile:
        """acc [m, n] (i32) and, for each of its elements, the products of four neighbouring bytes of a
        [m, 4 n] (ui8) with those of b (i8)."""
        rows, lanes = acc.shape
        if a.shape != (rows, 4 * lanes) or a.shape != b.shape or (a.dtype, b.dtype) != ("ui8", "i8"):
            raise ValueError(f"lane dot of {a.shape} {a.dtype} and {b.shape} {b.dtype} into {acc.shape}")
        result = self._tile(acc.shape, acc.dtype)
        self._emit(LaneDot(result, acc, a, b))
        return result

    def reduce(self, op: str, arg: Tile, axis: int) -> Tile:
        """Combine along `axis`, which stays with extent 1."""
        shape = list(arg.shape)
        shape[axis] = 1
        result = self._tile(shape, arg.dtype)
        self._emit(Reduce(result, op, arg, axis))
        return result

    def transpose(self, arg: Tile, permutation: Sequence[int] = (1, 0)) -> Tile:
        """The tile with its dimensions permuted."""
        result = self._tile([arg.shape[p] for p in permutation], arg.dtype)
        self._emit(Transpose(result, arg, tuple(permutation)))
        return result

    def interleave(self, arg: Tile, group: int) -> Tile:
        """The rows of every `group` side by side, element by element."""
        rows, columns = arg.shape
        if rows % group:
            raise ValueError(f"{rows} rows in groups of {group}")
        result = self._tile([rows // group, columns * group], arg.dtype)
        self._emit(Interleave(result, arg))
        return result

    def split(self, arg: Tile, dtype: str) -> Tile:
        """The bits of integers of 32 bits as shorter integers side by side."""
        count = 32 // element_width(dtype)
        result = self._tile([*arg.shape[:-1], arg.shape[-1] * count], dtype)
        self._emit(Split(result, arg))
        return result

    def reshape(self, arg: Tile, shape: Sequence[int]) -> Tile:
        """The tile with unit dimensions inserted or removed."""
        if [n for n in shape if n != 1] != [n for n in arg.shape if n != 1]:
            raise ValueError(f"reshape of {arg.shape} to {tuple(shape)} moves elements")
        if tuple(shape) == arg.shape:
            return arg
        result = self._tile(shape, arg.dtype)
        self._emit(Reshape(result, arg))
        return result

    def element(self, tile: Tile, within: tuple[int, int] | None = None) -> Index:
        """The only element of an integer tile, as an index. within: a promise of the least and the largest
        that it can be, which lets a target leave out bounds checks."""
        return Index("element", (tile.number, *(within or ())))

    def lookup(self, index: Tile, numbers: Sequence[float] | Tile) -> Tile:
        """For each element of an integer tile (i32) the f32 that its low bits are the place of in a list, or
        in a row of a tile; one row of indices is used with every row of that."""
        count = numbers.shape[-1] if isinstance(numbers, Tile) else len(numbers)
        if count & (count - 1) or index.dtype != "i32":
            raise ValueError(f"lookup of {index.dtype} among {count} numbers")
        if not isinstance(numbers, Tile):
            result = self._tile(index.shape, "f32")
            self._emit(Lookup(result, index, tuple(numbers)))
            return result
        if numbers.dtype != "f32" or count > 16:
            raise ValueError(f"lookup among {count} numbers {numbers.dtype} of a tile")
        outer = broadcast([index.shape[:-1], numbers.shape[:-1]])
        result = self._tile([*outer, index.shape[-1]], "f32")
        self._emit(Lookup(result, index, numbers))
        return result

    def shuffle(self, table: Tile, index: Tile, dtype: str | None = None) -> Tile:
        """For each byte of an index tile (ui8) the byte of a table, [1, 64], that its six low bits say;
        dtype: what it is taken for, if that is another one than the table's."""
        if table.shape != (1, 64) or element_width(table.dtype) != 8 or index.dtype != "ui8":
            raise ValueError(f"shuffle of {table.shape} {table.dtype} by {index.dtype}")
        result = self._tile(index.shape, dtype or table.dtype)
        self._emit(Shuffle(result, table, index))
        return result
