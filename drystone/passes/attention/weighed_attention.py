"""Attention as two products and a softmax, for its weights: one pass over the keys has none to give."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from drystone.caches import Keep
from drystone.ir.build import flag, integer, mapped
from drystone.ir.dialect import Softmax
from drystone.mlir import arith, ir, tensor
from drystone.passes.caches.kept_positions import span_of
from drystone.passes.caches.read_caches import positions_axis
from drystone.passes.dims import empty_like, sizes_of
from drystone.passes.generic import collapse, compare, dims_map, expand
from drystone.passes.integers.attention import SWAPPED, product
from drystone.passes.layout.moves import move

#: What is taken for the score of a key that a query does not see.
_UNSEEN = float(np.finfo(np.float32).min)


def weighed(keep: Keep, op: Any, keys: Any, values: Any, places: Any) -> tuple[Any, Any]:
    """What an attention gives that reads rows [images, heads, places, width] of positions i64 [images, heads,
    places] (-1: none), and its weights [images, heads, queries that share it, places], made at the insertion
    point. The queries of one of the heads that share keys follow those of another."""
    swapped = positions_axis(op) == 1
    q = move(op.operands[0], SWAPPED) if swapped else op.operands[0]
    images, heads = places.type.shape[:2]
    repeats, (count,), width = q.type.shape[1] // heads, sizes_of(q, [2]), values.type.shape[3]
    split = expand(q, [[0], [1, 2], [3], [4]], [images, heads, repeats, count, q.type.shape[3]])
    seen = _seen(keep, op, places, [images, heads, repeats, count])
    scale = op.attributes["scale"].value
    scores = product(collapse(split, [[0], [1], [2, 3], [4]]), keys, transposed=True, scale=scale)
    element = scores.type.element_type
    same = [ir.AffineMap.get_identity(4)] * 3

    def or_else(number: float, flag_: Any, x: Any, _: Any) -> Any:
        return arith.SelectOp(flag_, x, arith.ConstantOp(element, number).result).result

    masked = mapped([seen, scores], empty_like(scores), same, partial(or_else, _UNSEEN))
    soft = Softmax(masked.type, masked, dim=integer(3), log=flag(False)).out
    weights = mapped([seen, soft], empty_like(soft), same, partial(or_else, 0.0))
    made = product(weights, values, transposed=False, scale=1.0)
    made = expand(made, [[0], [1], [2, 3], [4]], [images, heads, repeats, count, width])
    made = collapse(made, [[0], [1, 2], [3], [4]])
    return move(made, SWAPPED) if swapped else made, weights


def _seen(keep: Keep, op: Any, places: Any, sizes: Sequence[Any]) -> Any:
    """Which places each query sees, i1 [images, heads, queries that share it, places]."""
    span, sinks = span_of(op, keep), op.attributes["sinks"].value
    zero, dims = ir.AffineExpr.get_constant(0), [ir.AffineExpr.get_dim(d) for d in range(5)]
    by = [zero if span.type.shape[d] == 1 else dims[n] for d, n in ((1, 0), (2, 3))]
    sides = [ir.AffineMap.get(5, 0, [ir.AffineExpr.get_constant(side), *by]) for side in (0, 1)]

    def of(first: Any, end: Any, p: Any, _: Any) -> Any:
        first, end = (x if x.type == p.type else arith.ExtSIOp(p.type, x).result for x in (first, end))
        early, none = (arith.ConstantOp(p.type, n).result for n in (sinks, 0))
        given = arith.OrIOp(compare("sge", p, first), compare("slt", p, early)).result
        held = arith.AndIOp(compare("sge", p, none), compare("slt", p, end)).result
        return arith.AndIOp(held, given).result

    into = tensor.EmptyOp([*sizes, places.type.shape[2]], ir.IntegerType.get_signless(1)).result
    maps = [*sides, dims_map(5, [0, 1, 4]), ir.AffineMap.get_identity(5)]
    return collapse(mapped([span, span, places], into, maps, of), [[0], [1], [2, 3], [4]])
