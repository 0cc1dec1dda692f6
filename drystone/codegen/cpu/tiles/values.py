"""Tiles while they are lowered: what gives the register, or the scalar, at a place of a tile.

A tile is held as its rows (all dimensions but the last, unrolled), each row as vectors of one register, or as
one scalar where the last extent is 1. Values are lazy: an operation is emitted when a part is asked for, so a
chain of elementwise operations runs register by register from its loads to its store.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

from drystone.codegen.elements import is_float, width
from drystone.errors import InternalError

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

Row = tuple[int, ...]
Shape = tuple[int, ...]


class Value:
    """A tile. Subclasses make its parts."""

    #: Memory (names of tensors) that is read when parts are made.
    reads: frozenset[str] = frozenset()
    #: Whether single elements come straight from memory.
    direct = False

    def __init__(self, low: "Lowering", number: int, shape: Shape, dtype: str) -> None:
        self.low, self.number, self.shape, self.dtype = low, number, shape, dtype

    @property
    def last(self) -> int:
        """The extent along the vector."""
        return self.shape[-1] if self.shape else 1

    @property
    def vectors(self) -> int:
        """Parts per row."""
        return -(-self.last // self.low.lanes)

    @property
    def scalar(self) -> bool:
        """Whether the parts are scalars."""
        return self.last == 1

    @property
    def kind(self) -> str:
        """The type of a part."""
        return self.dtype if self.scalar else self.low.vector(self.dtype)

    def rows(self) -> Iterator[Row]:
        """All rows in order."""
        return product(*map(range, self.shape[:-1]))

    def places(self) -> Iterator[tuple[Row, int]]:
        """All parts in order."""
        return ((row, j) for row in self.rows() for j in range(self.vectors))

    def live(self, j: int) -> int:
        """How many lanes of vector `j` of a row belong to the tile."""
        return min(self.low.lanes, self.last - j * self.low.lanes)

    def part(self, row: Row, j: int = 0) -> str:
        """The name of one part, made if it is not yet."""
        key = (self.number, row, j)
        known = self.low.emit.recall(key)
        return known if known is not None else self.low.emit.remember(key, self.make(row, j))

    def parts(self) -> list[str]:
        """All parts in order."""
        return [self.part(row, j) for row, j in self.places()]

    def make(self, row: Row, j: int) -> str:
        """Emit one part."""
        raise InternalError(f"tile %{self.number} is used outside the region it is made in")

    def settle(self) -> None:
        """Make all parts now and read no memory any more."""
        self.parts()
        self.reads, self.direct = frozenset(), False

    def element(self, position: tuple[int, ...]) -> str:
        """One element as a scalar."""
        row, last = position[:-1], position[-1] if position else 0
        part = self.part(row, last // self.low.lanes)
        if self.scalar:
            return part
        return self.low.emit.pure(
            f"vector.extract {part}[{last % self.low.lanes}] : {self.dtype} from {self.kind}"
        )

    def word(self, position: tuple[int, ...], count: int) -> str:
        """`count` neighbouring elements as one i32."""
        raise InternalError(f"tile %{self.number} does not lie in memory")

    def wide(self, row: Row, j: int, group: int) -> str:
        """`group` times as many lanes as a register of 32-bit elements has, from lane `j` times that."""
        raise InternalError(f"tile %{self.number} does not lie in memory")

    def unrounded(self, row: Row, j: int) -> str | None:
        """Where a part of bf16 is one of f32 rounded, ties to either side: the vector of f32."""
        return None

    def spread(self, row: Row, j: int) -> str:
        """A part as a vector, also where the tile has one element per row."""
        part = self.part(row, 0 if self.scalar else j)
        return self.low.spread(part, self.dtype) if self.scalar else part


class Ready(Value):
    """A tile whose parts are there."""

    def __init__(self, low: "Lowering", number: int, shape: Shape, dtype: str, parts: list[str]) -> None:
        super().__init__(low, number, shape, dtype)
        for (row, j), part in zip(self.places(), parts, strict=True):
            low.emit.remember((number, row, j), part)


class Full(Value):
    """A tile of one scalar."""

    def __init__(
        self,
        low: "Lowering",
        number: int,
        shape: tuple[int, ...],
        dtype: str,
        of: str,
        constant: float | None,
    ) -> None:
        super().__init__(low, number, shape, dtype)
        self.of, self.constant = of, constant

    def part(self, row: Row, j: int = 0) -> str:
        """The scalar, or a vector of it."""
        return self.of if self.scalar else self.low.spread(self.of, self.dtype.removeprefix("u"))

    def element(self, position: tuple[int, ...]) -> str:
        """The scalar."""
        return self.of

    def word(self, position: tuple[int, ...], count: int) -> str:
        """The bits of the scalar, again and again."""
        if self.constant is None or is_float(self.dtype):
            return super().word(position, count)
        bits = 32 // count
        one = int(self.constant) % (1 << bits)
        whole = int.from_bytes(one.to_bytes(bits // 8) * count, signed=True)
        return self.low.emit.constant(whole, "i32")

    def wide(self, row: Row, j: int, group: int) -> str:
        """A constant in all lanes."""
        if self.constant is None:
            return super().wide(row, j, group)
        kind = f"vector<{self.low.lanes * group}x{self.dtype.removeprefix('u')}>"
        return self.low.emit.constant(self.constant, kind)


class Iota(Value):
    """start + position along an axis."""

    def __init__(self, low: "Lowering", number: int, shape: Shape, dtype: str, start: str, axis: int) -> None:
        super().__init__(low, number, shape, dtype)
        self.start, self.axis = start, axis

    def make(self, row: Row, j: int) -> str:
        emit, low = self.low.emit, self.low
        along = self.axis == len(self.shape) - 1
        first = j * low.lanes if along else row[self.axis]
        start = emit.binary("arith.addi", self.start, emit.number(first)) if first else self.start
        base = low.from_index(start, "i64")
        if self.scalar:
            return low.convert(base, "i64", self.dtype, vector=False)
        whole = low.spread(base, "i64")
        if along:
            whole = emit.binary("arith.addi", whole, emit.ramp(range(low.lanes), "i64"), low.vector("i64"))
        return low.convert(whole, "i64", self.dtype, vector=True)


class Transposed(Value):
    """Dimensions permuted, element by element."""

    def __init__(
        self,
        low: "Lowering",
        number: int,
        shape: tuple[int, ...],
        dtype: str,
        of: Value,
        order: tuple[int, ...],
    ) -> None:
        super().__init__(low, number, shape, dtype)
        self.of, self.order, self.reads, self.direct = of, order, of.reads, of.direct

    def source(self, position: tuple[int, ...]) -> tuple[int, ...]:
        """Where an element comes from."""
        back = [0] * len(position)
        for axis, place in zip(self.order, position, strict=True):
            back[axis] = place
        return tuple(back)

    def element(self, position: tuple[int, ...]) -> str:
        """One element of the source."""
        if not self.direct:
            return super().element(position)
        return self.of.element(self.source(position))

    def make(self, row: Row, j: int) -> str:
        if self.order and self.order[-1] == len(self.order) - 1:
            return self.of.part(self.source((*row, 0))[:-1], j)
        if self.scalar:
            return self.of.element(self.source((*row, 0)))
        if self._in_block(row, j):
            return self._block(row, j)
        return self.low.gathered(
            [self.of.element(self.source((*row, i))) for i in _lanes(self, j)], self.dtype
        )

    def _in_block(self, row: Row, j: int) -> bool:
        """Whether a part lies in a square of whole registers of a plain transpose."""
        size = self.low.lanes
        whole = self.live(j) == size and row[-1] // size * size + size <= self.of.last
        return self.order == (1, 0) and self.dtype in ("f32", "i32") and not self.of.scalar and whole

    def _block(self, row: Row, j: int) -> str:
        """A square transposed in registers: halves change places, then quarters, ..."""
        emit, size, column = self.low.emit, self.low.lanes, row[0] // self.low.lanes
        rows = [self.of.part((j * size + i,), column) for i in range(size)]
        distance = 1
        while distance < size:
            upper = [i if i & distance == 0 else size + i - distance for i in range(size)]
            lower = [i + distance if i & distance == 0 else size + i for i in range(size)]
            for i in (i for i in range(size) if i & distance == 0):
                pair = f"{rows[i]}, {rows[i + distance]}"
                kinds = f"{self.kind}, {self.kind}"
                rows[i] = emit.pure(f"vector.shuffle {pair} {upper} : {kinds}")
                rows[i + distance] = emit.pure(f"vector.shuffle {pair} {lower} : {kinds}")
            distance *= 2
        for i, part in enumerate(rows):
            emit.remember((self.number, (column * size + i,), j), part)
        return rows[row[0] % size]


class Interleaved(Value):
    """Neighbouring rows side by side."""

    def __init__(self, low: "Lowering", number: int, shape: Shape, dtype: str, of: Value) -> None:
        super().__init__(low, number, shape, dtype)
        self.of, self.reads = of, of.reads
        self.group = shape[1] // of.shape[1]

    def make(self, row: Row, j: int) -> str:
        low, size = self.low, self.low.lanes
        rows: list[Row] = [(row[0] * self.group + i,) for i in range(self.group)]
        if self.group.bit_count() == 1 and self.live(j) == size and self.of.last % size == 0:
            return self._woven(rows, j)
        places = [(rows[lane % self.group][0], lane // self.group) for lane in _lanes(self, j)]
        if self.scalar:
            return self.of.element(places[0])
        return low.gathered([self.of.element(place) for place in places], self.dtype)

    def _woven(self, rows: Sequence[Row], j: int) -> str:
        """Vector `j` of rows side by side: of every other one and of those between, each side by side."""
        if len(rows) == 1:
            return self.of.part(rows[0], j)
        size = self.low.lanes
        pair = ", ".join(self._woven(some, j // 2) for some in (rows[::2], rows[1::2]))
        half = j % 2 * size // 2
        order = [half + i // 2 + i % 2 * size for i in range(size)]
        return self.low.emit.pure(f"vector.shuffle {pair} {order} : {self.kind}, {self.kind}")

    def paired(self) -> bool:
        """Whether rows are pairs of 16 bits that fill whole registers."""
        return self.group == 2 and width(self.dtype) == 16 and self.of.last % self.low.lanes == 0

    def wide(self, row: Row, j: int, group: int) -> str:
        """The pairs of vector `j` of two rows."""
        emit, low = self.low.emit, self.low
        rows = [(row[0] * 2 + i,) for i in range(2)]
        kind = f"vector<{2 * low.lanes}x{self.dtype}>"
        exact = [x for r in rows if (x := self.of.unrounded(r, j)) is not None]
        if len(exact) < len(rows):
            order = [i // 2 + i % 2 * low.lanes for i in range(2 * low.lanes)]
            pair, one = ", ".join(self.of.part(r, j) for r in rows), low.vector(self.dtype)
            return emit.pure(f"vector.shuffle {pair} {order} : {one}, {one}")
        # Half a unit more, and what is beyond the upper 16 bits dropped.
        whole, half = low.vector("i32"), emit.constant(1 << 15, low.vector("i32"))
        bits = [emit.pure(f"arith.bitcast {x} : {low.vector('f32')} to {whole}") for x in exact]
        first, second = (emit.binary("arith.addi", x, half, whole) for x in bits)
        first = emit.binary("arith.shrui", first, emit.constant(16, whole), whole)
        second = emit.binary("arith.andi", second, emit.constant(-1 << 16, whole), whole)
        both = emit.binary("arith.ori", first, second, whole)
        return emit.pure(f"vector.bitcast {both} : {whole} to {kind}")


class SplitUp(Value):
    """The bits of elements of 32 bits as shorter elements, for what takes many in a register."""

    def __init__(self, low: "Lowering", number: int, shape: Shape, dtype: str, of: Value) -> None:
        super().__init__(low, number, shape, dtype)
        self.of, self.reads = of, of.reads

    def make(self, row: Row, j: int) -> str:
        raise InternalError(f"elements of tile %{self.number} are read by 32 bits at a time only")

    def settle(self) -> None:
        """Nothing to do: the parts are those of the longer elements."""
        self.of.parts()
        self.reads = frozenset()

    def wide(self, row: Row, j: int, group: int) -> str:
        """A register of the longer elements."""
        kind = f"vector<{self.low.lanes * group}x{self.dtype.removeprefix('u')}>"
        return self.low.emit.pure(f"vector.bitcast {self.of.part(row, j)} : {self.of.kind} to {kind}")


class Reshaped(Value):
    """Unit dimensions inserted or removed."""

    def __init__(self, low: "Lowering", number: int, shape: Shape, dtype: str, of: Value) -> None:
        super().__init__(low, number, shape, dtype)
        self.of, self.reads, self.direct = of, of.reads, of.direct

    def source(self, position: tuple[int, ...]) -> tuple[int, ...]:
        """Where an element comes from."""
        moving = iter([place for place, extent in zip(position, self.shape, strict=True) if extent != 1])
        return tuple(next(moving) if extent != 1 else 0 for extent in self.of.shape)

    def element(self, position: tuple[int, ...]) -> str:
        """The same element of the source."""
        if not self.direct:
            return super().element(position)
        return self.of.element(self.source(position))

    def make(self, row: Row, j: int) -> str:
        if self.scalar:
            return self.of.element(self.source((*row, 0) if self.shape else ()))
        if self.of.last == self.last:
            return self.of.part(self.source((*row, 0))[:-1], j)
        return self.low.gathered(
            [self.of.element(self.source((*row, i))) for i in _lanes(self, j)], self.dtype
        )


def _lanes(value: Value, j: int) -> list[int]:
    """Positions along the last axis for the lanes of vector `j`; beyond the tile, its first again."""
    first = j * value.low.lanes
    return [first + i if i < value.live(j) else first for i in range(value.low.lanes)]
