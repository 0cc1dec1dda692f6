"""Loads in which each element has its own position."""

from math import prod
from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.usage import memory_of
from drystone.codegen.cpu.tiles.values import Row, Value
from drystone.codegen.ranges import Linear
from drystone.codegen.tile import Gather

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering


class Gathered(Value):
    """Each element from its own position, clamped into the tensor."""

    def __init__(self, low: "Lowering", s: Gather) -> None:
        super().__init__(low, s.result.number, s.result.shape, s.result.dtype)
        self.source, self.indices, self.inside = s.source, [low.value(t) for t in s.indices], s.inside
        self.reads = frozenset({memory_of(s.source)}).union(*(index.reads for index in self.indices))

    def settle(self) -> None:
        """Make all parts now."""
        self.parts()
        self.reads = frozenset()

    def make(self, row: Row, j: int) -> str:
        low, emit, vector = self.low, self.low.emit, not self.scalar
        element = self._index_element() if vector else "i64"
        kind = low.vector(element) if vector else element
        name, flat = low.memory(self.source)
        total: str | None = None
        for dim, index in enumerate(self.indices):
            missing = len(self.shape) - len(index.shape)
            at = tuple(0 if n == 1 else i for i, n in zip(row[missing:], index.shape[:-1], strict=False))
            where = index.spread(at, j) if vector else index.part(at)
            where = low.convert(where, index.dtype, element, vector=vector)
            extent = self.source.dim(dim)
            if not self.inside:
                last = low.form(low.facts.linear(extent) - Linear((), 1))
                where = emit.binary("arith.minsi", where, self._wide(last, element), kind)
                where = emit.binary("arith.maxsi", where, emit.constant(0, kind), kind)
            if total is None:
                total = where
            else:
                scaled = emit.binary("arith.muli", total, self._wide(low.index(extent), element), kind)
                total = emit.binary("arith.addi", scaled, where, kind)
        code = self.source.held
        stored = "i8" if code == "i1" else code
        held = low.vector(stored) if vector else stored
        if not vector:
            at_index = (
                emit.number(0) if total is None else emit.pure(f"arith.index_cast {total} : i64 to index")
            )
            part = emit.fresh(f"memref.load {name}[{at_index}] : {flat}")
        else:
            zero, every = emit.number(0), emit.constant(1, low.vector("i1"))
            given = total if total is not None else emit.constant(0, kind)
            types = f"{flat}, {kind}, {low.vector('i1')}, {held} into {held}"
            fill = emit.constant(0, held)
            part = emit.fresh(f"vector.gather {name}[{zero}] [{given}], {every}, {fill} : {types}")
        if code == "i1":
            return emit.pure(f"arith.trunci {part} : {held} to {self.kind}")
        return low.convert(part, code, self.dtype, vector=vector)

    def _index_element(self) -> str:
        """The element that positions in memory are computed in: a short one, of which a register holds as
        many as of results, where it counts all of a tensor that positions are sure to lie in."""
        count = prod(n or 0 for n in self.source.shape)
        return "i32" if self.inside and None not in self.source.shape and count < 1 << 31 else "i64"

    def _wide(self, index: str, element: str) -> str:
        """An index, in all lanes where the tile has vectors."""
        value = self.low.from_index(index, element)
        return value if self.scalar else self.low.spread(value, element)
