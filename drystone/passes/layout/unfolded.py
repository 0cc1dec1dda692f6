"""How convolutions read images whose channels are few, or do not fill the lanes of a dot unit."""

from typing import Any

from drystone.ir.shapes import layouts
from drystone.ir.values import shape
from drystone.mlir import ints
from drystone.targets.target import Target

#: Taps of a kernel, at most; and what is summed, at least: else rounding the image first takes as long as all
#: products by vectors.
_TAPS, _LEAST = 64, 75
#: Positions of the result's lines that a window reaches over, at most: they are copied to a cache.
_WINDOW = 8192
#: Inputs of groups that are joined to one, at most: most factors of its weight are zeros.
_JOINED = 64
#: Taps along the width, at most, for which convolutions along a known width are written.
TAPS = 32


def is_depthwise(op: Any) -> bool:
    """Whether every channel of a dry.conv is a group of its own."""
    outside, inside = op.operation.operands[1].type.shape[:2]
    return bool(inside == 1 and outside == op.operation.attributes["groups"].value > 1)


def unfolds(op: Any, element: str, target: Target) -> bool:
    """Whether a dry.conv of an image that is channels first, of known extents, and of few channels is done
    in tile registers where its factors are held as `element`."""
    attributes = op.operation.attributes
    x, weight = (shape(value) for value in list(op.operation.operands)[:2])
    unit = target.dot(element, element, tiles=True)
    if unit is None or attributes["layout"].value != "nchw-nhwc" or attributes["groups"].value > 1:
        return False
    if attributes["transposed"].value or len(weight) != 4 or set(ints(attributes["dilation"])) != {1}:
        return False
    result = shape(op.operation.results[0])
    channels, height, width = (n or 0 for n in weight[1:])
    known = None not in (*x[2:], *result[1:3])
    short = height * width <= _TAPS and channels * height * width >= _LEAST
    short = short and known and unit.unfolds(channels, width)
    return short and height * (result[2] or 0) <= _WINDOW


def fills_lanes(op: Any, target: Target) -> bool:
    """Whether dot units sum the channels of a dry.conv of bytes: they lie side by side and fill lanes, or the
    lines of an image that a window reaches over, copied so that they do, fit the second cache. Those of
    groups fill them, and the outputs of each fill registers."""
    attributes = op.operation.attributes
    x, weight = (shape(value) for value in list(op.operation.operands)[:2])
    channels, *kernel = (n or 0 for n in weight[1:])
    sides = zip(layouts(attributes["layout"].value), (x, shape(op.operation.results[0])), strict=True)
    across = [extents[-1 if layout == "nchw" else -2] for layout, extents in sides]
    first = attributes["layout"].value == "nchw-nhwc"
    group = target.neighbours("i8", "i8")
    groups = attributes["groups"].value
    if group == 1 or None in across or kernel[-1] > TAPS:
        return False
    if groups > 1:
        return not first and joined_groups(op, target) == 1
    if channels % group == 0 and not first:
        return True
    lines = (kernel[0] - 1) * ints(attributes["dilation"])[0] + 1
    return len(kernel) == 2 and 2 * lines * (across[0] or 0) * -(-channels // group) * group <= target.l2


def joined_groups(op: Any, target: Target) -> int:
    """How many neighbouring groups of a dry.conv make one whose inputs fill the lanes of the dot unit for
    bytes and whose outputs fill registers; 0 where too many would have to."""
    outside, inside = op.operation.operands[1].type.shape[:2]
    groups = op.operation.attributes["groups"].value
    inputs, outputs = target.neighbours("i8", "i8"), target.lanes(32)
    return next(
        (
            n
            for n in range(1, groups + 1)
            if groups % n == 0
            and n * inside <= _JOINED
            and not (n * inside % inputs or n * (outside // groups) % outputs)
        ),
        0,
    )
