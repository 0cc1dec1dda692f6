"""Which operations can be computed for some of their features, and which can be summed over those they read.

Features are the columns of a product's result, or the channels of an image. A product or a convolution makes
some of them from a part of its weight; what acts on each feature by itself (maps, depthwise convolutions,
pooling) follows; and a product that reads them sums over a part of the rows of its weight at a time. So what
lies between two products of a layer need never be there as a whole, and no more of their weights than a part.
"""

from typing import Any

from drystone.ir.dialect import MAX_EXTRAS
from drystone.ir.encoded import encoding_of, pack_of
from drystone.ir.encoding import Bundle, Codes
from drystone.ir.pieces import Window
from drystone.ir.shapes import channel_axis, layouts
from drystone.ir.values import is_tensor, producer_name, shape, sums_of
from drystone.ir.windows import Dims, Form, Operand, extra_operands, forms_of, map_form

#: Features of a piece come in multiples of two vector registers where their number does.
_UNIT = 32


def feature_dims(op: Any) -> Dims | None:
    """The dimension of the features in the result of an operation that has them by its own nature."""
    operation = op.operation
    rank = operation.results[0].type.rank if is_tensor(operation.results[0]) else 0
    if operation.name in ("dry.conv", "dry.pool"):
        return (channel_axis(layouts(operation.attributes["layout"].value)[1], rank),)
    return (rank - 1,) if operation.name == "dry.matmul" else None


def feature_form(op: Any, dims: Dims) -> Form | None:
    """How an operation makes some of its features, which stand at `dims` of its result; None where it does
    not. Weights are among the operands."""
    operation = op.operation
    rule = _RULES.get(operation.name)
    if rule is None or len(operation.results) != 1 or not _is_known(operation):
        return None
    if dims[0] >= operation.results[0].type.rank:
        return None
    found: Form | None = rule(op, dims)
    if found is None:
        return None
    extent = shape(operation.results[0])[dims[0]] or 1
    return Form(found.dims, found.operands, _unit(extent))


def feature_forms(ops: Any) -> list[Form | None]:
    """How each of the operations of a program makes some of its features; see `ir.windows.forms_of`."""
    return forms_of(ops, feature_dims, feature_form)


def summing_operands(op: Any) -> tuple[Operand, Operand] | None:
    """What an operation that sums over all features of its first operand reads of that and of its weight for
    some of them; None where it is no such sum."""
    operation = op.operation
    if operation.name not in ("dry.conv", "dry.matmul") or not _is_known(operation):
        return None
    x, weight, result = operation.operands[0], operation.operands[1], operation.results[0]
    # Sums of pieces are held as the result's elements are, which must lose nothing.
    elements = {str(kind) for kind in (result.type.element_type, sums_of(op))}
    if not _is_divisible(weight) or elements != {"f32"} or _is_read_by_rows(result):
        return None
    if operation.name == "dry.matmul":
        if weight.type.rank != 2:
            return None
        at, there = x.type.rank - 1, 1 if operation.attributes["transpose_b"].value else 0
    else:
        if operation.attributes["transposed"].value or operation.attributes["groups"].value != 1:
            return None
        at, there = channel_axis(layouts(operation.attributes["layout"].value)[0], x.type.rank), 1
    extent = shape(x)[at] or 1
    layout = pack_of(weight.type)
    tiles = {} if layout is None else dict(zip(layout.inner_dims, layout.inner_tiles, strict=True))
    if _unit(extent) % tiles.get(there, 1) or len(operation.operands) >= 2 + MAX_EXTRAS:
        return None
    window = (Window(extent),)
    return Operand(0, (at,), window), Operand(1, (there,), window)


def _unit(extent: int) -> int:
    unit = _UNIT
    while extent % unit:
        unit //= 2
    return unit


def _is_known(operation: Any) -> bool:
    """Whether all extents are."""
    values = [value for value in (*operation.operands, *operation.results) if is_tensor(value)]
    return not any(None in shape(value) for value in values)


def _is_divisible(weight: Any) -> bool:
    """Whether a part of a tensor is one of the same kind: a weight without scales."""
    held = encoding_of(weight.type)
    plain = isinstance(held, Codes) and not held.coded and not isinstance(held.layout, Bundle)
    return plain and producer_name(weight) == "dry.weight"


def _is_read_by_rows(value: Any) -> bool:
    """Whether a product is never there, as the statistics of its rows are all that is wanted of it."""
    return any(use.owner.name == "dry.row_stats" for use in value.uses)


def _matmul(op: Any, dims: Dims) -> Form | None:
    operation = op.operation
    b, extras = operation.operands[1], extra_operands(op, dims)
    if dims != feature_dims(op) or b.type.rank != 2 or not _is_divisible(b) or extras is None:
        return None
    if _is_read_by_rows(operation.results[0]):
        return None
    at = 0 if operation.attributes["transpose_b"].value else 1
    return Form(dims, (Operand(1, (at,), (Window(shape(b)[at] or 1),)), *extras))


def _conv(op: Any, dims: Dims) -> Form | None:
    operation = op.operation
    x, weight, extras = operation.operands[0], operation.operands[1], extra_operands(op, dims)
    if operation.attributes["transposed"].value or dims != feature_dims(op) or extras is None:
        return None
    if not _is_divisible(weight):
        return None
    features, groups = shape(weight)[0] or 1, operation.attributes["groups"].value
    own = Operand(1, (0,), (Window(features),))
    if groups == 1:
        return Form(dims, (own, *extras))
    at = channel_axis(layouts(operation.attributes["layout"].value)[0], x.type.rank)
    if groups != features or shape(x)[at] != features:
        return None
    return Form(dims, (Operand(0, (at,), (Window(features),)), own, *extras))


def _pool(op: Any, dims: Dims) -> Form | None:
    x = op.operation.operands[0]
    return (
        Form(dims, (Operand(0, dims, (Window(shape(x)[dims[0]] or 1),)),))
        if dims == feature_dims(op)
        else None
    )


_RULES = {"dry.conv": _conv, "dry.matmul": _matmul, "dry.pool": _pool, "linalg.generic": map_form}
