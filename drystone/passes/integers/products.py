"""Products and convolutions of codes, whose epilogue stores codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import encode
from drystone.ir.formats import int8_row
from drystone.ir.shapes import channel_axis, layouts
from drystone.ir.values import is_tensor, producer
from drystone.mlir import arith, ir
from drystone.passes.fusing.epilogues import extras_of, remade
from drystone.passes.generic import leading
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import Computed, Leaf, Sum
from drystone.passes.integers.held import has_own_scales, is_real_tensor
from drystone.passes.integers.making import Maker, integer, narrowed, spread, stored
from drystone.passes.integers.regions import Region, refused
from drystone.passes.integers.softmax import MEAN, SHIFT, is_weighting, weights_of
from drystone.passes.weights import weight_key

#: Bits of sums; more sums of products of bytes than this fit in them.
_SUMS, _MOST = 32, 2**31


@dataclass(frozen=True)
class Factors:
    """Two tensors of codes, and the real number that a sum of their products, argument 0, stands for, with
    tensors that this reads as the arguments that follow, and their maps."""

    operands: tuple[Any, Any]
    sum: Sum
    more: tuple[tuple[Any, Any], ...] = ()


def make_product(maker: Maker, op: Any) -> None:
    """Put the product of codes in the place of one of real numbers."""
    if is_weighting(op):
        factors = _of_weights(maker, op)
    else:
        factors = weighted(maker, op) if has_own_scales(op) else _of_two(maker, op)
    _store(maker, op, factors)


def _store(maker: Maker, op: Any, factors: Factors) -> None:
    """Put a product of these in the place of `op`, with its epilogue."""
    result = op.operation.results[0]
    rank = result.type.rank
    extras, known, natives = _extras(maker, op, factors.more)
    block = op.operation.regions[0].blocks[0]
    known[block.arguments[0]] = factors.sum
    held = maker.holding.of(result)
    size = held.unit * held.limits[1]
    region = Region(op, known, natives, size, None)
    total = region.sum(list(block.operations)[-1].operation.operands[0])

    def element(code: Code) -> Any:
        return stored(code, total, held)

    key = weight_key(op.operation.operands[1])
    more = maker.reads(element, rank, "integers" if key is None else f"{key}.integers")
    kind = ir.RankedTensorType.get(result.type.shape, integer(held.bits))
    made, inner = remade(op, factors.operands, [*extras, *more], kind, sums=integer(_SUMS))
    count = 1 + len(extras)
    with ir.InsertionPoint(inner):
        given = list(inner.arguments)
        value = narrowed(element(Code(given[:count], given[count:])), held.bits)
        ir.Operation.create("dry.yield", operands=[value])
    maker.codes[result, held.bits] = made.operation.results[0]


def _extras(
    maker: Maker, op: Any, first: Sequence[tuple[Any, Any]]
) -> tuple[list[tuple[Any, Any]], dict[Any, Any], dict[Any, int]]:
    """The tensors that the epilogue reads besides numbers, behind the `first`; what its arguments are: sums
    or arrays, or the numbers of those that are integers."""
    extras: list[tuple[Any, Any]] = list(first)
    known: dict[Any, Any] = {}
    natives: dict[Any, int] = {}
    block = op.operation.regions[0].blocks[0]
    for argument, (value, map_) in zip(list(block.arguments)[1:], extras_of(op), strict=True):
        key = weight_key(value)
        array = None if key is None else spread(np.asarray(maker.program.weights[key]), map_)
        if array is not None:
            known[argument] = array
            continue
        if is_real_tensor(value):
            known[argument] = maker.leaf(maker.holding.of(value), 1 + len(extras))
            extras.append((maker.code(value), map_))
        else:
            natives[argument] = 1 + len(extras)
            extras.append((value, map_))
    return extras, known, natives


def weighted(maker: Maker, op: Any) -> Factors:
    """The codes of an image or rows, and those of a weight with a scale for every output."""
    x, weight = list(op.operation.operands)[:2]
    key = weight_key(weight)
    assert key is not None
    rank = op.operation.results[0].type.rank
    if op.operation.name == "dry.conv":
        if op.operation.attributes["transposed"].value:
            raise refused(op, "is a transposed convolution")
        axis, place = 0, channel_axis(layouts(op.operation.attributes["layout"].value)[1], rank)
    else:
        axis, place = (0 if op.operation.attributes["transpose_b"].value else 1), rank - 1
    array = np.asarray(maker.program.weights[key], np.float32)
    codes, scales = _rounded(array, axis)
    others = tuple(d for d in range(codes.ndim) if d != axis)
    sums, sizes = codes.sum(others, dtype=np.int64), np.abs(codes.astype(np.int64)).sum(others)
    held = maker.holding.bytes_of(x)
    most = int(sizes.max(initial=0)) * 128
    if most >= _MOST:
        raise refused(op, f"sums {codes.size // len(sums)} products of bytes, more than 32 bits hold")
    at = [1] * rank
    at[place] = -1
    factor = (scales.astype(np.float64) * held.unit).reshape(at)
    total = Sum.term(Leaf(0, -most, most), factor) + Sum.of(-held.zero * sums.reshape(at) * factor)
    return Factors((maker.code(x, held), maker.weight(f"{key}.int8", codes)), total)


def _rounded(array: Array, axis: int) -> tuple[Array, Array]:
    """The bytes of a weight, and the scale of each place along the axis of its outputs."""
    moved = np.moveaxis(array, axis, 0)
    parts = encode(np.ascontiguousarray(moved).reshape(len(moved), -1), int8_row(1))
    codes = np.moveaxis(parts["codes"].reshape(moved.shape), 0, axis)
    return np.ascontiguousarray(codes), parts["scale"].reshape(-1)


def _of_weights(maker: Maker, op: Any) -> Factors:
    """The weights of a softmax, not yet divided by their sums, and the codes of what they weight."""
    weights, values = list(op.operation.operands)[:2]
    codes, sums = weights_of(maker, producer(weights))
    held, rank = maker.holding.bytes_of(values), weights.type.rank
    rows = leading(rank)

    def mean(code: Code) -> Any:
        return code.shifted(code.make(arith.MulIOp, code.leaf(0), code.leaf(1)), SHIFT)

    total = Sum.term(Computed(-(2.0**MEAN) * 128, 2.0**MEAN * 128, mean), held.unit / 2.0**MEAN)
    return Factors((codes, maker.code(values, held)), total, ((sums, rows),))


def _of_two(maker: Maker, op: Any) -> Factors:
    """The codes of two tensors."""
    values = list(op.operation.operands)[:2]
    if op.operation.name == "dry.conv" or not all(map(is_tensor, values)):
        raise refused(op, "has a weight that is computed")
    held = [maker.holding.bytes_of(value) for value in values]
    depth = values[0].type.get_dim_size(values[0].type.rank - 1)
    if values[0].type.is_dynamic_dim(values[0].type.rank - 1):
        depth = _MOST // 127**2
    most = min(depth * 127**2, _MOST - 1)
    total = Sum.term(Leaf(0, -most, most), held[0].unit * held[1].unit)
    one, other = (maker.code(value, each) for value, each in zip(values, held, strict=True))
    return Factors((one, other), total)
