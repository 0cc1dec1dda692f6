"""What weights count for the positions that a cache keeps: those by which places are given to others."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.caches import Keep
from drystone.ir.build import mapped
from drystone.mlir import arith, ir
from drystone.passes.dims import empty_like, sizes_of
from drystone.passes.generic import compare, dims_map, expand, filled

_LIMITS = {"minsi": np.iinfo(np.int64).max, "maxsi": np.iinfo(np.int64).min}


@dataclass(frozen=True)
class Seen:
    """What the queries of a call see: weights f32 [images, heads, queries that share it, places], the places'
    positions i64 [images, heads, places], and those of the call's rows, i64 [rows, 1], of which `first` is
    the least, i64 []. `shared`: heads of queries that share keys."""

    weights: Any
    places: Any
    at: Any
    first: Any
    shared: int


def end_of(at: Any, least: str) -> Any:
    """The least ("minsi") or the largest ("maxsi") of some positions i64 [rows, 1], as i64 []."""
    start = filled(ir.IntegerType.get_signless(64), _LIMITS[least], [])
    axes = [ir.AffineMap.get_identity(2), dims_map(2, [])]

    def of(p: Any, q: Any) -> Any:
        return ir.Operation.create(f"arith.{least}", operands=[p, q], infer_type=True).results[0]

    return mapped([at], start, axes, of, ["reduction"] * 2)


def seen_so_far(_: Keep, seen: Seen, sums: Any) -> Any:
    """Sums of weights [images, heads, places] with those of a call (H2O: Zhang et al., NeurIPS 2023, section
    4)."""
    axes = [ir.AffineMap.get_identity(4), dims_map(4, [0, 1, 3])]
    return mapped([seen.weights], sums, axes, _add, ["parallel", "parallel", "reduction", "parallel"])


def seen_last(keep: Keep, seen: Seen, sums: Any) -> Any:
    """Sums of weights [images, heads, places], anew where a call has rows enough: what its last queries give,
    for the call's own positions the mean over neighbours, among which those of these queries count for
    nothing (SnapKV: Li et al., NeurIPS 2024, section 4.2 and listing 1)."""
    last = end_of(seen.at, "maxsi")
    votes = _votes(keep, seen, last)
    element, ends = ir.F32Type.get(), (seen.first, last)
    identity, none = ir.AffineMap.get_identity(3), dims_map(3, [])

    def anew(vote: Any, mean: Any, old: Any, p: Any, first: Any, last: Any, _: Any) -> Any:
        nothing = arith.ConstantOp(element, 0.0).result
        own = arith.SelectOp(_asks(keep, p, last), nothing, mean).result
        new = arith.SelectOp(compare("sge", p, first), own, vote).result
        return arith.SelectOp(_enough(keep, first, last), new, old).result

    inputs = [votes, _means(keep, seen, last, votes), sums, seen.places, *ends]
    return mapped(inputs, empty_like(sums), [*[identity] * 4, none, none, identity], anew)


def _votes(keep: Keep, seen: Seen, last: Any) -> Any:
    """The sums of the weights that a call's last queries give to places; 0 where its rows are too few."""
    sizes = [*seen.places.type.shape[:2], seen.shared, sizes_of(seen.at, [0])[0], seen.places.type.shape[2]]
    weights = expand(seen.weights, [[0], [1], [2, 3], [4]], sizes)
    zeros = filled(ir.F32Type.get(), 0.0, sizes_of(seen.places))
    row = ir.AffineMap.get(5, 0, [ir.AffineExpr.get_dim(3), ir.AffineExpr.get_constant(0)])
    maps = [ir.AffineMap.get_identity(5), row, dims_map(5, []), dims_map(5, []), dims_map(5, [0, 1, 4])]

    def of(weight: Any, p: Any, first: Any, last: Any, total: Any) -> Any:
        counts = arith.AndIOp(_asks(keep, p, last), _enough(keep, first, last)).result
        return _add(total, _or_zero(counts, weight))

    kinds = ["parallel", "parallel", "reduction", "reduction", "parallel"]
    return mapped([weights, seen.at, seen.first, last], zeros, maps, of, kinds)


def _means(keep: Keep, seen: Seen, last: Any, votes: Any) -> Any:
    """For each place the mean of the votes for the call's positions that are no farther than half a pool from
    its own; beyond the ends there are none."""
    sizes = [*seen.places.type.shape[:2], sizes_of(seen.at, [0])[0]]
    element, half = ir.F32Type.get(), keep.pool // 2
    row = ir.AffineMap.get(4, 0, [ir.AffineExpr.get_dim(2), ir.AffineExpr.get_constant(0)])
    place, kinds = dims_map(4, [0, 1, 3]), ["parallel", "parallel", "parallel", "reduction"]

    def find(vote: Any, whose: Any, p: Any, last: Any, total: Any) -> Any:
        counts = compare("sle", p, arith.SubIOp(last, _number(p, keep.observed)).result)
        own = arith.AndIOp(compare("eq", p, whose), counts).result
        return _add(total, _or_zero(own, vote))

    zeros = filled(element, 0.0, sizes)
    maps = [place, place, row, dims_map(4, []), dims_map(4, [0, 1, 2])]
    by_row = mapped([votes, seen.places, seen.at, last], zeros, maps, find, kinds)

    def near(vote: Any, p: Any, whose: Any, total: Any) -> Any:
        least, most = (arith.AddIOp(whose, _number(p, n)).result for n in (-half, half))
        inside = arith.AndIOp(compare("sge", p, least), compare("sle", p, most)).result
        part = arith.MulFOp(vote, arith.ConstantOp(element, 1 / keep.pool).result).result
        return _add(total, _or_zero(inside, part))

    kinds = ["parallel", "parallel", "reduction", "parallel"]
    return mapped(
        [by_row, seen.at, seen.places],
        filled(element, 0.0, sizes_of(seen.places)),
        [dims_map(4, [0, 1, 2]), row, place, place],
        near,
        kinds,
    )


def _asks(keep: Keep, p: Any, last: Any) -> Any:
    """Whether the position of a query is one of the last that are asked."""
    return compare("sgt", p, arith.SubIOp(last, _number(p, keep.observed)).result)


def _enough(keep: Keep, first: Any, last: Any) -> Any:
    """Whether a call has as many rows as are asked."""
    return compare("sge", arith.SubIOp(last, first).result, _number(last, keep.observed - 1))


def _number(like: Any, n: int) -> Any:
    return arith.ConstantOp(like.type, n).result


def _or_zero(flag: Any, x: Any) -> Any:
    return arith.SelectOp(flag, x, arith.ConstantOp(x.type, 0.0).result).result


def _add(one: Any, other: Any) -> Any:
    return arith.AddFOp(one, other).result
