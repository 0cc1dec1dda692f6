"""Convolutions of a few channels whose taps along the width tile registers multiply at once."""

from typing import Any

from drystone.ir.values import shape
from drystone.mlir import ints
from drystone.targets.target import CpuTarget

#: Taps of a kernel, at most; and what is summed, at least: else rounding the image first takes as long as all
#: products by vectors.
_TAPS, _LEAST = 64, 75
#: Positions of the result's lines that a window reaches over, at most: they are copied to a cache.
_WINDOW = 8192


def unfolds(op: Any, element: str, target: CpuTarget) -> bool:
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
