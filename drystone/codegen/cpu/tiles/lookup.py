"""Tables of a few numbers, in registers."""

from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.values import Row, Value
from drystone.codegen.tile import Lookup, Shuffle, Tile
from drystone.errors import InternalError

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering

#: By the lanes of a register of f32: the intrinsic that picks, in every lane, the element of a register which
#: the low bits of an index say (VPERMPS).
_PERMUTE = {16: "llvm.x86.avx512.permvar.sf.512", 8: "llvm.x86.avx2.permps"}
#: The same of two registers (VPERMI2PS).
_PERMUTE_TWO = {16: "llvm.x86.avx512.vpermi2var.ps.512"}

#: What picks each byte of a register of 512 bits from another one (VPERMB).
_SHUFFLE = "llvm.x86.avx512.permvar.qi.512"


class LookedUp(Value):
    """The number in a table that the low bits of each element say."""

    def __init__(self, low: "Lowering", s: Lookup) -> None:
        super().__init__(low, s.result.number, s.result.shape, s.result.dtype)
        self.index = low.value(s.index)
        self.numbers = low.value(s.numbers) if isinstance(s.numbers, Tile) else s.numbers
        self.reads = self.index.reads | (
            self.numbers.reads if isinstance(self.numbers, Value) else frozenset()
        )

    def settle(self) -> None:
        """Make all parts now."""
        self.parts()
        self.reads = frozenset()

    def make(self, row: Row, j: int) -> str:
        low = self.low
        index = self.index.part(_row_of(self.index, row), j)
        index = low.spread(index, "i32") if self.scalar else index
        whole = (
            self._of_tile(row, index)
            if isinstance(self.numbers, Value)
            else _picked(low, self.numbers, index)
        )
        if not self.scalar:
            return whole
        return low.emit.pure(f"vector.extract {whole}[0] : f32 from {low.vector('f32')}")

    def _of_tile(self, row: Row, index: str) -> str:
        """The numbers of a row of a tile, which fill a register one after the other again and again."""
        low, table = self.low, self.numbers
        assert isinstance(table, Value)
        count, kind = table.last, low.vector("f32")
        if count > low.lanes:
            raise InternalError(f"{low.target.name} picks no numbers of a row of {count}")
        part = table.spread(_row_of(table, row), 0)
        if 1 < count < low.lanes:
            order = [lane % count for lane in range(low.lanes)]
            part = low.emit.pure(f"vector.shuffle {part}, {part} {order} : {kind}, {kind}")
        return _permuted(low, part, index)


class Shuffled(Value):
    """Bytes of a table of 64, for what takes many in a register (VPERMB)."""

    def __init__(self, low: "Lowering", s: Shuffle) -> None:
        super().__init__(low, s.result.number, s.result.shape, s.result.dtype)
        if not low.target.shuffles:
            raise InternalError(f"{low.target.name} picks no bytes of a table of 64")
        self.table, self.index = low.value(s.table), low.value(s.index)
        self.reads = self.table.reads | self.index.reads

    def make(self, row: Row, j: int) -> str:
        raise InternalError(f"elements of tile %{self.number} are read by 32 bits at a time only")

    def settle(self) -> None:
        """Make all registers now."""
        for row in self.rows():
            for j in range(self.last // (4 * self.low.lanes)):
                self.wide(row, j, 4)
        self.reads = frozenset()

    def wide(self, row: Row, j: int, group: int) -> str:
        """A register of bytes."""
        emit, key = self.low.emit, (self.number, "wide", row, j)
        known = emit.recall(key)
        if known is not None:
            return known
        kind = f"vector<{self.low.lanes * group}xi8>"
        pair = f"{self.table.wide((0,), 0, group)}, {self.index.wide(row, j, group)}"
        return emit.remember(
            key, emit.pure(f'llvm.call_intrinsic "{_SHUFFLE}"({pair}) : ({kind}, {kind}) -> {kind}')
        )


def _row_of(value: Value, row: Row) -> Row:
    """The row of a tile of one or as many rows that belongs to one of a result."""
    missing = len(row) + 1 - len(value.shape)
    return tuple(0 if n == 1 else i for i, n in zip(row[missing:], value.shape[:-1], strict=True))


def _permuted(low: "Lowering", table: str, index: str) -> str:
    """The elements of a register that the low bits of an index say."""
    real, whole = low.vector("f32"), low.vector("i32")
    picked = f'llvm.call_intrinsic "{_PERMUTE[low.lanes]}"({table}, {index})'
    return low.emit.pure(f"{picked} : ({real}, {whole}) -> {real}")


def _picked(low: "Lowering", numbers: tuple[float, ...], index: str) -> str:
    """The numbers at the indices of a register."""
    emit, lanes, count = low.emit, low.lanes, len(numbers)
    real, whole = low.vector("f32"), low.vector("i32")
    if count <= lanes:
        return _permuted(low, emit.ramp(numbers * (lanes // count), "f32"), index)
    step = numbers[1] - numbers[0]
    if all(number == numbers[0] + step * i for i, number in enumerate(numbers)) and lanes not in _PERMUTE_TWO:
        code = emit.binary("arith.andi", index, emit.constant(count - 1, whole), whole)
        made = emit.pure(f"arith.sitofp {code} : {whole} to {real}")
        made = emit.binary("arith.mulf", made, emit.constant(step, real), real) if step != 1 else made
        first = emit.constant(numbers[0], real)
        return emit.binary("arith.addf", made, first, real) if numbers[0] else made
    half = count // 2
    if count == 2 * lanes and lanes in _PERMUTE_TWO:
        one, two = (emit.ramp(part, "f32") for part in (numbers[:half], numbers[half:]))
        return emit.pure(
            f'llvm.call_intrinsic "{_PERMUTE_TWO[lanes]}"({one}, {index}, {two}) '
            f": ({real}, {whole}, {real}) -> {real}"
        )
    below, above = (_picked(low, part, index) for part in (numbers[:half], numbers[half:]))
    bit = emit.binary("arith.andi", index, emit.constant(half, whole), whole)
    upper = emit.compare("ne", bit, emit.constant(0, whole), whole)
    return emit.pure(f"arith.select {upper}, {above}, {below} : {low.vector('i1')}, {real}")
