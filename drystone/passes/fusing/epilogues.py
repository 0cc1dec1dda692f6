"""Making `dry` operations with an epilogue anew, with other operands, types or attributes."""

from collections.abc import Mapping, Sequence
from typing import Any

from drystone.ir.build import maps as maps_attribute
from drystone.ir.dialect import MAX_EXTRAS, Dry, WithEpilogue
from drystone.ir.values import captured, constant_value, dims_of, shape, sums_of
from drystone.mlir import ir
from drystone.passes.generic import body

#: Operations with an epilogue that are linear in both operands.
PRODUCTS = ("dry.matmul", "dry.conv")


def with_epilogue() -> tuple[str, ...]:
    """The operations that have an epilogue."""
    return tuple(each.OPERATION_NAME for each in Dry.operations if issubclass(each, WithEpilogue))


def is_plain(op: Any) -> bool:
    """Whether the body of a linalg.generic can be an epilogue: scalar arithmetic, constants from outside."""
    inner = list(body(op).operations)[:-1]
    known = all(each.operation.name.startswith(("arith.", "math.")) for each in inner)
    return known and all(constant_value(value) is not None for value in captured(op))


def projects(value: Any, map_: Any) -> bool:
    """Whether a map reads a tensor at dimensions, each once, and at position 0 of unit ones."""
    dims = dims_of(map_)
    named = [d for d in dims if d is not None]
    zero = all(d is not None or shape(value)[k] == 1 for k, d in enumerate(dims))
    return zero and len(set(named)) == len(named)


def extras_of(op: Any) -> list[tuple[Any, Any]]:
    """(value, map) of every extra."""
    maps = [each.value for each in op.operation.attributes["extra_maps"]]
    return list(zip(list(op.operation.operands)[2:], maps, strict=True))


def remade(
    op: Any,
    operands: Sequence[Any],
    extras: Sequence[tuple[Any, Any]],
    out: Any | None = None,
    attributes: Mapping[str, Any] | None = None,
    sums: Any | None = None,
) -> tuple[Any, Any]:
    """A new operation at the insertion point, like `op` but for its two operands, its extras with their maps,
    its result type, some attributes and the element of its sums; and the still empty block of its epilogue,
    arguments in place."""
    operation = op.operation
    kind = operation.results[0].type if out is None else out
    named = {key: operation.attributes[key] for key in operation.attributes}
    named.update(attributes or {})
    named["extra_maps"] = maps_attribute([map_ for _, map_ in extras])
    sizes = [1, 1, *[1] * len(extras), *[0] * (MAX_EXTRAS - len(extras))]
    named["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get(sizes)
    values = [value for value, _ in extras]
    made = ir.Operation.create(
        operation.name, [kind], [*operands, *values], named, regions=1, loc=operation.location
    )
    elements = [sums or sums_of(op), *(value.type.element_type for value in values)]
    block = made.regions[0].blocks.append(*elements)
    return made.opview, block


def take_epilogue(op: Any, made: Any, kept: Sequence[int] | None = None, total: Any | None = None) -> None:
    """Move the epilogue of `op` to `made` and put `made` in its place. kept: the extras of `op` that are the
    first ones of `made` (all of them where None); no others may be used. total: what the block of `made`
    makes of its sums for the epilogue to go on with (None: the sums)."""
    old = op.operation.regions[0].blocks[0]
    block = made.operation.regions[0].blocks[0]
    mine, theirs = list(old.arguments), list(block.arguments)
    chosen = range(len(mine) - 1) if kept is None else kept
    for number, extra in enumerate(chosen):
        mine[1 + extra].replace_all_uses_with(theirs[1 + number])
    mine[0].replace_all_uses_with(theirs[0] if total is None else total)
    last = ir.Operation.create("dry.yield", operands=[theirs[0]], ip=ir.InsertionPoint(block))
    for inner in list(old.operations):
        inner.operation.move_before(last)
    last.erase()
    op.operation.results[0].replace_all_uses_with(made.operation.results[0])
    op.operation.erase()
