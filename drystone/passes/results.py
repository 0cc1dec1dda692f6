"""What a program gives."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import function, main_block
from drystone.mlir import func, ir
from drystone.passes.rewriting import ops


def give(program: Program, found: Mapping[str, Any]) -> None:
    """Let a program return these tensors, of f32 and known shape, by name, and its states' new values."""
    (last,), signature = ops(main_block(program), "func.return"), program.signature
    states = list(last.operation.operands)[len(signature.outputs) :]
    with ir.InsertionPoint(last), last.operation.location:
        func.ReturnOp([*found.values(), *states])
    last.operation.erase()
    given, kinds = (
        [value.type for value in values]
        for values in (main_block(program).arguments, (*found.values(), *states))
    )
    made = ir.TypeAttr.get(ir.FunctionType.get(given, kinds))
    function(program, "main").attributes["function_type"] = made
    outputs = tuple(TensorSpec(key, "f32", tuple(value.type.shape)) for key, value in found.items())
    tree = {"dict": dict.fromkeys(found, "*")}
    program.signature = replace(signature, outputs=outputs, out_tree=tree)
