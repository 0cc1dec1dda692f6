"""Stores whose elements each have a position of their own, or lie side by side where they are chosen."""

from typing import TYPE_CHECKING

from drystone.codegen.cpu.tiles.values import Value
from drystone.codegen.ranges import Linear
from drystone.codegen.tile import Compress, Scatter
from drystone.errors import InternalError

if TYPE_CHECKING:
    from drystone.codegen.cpu.tiles.state import Lowering


def placed(low: "Lowering", s: Scatter | Compress) -> None:
    """Write a tile, a vector at a time; a compressed one is one vector."""
    value, keep = low.value(s.value), low.value(s.keep)
    if len(s.target.shape) != 1 or value.scalar or (isinstance(s, Compress) and value.vectors > 1):
        raise InternalError(f"no vector is written as in {s}")
    for row, j in value.places():
        if isinstance(s, Scatter):
            _scatter(low, s, value.part(row, j), keep.part(row, j), low.value(s.indices[0]).part(row, j))
        else:
            _compress(low, s, value, keep.part(row, j))


def _scatter(low: "Lowering", s: Scatter, part: str, keep: str, where: str) -> None:
    name, flat = low.memory(s.target)
    held = low.vector(s.target.held)
    part = low.convert(part, s.value.dtype, s.target.held, vector=True)
    kinds = low.vector(s.indices[0].dtype), low.vector("i1")
    zero = low.emit.number(0)
    low.emit.line(
        f"vector.scatter {name}[{zero}] [{where}], {keep}, {part} : {flat}, {', '.join(kinds)}, {held}"
    )


def _compress(low: "Lowering", s: Compress, value: Value, keep: str) -> None:
    name, flat = low.memory(s.target)
    held = low.vector(s.target.held)
    part = low.convert(value.part((0,), 0), s.value.dtype, s.target.held, vector=True)
    at = low.form(low.facts.linear(s.at) + Linear((), 0))
    low.emit.line(f"vector.compressstore {name}[{at}], {keep}, {part} : {flat}, {low.vector('i1')}, {held}")
