"""Sums along the rows of a tensor of what is of the first degree in its elements: they follow from the sums
of the elements, so that these need not be there."""

from dataclasses import dataclass, field
from typing import Any

from drystone.ir.build import generic
from drystone.ir.values import shape
from drystone.mlir import arith, ir, linalg
from drystone.passes.dims import empty_like, extent
from drystone.passes.generic import (
    body,
    expand,
    is_filled_with_zero,
    is_identity,
    maps_of,
    used_dims,
)
from drystone.passes.regions import copy_value

#: The operands that may depend on an element: of what is of the first degree where each of them is, and where
#: one of them is.
_EACH = {"arith.addf": (0, 1), "arith.subf": (0, 1), "arith.negf": (0,), "arith.select": (1, 2)}
_ONE = {"arith.mulf": (0, 1), "arith.divf": (0,)}


@dataclass
class RowSum:
    """A linalg.generic that reads a tensor row by row, its last dimension along its last loop."""

    op: Any
    value: Any  #: the tensor, an input of `op`
    _varies: dict[Any, bool] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The loop along a row."""
        return int(self.value.type.rank) - 1

    @property
    def number(self) -> int:
        """Which operand the tensor is."""
        return list(self.op.operation.operands).index(self.value)

    @property
    def x(self) -> Any:
        """An element of the tensor, in the body."""
        return body(self.op).arguments[self.number]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the loops over rows."""
        found = list(self.op.operation.attributes["iterator_types"])[: self.last]
        return ["reduction" if "reduction" in str(kind) else "parallel" for kind in found]

    @property
    def known(self) -> bool:
        """Whether the operation gives one sum along the rows of f32 elements, of what is of the first degree
        in these and otherwise the same along a row."""
        operation, maps = self.op.operation, maps_of(self.op)
        given = list(operation.operands)
        if len(operation.results) != 1 or given.count(self.value) != 1:
            return False
        if str(self.value.type.element_type) != "f32" or not is_identity(maps[self.number]):
            return False
        others = [map_ for k, map_ in enumerate(maps) if k != self.number]
        if any(self.last in used_dims(map_.results) for map_ in others):
            return False
        # Where no rows are added up the result is the sum alone.
        if "reduction" not in self.kinds and not is_filled_with_zero(given[-1]):
            return False
        term = self._term()
        return term is not None and self._is_linear(term)

    def _term(self) -> Any:
        """What each element adds to the result; None where the operation does anything else."""
        out = body(self.op).arguments[len(body(self.op).arguments) - 1]
        yielded = list(body(self.op).operations)[-1].operation.operands[0]
        if isinstance(yielded.owner, ir.Block) or yielded.owner.name != "arith.addf":
            return None
        terms = [operand for operand in yielded.owner.operands if operand != out]
        return terms[0] if len(terms) == 1 and len(list(out.uses)) == 1 else None

    def _is_linear(self, value: Any) -> bool:
        if value == self.x or not self._along(value):
            return True
        op = value.owner
        varying = [k for k, operand in enumerate(op.operands) if self._along(operand)]
        if op.name in _ONE:
            allowed = set(_ONE[op.name]) if len(varying) == 1 else set()
        else:
            allowed = set(_EACH.get(op.name, ()))
        return (
            set(varying) <= allowed
            and bool(varying)
            and all(self._is_linear(op.operands[k]) for k in varying)
        )

    def _along(self, value: Any) -> bool:
        """Whether a value of the body changes along a row."""
        if value == self.x:
            return True
        if isinstance(value.owner, ir.Block) or value.owner.parent.name == "func.func":
            return False
        if value not in self._varies:
            at = value.owner.name == "linalg.index" and value.owner.attributes["dim"].value == self.last
            self._varies[value] = at or any(self._along(operand) for operand in value.owner.operands)
        return self._varies[value]

    def replace(self, sums: Any) -> None:
        """Let the result be computed of the sums of the elements, a tensor of one dimension."""
        operation, last = self.op.operation, self.last
        given, rows = list(operation.operands), ir.AffineMap.get_identity(last)
        maps = [ir.AffineMap.get(last, 0, list(map_.results)) for map_ in maps_of(self.op)]
        with ir.InsertionPoint(operation), operation.location:
            whole = expand(sums, [list(range(last))], [extent(self.value, d) for d in range(last)])
            given[self.number], maps[self.number] = whole, rows
            if "reduction" not in self.kinds:
                given[-1] = empty_like(operation.results[0])
            made = generic(given[:-1], given[-1:], maps, self.kinds)
        block = made.operation.regions[0].blocks.append(*(each.type.element_type for each in given))
        arguments = list(block.arguments)
        known = dict(zip(body(self.op).arguments, arguments, strict=True))
        with ir.InsertionPoint(block), operation.location:
            found = self._sum(self._term(), known)
            if "reduction" in self.kinds:
                found = arith.AddFOp(found, arguments[-1]).result
            ir.Operation.create("linalg.yield", operands=[found])
        operation.results[0].replace_all_uses_with(made.operation.results[0])
        operation.erase()

    def _sum(self, value: Any, known: dict[Any, Any]) -> Any:
        """The sum along a row of a value of the body, at the insertion point; `known` has what stands for the
        sum of the elements and for what does not change along a row."""
        if value == self.x:
            return known[value]
        if not self._along(value):
            kind = value.type
            count = arith.ConstantOp(kind, ir.FloatAttr.get(kind, float(shape(self.value)[-1] or 0))).result
            return arith.MulFOp(self._same(value, known), count).result
        op = value.owner
        summed = _EACH.get(op.name) or [k for k in _ONE[op.name] if self._along(op.operands[k])]
        operands = [
            self._sum(operand, known) if k in summed else self._same(operand, known)
            for k, operand in enumerate(op.operands)
        ]
        made = op.clone()
        for k, operand in enumerate(operands):
            made.operation.operands[k] = operand
        return made.results[0]

    def _same(self, value: Any, known: dict[Any, Any]) -> Any:
        return copy_value(value, known, lambda dim: linalg.IndexOp(dim).result)
