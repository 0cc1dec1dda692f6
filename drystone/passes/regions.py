"""Scalar regions: copying the operations of one block into another, and the constants they use."""

from collections.abc import Callable
from typing import Any

from drystone.ir.values import nested
from drystone.mlir import affine, ir, linalg
from drystone.passes.rewriting import index_constant

#: Operations that take many cycles: work is not repeated where one of them is part of it.
_SLOW = frozenset({"arith.divf", "arith.divsi", "arith.divui", "arith.remf", "arith.remsi", "arith.remui"})


def copy_body(
    block: Any, known: dict[Any, Any], at: Callable[[int], Any] | None = None, only: int | None = None
) -> list[Any]:
    """Copy a block's operations to the current insertion point; the values its terminator yields there.

    known: what stands for the block's arguments, and for other values that are to be replaced; the copies'
    results are added. at: gives the value that stands for linalg.index of a dimension. only: how many of the
    operations are copied (all but the terminator where None).
    """
    body = list(block.operations)
    for op in body[:-1] if only is None else body[:only]:
        operation = op.operation
        if at is not None and operation.name == "linalg.index":
            known[operation.results[0]] = at(operation.attributes["dim"].value)
            continue
        made = operation.clone()
        for inner in [made, *nested(made)]:
            for number, value in enumerate(inner.operation.operands):
                if value in known:
                    inner.operation.operands[number] = known[value]
        known.update(zip(operation.results, made.results, strict=True))
    return [known.get(value, value) for value in body[-1].operation.operands]


def copy_value(value: Any, known: dict[Any, Any], at: Callable[[int], Any]) -> Any:
    """Copy what makes one value of a block to the current insertion point, as `copy_body` does; the value
    there."""
    if value in known or isinstance(value.owner, ir.Block) or value.owner.parent.name == "func.func":
        return known.get(value, value)
    if value.owner.name == "linalg.index":
        known[value] = at(value.owner.attributes["dim"].value)
        return known[value]
    operands = [copy_value(operand, known, at) for operand in value.owner.operands]
    made = value.owner.clone()
    for number, operand in enumerate(operands):
        made.operation.operands[number] = operand
    known.update(zip(value.owner.results, made.operation.results, strict=True))
    return known[value]


def position(map_: Any, number: int) -> Any:
    """The value, inside a linalg body, of result `number` of an affine map over its dimensions."""
    expr = map_.results[number].maybe_downcast()
    if isinstance(expr, ir.AffineDimExpr):
        return linalg.IndexOp(expr.position).result
    if isinstance(expr, ir.AffineConstantExpr):
        return index_constant(expr.value)
    dims = [linalg.IndexOp(d).result for d in range(map_.n_dims)]
    return affine.AffineApplyOp(ir.AffineMap.get(map_.n_dims, 0, [expr]), dims).result


def is_cheap(block: Any, most: int = 4) -> bool:
    """Whether a body is a few quick operations, so that repeating it costs less than storing its result."""
    names = [op.operation.name for op in block.operations][:-1]
    return len(names) <= most and not any(
        name in _SLOW or name.startswith(("math.", "tensor.", "scf.", "complex.")) for name in names
    )
