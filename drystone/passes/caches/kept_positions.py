"""States of keys and values that keep some positions only: the first ones, and a ring of the newest.

Position p is in place p where it is one of the first `sinks`, else in sinks + (p - sinks) mod ring. A state
beside the keys says whose row each place has (-1: none), and attention masks by it. With as many places as
the window and the rows of a call, but for one, no row leaves that a query of this call may see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from drystone.caches import Keep
from drystone.errors import UserError
from drystone.ir.bounds import Bounds
from drystone.ir.build import integer, mapped, scatter
from drystone.ir.program import Program
from drystone.ir.values import operand_groups
from drystone.mlir import arith, ir, tensor
from drystone.passes.caches.read_caches import (
    KEYS,
    PLACES,
    VALUES,
    Cache,
    State,
    part_of,
    positions_axis,
    renewed,
    reread,
    settle,
)
from drystone.passes.dims import empty_like, sizes_of
from drystone.passes.generic import expand

#: Masks, spans and blocks among the groups of attention's operands.
_MASK, _SPAN, _BLOCKS = 3, 4, 5


@dataclass(frozen=True)
class Kept:
    """What attention reads of a state: rows [.., places, ..], and of keys whose they are: i64 [places]."""

    keep: Keep
    rows: Any
    places: Any | None = None


def keep(program: Program, chosen: Mapping[int, tuple[Cache, Keep]]) -> None:
    """Give the chosen states, by number, no more places than what is kept needs. Raises UserError for states
    that cannot be kept so."""
    kept: dict[Any, dict[int, Kept]] = {}

    def make(number: int, argument: Any) -> list[State] | None:
        if number not in chosen:
            return None
        cache, wanted = chosen[number]
        made, rows = _as_kept(program, cache, wanted, argument)
        for op, operand in cache.reads:
            kept.setdefault(op, {})[operand] = rows
        return made

    states = renewed(program, make)
    for op, some in kept.items():
        _read(op, some)
    settle(program, states, [cache.write for cache, _ in chosen.values()])


def _as_kept(program: Program, cache: Cache, keep: Keep, argument: Any) -> tuple[list[State], Kept]:
    """The state of the rows that are kept and, of keys, the one that says whose they are."""
    axis, extents = cache.axis, cache.by_position()
    starts_empty(program, cache, keep)
    room = room_of(program, keep, cache, extents[axis])
    first = np.zeros([room if d == axis else n for d, n in enumerate(extents)], np.float32)
    states = [part_of(program, cache, argument, "codes", "f32", first)]
    if any(operand == KEYS for _, operand in cache.reads):
        states.append(part_of(program, cache, argument, PLACES, "i64", np.full(room, -1, np.int64)))
    with ir.InsertionPoint(cache.write), cache.write.location:
        rows = written(keep, cache.write, [state.value for state in states], extents[axis])
    values = (rows.rows, rows.places)
    return [replace(state, value=value) for state, value in zip(states, values, strict=False)], rows


def starts_empty(program: Program, cache: Cache, keep: Keep) -> None:
    """Raise UserError for a state that starts with rows."""
    if np.any(program.weights[cache.key]):
        raise UserError(
            f"caches: {cache.spec.name} starts with rows, of which {keep} cannot tell the newest",
            hint="start from zeros",
        )


def room_of(program: Program, keep: Keep, cache: Cache, positions: int) -> int:
    """The places of a state. Raises UserError where they would be as many as its positions."""
    rows = Bounds(program).extents(cache.write.operands[0])[0]
    if keep.snap and rows < keep.observed:
        raise UserError(
            f"caches: {keep} of {cache.spec.name} chooses positions where a call has {keep.observed} rows, "
            f"and none has more than {rows}",
            hint=f"compile for calls of more rows, or give observed={rows}",
        )
    room = keep.room(rows)
    if room >= positions:
        raise UserError(
            f"caches: {keep} of {cache.spec.name} needs {room} places where a call may write {rows} rows, "
            f"and it has {positions} positions",
            hint="compile for calls of fewer rows (static shapes, or bounds), or keep fewer positions",
        )
    return room


def found_by(keep: Keep, at: Any, positions: int, room: int) -> tuple[Any, Any]:
    """The positions of rows, inside the state, and their places, i64 [n, 1], made at the insertion point."""
    wide = ir.IntegerType.get_signless(64)
    identity = ir.AffineMap.get_identity(2)

    def inside(p: Any, _: Any) -> Any:
        most, least = (arith.ConstantOp(wide, n).result for n in (positions - 1, 0))
        return arith.MaxSIOp(arith.MinSIOp(p, most).result, least).result

    def place(p: Any, _: Any) -> Any:
        sinks, ring = (arith.ConstantOp(wide, n).result for n in (keep.sinks, room - keep.sinks))
        later = arith.RemSIOp(arith.SubIOp(p, sinks).result, ring).result
        first = arith.CmpIOp(arith.CmpIPredicate.slt, p, sinks).result
        return arith.SelectOp(first, p, arith.AddIOp(later, sinks).result).result

    whose = mapped([at], empty_like(at), [identity] * 2, inside)
    return whose, mapped([whose], empty_like(at), [identity] * 2, place)


def written(keep: Keep, write: Any, before: Sequence[Any], positions: int) -> Kept:
    """The rows of a call in their places of the parts that a state had, made at the insertion point."""
    rows, at = list(write.operands)[:2]
    dims = list(ir.DenseI64ArrayAttr(write.attributes["dimension_map"]))
    whose, where = found_by(keep, at, positions, before[0].type.shape[dims[0]])
    places = [scatter(old, whose, where, [0]) for old in before[1:]]
    return Kept(keep, scatter(before[0], rows, where, dims), *places)


def span_of(op: Any, keep: Keep) -> Any:
    """How far queries see: the span of an attention. Raises UserError where it is not known."""
    groups = operand_groups(op)
    if groups[_MASK] or groups[_BLOCKS] or not groups[_SPAN] or op.attributes["causal"].value:
        raise UserError(
            f"caches: {keep} needs a mask that says how far each query sees, such as "
            "positions[:, None] >= arange(T), and nothing more",
            hint="hold this cache as it is (None)",
        )
    return groups[_SPAN][0]


def mask_of(op: Any, kept: Kept) -> Any:
    """Which places each query of an attention sees, i1 [B or 1, 1, S or 1, places], made at the insertion
    point. Raises UserError for an attention whose queries' positions are not known."""
    span, places = span_of(op, kept.keep), kept.places
    assert places is not None  # those of keys
    b, s, j = (ir.AffineExpr.get_dim(d) for d in range(3))
    sides = [ir.AffineMap.get(3, 0, [ir.AffineExpr.get_constant(side), b, s]) for side in (0, 1)]
    maps = [*sides, ir.AffineMap.get(3, 0, [j]), ir.AffineMap.get_identity(3)]
    sizes = sizes_of(span, [1, 2])
    init = tensor.EmptyOp([*sizes, places.type.shape[0]], ir.IntegerType.get_signless(1)).result
    body = partial(_seen, kept.keep, op.attributes["sinks"].value)
    made = mapped([span, span, places], init, maps, body)
    batch, *others = sizes_of(made)
    return expand(made, [[0, 1], [2], [3]], [batch, 1, *others])


def _seen(keep: Keep, sinks: int, first: Any, end: Any, p: Any, _: Any) -> Any:
    """Whether position p is kept for a query that sees those from `first` to `end`, and `sinks` before."""
    wide = ir.IntegerType.get_signless(64)
    first, end = (x if x.type == wide else arith.ExtSIOp(wide, x).result for x in (first, end))
    less, at_least = arith.CmpIPredicate.slt, arith.CmpIPredicate.sge

    def number(n: int) -> Any:
        return arith.ConstantOp(wide, n).result

    oldest = arith.SubIOp(end, number(keep.window)).result
    given = _or(arith.CmpIOp(at_least, p, first), arith.CmpIOp(less, p, number(sinks)))
    kept = _or(arith.CmpIOp(at_least, p, oldest), arith.CmpIOp(less, p, number(keep.sinks)))
    held = arith.AndIOp(arith.CmpIOp(at_least, p, number(0)).result, arith.CmpIOp(less, p, end).result)
    return arith.AndIOp(held.result, arith.AndIOp(given, kept).result).result


def _or(one: Any, other: Any) -> Any:
    return arith.OrIOp(one.result, other.result).result


def _read(op: Any, found: dict[int, Kept]) -> None:
    """Let attention read what is kept. Raises UserError where keys and values do not keep the same."""
    rooms = {each.rows.type.shape[positions_axis(op)] for each in found.values()}
    if len(found) != 2 or found[KEYS].keep.plain != found[VALUES].keep.plain or len(rooms) != 1:
        raise UserError(
            "caches: the keys and the values that an attention reads keep the same positions",
            hint="give both the same drystone.Keep, or encodings with the same window",
        )
    groups = operand_groups(op)
    with ir.InsertionPoint(op), op.location:
        mask = mask_of(op, found[KEYS])
    groups[KEYS], groups[VALUES] = [found[KEYS].rows], [found[VALUES].rows]
    groups[_MASK], groups[_SPAN] = [mask], []
    reread(op, groups, sinks=integer(0))
