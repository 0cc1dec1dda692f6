"""The extents of a tensor of `@main` as values over its arguments' dimensions.

`extent(value, axis)` answers with an int or an index value computed by `affine.apply` over `tensor.dim` of
function arguments (or from scalars the model computes), following the operation that makes the tensor. New
operations go to the current insertion point.
"""

from collections.abc import Callable, Iterable
from typing import Any

from drystone.errors import InternalError
from drystone.ir.extents import destination
from drystone.ir.shapes import result_extent
from drystone.ir.values import constant_int, operand_groups, producer, shape
from drystone.mlir import affine, arith, ints, ir, tensor
from drystone.passes.rewriting import index_constant

#: A known extent, or an index value.
Extent = int | Any


def extent(value: Any, axis: int) -> Extent:
    """The extent of `value` along `axis`. Raises InternalError where no rule knows it."""
    known = shape(value)[axis]
    if known is not None:
        return known
    op = producer(value)
    if op is None:
        return _argument(value, axis)
    if op.operation.name.startswith("dry."):
        return _as_int(result_extent(op, value.result_number, axis, extent, apply))
    if op.operation.name.startswith(("arith.", "math.")):  # on tensors, element for element
        return extent(op.operation.operands[len(op.operation.operands) - 1], axis)
    rule = _RULES.get(op.operation.name)
    if rule is None:
        destination = destination_of(value)
        if destination is None:
            raise InternalError(f"the extent of dimension {axis} is not known: {op.operation.name}")
        return extent(destination, axis)
    found = rule(op, value, axis)
    return _as_int(found)


def same_extent(one: Extent, other: Extent) -> bool:
    """Whether two extents are the same int, value, or dimension of an argument."""
    if one == other:
        return True
    if isinstance(one, int) or isinstance(other, int):
        return False
    (a, b) = producer(one), producer(other)
    if a is None or b is None or {a.operation.name, b.operation.name} != {"tensor.dim"}:
        return False
    (left, at), (right, there) = a.operation.operands, b.operation.operands
    return bool(left == right and constant_int(at) is not None and constant_int(at) == constant_int(there))


def as_value(found: Extent) -> Any:
    """An extent as an index value."""
    return index_constant(found) if isinstance(found, int) else found


def sizes_of(value: Any, axes: Iterable[int] | None = None) -> list[Any]:
    """The extents of a tensor along some axes (None: all), as a tensor.empty takes them."""
    # Dynamic in the type stays dynamic, also where the extent turns out to be known.
    known = shape(value)
    every = range(len(known)) if axes is None else axes
    return [as_value(extent(value, axis)) if known[axis] is None else known[axis] for axis in every]


def empty_like(value: Any) -> Any:
    """A tensor.empty of the type of `value`."""
    return tensor.EmptyOp(sizes_of(value), value.type.element_type, encoding=value.type.encoding).result


def apply(build: Callable[..., Any], *operands: Extent) -> Extent:
    """`build` applied to the operands as affine expressions: an int where all are known, else one
    affine.apply."""
    values = [o for o in operands if not isinstance(o, int)]
    symbols = iter([ir.AffineExpr.get_symbol(i) for i in range(len(values))])
    exprs = [ir.AffineExpr.get_constant(o) if isinstance(o, int) else next(symbols) for o in operands]
    result = ir.AffineExpr.simplify_affine_expr(build(*exprs), 0, len(values)).maybe_downcast()
    if isinstance(result, ir.AffineConstantExpr):
        return int(result.value)
    if isinstance(result, ir.AffineSymbolExpr):
        return values[result.position]
    return affine.AffineApplyOp(ir.AffineMap.get(0, len(values), [result]), values).result


def destination_of(value: Any) -> Any:
    """The destination operand that a result of a destination-style operation, or of a call of an outlined
    kernel, is written to; None where there is none."""
    op = producer(value)
    name = op.operation.name
    if name == "func.call":
        return destination(value)
    if name.startswith(("linalg.", "tm_tensor.")):
        return operand_groups(op)[-1][value.result_number]
    if name in ("tensor.insert_slice", "tensor.insert", "tensor.scatter"):
        return op.operation.operands[1]
    if name == "scf.for":
        return op.operation.operands[3 + value.result_number]
    return None


def _as_int(found: Extent) -> Extent:
    known = found if isinstance(found, int) else constant_int(found)
    return found if known is None else known


def _argument(value: Any, axis: int) -> Any:
    """tensor.dim of a function argument, at the head of the function so that every use can see it."""
    block = value.owner
    for op in block.operations:
        if op.operation.name not in ("tensor.dim", "arith.constant"):
            break
        operands = list(op.operation.operands)
        if len(operands) == 2 and operands[0] == value and constant_int(operands[1]) == axis:
            return op.operation.results[0]
    with ir.InsertionPoint.at_block_begin(block):
        return tensor.DimOp(value, index_constant(axis)).result


def _empty(op: Any, value: Any, axis: int) -> Extent:
    return op.operation.operands[_dynamic_before(value, axis)]


def _dynamic_before(value: Any, axis: int) -> int:
    return sum(n is None for n in shape(value)[:axis])


def _same(op: Any, value: Any, axis: int) -> Extent:
    return extent(op.operation.operands[0], axis)


def _groups(op: Any) -> list[list[int]]:
    return [ints(group) for group in op.operation.attributes["reassociation"]]


def _collapse(op: Any, value: Any, axis: int) -> Extent:
    found: Extent = 1
    for d in _groups(op)[axis]:
        found = apply(lambda a, b: a * b, found, extent(op.operation.operands[0], d))
    return found


def _expand(op: Any, value: Any, axis: int) -> Extent:
    return op.operation.operands[1 + _dynamic_before(value, axis)]


def _slice(op: Any, value: Any, axis: int) -> Extent:
    # Dropped dimensions are static ones, so the dynamic sizes are those of the result, in order.
    return operand_groups(op)[2][_dynamic_before(value, axis)]


def _pad(op: Any, value: Any, axis: int) -> Extent:
    groups = operand_groups(op)
    dynamic = ir.ShapedType.get_dynamic_size()
    sides = []
    for name, group in (("static_low", groups[1]), ("static_high", groups[2])):
        amounts = list(op.operation.attributes[name])
        at = sum(n == dynamic for n in amounts[:axis])
        sides.append(_as_int(group[at]) if amounts[axis] == dynamic else amounts[axis])
    return apply(lambda n, low, high: n + low + high, extent(groups[0][0], axis), *sides)


def _concat(op: Any, value: Any, axis: int) -> Extent:
    if axis != op.operation.attributes["dim"].value:
        return _known(op.operation.operands, axis)
    found: Extent = 0
    for operand in op.operation.operands:
        found = apply(lambda a, b: a + b, found, extent(operand, axis))
    return found


def _known(operands: Any, axis: int) -> Extent:
    """The extent that several tensors share: the one of the first that knows it as a number."""
    for operand in operands:
        known = shape(operand)[axis]
        if known is not None:
            return known
    return extent(operands[0], axis)


def _if(op: Any, value: Any, axis: int) -> Extent:
    """An scf.if: the extent where the branch that is taken defines it outside, chosen by a select."""
    found = []
    for region in op.operation.regions:
        last = list(region.blocks[0].operations)[-1]
        found.append(as_value(extent(last.operation.operands[value.result_number], axis)))
    if found[0] == found[1]:
        return found[0]
    return arith.SelectOp(op.operation.operands[0], found[0], found[1]).result


def _operand_for(op: Any, value: Any, axis: int) -> Extent:
    """tensor.generate, splat: the extents are the trailing operands of index type."""
    dynamic = [o for o in op.operation.operands if isinstance(o.type, ir.IndexType)]
    return dynamic[_dynamic_before(value, axis)]


_RULES: dict[str, Callable[[Any, Any, int], Extent]] = {
    "tensor.empty": _empty,
    "tensor.cast": _same,
    "tensor.collapse_shape": _collapse,
    "tensor.expand_shape": _expand,
    "tensor.extract_slice": _slice,
    "tensor.pad": _pad,
    "tensor.concat": _concat,
    "tensor.generate": _operand_for,
    "tensor.splat": _operand_for,
    "scf.if": _if,
}
