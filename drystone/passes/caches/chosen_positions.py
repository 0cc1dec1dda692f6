"""States of keys and values that keep the positions with the most weight, beside the first and the newest.

The rows of a call take the places that are free, then those of the least weights, for each head by itself,
but for sinks and what the first query of the call has in its window. A position that comes again, after
going back or in a new sequence, and those behind it are forgotten first. What weights count says
`position_weights`: those of all queries so far, or those of a prompt's last ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drystone.caches import Keep
from drystone.errors import UserError
from drystone.ir.build import mapped, scatter, sort
from drystone.ir.encoding import part_key
from drystone.ir.program import Program
from drystone.mlir import arith, ir, linalg, tensor
from drystone.passes.attention.weighed_attention import weighed
from drystone.passes.caches import position_weights
from drystone.passes.caches.kept_positions import room_of, span_of, starts_empty
from drystone.passes.caches.position_weights import end_of
from drystone.passes.caches.read_caches import (
    KEYS,
    PLACES,
    VALUES,
    Cache,
    State,
    part_of,
    positions_axis,
    renewed,
    settle,
)
from drystone.passes.dims import empty_like, sizes_of
from drystone.passes.generic import collapse, compare, dims_map, expand, filled
from drystone.passes.layout.moves import cut

#: The parts of a cache: its rows [images, heads, places, width], whose they are (`PLACES`) and what weights
#: count for them, both [images, heads, places].
_ROWS, _WEIGHTS = "codes", "weights"
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Pair:
    """Keys and values that an attention reads, as they were and as arguments by their parts."""

    keep: Keep
    op: Any
    keys: Cache
    values: Cache
    before: Mapping[tuple[int, str], Any]

    @property
    def places(self) -> Any:
        """Whose row each place had."""
        return self.before[self.keys.number, PLACES]


def keep(program: Program, chosen: Mapping[int, tuple[Cache, Keep]]) -> None:
    """Give the chosen states, by number, no more places than what is kept needs. Raises UserError for states
    that cannot be kept so."""
    before: dict[tuple[int, str], Any] = {}

    def make(number: int, argument: Any) -> list[State] | None:
        if number not in chosen:
            return None
        cache, wanted = chosen[number]
        return _states(program, cache, wanted, argument, before)

    pairs = _pairs(chosen)
    states, after = renewed(program, make), dict[str, Any]()
    for op, keys, values in pairs:
        after |= _attend(_Pair(chosen[keys.number][1], op, keys, values, before))
    done = [replace(state, value=after.get(state.spec.name, state.value)) for state in states]
    settle(program, done, [cache.write for cache, _ in chosen.values()])


def _pairs(chosen: Mapping[int, tuple[Cache, Keep]]) -> list[tuple[Any, Cache, Cache]]:
    """Attentions with their keys and values. Raises UserError for states that are no such pairs."""
    found: dict[Any, dict[int, Cache]] = {}
    for cache, _ in chosen.values():
        for op, operand in cache.reads:
            found.setdefault(op, {})[operand] = cache
    for op, some in found.items():
        caches, keeps = some.values(), {chosen[cache.number][1] for cache in some.values()}
        if len(some) != 2 or len(keeps) != 1 or any(len(cache.reads) != 1 for cache in caches):
            names = ", ".join(cache.spec.name for cache in caches)
            raise UserError(
                f"caches: positions are chosen by the weights of one attention, for its keys and its values "
                f"alike, and {names} are not such two",
                hint="give both the same drystone.Keep; or heavy=0 and snap=0",
            )
        if len({cache.write.operands[1] for cache in caches}) != 1:
            raise UserError(
                f"caches: rows of {' and '.join(cache.spec.name for cache in caches)} are not known to be "
                "written at the same positions",
                hint="index both by the same tensor; or give heavy=0 and snap=0",
            )
        span_of(op, chosen[some[KEYS].number][1])
    return [(op, some[KEYS], some[VALUES]) for op, some in found.items()]


def _states(
    program: Program, cache: Cache, keep: Keep, argument: Any, before: dict[tuple[int, str], Any]
) -> list[State]:
    """The parts of a state, as they were."""
    extents, axis = cache.by_position(), cache.axis
    starts_empty(program, cache, keep)
    room = room_of(program, keep, cache, extents[axis])
    heads = (extents[0], extents[3 - axis], room)
    parts = [(_ROWS, "f32", np.zeros((*heads, extents[3]), np.float32))]
    if cache.is_keys:
        parts.append((PLACES, "i64", np.full(heads, -1, np.int64)))
        parts.append((_WEIGHTS, "f32", np.zeros(heads, np.float32)))
    states = [part_of(program, cache, argument, *each) for each in parts]
    for (part, *_), state in zip(parts, states, strict=True):
        before[cache.number, part] = state.value
    return states


def _attend(pair: _Pair) -> dict[str, Any]:
    """Put one that keeps what has the most weight in the place of an attention; the new values of states."""
    op, name = pair.op, pair.keys.spec.name
    with ir.InsertionPoint(op), op.location:
        at = pair.keys.write.operands[1]
        first = end_of(at, "minsi")
        live = _live(pair, first)
        where = _free(pair, live, first, sizes_of(at, [0])[0])
        whose = _spread(at, where)
        zeros = filled(ir.F32Type.get(), 0.0, sizes_of(whose))
        places, sums = (
            _put(before, new, where)
            for before, new in ((live, whose), (pair.before[pair.keys.number, _WEIGHTS], zeros))
        )
        keys, values = (
            _put(pair.before[cache.number, _ROWS], _rows(cache), where) for cache in (pair.keys, pair.values)
        )
        out, weights = weighed(pair.keep, op, keys, values, places)
        shared = op.operands[0].type.shape[3 - positions_axis(op)] // places.type.shape[1]
        count = position_weights.seen_last if pair.keep.snap else position_weights.seen_so_far
        sums = count(pair.keep, position_weights.Seen(weights, places, at, first, shared), sums)
    op.results[0].replace_all_uses_with(out)
    op.erase()
    made = {PLACES: places, _WEIGHTS: sums, _ROWS: keys}
    return {part_key(name, part): value for part, value in made.items()} | {pair.values.spec.name: values}


def _live(pair: _Pair, least: Any) -> Any:
    """Whose row each place has, -1 where that position is the call's `least` or a later one."""
    wide = ir.IntegerType.get_signless(64)

    def of(p: Any, first: Any, _: Any) -> Any:
        none = arith.ConstantOp(wide, -1).result
        return arith.SelectOp(compare("slt", p, first), p, none).result

    same = ir.AffineMap.get_identity(3)
    return mapped([pair.places, least], empty_like(pair.places), [same, dims_map(3, []), same], of)


def _free(pair: _Pair, live: Any, least: Any, rows: Any) -> Any:
    """The places that the rows of a call take, i64 [images, heads, rows]: the free ones, then those of the
    least weights, the first of equal ones, but for what must stay by the call's `least` position."""
    weights, keep = pair.before[pair.keys.number, _WEIGHTS], pair.keep
    same, element = ir.AffineMap.get_identity(3), ir.F32Type.get()

    def rank(p: Any, weight: Any, first: Any, _: Any) -> Any:
        free, most = (arith.ConstantOp(element, n).result for n in (-1.0, float("inf")))
        none, sinks, window = (arith.ConstantOp(p.type, n).result for n in (0, keep.sinks, keep.window))
        recent = compare("sgt", p, arith.SubIOp(first, window).result)
        stays = arith.OrIOp(compare("slt", p, sinks), recent).result
        kept = arith.SelectOp(stays, most, weight).result
        return arith.SelectOp(compare("slt", p, none), free, kept).result

    into = tensor.EmptyOp(sizes_of(weights), element).result
    ranks = mapped([live, weights, least], into, [same, same, dims_map(3, []), same], rank)
    if rows == 1:
        return _least(ranks)
    _, order = sort(ranks, _numbers(live))
    return cut(order, [0, 0, 0], [*order.type.shape[:2], rows], [1, 1, 1])


def _least(ranks: Any) -> Any:
    """The first place of each head whose rank is the least, i64 [images, heads, 1]: nothing is sorted."""
    heads, wide = ranks.type.shape[:2], ir.IntegerType.get_signless(64)
    every, one, kinds = ir.AffineMap.get_identity(3), dims_map(3, [0, 1]), [*["parallel"] * 2, "reduction"]
    most = filled(ir.F32Type.get(), float("inf"), heads)
    least = mapped([ranks], most, [every, one], lambda x, y: arith.MinimumFOp(x, y).result, kinds)

    def first(rank: Any, least: Any, found: Any) -> Any:
        number = arith.IndexCastOp(wide, linalg.IndexOp(2).result).result
        other = arith.ConstantOp(wide, _LAST).result
        own = arith.CmpFOp(arith.CmpFPredicate.OEQ, rank, least).result
        return arith.MinSIOp(arith.SelectOp(own, number, other).result, found).result

    found = mapped([ranks, least], filled(wide, _LAST, heads), [every, one, one], first, kinds)
    return expand(found, [[0], [1, 2]], [*heads, 1])


def _numbers(like: Any) -> Any:
    """The number of each place [images, heads, places]."""

    def number(_: Any) -> Any:
        return arith.IndexCastOp(like.type.element_type, linalg.IndexOp(2).result).result

    return mapped([], empty_like(like), [ir.AffineMap.get_identity(3)], number)


def _spread(at: Any, where: Any) -> Any:
    """The position of each row for each image and head, i64 [rows, images, heads]."""
    images, heads = where.type.shape[:2]
    into = tensor.EmptyOp([*sizes_of(at, [0]), images, heads], at.type.element_type).result
    first = ir.AffineMap.get(3, 0, [ir.AffineExpr.get_dim(0), ir.AffineExpr.get_constant(0)])
    return mapped([at], into, [first, ir.AffineMap.get_identity(3)], lambda p, _: p)


def _rows(cache: Cache) -> Any:
    """The rows of a call [rows, images, heads, width], in either layout the order of their dimensions."""
    rows = cache.write.operands[0]
    if rows.type.rank == 4:
        return rows
    groups = [[0], [1], [2, 3], [4]]  # one of both, the positions, has extent 1
    return collapse(rows, groups)


def _put(before: Any, new: Any, where: Any) -> Any:
    """A state with what is new [rows, images, heads, ..] at places i64 [images, heads, rows]."""
    wide = where.type.element_type
    images, heads = where.type.shape[:2]
    into = tensor.EmptyOp([*sizes_of(new, [0]), images, heads, 3], wide).result

    def index(place: Any, _: Any) -> Any:
        axis = linalg.IndexOp(3).result
        image, head = (arith.IndexCastOp(wide, linalg.IndexOp(d).result).result for d in (1, 2))
        first, second = (compare("eq", axis, arith.ConstantOp(ir.IndexType.get(), n).result) for n in (0, 1))
        return arith.SelectOp(first, image, arith.SelectOp(second, head, place).result).result

    at = mapped([where], into, [dims_map(4, [1, 2, 0]), ir.AffineMap.get_identity(4)], index)
    inner = [[3]] if new.type.rank == 4 else []
    return scatter(before, collapse(new, [[0, 1, 2], *inner]), collapse(at, [[0, 1, 2], [3]]), [0, 1, 2])
