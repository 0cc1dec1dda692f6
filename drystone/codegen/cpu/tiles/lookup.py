"""Tables of a few numbers, in registers."""

from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.values import Row, Value
from drystone.codegen.tile import Lookup, Shuffle
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
        self.index, self.numbers = low.value(s.index), s.numbers
        self.reads = self.index.reads

    def settle(self) -> None:
        """Make all parts now."""
        self.parts()
        self.reads = frozenset()

    def make(self, row: Row, j: int) -> str:
        low = self.low
        index = self.index.part(row, j)
        if not self.scalar:
            return _picked(low, self.numbers, index)
        whole = _picked(low, self.numbers, low.spread(index, "i32"))
        return low.emit.pure(f"vector.extract {whole}[0] : f32 from {low.vector('f32')}")


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


def _picked(low: "Lowering", numbers: tuple[float, ...], index: str) -> str:
    """The numbers at the indices of a register."""
    emit, lanes, count = low.emit, low.lanes, len(numbers)
    real, whole = low.vector("f32"), low.vector("i32")
    if count <= lanes:
        table = emit.ramp(numbers * (lanes // count), "f32")
        return emit.pure(
            f'llvm.call_intrinsic "{_PERMUTE[lanes]}"({table}, {index}) : ({real}, {whole}) -> {real}'
        )
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
