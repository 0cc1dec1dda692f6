"""The pass `fuse-gather`: elements that are picked from a map's result are computed where they are picked."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.program import Program
from drystone.ir.values import dims_of, is_tensor, main_block, nested, producer
from drystone.mlir import ir, tensor
from drystone.passes.generic import body, is_producer, maps_of, without_units
from drystone.passes.regions import copy_body, is_cheap
from drystone.passes.rewriting import erase_dead, index_constant, ops, uses


@dataclass(frozen=True)
class FuseGather:
    """A map whose result is only picked from is not stored.

    Before:  %y = linalg.generic {all parallel} ins(%x, %w) {mul} ; %z = linalg.generic ins(%t) {%y[i, t]}
    After:   %z = linalg.generic ins(%t) {%x[i, t] * %w[t]}

    - The map is a linalg.generic over parallel dimensions with one result, every reader of which is a
      tensor.extract inside another linalg.generic, and of at most `cheap` operations, none slow: an element
      may be picked more than once. It reads its inputs at its loops or at fixed positions.
    - Reshapes of dimensions of extent 1 between the two do not matter.
    """

    cheap: int = 4
    name: ClassVar[str] = "fuse-gather"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        pending = [each for op in ops(block, "linalg.generic") for each in _picks(op)]
        while pending:
            # Maps are taken apart from the last to the first: then all readers of one are known to pick.
            pending = [each for picked in pending for each in self._fuse(picked)]
            erase_dead(block)

    def _fuse(self, picked: Any) -> list[Any]:
        """Compute one picked element; the operations that pick what it is made of."""
        with ir.InsertionPoint(picked), picked.operation.location:
            value, indices = _without_units(picked.operation.operands[0], list(picked.operation.operands)[1:])
            made = producer(value)
            if made is not None and made.operation.name == "linalg.generic" and self._takes(made):
                element, more = _computed(made, indices)
            elif value != picked.operation.operands[0]:
                element = tensor.ExtractOp(value, indices).result
                more = [element.owner.opview]
            else:
                return []
        picked.operation.results[0].replace_all_uses_with(element)
        picked.operation.erase()
        return more

    def _takes(self, made: Any) -> bool:
        if not is_producer(made) or not is_cheap(body(made), self.cheap):
            return False
        places = [expr.maybe_downcast() for map_ in maps_of(made)[:-1] for expr in map_.results]
        if not all(isinstance(place, ir.AffineDimExpr | ir.AffineConstantExpr) for place in places):
            return False
        return all(
            user.name == "tensor.extract" and user.parent.name == "linalg.generic"
            for user, _ in uses(made.operation.results[0])
        )


def _picks(op: Any) -> list[Any]:
    """The operations inside another that pick elements."""
    return [each for each in nested(op) if each.operation.name == "tensor.extract"]


def _without_units(value: Any, indices: list[Any]) -> tuple[Any, list[Any]]:
    """What is picked behind reshapes of dimensions of extent 1."""
    source, map_ = without_units(value, ir.AffineMap.get_identity(value.type.rank))
    return source, _at(map_, dict(enumerate(indices)))


def _at(map_: Any, loops: dict[int | None, Any]) -> list[Any]:
    """The results of a map of dimensions and constants, as index values."""
    exprs = [expr.maybe_downcast() for expr in map_.results]
    return [loops[e.position] if isinstance(e, ir.AffineDimExpr) else index_constant(e.value) for e in exprs]


def _computed(made: Any, indices: list[Any]) -> tuple[Any, list[Any]]:
    """The element of a map's result at some indices, and the operations that pick what it is made of."""
    maps = maps_of(made)
    loops = dict(zip(dims_of(maps[-1]), indices, strict=True))
    picked: list[Any] = []
    known: dict[Any, Any] = {}
    for argument, operand, map_ in zip(
        body(made).arguments, made.operation.operands, maps[:-1], strict=False
    ):
        if not is_tensor(operand):
            known[argument] = operand
            continue
        picked.append(tensor.ExtractOp(operand, _at(map_, loops)))
        known[argument] = picked[-1].result
    (value,) = copy_body(body(made), known, lambda d: loops[d])
    return value, picked
