"""The pass `observe-ranges`: a program gives the ranges of its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from drystone.dtypes import Array
from drystone.ir.build import mapped
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import arith, ir, math
from drystone.passes.dims import empty_like
from drystone.passes.generic import dims_map, filled, last_dim
from drystone.passes.quantizing.observe_weights import spread
from drystone.passes.quantizing.ranges import HUGE, Extremes, Observer, Range
from drystone.passes.results import give
from drystone.passes.rewriting import erase_dead, tensor_type
from drystone.passes.weights import drop_unused, new_weight
from drystone.targets.target import Target

#: Numbers that none is less than.
_NONE = -3.0e38


@dataclass(frozen=True)
class Point:
    """A tensor of real numbers that is to be observed. columns: those of its last dimension, [k], apart;
    factors: what these are multiplied with before they are rounded, f32 [k]."""

    value: Any
    columns: bool = False
    factors: Array | None = None

    def range(self, seen: Extremes) -> Range:
        """The range that was seen, times the factors."""
        if self.factors is None:
            return seen.range
        return Extremes(seen.low * self.factors, seen.high * self.factors, seen.masked).range


class Observed(Protocol):
    """A pass that rounds tensors whose ranges it has to know."""

    def points(self, program: Program, target: Target | None) -> Mapping[str, Point]:
        """The tensors, by names that are the same in every compilation of a model up to this pass."""


@dataclass(frozen=True)
class ObserveRanges:
    """The results are, for every tensor that the pass `of` would round, the largest number, the largest
    negated, and the largest negated of all, infinities included: the others leave out what is beyond 1e29, as
    masks are.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<32x64xf32>) ; return %y
    After:   %h = linalg.generic ins(%y) {max of y} : tensor<f32> ; .. ; return %h, ..

    - They are named "high", "low" and "least" and, behind a space, as the pass names the tensor. What is
      multiplied with the columns of a weight is observed column by column.
    - With `seen`, extremes by such names, the results are instead, for ends [n] that `observer` tries, how
      many numbers are above each ("above"), the sum of the squares of what they are above it ("excess"), the
      same of the numbers negated ("below", "shortfall"), and how many there are ("count"), f64; of columns
      besides the sums of the squares of each ("square") and, k times, of what rows span ("spread"). Columns
      are multiplied first by the factors that the pass multiplies them with.
    - States keep their new values.
    """

    of: Observed
    observer: Observer = field(default_factory=Observer)
    seen: Mapping[str, Extremes] = field(default_factory=dict)
    target: Target | None = None
    name: ClassVar[str] = "observe-ranges"

    def on(self, target: Target) -> "ObserveRanges":
        """The pass for a target."""
        return replace(self, target=target)

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError as the observed pass does."""
        found: dict[str, Any] = {}
        last = list(main_block(program).operations)[-1]
        with ir.InsertionPoint(last), last.operation.location:
            for name, point in self.of.points(program, self.target).items():
                if not self.seen:
                    for kind in ("high", "low", "least"):
                        found[f"{kind} {name}"] = _largest(point, kind)
                elif name in self.seen:
                    tried = self.observer.tried(point.range(self.seen[name]))
                    for kind, value in _tails(program, name, point, tried).items():
                        found[f"{kind} {name}"] = value
        give(program, found)
        erase_dead(main_block(program))
        drop_unused(program)


def _largest(point: Point, kind: str) -> Any:
    """The largest of a tensor's numbers, or of these negated."""
    value, f32 = point.value, ir.F32Type.get()

    def of(x: Any, peak: Any) -> Any:
        x = _in(f32, x)
        seen = x if kind == "high" else arith.NegFOp(x).result
        if kind != "least":
            limit = arith.ConstantOp(f32, HUGE).result
            near = arith.CmpFOp(arith.CmpFPredicate.OLT, math.AbsFOp(x).result, limit).result
            far = arith.CmpFOp(arith.CmpFPredicate.UNO, x, x).result
            seen = arith.SelectOp(arith.OrIOp(near, far), seen, arith.ConstantOp(f32, _NONE).result).result
        return arith.MaximumFOp(seen, peak).result

    return _reduced(value, _NONE, of, f32, point.columns)


def _tails(program: Program, name: str, point: Point, tried: Array) -> dict[str, Any]:
    """What `ObserveRanges` gives of ends that are tried."""
    value, f64 = point.value, ir.F64Type.get()
    if point.factors is not None:
        value = _scaled(program, name, point)
    kind = tensor_type(tried.shape, ir.F32Type.get())
    ends = new_weight(program, f"{name}.tried", tried, kind)
    found = {
        what: _beyond(value, ends, sign, squared)
        for what, sign, squared in (
            ("above", 1.0, False),
            ("excess", 1.0, True),
            ("below", -1.0, False),
            ("shortfall", -1.0, True),
        )
    }
    found["count"] = _reduced(value, 0.0, lambda x, n: _plus(n, arith.ConstantOp(f64, 1.0).result), f64)
    if point.columns:
        found["square"] = _reduced(value, 0.0, lambda x, n: _plus(n, _squared(_in(f64, x))), f64, True)
        found["spread"] = spread(value, value.type.get_dim_size(value.type.rank - 1))
    return found


def _scaled(program: Program, name: str, point: Point) -> Any:
    """The tensor times its factors."""
    assert point.factors is not None
    value, rank = point.value, point.value.type.rank
    kind = tensor_type(point.factors.shape, ir.F32Type.get())
    factors = new_weight(program, f"{name}.factors", point.factors, kind)
    whole, last = ir.AffineMap.get_identity(rank), last_dim(rank)
    return mapped(
        [value, factors], empty_like(value), [whole, last, whole], lambda x, c, _: arith.MulFOp(x, c).result
    )


def _beyond(value: Any, ends: Any, sign: float, squared: bool) -> Any:
    """For every end the count of numbers, times `sign`, above it, or the sum of the squares of what they are
    above it: f64 [n]. What is beyond 1e29 is left out."""
    rank, f32, f64 = value.type.rank, ir.F32Type.get(), ir.F64Type.get()
    maps = [dims_map(rank + 1, range(1, rank + 1)), *[dims_map(rank + 1, [0])] * 2]
    start = filled(f64, 0.0, [ends.type.get_dim_size(0)])

    def of(x: Any, end: Any, total: Any) -> Any:
        one = arith.MulFOp(_in(f32, x), arith.ConstantOp(f32, sign).result).result
        over = arith.CmpFOp(arith.CmpFPredicate.OGT, one, end).result
        near = arith.CmpFOp(arith.CmpFPredicate.OLT, one, arith.ConstantOp(f32, HUGE).result).result
        left = _in(f64, arith.SubFOp(one, end).result)
        what = _squared(left) if squared else arith.ConstantOp(f64, 1.0).result
        none = arith.ConstantOp(f64, 0.0).result
        return _plus(total, arith.SelectOp(arith.AndIOp(over, near), what, none).result)

    return mapped([value, ends], start, maps, of, ["parallel", *["reduction"] * rank])


def _reduced(value: Any, start: float, of: Any, element: Any, columns: bool = False) -> Any:
    """What `of` makes of all elements, or of those of each place in the last dimension."""
    rank = value.type.rank
    kept = [rank - 1] if columns else []
    maps = [
        ir.AffineMap.get_identity(rank),
        dims_map(rank, kept),
    ]
    init = filled(element, start, [value.type.get_dim_size(d) for d in kept])
    return mapped([value], init, maps, of, ["reduction"] * (rank - len(kept)) + ["parallel"] * len(kept))


def _in(element: Any, x: Any) -> Any:
    """A number in another element."""
    if x.type == element:
        return x
    return (arith.ExtFOp if x.type.width < element.width else arith.TruncFOp)(element, x).result


def _squared(x: Any) -> Any:
    return arith.MulFOp(x, x).result


def _plus(one: Any, other: Any) -> Any:
    return arith.AddFOp(one, other).result
