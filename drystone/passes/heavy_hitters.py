"""States of keys and values that keep the positions with the most weight, beside the first and the newest.

What weights of all queries so far a position has is summed for each head (H2O: Zhang et al., NeurIPS 2023,
section 4). The rows of a call take the places that are free, then those of the least sums, but for sinks and
what the first query of the call has in its window. A position that comes again, after going back or in a new
sequence, and those behind it are forgotten first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from drystone.caches import Keep
from drystone.errors import UserError
from drystone.ir.build import flag, integer, mapped, scatter
from drystone.ir.dialect import Softmax
from drystone.ir.encoding import part_key
from drystone.ir.program import Program, TensorSpec
from drystone.mlir import arith, ir, linalg, tensor
from drystone.passes.dims import empty_like, sizes_of
from drystone.passes.generic import collapse, dims_map, expand, filled
from drystone.passes.integers.attention import SWAPPED, product
from drystone.passes.kept_positions import room_of, span_of, starts_empty
from drystone.passes.moves import cut, move
from drystone.passes.read_caches import KEYS, VALUES, Cache, State, positions_axis, renewed, settle
from drystone.passes.rewriting import tensor_type

#: What is taken for the score of a key that a query does not see.
_UNSEEN = float(np.finfo(np.float32).min)
_LAST = np.iinfo(np.int64).max
#: The parts of a cache: its rows [images, heads, places, width], whose they are and what weights they have
#: had, both [images, heads, places].
_ROWS, _PLACES, _WEIGHTS = "codes", "places", "weights"


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
        return self.before[self.keys.number, _PLACES]


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
                hint="give both the same drystone.Keep; or heavy=0",
            )
        if len({cache.write.operands[1] for cache in caches}) != 1:
            raise UserError(
                f"caches: rows of {' and '.join(cache.spec.name for cache in caches)} are not known to be "
                "written at the same positions",
                hint="index both by the same tensor; or give heavy=0",
            )
        span_of(op, chosen[some[KEYS].number][1])
    return [(op, some[KEYS], some[VALUES]) for op, some in found.items()]


def _states(
    program: Program, cache: Cache, keep: Keep, argument: Any, before: dict[tuple[int, str], Any]
) -> list[State]:
    """The parts of a state, whose values are not made yet."""
    extents, axis = cache.by_position(), cache.axis
    starts_empty(program, cache, keep)
    room = room_of(program, keep, cache, extents[axis])
    heads = (extents[0], extents[3 - axis], room)
    parts: list[tuple[str, str, tuple[int, ...], Any]] = [
        (_ROWS, "f32", (*heads, extents[3]), np.zeros((*heads, extents[3]), np.float32))
    ]
    if cache.is_keys:
        parts.append((_PLACES, "i64", heads, np.full(heads, -1, np.int64)))
        parts.append((_WEIGHTS, "f32", heads, np.zeros(heads, np.float32)))
    states = []
    for part, element, shape, first in parts:
        kind = ir.F32Type.get() if element == "f32" else ir.IntegerType.get_signless(64)
        before[cache.number, part] = argument.owner.add_argument(tensor_type(shape, kind), argument.location)
        key = program.weights.add(f"{cache.key}.heavy.{part}", first)
        states.append(State(TensorSpec(part_key(cache.spec.name, part), element, shape), key, None))
    return states


def _attend(pair: _Pair) -> dict[str, Any]:
    """Put the attention that keeps its heavy hitters in the place of another; the new values of states."""
    op, name = pair.op, pair.keys.spec.name
    with ir.InsertionPoint(op), op.location:
        at = pair.keys.write.operands[1]
        first = _first(at)
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
        out, weights = _attention(pair, keys, values, places)
        axes = [ir.AffineMap.get_identity(4), dims_map(4, [0, 1, 3])]
        kinds = ["parallel", "parallel", "reduction", "parallel"]
        sums = mapped([weights], sums, axes, lambda w, total: arith.AddFOp(w, total).result, kinds)
    op.results[0].replace_all_uses_with(out)
    op.erase()
    made = {_PLACES: places, _WEIGHTS: sums, _ROWS: keys}
    return {part_key(name, part): value for part, value in made.items()} | {pair.values.spec.name: values}


def _live(pair: _Pair, least: Any) -> Any:
    """Whose row each place has, -1 where that position is the call's `least` or a later one."""
    wide = ir.IntegerType.get_signless(64)

    def of(p: Any, first: Any, _: Any) -> Any:
        none = arith.ConstantOp(wide, -1).result
        return arith.SelectOp(_compare("slt", p, first), p, none).result

    same = ir.AffineMap.get_identity(3)
    return mapped([pair.places, least], empty_like(pair.places), [same, dims_map(3, []), same], of)


def _first(at: Any) -> Any:
    """The least of some positions, i64 []."""
    wide = ir.IntegerType.get_signless(64)
    start = filled(wide, _LAST, [])
    axes = [ir.AffineMap.get_identity(2), dims_map(2, [])]
    return mapped([at], start, axes, lambda p, q: arith.MinSIOp(p, q).result, ["reduction"] * 2)


def _free(pair: _Pair, live: Any, least: Any, rows: Any) -> Any:
    """The places that the rows of a call take, i64 [images, heads, rows]: the free ones, then those of the
    least weights, the first of equal ones, but for what must stay by the call's `least` position."""
    weights, keep = pair.before[pair.keys.number, _WEIGHTS], pair.keep
    same, element = ir.AffineMap.get_identity(3), ir.F32Type.get()

    def rank(p: Any, weight: Any, first: Any, _: Any) -> Any:
        free, most = (arith.ConstantOp(element, n).result for n in (-1.0, float("inf")))
        none, sinks, window = (arith.ConstantOp(p.type, n).result for n in (0, keep.sinks, keep.window))
        recent = _compare("sgt", p, arith.SubIOp(first, window).result)
        stays = arith.OrIOp(_compare("slt", p, sinks), recent).result
        kept = arith.SelectOp(stays, most, weight).result
        return arith.SelectOp(_compare("slt", p, none), free, kept).result

    into = tensor.EmptyOp(sizes_of(weights), element).result
    ranks = mapped([live, weights, least], into, [same, same, dims_map(3, []), same], rank)
    order = _sorted(ranks, _numbers(live))
    return cut(order, [0, 0, 0], [*order.type.shape[:2], rows], [1, 1, 1])


def _numbers(like: Any) -> Any:
    """The number of each place [images, heads, places]."""

    def number(_: Any) -> Any:
        return arith.IndexCastOp(like.type.element_type, linalg.IndexOp(2).result).result

    return mapped([], empty_like(like), [ir.AffineMap.get_identity(3)], number)


def _sorted(ranks: Any, numbers: Any) -> Any:
    """Numbers of places by rising ranks."""
    made = ir.Operation.create(
        "tm_tensor.sort",
        [ranks.type, numbers.type],
        [ranks, numbers],
        {"dimension": integer(2), "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 2])},
        regions=1,
    )
    kinds = [each.type.element_type for each in (ranks, ranks, numbers, numbers)]
    block = made.regions[0].blocks.append(*kinds)
    with ir.InsertionPoint(block):
        stays = arith.CmpFOp(arith.CmpFPredicate.OLE, block.arguments[0], block.arguments[1]).result
        ir.Operation.create("tm_tensor.yield", operands=[stays])
    return made.results[1]


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
        first, second = (_compare("eq", axis, arith.ConstantOp(ir.IndexType.get(), n).result) for n in (0, 1))
        return arith.SelectOp(first, image, arith.SelectOp(second, head, place).result).result

    at = mapped([where], into, [dims_map(4, [1, 2, 0]), ir.AffineMap.get_identity(4)], index)
    inner = [[3]] if new.type.rank == 4 else []
    return scatter(before, collapse(new, [[0, 1, 2], *inner]), collapse(at, [[0, 1, 2], [3]]), [0, 1, 2])


def _attention(pair: _Pair, keys: Any, values: Any, places: Any) -> tuple[Any, Any]:
    """What the attention gives, and its weights [images, heads, queries that share it, places]."""
    op = pair.op
    swapped = positions_axis(op) == 1
    q = move(op.operands[0], SWAPPED) if swapped else op.operands[0]
    images, heads = places.type.shape[:2]
    repeats, (count,), width = q.type.shape[1] // heads, sizes_of(q, [2]), values.type.shape[3]
    split = expand(q, [[0], [1, 2], [3], [4]], [images, heads, repeats, count, q.type.shape[3]])
    seen = _seen(pair, places, [images, heads, repeats, count])
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


def _seen(pair: _Pair, places: Any, sizes: Sequence[Any]) -> Any:
    """Which places each query sees, i1 [images, heads, queries that share it, places]."""
    span, sinks = span_of(pair.op, pair.keep), pair.op.attributes["sinks"].value
    zero, dims = ir.AffineExpr.get_constant(0), [ir.AffineExpr.get_dim(d) for d in range(5)]
    by = [zero if span.type.shape[d] == 1 else dims[n] for d, n in ((1, 0), (2, 3))]
    sides = [ir.AffineMap.get(5, 0, [ir.AffineExpr.get_constant(side), *by]) for side in (0, 1)]

    def of(first: Any, end: Any, p: Any, _: Any) -> Any:
        first, end = (x if x.type == p.type else arith.ExtSIOp(p.type, x).result for x in (first, end))
        early, none = (arith.ConstantOp(p.type, n).result for n in (sinks, 0))
        given = arith.OrIOp(_compare("sge", p, first), _compare("slt", p, early)).result
        held = arith.AndIOp(_compare("sge", p, none), _compare("slt", p, end)).result
        return arith.AndIOp(held, given).result

    into = tensor.EmptyOp([*sizes, places.type.shape[2]], ir.IntegerType.get_signless(1)).result
    maps = [*sides, dims_map(5, [0, 1, 4]), ir.AffineMap.get_identity(5)]
    return collapse(mapped([span, span, places], into, maps, of), [[0], [1], [2, 3], [4]])


def _compare(predicate: str, one: Any, other: Any) -> Any:
    return arith.CmpIOp(getattr(arith.CmpIPredicate, predicate), one, other).result
