"""Loops of a linalg.generic: one of them as two."""

from typing import Any

from drystone.ir.build import generic
from drystone.ir.values import dims_of, is_tensor, producer_name, shape
from drystone.mlir import arith, ints, ir, linalg, tensor
from drystone.passes.dims import extent
from drystone.passes.generic import body, collapse, expand, maps_of
from drystone.passes.regions import copy_body
from drystone.passes.rewriting import index_constant, replace


def split_dim(value: Any, axis: int, parts: int) -> Any:
    """A tensor with a static dimension as two: `parts`, and the extent of each."""
    groups = [[d + (d > axis)] for d in range(value.type.rank)]
    groups[axis].append(axis + 1)
    sizes = [extent(value, d) for d in range(value.type.rank)]
    sizes[axis : axis + 1] = [parts, sizes[axis] // parts]
    if producer_name(value) == "tensor.empty":
        return tensor.EmptyOp(sizes, value.type.element_type).result
    if producer_name(value) == "tensor.collapse_shape":
        source = value.owner.operation.operands[0]
        joined = [ints(group) for group in value.owner.operation.attributes["reassociation"]]
        if joined == groups and shape(source)[axis] == parts:
            return source
    return expand(value, groups, sizes)


def join_dim(value: Any, axis: int) -> Any:
    """A tensor with two neighbouring dimensions as one: the inverse of `split_dim`."""
    groups = [[d + (d > axis)] for d in range(value.type.rank - 1)]
    groups[axis].append(axis + 1)
    return collapse(value, groups)


def splits(op: Any, loop: int) -> bool:
    """Whether every operand that mentions a loop of a linalg.generic has it as one whole dimension."""
    maps = maps_of(op)
    count = maps[0].n_dims
    stopped = [ir.AffineExpr.get_constant(0) if d == loop else ir.AffineExpr.get_dim(d) for d in range(count)]
    without = ir.AffineMap.get(count, 0, stopped)
    for map_ in maps:
        plain = dims_of(map_).count(loop)
        mentioned = sum(expr.compose(without) != expr for expr in map_.results)
        if plain != mentioned or plain > 1:
            return False
    return True


def split_loop(op: Any, loop: int, parts: int) -> Any:
    """The same linalg.generic over views of its operands, with a static loop as two: the part, and the place
    in it. Its results are joined again for those who read them. The loop must be one that `splits`."""
    operation = op.operation
    count = len(operation.results)
    total = maps_of(op)[0].n_dims + 1
    dims = [ir.AffineExpr.get_dim(d + (d > loop)) for d in range(total - 1)]
    shifted = ir.AffineMap.get(total, 0, dims)
    inner = ir.AffineExpr.get_dim(loop + 1)
    kinds = [
        "reduction" if "reduction" in str(k) else "parallel" for k in operation.attributes["iterator_types"]
    ]
    operands, maps = [], []
    length = 1
    with ir.InsertionPoint(op), operation.location:
        for value, map_ in zip(operation.operands, maps_of(op), strict=True):
            at = dims_of(map_)
            exprs = [expr.compose(shifted) for expr in map_.results]
            if is_tensor(value) and loop in at:
                axis = at.index(loop)
                length = (shape(value)[axis] or parts) // parts
                value = split_dim(value, axis, parts)
                exprs.insert(axis + 1, inner)
            operands.append(value)
            maps.append(ir.AffineMap.get(total, 0, exprs))
        first = len(operands) - count
        iterators = [*kinds[: loop + 1], *kinds[loop:]]
        made = generic(operands[:first], operands[first:], maps, iterators)
        old = body(op)
        block = made.operation.regions[0].blocks.append(*[argument.type for argument in old.arguments])

    def place(d: int) -> Any:
        if d != loop:
            return linalg.IndexOp(d + (d > loop)).result
        start = arith.MulIOp(linalg.IndexOp(loop).result, index_constant(length)).result
        return arith.AddIOp(start, linalg.IndexOp(loop + 1).result).result

    with ir.InsertionPoint(block), operation.location:
        known = dict(zip(old.arguments, block.arguments, strict=True))
        ir.Operation.create("linalg.yield", operands=copy_body(old, known, place))
    with ir.InsertionPoint(op), operation.location:
        for number, result in enumerate(operation.results):
            at = dims_of(maps_of(op)[first + number])
            value = made.operation.results[number]
            replace(result, join_dim(value, at.index(loop)) if loop in at else value)
    operation.erase()
    return made
