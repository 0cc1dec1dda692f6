"""linalg.generic with other inputs: rebuilding one, and inputs that hold one value only."""

from typing import Any

from drystone.ir.build import generic
from drystone.ir.values import constant_value, dims_of, is_tensor, producer, producer_name, splat
from drystone.mlir import arith, ir
from drystone.passes.generic import body, maps_of
from drystone.passes.regions import copy_body


def inline_scalars(op: Any) -> Any:
    """A linalg.generic that takes scalars in place of inputs that are filled with one value; `op` itself
    where it has none."""
    number = 0
    while number < len(op.operation.operands) - len(op.operation.results):
        scalar = uniform(op.operation.operands[number])
        made = None if scalar is None else with_scalar(op, number, scalar)
        if made is None:
            number += 1
        else:
            op = made
    return op


def uniform(value: Any) -> Any:
    """The scalar that every element of a tensor is: a function that makes it at the insertion point, or a
    value; None for tensors of several values."""
    if not is_tensor(value):
        return None
    constant = constant_value(value)
    if constant is not None:
        return splat(constant)
    if producer_name(value) == "linalg.fill":
        return producer(value).operation.operands[0]
    return None


def with_scalar(op: Any, number: int, scalar: Any) -> Any:
    """The operation without input `number`, all `scalar`; None where a loop would lose its extent."""
    operands, maps = list(op.operation.operands), maps_of(op)
    del operands[number], maps[number]
    if not maps or not bounds_all(maps):
        return None
    with ir.InsertionPoint(op), op.operation.location:
        if isinstance(scalar, ir.Attribute):
            scalar = arith.ConstantOp(scalar.type, scalar).result
        made, block = rebuilt(op, operands, maps)
    arguments = list(block.arguments)
    known = dict(zip(body(op).arguments, [*arguments[:number], scalar, *arguments[number:]], strict=True))
    return finish(op, made, block, known)


def bounds_all(maps: list[Any]) -> bool:
    """Whether every loop is a dimension of some operand."""
    return {d for map_ in maps for d in dims_of(map_)} >= set(range(maps[0].n_dims))


def rebuilt(op: Any, operands: list[Any], maps: list[Any]) -> tuple[Any, Any]:
    """A linalg.generic like `op` with other inputs, and its empty block."""
    count = len(op.operation.results)
    first = len(operands) - count
    kinds = op.operation.attributes["iterator_types"]
    iterators = ["reduction" if "reduction" in str(kind) else "parallel" for kind in kinds]
    made = generic(operands[:first], operands[first:], maps, iterators)
    types = [v.type.element_type if is_tensor(v) else v.type for v in operands]
    block = made.operation.regions[0].blocks.append(*types)
    return made, block


def finish(op: Any, made: Any, block: Any, known: dict[Any, Any]) -> Any:
    """Copy the body of `op` into the new operation and let that take its place."""
    with ir.InsertionPoint(block), op.operation.location:
        yielded = copy_body(body(op), known)
        _yield(yielded)
    for old, new in zip(op.operation.results, made.operation.results, strict=True):
        old.replace_all_uses_with(new)
    op.operation.erase()
    return made


def _yield(values: list[Any]) -> None:
    ir.Operation.create("linalg.yield", operands=values)
