"""Pooling of codes: maxima as they are, averages as sums."""

from math import prod
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir import build
from drystone.ir.dialect import Conv
from drystone.ir.shapes import channel_axis, spatial_axes
from drystone.ir.values import shape
from drystone.mlir import ints, ir
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import Leaf, Sum
from drystone.passes.integers.held import Held
from drystone.passes.integers.making import Maker, integer, narrowed, stored
from drystone.passes.integers.regions import refused


def make_pool(maker: Maker, op: Any) -> None:
    """Put a pool of codes in the place of one of real numbers."""
    operation = op.operation
    x, result = operation.operands[0], operation.results[0]
    if operation.attributes["kind"].value == "max":
        held = maker.holding.of(result)
        named = {key: operation.attributes[key] for key in operation.attributes}
        kind = ir.RankedTensorType.get(result.type.shape, integer(held.bits))
        made = ir.Operation.create("dry.pool", [kind], [maker.code(x, held)], named)
        maker.codes[result, held.bits] = made.results[0]
        return
    spatial = spatial_axes(operation.attributes["layout"].value, x.type.rank)
    extents = [shape(x)[axis] for axis in spatial]
    if ints(operation.attributes["kernel"]) == extents and not any(ints(operation.attributes["padding"])):
        _whole(maker, op, spatial)
    else:
        _windows(maker, op)


def _whole(maker: Maker, op: Any, spatial: Any) -> None:
    """The average of whole images."""
    x, result = op.operation.operands[0], op.operation.results[0]
    held, rank = maker.holding.of(x), x.type.rank
    source, into = maker.leaf(held, 0), maker.holding.of(result)
    count = prod(shape(x)[axis] or 1 for axis in spatial)
    _, unit, size = source.whole(Code())
    bits = 32 if size * count < 2**31 else 64
    dims = [ir.AffineDimExpr.get(d) for d in range(rank)]
    extra = {axis: ir.AffineDimExpr.get(rank + n) for n, axis in enumerate(spatial)}
    read = ir.AffineMap.get(rank + len(spatial), 0, [extra.get(d, dims[d]) for d in range(rank)])
    write = ir.AffineMap.get(rank + len(spatial), 0, dims)
    kinds = ["parallel"] * rank + ["reduction"] * len(spatial)
    reads = [(maker.code(x), read)]
    summed = maker.map(result, reads, write, lambda code: source.whole(code)[0], bits, kinds)
    divisor = op.operation.attributes["divisor"].value
    total = Sum.term(Leaf(0, -size * count, size * count), unit / (divisor if divisor > 1 else count))
    _store(maker, result, summed, total, into)


def _store(maker: Maker, result: Any, summed: Any, total: Sum, into: Held) -> None:
    same = ir.AffineMap.get_identity(result.type.rank)
    codes = maker.map(result, [(summed, same)], same, lambda code: stored(code, total, into), into.bits)
    maker.codes[result, into.bits] = codes


def _windows(maker: Maker, op: Any) -> None:
    """Averages of windows: a depthwise convolution with ones."""
    operation = op.operation
    x, result = operation.operands[0], operation.results[0]
    layout, attributes = operation.attributes["layout"].value, operation.attributes
    rank, kernel = x.type.rank, ints(attributes["kernel"])
    channels = shape(x)[channel_axis(layout, rank)]
    counts = _counts(op, layout)
    if channels is None or counts is None:
        raise refused(op, "averages windows of an image of unknown extents")
    held, into, taps = maker.holding.bytes_of(x), maker.holding.of(result), prod(kernel)
    ones = maker.weight("ones.int8", np.ones((channels, 1, *kernel), np.int8))
    most = taps * 128
    total = Sum.term(Leaf(0, -most, most), held.unit / counts)
    # Without padding every window has all taps; with it, the zero point is 0.
    total = total + Sum.of(-held.zero * taps * held.unit / counts)

    def element(code: Code) -> Any:
        return stored(code, total, into)

    more = maker.reads(element, rank)
    made = Conv(
        ir.RankedTensorType.get(result.type.shape, integer(into.bits)),
        maker.code(x, held),
        ones,
        [value for value, _ in more],
        strides=attributes["strides"],
        padding=attributes["padding"],
        dilation=attributes["dilation"],
        output_padding=build.integers([0] * len(kernel)),
        groups=build.integer(channels),
        transposed=build.flag(False),
        layout=build.string(layout),
        extra_maps=build.maps([map_ for _, map_ in more]),
    )
    kinds = [integer(32), *(value.type.element_type for value, _ in more)]
    block = made.operation.regions[0].blocks.append(*kinds)
    with ir.InsertionPoint(block):
        given = list(block.arguments)
        value = narrowed(element(Code(given[:1], given[1:])), into.bits)
        ir.Operation.create("dry.yield", operands=[value])
    maker.codes[result, into.bits] = made.operation.results[0]


def _counts(op: Any, layout: str) -> Array | None:
    """What each average is divided by, in the rank of the result; None where extents are not known."""
    operation = op.operation
    attributes, x = operation.attributes, operation.operands[0]
    divisor, rank = attributes["divisor"].value, x.type.rank
    if divisor > 1:
        return np.full([1] * rank, float(divisor))
    kernel, strides, dilation, padding = (
        ints(attributes[name]) for name in ("kernel", "strides", "dilation", "padding")
    )
    found = np.ones([1] * rank)
    for n, axis in enumerate(spatial_axes(layout, rank)):
        size, made = shape(x)[axis], shape(operation.results[0])[axis]
        if size is None or made is None:
            return None
        around = padding[2 * n] if divisor == 1 else 0
        starts = np.arange(made) * strides[n] - padding[2 * n]
        places = starts[:, None] + np.arange(kernel[n]) * dilation[n]
        inside = ((places >= -around) & (places < size + around)).sum(1)
        extents = [1] * rank
        extents[axis] = made
        found = found * inside.reshape(extents)
    return np.maximum(found, 1.0)
