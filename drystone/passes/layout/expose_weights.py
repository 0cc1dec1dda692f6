"""The pass `expose-weights`: weights become arguments of a program."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.passes.results import declare
from drystone.passes.rewriting import erase_dead, ops
from drystone.passes.weights import drop_unused, weight_key

#: The keyword argument that the weights are given as.
WEIGHTS = "weights="


@dataclass(frozen=True)
class ExposeWeights:
    """The weights of these keys are given with every call, in a mapping that is the keyword argument
    `WEIGHTS`: one program shows what others would change.

    Before:  func.func @main(%x) { %w = "dry.weight"() {key = "w"} ; %y = "dry.matmul"(%x, %w) .. }
    After:   func.func @main(%x, %w) { %y = "dry.matmul"(%x, %w) .. }

    - They come after the inputs and before the states.
    """

    keys: tuple[str, ...]
    name: ClassVar[str] = "expose-weights"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block, signature = main_block(program), program.signature
        found: dict[str, list[Any]] = {key: [] for key in self.keys}
        for op in ops(block, "dry.weight"):
            value = op.operation.results[0]
            if weight_key(value) in found:
                found[str(weight_key(value))].append(value)
        states = list(block.arguments)[len(signature.inputs) :]
        where = ir.Location.unknown()
        specs = []
        for key, values in found.items():
            kind = values[0].type
            made = block.add_argument(kind, where)
            specs.append(TensorSpec(key, str(kind.element_type), tuple(kind.shape)))
            for value in values:
                value.replace_all_uses_with(made)
        for state in states:
            state.replace_all_uses_with(block.add_argument(state.type, where))
        for _ in states:
            block.erase_argument(len(signature.inputs))
        _declare(program, specs)
        erase_dead(block)
        drop_unused(program)


def _declare(program: Program, specs: list[TensorSpec]) -> None:
    """Let the function and the call have the arguments that there are."""
    declare(program)
    signature = program.signature
    positional, named = signature.in_tree["tuple"]
    weights = {WEIGHTS: {"dict": {spec.name: "*" for spec in specs}}}
    tree = {"tuple": [positional, {"dict": named["dict"] | weights}]}
    program.signature = replace(signature, inputs=(*signature.inputs, *specs), in_tree=tree)
