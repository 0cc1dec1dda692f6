"""Normalization of codes: integer means, variances and square roots (as in I-BERT, Kim et al. 2021, section
3.6)."""

from math import floor, log2, prod
from typing import Any

import numpy as np

from drystone.ir.values import operand_groups, shape
from drystone.mlir import arith, ir
from drystone.passes.generic import dims_map
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import Computed, Leaf, Sum, square_root
from drystone.passes.integers.making import Maker, stored
from drystone.passes.integers.regions import refused
from drystone.passes.weights import weight_key

#: Bits behind the point of codes and their mean; of 1 / root; of a normalized number, of which 1 is the root
#: of the sum of squares.
_POINT, _INVERSE, _UNIT = 8, 46, 30


def make_norm(maker: Maker, op: Any) -> None:
    """Put a normalization of codes in the place of one of real numbers."""
    operation = op.operation
    x, result = operation.operands[0], operation.results[0]
    _, gains, shifts, residuals = operand_groups(op)
    if residuals:
        raise refused(op, "normalizes a sum that is not by itself")
    axes, rank = operation.attributes["axes"].value, x.type.rank
    extents = shape(x)[rank - axes :]
    if None in extents:
        raise refused(op, "normalizes rows of unknown length")
    count = prod(n for n in extents if n is not None)
    held = maker.holding.of(x)
    point = min(_POINT, floor((60 - log2(count)) / 2) - held.bits - 2)
    whole = ir.AffineMap.get_identity(rank)
    rows = dims_map(rank, range(rank - axes))
    last = range(rank - axes, rank)
    codes = maker.code(x)

    def code_of(code: Code) -> Any:
        return code.plus(code.leaf(0), np.asarray(-held.zero))

    reads = [(codes, whole)]
    layer = operation.attributes["kind"].value == "layer"
    if layer:
        size = 2.0**held.bits * count
        sums = maker.reduced(x, last, reads, code_of, 32 if size < 2**31 else 64)
        mean = Sum.term(Leaf(0, -size, size), 2.0**point / count)
        same = ir.AffineMap.get_identity(rank - axes)
        reads.append((maker.map(sums, [(sums, same)], same, lambda code: mean.rounded(code, 1.0), 32), rows))

    def centred(code: Code) -> Any:
        moved = code.times(code_of(code), np.asarray(2**point))
        return code.make(arith.SubIOp, moved, code.leaf(1)) if layer else moved

    def square(code: Code) -> Any:
        one = code.once("centred", lambda: centred(code))
        return code.make(arith.MulIOp, one, one)

    squares = maker.reduced(x, last, reads, square, 64)
    least = operation.attributes["eps"].value * count * (2.0**point / held.unit) ** 2
    inverse = _inverse_root(maker, squares, int(np.clip(np.rint(least), 1, 2.0**61)))
    number = len(reads)

    def unit(code: Code) -> Any:
        product = code.make(arith.MulIOp, centred(code), code.leaf(number))
        return code.shifted(product, _INVERSE - _UNIT)

    total = Sum.term(Computed(-(2.0**_UNIT), 2.0**_UNIT, unit), count**0.5 / 2.0**_UNIT)
    for gain in gains:
        total = total * _array(maker, op, gain, rank)
    for shift in shifts:
        total = total + Sum.of(_array(maker, op, shift, rank))
    into = maker.holding.of(result)
    reads = [*reads, (inverse, rows)]
    made = maker.map(result, reads, whole, lambda code: stored(code, total, into), into.bits)
    maker.codes[result, into.bits] = made


def _inverse_root(maker: Maker, squares: Any, least: int) -> Any:
    """2^46 / sqrt(sum of squares + least) of every row."""
    same = ir.AffineMap.get_identity(squares.type.rank)

    def element(code: Code) -> Any:
        root = square_root(code, code.plus(code.leaf(0), np.asarray(least)))
        divisor = code.make(arith.MaxSIOp, root, code.constant(1))
        return code.make(arith.DivSIOp, code.constant(1 << _INVERSE), divisor)

    return maker.map(squares, [(squares, same)], same, element, 64)


def _array(maker: Maker, op: Any, value: Any, rank: int) -> Any:
    """The numbers of a gain or shift, in the rank of the rows."""
    key = weight_key(value)
    if key is None:
        raise refused(op, "has a gain that is computed")
    array = np.asarray(maker.program.weights[key], np.float64)
    return array.reshape((1,) * (rank - array.ndim) + array.shape)
