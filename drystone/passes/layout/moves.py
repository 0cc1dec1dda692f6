"""Moves: linalg.generic operations that permute dimensions, and how they pass through what reads them.

A move by `p` gives a result whose dimension i is dimension p[i] of its source, as linalg.transpose does.
"""

from collections.abc import Sequence
from typing import Any

from drystone.ir.build import generic, mapped
from drystone.ir.values import dims_of, is_tensor, operand_groups, producer, producer_name, shape
from drystone.mlir import ints, ir, linalg, tensor
from drystone.passes.dims import extent
from drystone.passes.generic import (
    body,
    collapse,
    composed,
    expand,
    is_identity,
    is_parallel,
    maps_of,
    moved_input,
    through_units,
    without_units,
)
from drystone.passes.regions import copy_body
from drystone.passes.rewriting import tensor_type

Permutation = tuple[int, ...]


def permutation_of(value: Any) -> Permutation | None:
    """The permutation of the move that makes a value; None where it is no move."""
    op = producer(value) if is_tensor(value) else None
    map_ = None if op is None else moved_input(op)
    if map_ is None or not map_.is_permutation:
        return None
    dims = dims_of(map_)
    return tuple(dims.index(d) for d in range(len(dims)))


def source_of(value: Any) -> Any:
    """What a move reads."""
    return value.owner.operation.operands[0]


def inverse(p: Permutation) -> Permutation:
    """The permutation that undoes `p`."""
    return tuple(p.index(d) for d in range(len(p)))


def move(value: Any, p: Permutation) -> Any:
    """`value` moved by `p`: what is moved already is moved once, and back to itself not at all."""
    before = permutation_of(value)
    if before is not None:
        return move(source_of(value), tuple(before[d] for d in p))
    if p == tuple(range(len(p))):
        return value
    kind = value.type
    init = tensor.EmptyOp([extent(value, d) for d in p], kind.element_type).result
    exprs = [ir.AffineExpr.get_dim(p.index(d)) for d in range(len(p))]
    read = ir.AffineMap.get(len(p), 0, exprs)
    moved = mapped([value], init, [read, ir.AffineMap.get_identity(len(p))], lambda element, _: element)
    view = through_units(value, moved.type) if _only_units(value, p) else None
    if view is None:
        return moved
    moved.owner.erase()
    return view


def _only_units(value: Any, p: Permutation) -> bool:
    extents = shape(value)
    kept = [d for d in p if extents[d] != 1]
    return kept == sorted(kept)


def origin(value: Any) -> tuple[Any, Any]:
    """(source, map): `value` at a position is source at the map of the position, behind every move and every
    reshape of dimensions of extent 1."""
    map_ = ir.AffineMap.get_identity(value.type.rank)
    while True:
        value, map_ = without_units(value, map_)
        p = permutation_of(value)
        if p is None:
            return value, map_
        results = list(map_.results)
        map_ = ir.AffineMap.get(map_.n_dims, 0, [results[p.index(d)] for d in range(len(p))])
        value = source_of(value)


def in_order(value: Any, order: Sequence[int]) -> Any:
    """`value` with its dimensions in `order`, as a reshape of what it was moved from; None where that takes a
    move."""
    source, map_ = origin(value)
    wanted = [d for d in order if shape(value)[d] != 1]
    dims = [d for d, n in zip(dims_of(map_), shape(source), strict=True) if n != 1]
    if dims != wanted:
        return None
    extents = [shape(value)[d] for d in order]
    return through_units(source, tensor_type(extents, value.type.element_type))


def sink(op: Any) -> Any:
    """The result of an operation that reads moved tensors, as a move of the operation on what was moved; None
    where that is not possible. New operations go before `op`."""
    rule = _RULES.get(op.operation.name)
    if rule is None:
        return None
    with ir.InsertionPoint(op), op.operation.location:
        return rule(op)


def _sink_move(op: Any) -> Any:
    p, value = permutation_of(op.operation.results[0]), op.operation.operands[0]
    if p is not None:
        return None if permutation_of(value) is None else move(value, p)
    return _sink_map(op)


def _sink_map(op: Any) -> Any:
    """A map whose tensors of all its dimensions are moved alike, weights apart."""
    operation = op.operation
    maps = maps_of(op)
    if len(operation.results) != 1 or not is_parallel(op) or not is_identity(maps[-1]):
        return None
    if any(True for _ in body(op).arguments[len(maps) - 1].uses):
        return None
    inputs = list(operation.operands)[:-1]
    whole = [
        value for value, map_ in zip(inputs, maps, strict=False) if is_tensor(value) and is_identity(map_)
    ]
    moved = [p for value in whole if (p := permutation_of(value)) is not None]
    fixed = [v for v in whole if permutation_of(v) is None and producer_name(v) != "dry.weight"]
    if not moved or fixed or len(set(moved)) != 1:
        return None
    p = moved[0]
    place = ir.AffineMap.get(len(p), 0, [ir.AffineExpr.get_dim(p[d]) for d in range(len(p))])
    values, reads = [], []
    for value, map_ in zip(inputs, maps, strict=False):
        if is_tensor(value) and is_identity(map_) and permutation_of(value) is not None:
            values.append(source_of(value))
            reads.append(map_)
        else:
            values.append(value)
            reads.append(composed(map_, place))
    result = operation.results[0]
    sizes = [extent(result, p.index(d)) for d in range(len(p))]
    init = tensor.EmptyOp(sizes, result.type.element_type).result
    made = generic(values, [init], [*reads, maps[-1]], ["parallel"] * len(p))
    old = body(op)
    block = made.operation.regions[0].blocks.append(*[argument.type for argument in old.arguments])
    with ir.InsertionPoint(block):
        known = dict(zip(old.arguments, block.arguments, strict=True))
        yielded = copy_body(old, known, lambda d: linalg.IndexOp(p[d]).result)
        ir.Operation.create("linalg.yield", operands=yielded)
    return move(made.operation.results[0], p)


def reshape_of_moved(op: Any, p: Permutation) -> tuple[list[list[int]], Permutation] | None:
    """A reshape of a tensor moved by `p` as a move of a reshape of what was moved: the groups of that reshape
    and the move behind it; None where dimensions that are joined lie apart."""
    groups = [ints(group) for group in op.operation.attributes["reassociation"]]
    if op.operation.name == "tensor.expand_shape":
        order = [d for k in range(len(p)) for d in groups[p.index(k)]]
        regrouped, at = [], 0
        for k in range(len(p)):
            count = len(groups[p.index(k)])
            regrouped.append(list(range(at, at + count)))
            at += count
        return regrouped, tuple(order.index(d) for d in range(len(order)))
    joined = [[p[d] for d in group] for group in groups]
    if any(group != list(range(group[0], group[0] + len(group))) for group in joined):
        return None
    ordered = sorted(joined)
    return ordered, tuple(ordered.index(group) for group in joined)


def _sink_reshape(op: Any) -> Any:
    value, result = op.operation.operands[0], op.operation.results[0]
    p = permutation_of(value)
    found = None if p is None else reshape_of_moved(op, p)
    if found is None:
        return None
    groups, behind = found
    if op.operation.name == "tensor.collapse_shape":
        return move(collapse(source_of(value), groups), behind)
    sizes = [extent(result, d) for d in inverse(behind)]
    return move(expand(source_of(value), groups, sizes), behind)


def _sink_slice(op: Any) -> Any:
    operation = op.operation
    value = operation.operands[0]
    p = permutation_of(value)
    _, offsets, _, strides = operand_groups(op)
    if p is None or offsets or strides or operation.results[0].type.rank != len(p):
        return None
    back = inverse(p)
    parts = [
        list(operation.attributes["static_offsets"]),
        sizes_of(op),
        list(operation.attributes["static_strides"]),
    ]
    return move(cut(source_of(value), *([part[d] for d in back] for part in parts)), p)


def sizes_of(op: Any) -> list[Any]:
    """The sizes of a tensor.extract_slice: ints, or index values."""
    given = iter(operand_groups(op)[2])
    dynamic = ir.ShapedType.get_dynamic_size()
    return [next(given) if size == dynamic else size for size in op.operation.attributes["static_sizes"]]


def cut(value: Any, offsets: Sequence[int], sizes: Sequence[Any], strides: Sequence[int]) -> Any:
    """A tensor.extract_slice; its sizes are ints or index values."""
    dynamic = [n for n in sizes if not isinstance(n, int)]
    static = [n if isinstance(n, int) else ir.ShapedType.get_dynamic_size() for n in sizes]
    kind = ir.RankedTensorType.get(static, value.type.element_type, value.type.encoding)
    return tensor.ExtractSliceOp(kind, value, [], dynamic, [], offsets, static, strides).result


def _sink_pad(op: Any) -> Any:
    operation = op.operation
    value = operation.operands[0]
    p = permutation_of(value)
    sides = [list(operation.attributes[f"static_{name}"]) for name in ("low", "high")]
    dynamic = ir.ShapedType.get_dynamic_size()
    block = operation.regions[0].blocks[0]
    if p is None or any(dynamic in side for side in sides) or len(list(block.operations)) != 1:
        return None
    (last,) = block.operations
    if any(last.operation.operands[0] == argument for argument in block.arguments):
        return None
    back = inverse(p)
    extents = shape(operation.results[0])
    kind = tensor_type([extents[d] for d in back], value.type.element_type)
    low, high = ([side[d] for d in back] for side in sides)
    made = tensor.PadOp(kind, source_of(value), [], [], low, high)
    inner = made.operation.regions[0].blocks.append(*[ir.IndexType.get()] * len(p))
    with ir.InsertionPoint(inner):
        tensor.YieldOp(last.operation.operands[0])
    return move(made.result, p)


def _sink_concat(op: Any) -> Any:
    operands = list(op.operation.operands)
    found = {permutation_of(value) for value in operands}
    p = found.pop()
    if found or p is None:
        return None
    back = inverse(p)
    extents = shape(op.operation.results[0])
    kind = tensor_type([extents[d] for d in back], operands[0].type.element_type)
    dim = p[op.operation.attributes["dim"].value]
    return move(tensor.ConcatOp(kind, dim, [source_of(value) for value in operands]).result, p)


_RULES = {
    "linalg.generic": _sink_move,
    "tensor.expand_shape": _sink_reshape,
    "tensor.collapse_shape": _sink_reshape,
    "tensor.extract_slice": _sink_slice,
    "tensor.pad": _sink_pad,
    "tensor.concat": _sink_concat,
}
