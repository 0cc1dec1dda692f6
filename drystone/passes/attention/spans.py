"""The keys that queries see, as `dry.attention` takes them: a causal flag, spans of keys, sinks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from drystone.ir.build import generic
from drystone.mlir import arith, ir, linalg, tensor
from drystone.passes.attention.positions import EVERYWHERE, Cases, Form, Read, Region
from drystone.passes.dims import Extent, as_value
from drystone.passes.generic import composed, used_dims

#: Added numbers from here down are as good as minus infinity, where a query sees a key besides.
NEVER = -1e30


@dataclass(frozen=True)
class Seen:
    """Query s sees key t where t <= s if `causal`, t is below all `ends`, and t is below `sinks` or below no
    one of `firsts`. Forms are over the dimensions of the scores."""

    causal: bool = False
    firsts: tuple[Form, ...] = ()
    ends: tuple[Form, ...] = ()
    sinks: int = 0

    @property
    def spans(self) -> bool:
        """Whether there is more than the causal flag."""
        return bool(self.firsts or self.ends)

    @property
    def dims(self) -> set[int]:
        """The dimensions of the scores that spans depend on."""
        return {d for form in (*self.firsts, *self.ends) for d in _dims(form)}


def seen(region: Region, rank: int) -> Seen | None:
    """Read a region of scores of this rank ([.., queries, keys]); None where it is no span for each query."""
    if region == EVERYWHERE:
        return Seen()
    if len(region) > 2 or not region:
        return None
    query, key = rank - 2, rank - 1
    read = [_bounds(forms, key) for forms in region]
    sides = sorted((side for side in read if side is not None), key=lambda side: -len(side[0]))
    if len(sides) != len(region):
        return None
    firsts, ends = sides[0]
    sinks = 0
    if len(sides) == 2:
        none, others = sides[1]
        extra = [end for end in others if end not in ends]
        if none or len(extra) != 1 or extra[0].terms or len(others) != len(ends) + 1:
            return None
        sinks = max(0, extra[0].constant)
    causal = Form(((query, 1),), 1)
    rest = tuple(end for end in ends if end != causal)
    heads = set(range(1, query))
    if any(_dims(form) & heads for form in (*firsts, *rest)):
        return None
    return Seen(len(rest) < len(ends), firsts, rest, sinks)


def _bounds(forms: Sequence[Form], key: int) -> tuple[tuple[Form, ...], tuple[Form, ...]] | None:
    """(firsts, ends) of conditions on the key; None where one is of another kind."""
    firsts, ends = [], []
    for form in forms:
        factor = form.factor(key)
        rest = form.plus(Form(((key, 1),)), -factor)
        if abs(factor) != 1 or key in _dims(rest):
            return None
        # t + rest >= 0: the first key is -rest. rest - t >= 0: keys end before rest + 1.
        if factor == 1:
            firsts.append(Form().plus(rest, -1))
        else:
            ends.append(rest.plus(Form((), 1)))
    return tuple(firsts), tuple(ends)


def _dims(form: Form) -> set[int]:
    """The dimensions a form depends on."""
    found: set[int] = set()
    for term, _ in form.terms:
        if isinstance(term, Read):
            found |= used_dims(term.map.results)
        else:
            found.add(term)
    return found


def kept(found: Cases, extents: Sequence[int | None]) -> Region | None:
    """Where an added mask of these cases leaves scores of these extents as they are; None where it does not
    drop all others."""
    region: Region = ()
    for here, value in found:
        if value == 0:
            region = (*region, *here)
        elif not (value == -inf or (value <= NEVER and len(found) == 2)):
            return None
    finite = any(value not in (0, -inf) for _, value in found)
    return region if not finite or _some_key(region, extents) else None


def _some_key(region: Region, extents: Sequence[int | None]) -> bool:
    """Whether every query is known to see a key: a query that sees none would see all alike if they were
    only pushed down far."""
    rank = len(extents)
    for forms in region:
        bounds = _bounds(forms, rank - 1)
        if bounds is None:
            continue
        firsts, ends = bounds
        grows = all(not end.terms or end.terms == ((rank - 2, 1),) for end in ends)
        apart = all(
            not (d := end.plus(first, -1)).terms and d.constant >= 1 for first in firsts for end in ends
        )
        queries, keys = extents[-2:]
        reached = not firsts or (queries is not None and keys is not None and queries <= keys)
        inside = all(first.constant <= 0 for first in firsts)
        if grows and all(end.constant >= 1 for end in ends) and apart and reached and inside:
            return True
    return False


def span_tensor(found: Seen, batch: Extent, queries: Extent, rank: int) -> Any:
    """The tensor [2, B or 1, S or 1] of first keys and ends, made at the insertion point."""
    used = found.dims
    sizes = [2, batch if 0 in used and rank > 2 else 1, queries if rank - 2 in used else 1]
    # Dimensions of the scores -> loops (side, b, s).
    loops = [ir.AffineExpr.get_constant(0)] * rank
    loops[rank - 2] = ir.AffineExpr.get_dim(2)
    if rank > 2:
        loops[0] = ir.AffineExpr.get_dim(1)
    place = ir.AffineMap.get(3, 0, loops)
    reads = list(
        dict.fromkeys(t for f in (*found.firsts, *found.ends) for t, _ in f.terms if isinstance(t, Read))
    )
    maps = [composed(read.map, place) for read in reads]
    wide = ir.IntegerType.get_signless(64)
    init = tensor.EmptyOp([2, *(n if isinstance(n, int) else as_value(n) for n in sizes[1:])], wide).result
    made = generic([r.value for r in reads], [init], [*maps, ir.AffineMap.get_identity(3)], ["parallel"] * 3)
    block = made.operation.regions[0].blocks.append(*(r.value.type.element_type for r in reads), wide)
    with ir.InsertionPoint(block):
        known = dict(zip(reads, list(block.arguments)[: len(reads)], strict=True))
        first = _folded(found.firsts, known, rank, Form(), arith.MaxSIOp)
        end = _folded(found.ends, known, rank, Form((), 2**31 - 1), arith.MinSIOp)
        side = arith.CmpIOp(
            0, linalg.IndexOp(0).result, arith.ConstantOp(ir.IndexType.get(), 0).result
        ).result
        ir.Operation.create("linalg.yield", operands=[arith.SelectOp(side, first, end).result])
    return made.operation.results[0]


def _folded(forms: Sequence[Form], known: dict[Read, Any], rank: int, start: Form, combine: Any) -> Any:
    """The largest first key, or the smallest end."""
    value = _value(start, known, rank)
    for form in forms:
        value = combine(value, _value(form, known, rank)).result
    return value


def _value(form: Form, known: dict[Read, Any], rank: int) -> Any:
    """A form as an i64 inside the body over (side, b, s)."""
    wide = ir.IntegerType.get_signless(64)

    def constant(n: int) -> Any:
        return arith.ConstantOp(wide, n).result

    total = constant(form.constant)
    for term, factor in form.terms:
        if isinstance(term, Read):
            one = known[term]
            one = one if one.type == wide else arith.ExtSIOp(wide, one).result
        else:
            one = arith.IndexCastOp(wide, linalg.IndexOp(2 if term == rank - 2 else 1).result).result
        total = arith.AddIOp(total, arith.MulIOp(one, constant(factor)).result).result
    return total
