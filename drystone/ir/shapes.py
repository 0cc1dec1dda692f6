"""The shapes of the results of `dry` operations: one rule per operation, over any arithmetic.

The verifier asks with plain integers (None where dynamic), the passes with index values of the IR. A rule
sees extents only through two functions of the caller:
- `extent(value, axis)` gives an operand's extent;
- `apply(formula, *extents)` applies a formula; it gets integers, or affine expressions, and may use `+`, `-`,
  `*` and `floor_div`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.errors import InternalError
from drystone.ir.values import dims_of
from drystone.mlir import ints, ir
from drystone.registry import Registry

ExtentOf = Callable[[Any, int], Any]
Apply = Callable[..., Any]
#: (operation, number of the result, axis, extent, apply) -> the extent of the result along the axis.
ExtentRule = Callable[[Any, int, int, ExtentOf, Apply], Any]
#: (operation, number of the result) -> its rank.
RankRule = Callable[[Any, int], int]


def first_rank(op: Any, number: int) -> int:
    """The rank of the first operand."""
    return int(op.operands[0].type.rank)


@dataclass(frozen=True)
class ShapeRule:
    """How the shapes of results follow from an operation."""

    extent: ExtentRule
    rank: RankRule = first_rank


def floor_div(numerator: Any, divisor: int) -> Any:
    """numerator // divisor for integers and affine expressions."""
    if isinstance(numerator, int):
        return numerator // divisor
    return ir.AffineExpr.get_floor_div(numerator, divisor)


def result_extent(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    """The extent along `axis` of result `number` of a dry operation. Raises InternalError for one without a
    rule (`dry.weight`: its type is its shape)."""
    rule = SHAPES.get(op.operation.name)
    if rule is None:
        raise InternalError(f"{op.operation.name} has no rule for the extents of its results")
    return rule.extent(op.operation, number, axis, extent, apply)


def window_extent(n: Any, kernel: int, stride: int, padding: int, dilation: int) -> Any:
    """Positions of a window of `kernel` taps on n + padding elements."""
    return floor_div(n + (padding - dilation * (kernel - 1) - 1), stride) + 1


def transposed_extent(n: Any, kernel: int, stride: int, padding: int, dilation: int, more: int) -> Any:
    """Elements that n transposed windows of `kernel` taps cover."""
    return (n - 1) * stride + (dilation * (kernel - 1) + 1 - padding + more)


def layouts(layout: str) -> tuple[str, str]:
    """The layouts of an image and of what is made of it: "nchw-nhwc" names two, others are those of both."""
    image, _, result = layout.partition("-")
    return image, result or image


def channel_axis(layout: str, rank: int) -> int:
    """Where the channels of an image are: layout "nchw" or "nhwc" (for any number of spatial dimensions)."""
    return rank - 1 if layout == "nhwc" else 1


def spatial_axes(layout: str, rank: int) -> range:
    """Where the spatial dimensions of an image are."""
    return range(1, rank - 1) if layout == "nhwc" else range(2, rank)


def _same(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    return extent(op.operands[0], axis)


def _without_dim(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    return extent(op.operands[0], axis + (axis >= op.attributes["dim"].value))


def _matmul(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    a, b = op.operands[0], op.operands[1]
    rank = op.results[0].type.rank
    if axis == rank - 1:
        return extent(b, b.type.rank - (2 if op.attributes["transpose_b"].value else 1))
    if axis == rank - 2 or b.type.rank < rank:
        return extent(a, axis)
    from_a = extent(a, axis)
    return extent(b, axis) if isinstance(from_a, int) and from_a == 1 else from_a


def _spatial(op: Any, axis: int) -> tuple[int, int, int, int] | None:
    """(position, stride, padding, dilation) of the spatial dimension at `axis`; None for batch and
    channels."""
    axes = spatial_axes(layouts(op.attributes["layout"].value)[1], op.results[0].type.rank)
    if axis not in axes:
        return None
    at = axis - axes.start
    stride, dilation = ints(op.attributes["strides"])[at], ints(op.attributes["dilation"])[at]
    return at, stride, sum(ints(op.attributes["padding"])[2 * at : 2 * at + 2]), dilation


def _conv(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    x, weight, attributes = op.operands[0], op.operands[1], op.attributes
    transposed = attributes["transposed"].value
    spatial = _spatial(op, axis)
    if spatial is None:
        if axis == 0:
            return extent(x, 0)
        groups = attributes["groups"].value
        return apply(lambda n: n * groups, extent(weight, 1)) if transposed else extent(weight, 0)
    at, stride, padding, dilation = spatial
    there = spatial_axes(layouts(attributes["layout"].value)[0], x.type.rank)[at]
    kernel = extent(weight, 2 + at)
    if not isinstance(kernel, int):
        raise InternalError(f"{op.name}: a kernel of dynamic size has no rule for its extents")
    if transposed:
        more = ints(attributes["output_padding"])[at]
        return apply(
            lambda n: transposed_extent(n, kernel, stride, padding, dilation, more), extent(x, there)
        )
    return apply(lambda n: window_extent(n, kernel, stride, padding, dilation), extent(x, there))


def _pool(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    spatial = _spatial(op, axis)
    if spatial is None:
        return extent(op.operands[0], axis)
    at, stride, padding, dilation = spatial
    kernel = ints(op.attributes["kernel"])[at]
    return apply(lambda n: window_extent(n, kernel, stride, padding, dilation), extent(op.operands[0], axis))


def _attention(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    return extent(op.operands[2 if axis == 3 else 0], axis)


def _embedding(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    table, indices = op.operands[0], op.operands[1]
    return extent(indices, axis) if axis < indices.type.rank else extent(table, 1)


def _recurrent(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    projected, weight = op.operands[0], op.operands[1]
    rank = 3 if number == 0 else 2
    return extent(weight, 1) if axis == rank - 1 else extent(projected, axis + 3 - rank)


def _selective_scan(op: Any, number: int, axis: int, extent: ExtentOf, apply: Apply) -> Any:
    for value, attribute in zip(op.operands, op.attributes["indexing_maps"], strict=True):
        read = dims_of(ir.AffineMapAttr(attribute).value)
        if axis in read:
            return extent(value, read.index(axis))
    raise InternalError(f"{op.name}: no operand has dimension {axis}")


def _less_one(op: Any, number: int) -> int:
    return first_rank(op, number) - 1


def _scanned_rank(op: Any, number: int) -> int:
    maps = [ir.AffineMapAttr(item).value for item in op.attributes["indexing_maps"]]
    return int(maps[0].n_dims) - bool(op.attributes["summed"].value)


#: By operation.
SHAPES: Registry[ShapeRule] = Registry(
    "operation",
    {
        "dry.attention": ShapeRule(_attention),
        "dry.conv": ShapeRule(_conv),
        "dry.embedding": ShapeRule(_embedding, lambda op, number: int(op.operands[1].type.rank) + 1),
        "dry.logsumexp": ShapeRule(_without_dim, _less_one),
        "dry.matmul": ShapeRule(_matmul),
        "dry.norm": ShapeRule(_same),
        "dry.pool": ShapeRule(_pool),
        "dry.recurrent": ShapeRule(_recurrent, lambda op, number: 2 if number else 3),
        "dry.round_rows": ShapeRule(_same, lambda op, number: first_rank(op, number) - (number > 0)),
        "dry.row_stats": ShapeRule(_same, _less_one),
        "dry.scan": ShapeRule(_same),
        "dry.linear_scan": ShapeRule(_same),
        "dry.selective_scan": ShapeRule(_selective_scan, _scanned_rank),
        "dry.softmax": ShapeRule(_same),
        "dry.write_rows": ShapeRule(_same),
    },
)
