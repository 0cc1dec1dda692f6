"""The pass `observe-ranges`: a program gives the ranges of its tensors."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import mapped
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import arith, ir, linalg, math, tensor
from drystone.passes.integers.held import HUGE, named_values
from drystone.passes.results import give
from drystone.passes.rewriting import erase_dead
from drystone.passes.weights import drop_unused


@dataclass(frozen=True)
class ObserveRanges:
    """The results are, for every tensor of real numbers, the largest number, the largest negated, and the
    largest negated of all, infinities included: the others leave out what is beyond 1e29, as masks are.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<32x64xf32>) ; return %y
    After:   %h = linalg.generic ins(%y) {max of y} : tensor<f32> ; .. ; return %h, ..

    - They are named "high", "low" and "least" and, behind a space, as `to-integers` names the tensor: by its
      place among the operations.
    - States keep their new values.
    """

    name: ClassVar[str] = "observe-ranges"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        found: dict[str, Any] = {}
        last = list(main_block(program).operations)[-1]
        with ir.InsertionPoint(last), last.operation.location:
            for name, value in list(named_values(program)):
                for kind in ("high", "low", "least"):
                    found[f"{kind} {name}"] = _largest(value, kind)
        give(program, found)
        erase_dead(main_block(program))
        drop_unused(program)


def _largest(value: Any, kind: str) -> Any:
    """The largest of a tensor's numbers, or of these negated."""
    f32, rank = ir.F32Type.get(), value.type.rank
    none = arith.ConstantOp(f32, -3.0e38).result
    start = linalg.fill(none, outs=[tensor.EmptyOp([], f32)])
    maps = [ir.AffineMap.get_identity(rank), ir.AffineMap.get(rank, 0, [])]

    def of(x: Any, peak: Any) -> Any:
        if x.type != f32:
            x = (arith.ExtFOp if x.type.width < 32 else arith.TruncFOp)(f32, x).result
        seen = x if kind == "high" else arith.NegFOp(x).result
        if kind != "least":
            limit = arith.ConstantOp(f32, HUGE).result
            near = arith.CmpFOp(arith.CmpFPredicate.OLT, math.AbsFOp(x).result, limit).result
            seen = arith.SelectOp(near, seen, arith.ConstantOp(f32, -3.0e38).result).result
        return arith.MaximumFOp(seen, peak).result

    return mapped([value], start, maps, of, ["reduction"] * rank)
