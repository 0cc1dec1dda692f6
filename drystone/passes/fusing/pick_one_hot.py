"""The pass `pick-one-hot`: a sum of which one term counts is that term."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from drystone.ir.build import generic
from drystone.ir.program import Program
from drystone.ir.values import constant_number, dims_of, main_block, producer, producer_name
from drystone.mlir import arith, ir, run_pipeline, tensor
from drystone.passes.dims import as_value, extent
from drystone.passes.generic import body, composed, is_filled_with_zero, maps_of, read_by, used_dims
from drystone.passes.regions import copy_body, copy_value, position
from drystone.passes.rewriting import index_constant, ops
from drystone.passes.weights import weight_key

#: Predicates of arith.cmpi: equal, and below as numbers without sign.
_EQUAL, _BELOW = 0, 6


@dataclass(frozen=True)
class PickOneHot:
    """The product with a one-hot vector is one element, and no other is read.

    Before:  %z = linalg.generic {sum over c} ins(%x, %t) {x[i, c] * (c == t[i])}
    After:   %z = linalg.generic ins(%t) {x[i, t] * (0 <= t < extent of c)}

    - A linalg.generic adds up, along one loop and for one result, what is 0 but where the loop's position (or
      what an arange holds there) equals a value that stays the same along the loop: products with the flag of
      that comparison, and selects between something and 0.
    - What is read along the loop is picked at that value; where it is no position of the loop, the sum is 0.
      Infinities elsewhere, whose product with 0 would be NaN, are not seen any more.
    """

    name: ClassVar[str] = "pick-one-hot"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        for op in ops(main_block(program), "linalg.generic"):
            kinds = [str(kind) for kind in op.operation.attributes["iterator_types"]]
            loops = [loop for loop, kind in enumerate(kinds) if "reduction" in kind]
            if len(op.operation.results) == 1 and len(loops) == 1:
                found = _OneHot(program, op, loops[0]).target()
                if found is not None and _can_pick(op, loops[0]):
                    _pick(op, loops[0], *found)
        run_pipeline(program.module, "canonicalize,cse")


@dataclass(frozen=True)
class _OneHot:
    """A sum along `loop`, which may have only one term."""

    program: Program
    op: Any
    loop: int

    def target(self) -> tuple[Any, Any] | None:
        """The comparison that says which term counts, and the value it compares the position with."""
        *_, last = body(self.op).operations
        total = last.operation.operands[0]
        old = list(body(self.op).arguments)[-1]
        if producer_name(total) != "arith.addf" or old not in list(total.owner.operands):
            return None
        terms = [term for term in total.owner.operands if term != old]
        flag = self._flag(terms[0]) if len(terms) == 1 and len(list(old.uses)) == 1 else None
        if flag is None:
            return None
        sides = list(flag.owner.operands)
        for place, value in (sides, sides[::-1]):
            if self._is_position(place) and not self._varies(value):
                return flag, value
        return None

    def _flag(self, term: Any) -> Any:
        """The comparison for equality without which a term is 0; None where it may be anything."""
        name, operands = (
            producer_name(term),
            [] if isinstance(term.owner, ir.Block) else list(term.owner.operands),
        )
        if name == "arith.cmpi":
            return term if term.owner.attributes["predicate"].value == _EQUAL else None
        if name in ("arith.extui", "arith.uitofp", "arith.sitofp", "arith.negf"):
            return self._flag(operands[0])
        if name == "arith.mulf":
            return self._flag(operands[0]) or self._flag(operands[1])
        if name == "arith.select" and constant_number(operands[2]) == 0:
            return self._flag(operands[0])
        return None

    def _is_position(self, value: Any) -> bool:
        """Whether a value is the position in the loop."""
        while producer_name(value) in ("arith.index_cast", "arith.index_castui"):
            value = value.owner.operands[0]
        if producer_name(value) == "linalg.index":
            return bool(value.owner.attributes["dim"].value == self.loop)
        source, map_ = read_by(self.op, value)
        key = None if source is None else weight_key(source)
        if key is None or dims_of(map_) != [self.loop]:
            return False
        held = self.program.weights[key]
        return bool(np.array_equal(held, np.arange(held.size)))

    def _varies(self, value: Any) -> bool:
        """Whether a value may differ along the loop."""
        if producer_name(value) == "linalg.index":
            return bool(value.owner.attributes["dim"].value == self.loop)
        source, map_ = read_by(self.op, value)
        if source is not None:
            return self.loop in used_dims(map_.results)
        inside = not isinstance(value.owner, ir.Block) and value.owner.operation.block == body(self.op)
        return inside and any(map(self._varies, value.owner.operands))


def _can_pick(op: Any, loop: int) -> bool:
    """Whether the sum starts from 0, and what is read along the loop can be read at one position."""
    *reads, out = maps_of(op)
    if not is_filled_with_zero(op.operation.operands[-1]):
        return False
    along = [map_ for map_ in reads if loop in used_dims(map_.results)]
    exprs = [expr.maybe_downcast() for map_ in along for expr in map_.results]
    others = {d for map_ in (*reads, out) if map_ not in along for d in dims_of(map_)}
    known = others >= set(range(out.n_dims)) - {loop} and any(loop in dims_of(map_) for map_ in along)
    return known and all(isinstance(expr, ir.AffineDimExpr | ir.AffineConstantExpr) for expr in exprs)


def _pick(op: Any, loop: int, flag: Any, target: Any) -> None:
    """Replace a sum by its one term."""
    operands, reads = list(op.operation.operands), maps_of(op)
    arguments, rank = list(body(op).arguments), reads[0].n_dims
    along = [k for k, map_ in enumerate(reads) if loop in used_dims(map_.results)]
    kept = [k for k in range(len(operands) - 1) if k not in along]
    fewer = [ir.AffineExpr.get_dim(d - (d > loop)) for d in range(rank)]
    fewer[loop] = ir.AffineExpr.get_constant(0)
    shrink = ir.AffineMap.get(rank - 1, 0, fewer)
    maps = [composed(reads[k], shrink) for k in (*kept, len(operands) - 1)]
    with ir.InsertionPoint(op), op.operation.location:
        walked = next(k for k in along if loop in dims_of(reads[k]))
        count = as_value(extent(operands[walked], dims_of(reads[walked]).index(loop)))
        init = producer(operands[-1]).operation.operands[1]
        made = generic([operands[k] for k in kept], [init], maps, ["parallel"] * (rank - 1))
    block = made.operation.regions[0].blocks.append(*(arguments[k].type for k in (*kept, len(operands) - 1)))
    known = dict(zip([arguments[k] for k in kept], block.arguments, strict=False))
    with ir.InsertionPoint(block), op.operation.location:
        index = ir.IndexType.get()
        wanted = copy_value(target, known, lambda d: position(shrink, d))
        place = wanted if wanted.type == index else arith.IndexCastOp(index, wanted).result
        inside = arith.CmpIOp(_BELOW, place, count).result
        place = arith.SelectOp(inside, place, index_constant(0)).result

        def at(expr: Any) -> Any:
            kind = expr.maybe_downcast()
            if isinstance(kind, ir.AffineConstantExpr):
                return index_constant(kind.value)
            return place if kind.position == loop else position(shrink, kind.position)

        for k in along:
            picked = [at(expr) for expr in reads[k].results]
            known[arguments[k]] = tensor.ExtractOp(operands[k], picked).result
        known[arguments[-1]] = producer(operands[-1]).operation.operands[0]
        flag.replace_all_uses_with(inside)
        yielded = copy_body(body(op), known, lambda d: at(ir.AffineExpr.get_dim(d)))
        ir.Operation.create("linalg.yield", operands=yielded)
    op.operation.results[0].replace_all_uses_with(made.operation.results[0])
    op.operation.erase()
