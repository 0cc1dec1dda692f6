"""The pass `round-activations`: what is multiplied with codes is rounded to bytes."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.errors import UserError
from drystone.ir.dialect import MAX_EXTRAS
from drystone.ir.encoded import encoding_of, is_coded
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import arith, ir
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import leading
from drystone.passes.layout.pack_weights import panels_of
from drystone.passes.quantizing.quantize_products import rounded_rows
from drystone.passes.rewriting import erase_dead, ops
from drystone.passes.weight_readers import first_match, no_match
from drystone.passes.weights import model_name, model_names, weight_key
from drystone.targets.target import Target

#: What the peak of a row is rounded to.
_LARGEST = 127.0


@dataclass(frozen=True)
class RoundActivations:
    """Rows that are multiplied with a matrix of codes are bytes with a scale each, found when the model runs,
    where `formats` say so: the first regular expression that matches all of what the model calls the matrix.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<32x64xf32, #dry.enc<"uint4", ..>>)
    After:   %q, %p = "dry.round_rows"(%x) : tensor<8x64xi8>, tensor<8xf32>
             %y = "dry.matmul"(%q, %w) {sum * p[m] / 127}

    - Rows are rounded around 0: the vector-wise quantization of LLM.int8() (Dettmers et al. 2022), of the
      activations alone. What several products read is rounded once.
    - Kernels sum the integers of a group of codes exactly, and scale the sums (DGQ, Zhang et al. 2023).
    - A product that a pattern names and no kernel computes so is the user's mistake, as is a pattern that
      names none.
    """

    formats: tuple[tuple[str, bool], ...] = ()
    target: Target | None = None
    name: ClassVar[str] = "round-activations"

    def on(self, target: Target) -> "RoundActivations":
        """The same for a target's kernels."""
        return RoundActivations(self.formats, target)

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for patterns that name no product of bytes."""
        if not any(rounded for _, rounded in self.formats):
            return
        found, keys, matched = dict[Any, list[Any]](), [], set[str | None]()
        for op in ops(main_block(program), "dry.matmul"):
            weight = op.operation.operands[1]
            key = weight_key(weight)
            if key is None or not is_coded(weight.type):
                continue
            keys.append(model_name(key))
            pattern = first_match((each for each, _ in self.formats), model_names(program, key))
            matched.add(pattern)
            done = str(op.operation.operands[0].type.element_type) == "i8"
            if not done and pattern is not None and dict(self.formats)[pattern]:
                self._check(op, model_name(key))
                found.setdefault(op.operation.operands[0], []).append(op)
        for pattern, rounded in self.formats:
            if rounded and pattern not in matched:
                none = "no product of the model reads a weight in codes"
                raise no_match(pattern, keys, "whose codes are multiplied with bytes", none)
        for x, products in found.items():
            _replace(x, products)
        erase_dead(main_block(program))

    def _check(self, op: Any, name: str) -> None:
        """Raise UserError where no kernel multiplies bytes with these codes."""
        x, weight = list(op.operation.operands)[:2]
        problem, target = "", self.target
        panels = None if target is None else panels_of(op, target)
        if str(x.type.element_type) != "f32" or x.type.encoding is not None:
            problem = f"what it is multiplied with is of {x.type.element_type}"
        elif len(extras_of(op)) >= MAX_EXTRAS:
            problem = "its product is followed by too much at once"
        elif target is not None and target.dot("ui8", "i8") is None:
            problem = f"{target.name} has no unit that multiplies bytes"
        elif panels is not None:
            problem = panels.codes.bytes_problem(encoding_of(weight.type))
        if problem:
            raise UserError(
                f"quantize: activations of the weight {name} cannot be bytes: {problem}",
                hint="leave activations=8 out for it, or give it a format such as w4, q4_k or q8_0",
            )


def _replace(x: Any, products: list[Any]) -> None:
    """Put products of one value's rounded rows in the place of products of it."""
    with ir.InsertionPoint(products[0]), products[0].operation.location:
        rows = rounded_rows(x)
    for op in products:
        with ir.InsertionPoint(op), op.operation.location:
            more = [(rows.peak, leading(op.operation.results[0].type.rank))]
            given = [rows.codes, op.operation.operands[1]]
            made, block = remade(op, given, [*extras_of(op), *more])
            with ir.InsertionPoint(block):
                total, *_, peak = block.arguments
                step = arith.MulFOp(peak, arith.ConstantOp(peak.type, 1 / _LARGEST).result).result
                real = arith.MulFOp(total, step).result
        take_epilogue(op, made, total=real)
