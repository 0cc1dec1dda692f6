"""A mask whose rows are alike, as one of padded keys is: attention reads one of them."""

from typing import Any

from drystone.ir.values import nested, operand_groups, producer, shape
from drystone.mlir import arith, ir, tensor
from drystone.passes.dims import extent
from drystone.passes.generic import body, is_identity, is_producer, maps_of, used_dims
from drystone.passes.rebuild import rebuilt, uniform
from drystone.passes.regions import copy_body

#: The dimensions of keys, which stay as they are.
_KEYS = 3


def one_of_those_alike(op: Any) -> None:
    """Let a dry.attention read a mask with an extent of 1 for queries, heads or images that it does not
    depend on, where it was repeated for them."""
    masks = operand_groups(op)[3]
    made = producer(masks[0]) if masks else None
    if made is None or made.operation.name != "linalg.generic":
        return
    if not is_producer(made) or not is_identity(maps_of(made)[-1]):
        return
    inputs = list(made.operation.operands)[:-1]
    scalars = {number: one for number, value in enumerate(inputs) if (one := uniform(value)) is not None}
    read = _read(made, [number for number in range(len(inputs)) if number not in scalars])
    repeated = [d for d, n in enumerate(shape(masks[0])[:_KEYS]) if n != 1 and d not in read]
    if repeated:
        op.operation.operands[_KEYS] = _fewer(made, scalars, repeated)


def _read(op: Any, numbers: list[int]) -> set[int]:
    """The loops on which these inputs and the body of a linalg.generic depend."""
    maps = maps_of(op)
    found = set().union(*(used_dims(maps[number].results) for number in numbers))
    places = (inner.operation for inner in nested(op) if inner.operation.name == "linalg.index")
    return found | {int(place.attributes["dim"].value) for place in places}


def _fewer(op: Any, scalars: dict[int, Any], repeated: list[int]) -> Any:
    """The result of a linalg.generic with an extent of 1 in some dimensions; `scalars` stand for inputs that
    are the same everywhere."""
    value, maps, arguments = op.operation.results[0], maps_of(op), list(body(op).arguments)
    kept = [number for number in range(len(maps) - 1) if number not in scalars]
    with ir.InsertionPoint(op), op.operation.location:
        sizes = [1 if d in repeated else extent(value, d) for d in range(value.type.rank)]
        init = tensor.EmptyOp(sizes, value.type.element_type).result
        operands = [*(op.operation.operands[number] for number in kept), init]
        made, block = rebuilt(op, operands, [*(maps[number] for number in kept), maps[-1]])
    known = dict(zip([*(arguments[number] for number in kept), arguments[-1]], block.arguments, strict=True))
    with ir.InsertionPoint(block), op.operation.location:
        for number, scalar in scalars.items():
            constant = isinstance(scalar, ir.Attribute)
            known[arguments[number]] = arith.ConstantOp(scalar.type, scalar).result if constant else scalar
        ir.Operation.create("linalg.yield", operands=copy_body(body(op), known))
    return made.operation.results[0]
