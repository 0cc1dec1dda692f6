"""The pass `recognize-norm`: x * rsqrt(mean(x * x) + eps), written by hand, is one operation."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import integer, number, string
from drystone.ir.dialect import Norm
from drystone.ir.program import Program
from drystone.ir.values import constant_number, dims_of, main_block, producer, shape
from drystone.mlir import ir, run_pipeline
from drystone.passes.generic import (
    body,
    is_filled_with_zero,
    is_identity,
    is_producer,
    maps_of,
    read_by,
    without_units,
)
from drystone.passes.rebuild import finish, rebuilt
from drystone.passes.rewriting import erase_dead, ops

#: How a map takes a row's scale: the operation, and what the scale is of the mean square.
_SCALED = {"arith.mulf": "math.rsqrt", "arith.divf": "math.sqrt"}


@dataclass(frozen=True)
class RecognizeNorm:
    """A root-mean-square normalization reads its rows once.

    Before:  %s = linalg.generic ins(%x) {sum of x * x} ; %r = linalg.generic ins(%s) {rsqrt(s / n + eps)}
             %y = linalg.generic ins(%x, %r, %g) {x * r * g}
    After:   %y = "dry.norm"(%x, %g) {kind = "rms"}

    - Along the last dimension, of known extent, of an f32 tensor; also x / sqrt(mean(x * x) + eps).
    - A factor that is the same for all rows is the gain; what else the last map does stays a map.
    """

    name: ClassVar[str] = "recognize-norm"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "linalg.generic"):
            if is_producer(op) and is_identity(maps_of(op)[-1]):
                for inner in list(body(op).operations):
                    found = _found(op, inner.operation)
                    if found is not None:
                        _replace(op, inner.operation.results[0], *found)
                        break
        erase_dead(block)
        run_pipeline(program.module, "canonicalize,cse")


def _found(op: Any, inner: Any) -> tuple[Any, float] | None:
    """(x, eps) where an operation of a map's body scales the rows of x; None where it does not."""
    if inner.name not in _SCALED:
        return None
    reads = [read_by(op, value) for value in inner.operands]
    for (x, map_), (scale, along) in (reads, reads[::-1]) if inner.name == "arith.mulf" else (reads,):
        if x is None or scale is None or not is_identity(map_) or str(x.type.element_type) != "f32":
            continue
        eps = _eps(x, scale, along, _SCALED[inner.name])
        if eps is not None:
            return x, eps
    return None


def _eps(x: Any, scale: Any, along: Any, function: str) -> float | None:
    """eps where a tensor, read through a map over the dimensions of x, is function(mean(x * x) + eps)."""
    scale, along = without_units(scale, along)
    of, rank = producer(scale), x.type.rank
    length = shape(x)[-1] if rank else None
    if of is None or of.operation.name != "linalg.generic" or len(of.operation.operands) != 2 or not length:
        return None
    if not is_producer(of) or not all(map(is_identity, maps_of(of))):
        return None
    squares, along = without_units(of.operation.operands[0], along)
    place = _squares(squares, x)
    if place is None:
        return None
    loops = dict(zip(place, dims_of(along), strict=True))
    if any(loops.get(d) != d for d in range(rank - 1) if shape(x)[d] != 1):
        return None
    return _constant(of, function, length)


def _squares(value: Any, x: Any) -> list[int | None] | None:
    """The dimensions of x that those of a tensor are, where that holds the sums of x * x along the last."""
    op = producer(value)
    if op is None or op.operation.name != "linalg.generic" or len(op.operation.operands) != 2:
        return None
    kinds = ["reduction" in str(kind) for kind in op.operation.attributes["iterator_types"]]
    filled = is_filled_with_zero(op.operation.operands[1])
    if kinds != [False] * (x.type.rank - 1) + [True] or op.operation.operands[0] != x or not filled:
        return None
    element, old = body(op).arguments
    names = [inner.operation.name for inner in body(op).operations]
    if not is_identity(maps_of(op)[0]) or names != ["arith.mulf", "arith.addf", "linalg.yield"]:
        return None
    square, total, _ = (inner.operation for inner in body(op).operations)
    sums = {square.results[0], old} == set(total.operands) and list(square.operands) == [element, element]
    return dims_of(maps_of(op)[1]) if sums else None


def _constant(op: Any, function: str, length: int) -> float | None:
    """eps of a map function(s / length + eps)."""
    names = [inner.operation.name for inner in body(op).operations]
    if names[1:] != ["arith.addf", function, "linalg.yield"] or names[0] not in ("arith.mulf", "arith.divf"):
        return None
    mean, total, root, last = (inner.operation for inner in body(op).operations)
    chain = [body(op).arguments[0], mean.results[0], total.results[0], root.results[0]]
    if [each.operands[0] for each in (mean, total, root, last)] != chain:
        return None
    factor, eps = (constant_number(each.operands[1]) for each in (mean, total))
    if not factor or eps is None:
        return None
    count = factor if mean.name == "arith.divf" else 1 / factor
    return float(eps) if abs(count - length) < 1e-5 * length else None


def _replace(op: Any, scaled: Any, x: Any, eps: float) -> None:
    """Normalize x before a map, which reads that in place of its own value `scaled`, or is it."""
    gain, value = _gain(op, scaled, x.type)
    with ir.InsertionPoint(op), op.operation.location:
        named = {"kind": string("rms"), "axes": integer(1), "eps": number(eps)}
        made = Norm([x.type], x, [] if gain is None else [gain], [], [], **named).out
    (*_, last) = body(op).operations
    if last.operation.operands[0] == value and made.type == op.operation.results[0].type:
        op.operation.results[0].replace_all_uses_with(made)
        op.operation.erase()
        return
    operands, maps, arguments = list(op.operation.operands), maps_of(op), list(body(op).arguments)
    # The value itself is made no more; nor what it was made of, where nothing else needs that.
    value.replace_all_uses_with(arguments[-1])
    erase_dead(body(op), keep=lambda inner: inner.operation == last.operation)
    kept = [k for k, argument in enumerate(arguments[:-1]) if any(True for _ in argument.uses)]
    with ir.InsertionPoint(op), op.operation.location:
        reads = [made, *(operands[k] for k in kept), operands[-1]]
        fewer, block = rebuilt(op, reads, [maps[-1], *(maps[k] for k in kept), maps[-1]])
    known = dict(zip([arguments[k] for k in kept], list(block.arguments)[1:], strict=False))
    finish(op, fewer, block, {**known, arguments[-1]: block.arguments[0]})


def _gain(op: Any, scaled: Any, kind: Any) -> tuple[Any, Any]:
    """The factor that is the same for all rows, and the value times it; none where there is no such."""
    users = [use.owner.operation for use in scaled.uses]
    if len(users) == 1 and users[0].name == "arith.mulf":
        for factor in users[0].operands:
            value, map_ = read_by(op, factor)
            if value is not None and dims_of(map_) == [kind.rank - 1]:
                return value, users[0].results[0]
    return None, scaled
