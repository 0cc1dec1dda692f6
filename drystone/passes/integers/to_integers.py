"""The pass `to-integers`: between its inputs and its outputs a program computes with integers alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from drystone.errors import InternalError
from drystone.ir.program import Program
from drystone.ir.values import captured, main_block
from drystone.mlir import func, ir
from drystone.passes.integers.embeddings import make_embedding
from drystone.passes.integers.held import MOVES, Holding, is_real_tensor, named_values
from drystone.passes.integers.making import Maker
from drystone.passes.integers.maps import make_generic
from drystone.passes.integers.moving import make_move
from drystone.passes.integers.norms import make_norm
from drystone.passes.integers.pools import make_pool
from drystone.passes.integers.products import make_product
from drystone.passes.integers.regions import refused
from drystone.passes.integers.softmax import make_softmax
from drystone.passes.quantizing.observe_ranges import Point
from drystone.passes.quantizing.ranges import Range
from drystone.passes.rewriting import erase_dead, ops
from drystone.passes.weights import drop_unused
from drystone.targets.target import Target


@dataclass(frozen=True)
class ToIntegers:
    """Every tensor of real numbers is one of codes, and every operation one on integers; what the caller
    gives is rounded first and what is returned is decoded last. `ranges` has by the names that
    `observe-ranges` gives to tensors what calibration showed of them; empty, nothing is done.

    Before:  %y = "dry.conv"(%x, %w, %b) {relu(sum + b)} : (tensor<..xf32>, tensor<..xf32>, tensor<8xf32>)
             return %y
    After:   %q = linalg.generic ins(%x) {round(x / 0.02)} : tensor<..xi8>
             %r = "dry.conv"(%q, %c, %m, %a) {clamp(max(sum * m[o] + a[o], 0) >> 40)} : tensor<..xi16>
             %y = linalg.generic ins(%r) {r * 0.0001} : tensor<..xf32> ; return %y

    - Tensors have one scale, and a zero point where no code of 0 has to stand for 0 (padding, products of two
      activations), fixed by the range seen. What products and pools read has 8 bits, what is returned,
      normalized, or a term of such a sum 16 bits without a zero point. Weights have 8 bits and a scale for
      every output.
    - A region of real numbers is a sum of integers times factors (`integers.fixed`): one shift and one
      rounding for a product with its bias, activation and residual. Comparisons, maxima and minima are those
      of the sums; products, quotients and roots of two sums are computed in 64 bits; other functions are
      looked up in a table, of 256 entries where the argument is a byte.
    - Averages are sums of codes, or depthwise convolutions with ones.
    - Rows are normalized by integer sums, sums of squares and a square root by Newton's iteration; a softmax
      is powers of two, a shift of a polynomial each (I-BERT, Kim et al. 2021), and their sums. What weights
      rows with a softmax multiplies bytes of powers, of which 127 is the largest, and divides the sums by
      those of the powers. Embeddings are bytes with a multiplier for every row.
    - Reshapes, moves, slices, concatenations and maxima take codes as they are: what they put together has
      one scale.
    - What there is no integer form for is refused, with its place in the model.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    name: ClassVar[str] = "to-integers"

    def points(self, program: Program, target: Target | None = None) -> dict[str, Point]:
        """What is to be observed: every tensor of real numbers, by its place among the operations."""
        return {name: Point(value) for name, value in named_values(program)}

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for an operation without an integer form."""
        if not self.ranges:
            return
        named = {value: name for name, value in named_values(program)}
        missing = [name for name in named.values() if name not in self.ranges]
        if missing:
            raise InternalError(f"nothing is known of the range of {missing[0]}")
        holding = Holding(program, {value: self.ranges[name] for value, name in named.items()})
        maker = Maker(program, holding)
        for op in ops(main_block(program)):
            if _has_reals(op):
                maker.at = op
                with ir.InsertionPoint(op), op.operation.location:
                    _RULES.get(op.operation.name, _refuse)(maker, op)
        erase_dead(main_block(program))
        drop_unused(program)


def _has_reals(op: Any) -> bool:
    operation = op.operation
    reached = [*operation.operands, *operation.results, *captured(op)]
    return any(is_real_tensor(value) or isinstance(value.type, ir.FloatType) for value in reached)


def _refuse(maker: Maker, op: Any) -> None:
    raise refused(op, "is an operation")


def _nothing(maker: Maker, op: Any) -> None:
    """What makes no numbers: read where they are needed."""


def _return(maker: Maker, op: Any) -> None:
    """Decode what is returned."""
    made: dict[Any, Any] = {}
    for value in op.operation.operands:
        if is_real_tensor(value) and value not in made and not isinstance(value.owner, ir.Block):
            made[value] = maker.decoded(value)
    func.ReturnOp([made.get(value, value) for value in op.operation.operands])
    op.operation.erase()


_RULES: dict[str, Callable[[Maker, Any], None]] = {
    **dict.fromkeys(("dry.weight", "tensor.empty", "linalg.fill", "arith.constant", "tensor.dim"), _nothing),
    "dry.matmul": make_product,
    "dry.conv": make_product,
    "dry.pool": make_pool,
    "dry.norm": make_norm,
    "dry.softmax": make_softmax,
    "dry.embedding": make_embedding,
    "linalg.generic": make_generic,
    **dict.fromkeys(MOVES, make_move),
    "func.return": _return,
}
