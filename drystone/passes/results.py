"""What a program is given and gives."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import function, main_block
from drystone.mlir import func, ir
from drystone.passes.rewriting import ops


def give(program: Program, found: Mapping[str, Any]) -> None:
    """Let a program return these tensors, of known shape, by name, and its states' new values."""
    (last,), signature = ops(main_block(program), "func.return"), program.signature
    states = list(last.operation.operands)[len(signature.outputs) :]
    with ir.InsertionPoint(last), last.operation.location:
        func.ReturnOp([*found.values(), *states])
    last.operation.erase()
    declare(program)
    outputs = tuple(
        TensorSpec(key, str(value.type.element_type), tuple(value.type.shape)) for key, value in found.items()
    )
    tree = {"dict": dict.fromkeys(found, "*")}
    program.signature = replace(signature, outputs=outputs, out_tree=tree)


def declare(program: Program) -> None:
    """Let the type of `@main` be that of its arguments and of what it returns."""
    block = main_block(program)
    (last,) = ops(block, "func.return")
    given, made = ([value.type for value in values] for values in (block.arguments, last.operation.operands))
    kind = ir.TypeAttr.get(ir.FunctionType.get(given, made))
    function(program, "main").attributes["function_type"] = kind
