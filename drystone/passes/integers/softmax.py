"""Softmax of codes: powers of two as integers, and their sums.

exp(x - peak) = 2^-(n + f) with an integer n and 0 <= f < 1: a shift by n of a polynomial in f (I-BERT, Kim et
al. 2021, section 3.5, who shift one of exp).
"""

from typing import Any

import numpy as np

from drystone.ir.build import mapped
from drystone.ir.values import producer_name, shape
from drystone.mlir import arith, ir, linalg, tensor
from drystone.passes.dims import sizes_of
from drystone.passes.generic import dims_map
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import Computed, Sum
from drystone.passes.integers.held import Held
from drystone.passes.integers.making import Maker, integer, stored
from drystone.passes.integers.regions import refused
from drystone.passes.rewriting import uses

#: Bits of the fraction of an exponent, and of a power of two.
_FRACTION, _POWER = 16, 30
#: Bits of weights that products read, which are bytes.
_WEIGHT = 7
#: Bits of what sums of weights are the divisor of; of a weighted mean behind the point; what is shifted.
_INVERSE, MEAN = 40, 20
SHIFT = _INVERSE - MEAN


def is_weighting(op: Any) -> bool:
    """Whether a product weights rows with a softmax along what it sums, which nothing else reads."""
    weights, values = list(op.operation.operands)[:2]
    if op.operation.name != "dry.matmul" or producer_name(weights) != "dry.softmax":
        return False
    return (
        _is_read_as_weights(weights)
        and weights.type.rank == values.type.rank
        and not op.operation.attributes["transpose_b"].value
    )


def _is_read_as_weights(value: Any) -> bool:
    """Whether all that reads a softmax are products that sum along it."""
    op = value.owner.opview
    last = op.operation.attributes["dim"].value == value.type.rank - 1
    return last and all(
        user.name == "dry.matmul"
        and number == 0
        and producer_name(user.operands[1]) != "dry.weight"
        and not user.attributes["transpose_b"].value
        for user, number in uses(value)
    )


def weights_of(maker: Maker, op: Any) -> tuple[Any, Any]:
    """The weights that a softmax gives, as bytes of which 127 is the largest of a row, and 2^40 divided by
    their sums."""
    result = op.operation.results[0]
    if (result, 0) not in maker.codes:
        with ir.InsertionPoint(op), op.operation.location:
            powers = _powers(maker, op, _WEIGHT)
            maker.codes[result, 0] = powers
            maker.codes[result, -1] = _inverse(maker, op, _sums(maker, op, powers, 2**_WEIGHT), _INVERSE)
    return maker.codes[result, 0], maker.codes[result, -1]


def make_softmax(maker: Maker, op: Any) -> None:
    """Put a softmax of codes in the place of one of real numbers; nothing where products make use of its
    weights themselves."""
    result = op.operation.results[0]
    if op.operation.attributes["log"].value:
        raise refused(op, "is a logarithm of a softmax")
    if _is_read_as_weights(result):
        return
    powers = _powers(maker, op, _POWER)
    inverse = _inverse(maker, op, _sums(maker, op, powers, 2.0**_POWER), 2 * _POWER)
    held, rank = maker.holding.of(result), result.type.rank
    whole, rows = ir.AffineMap.get_identity(rank), _rows(op)

    def part(code: Code) -> Any:
        return code.shifted(code.make(arith.MulIOp, code.leaf(0), code.leaf(1)), _POWER)

    total = Sum.term(Computed(0, 2.0**_POWER, part), 2.0**-_POWER)
    codes = maker.map(
        result, [(powers, whole), (inverse, rows)], whole, lambda code: stored(code, total, held), held.bits
    )
    maker.codes[result, held.bits] = codes


def _rows(op: Any) -> Any:
    """The map to all dimensions but the one that sums to 1."""
    rank, dim = op.operation.results[0].type.rank, op.operation.attributes["dim"].value
    return dims_map(rank, [d for d in range(rank) if d != dim])


def _powers(maker: Maker, op: Any, bits: int) -> Any:
    """exp(x - peak) of every element: integers of which 2^bits (the most that fit in a byte for 7) is 1."""
    x, result = op.operation.operands[0], op.operation.results[0]
    held, rank = maker.holding.of(x), x.type.rank
    codes, whole, rows = maker.code(x), ir.AffineMap.get_identity(rank), _rows(op)
    peak = _peak(maker, op, codes, held)
    masked = maker.holding.is_masked(x)
    most = 2**bits - (1 if bits == _WEIGHT else 0)

    def element(code: Code) -> Any:
        one = code.leaf(0)
        found = power(code, code.make(arith.SubIOp, code.leaf(1), one), held, most)
        if masked:
            nothing = code.compare(arith.CmpIPredicate.eq, one, code.constant(held.limits[0]))
            found = code.select(nothing, code.constant(0), found)
        return found

    return maker.map(result, [(codes, whole), (peak, rows)], whole, element, 8 if bits == _WEIGHT else 32)


def power(code: Code, steps: Any, held: Held, most: int) -> Any:
    """most * exp(-steps * unit), rounded, of an i64 that is not negative."""
    rate = held.unit * np.log2(np.e) * 2.0**_FRACTION
    bits = min(20, int(np.floor(31 - np.log2(rate))) if rate > 0 else 20)
    exponent = code.shifted(code.times(steps, np.rint(rate * 2.0**bits)), bits)
    whole = code.make(arith.MinSIOp, code.shifted(exponent, _FRACTION), code.constant(62))
    fraction = code.make(arith.AndIOp, exponent, code.constant(2**_FRACTION - 1))
    # 2^-f on [0, 1], of degree 4: off by 3e-6 at most.
    nodes = (np.cos(np.pi * (np.arange(64) + 0.5) / 64) + 1) / 2
    factors = np.polynomial.polynomial.polyfit(nodes, 2.0**-nodes, 4)
    found = code.constant(round(factors[-1] * 2**_POWER))
    for factor in reversed(factors[:-1]):
        found = code.shifted(code.make(arith.MulIOp, found, fraction), _FRACTION)
        found = code.make(arith.AddIOp, found, code.constant(round(factor * 2**_POWER)))
    found = code.make(arith.ShRSIOp, found, whole)
    scaled = code.make(arith.MulIOp, found, code.constant(most))
    return code.shifted(code.make(arith.AddIOp, scaled, code.constant(2 ** (_POWER - 1))), _POWER)


def _peak(maker: Maker, op: Any, codes: Any, held: Held) -> Any:
    """The largest code of every row."""
    rank, dim = codes.type.rank, op.operation.attributes["dim"].value
    least = arith.ConstantOp(integer(held.bits), held.limits[0]).result
    sizes = sizes_of(op.operation.results[0], [d for d in range(rank) if d != dim])
    init = linalg.fill(least, outs=[tensor.EmptyOp(sizes, integer(held.bits)).result])
    kinds = ["reduction" if d == dim else "parallel" for d in range(rank)]
    maps = [ir.AffineMap.get_identity(rank), _rows(op)]
    return mapped([codes], init, maps, lambda x, peak: arith.MaxSIOp(x, peak).result, kinds)


def _sums(maker: Maker, op: Any, powers: Any, most: float) -> Any:
    """The sum of every row."""
    result = op.operation.results[0]
    dim, rank = op.operation.attributes["dim"].value, result.type.rank
    count = shape(result)[dim] or 2**20
    bits = 32 if most * count < 2**31 else 64
    whole = ir.AffineMap.get_identity(rank)
    return maker.reduced(result, [dim], [(powers, whole)], lambda code: code.leaf(0), bits)


def _inverse(maker: Maker, op: Any, sums: Any, bits: int) -> Any:
    """2^bits divided by every sum; by 0 as by 1."""
    whole = ir.AffineMap.get_identity(sums.type.rank)

    def element(code: Code) -> Any:
        divisor = code.make(arith.MaxSIOp, code.leaf(0), code.constant(1))
        return code.make(arith.DivSIOp, code.constant(1 << bits), divisor)

    return maker.map(sums, [(sums, whole)], whole, element, 64)
