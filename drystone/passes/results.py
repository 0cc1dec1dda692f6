"""What a program is given and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from drystone.dtypes import Array
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


def add_states(program: Program, added: Sequence[tuple[TensorSpec, Array]]) -> list[Any]:
    """States behind those that there are, with what they hold at first, as arguments of `@main`. They keep
    what they hold: see `keep`."""
    block, signature = main_block(program), program.signature
    (last,) = ops(block, "func.return")
    location, made, keys = last.operation.location, list[Any](), list[str]()
    for spec, first in added:
        kind = ir.RankedTensorType.get(first.shape, ir.Type.parse(spec.dtype, program.module.context))
        made.append(block.add_argument(kind, location))
        keys.append(program.weights.add(spec.name, first))
    with ir.InsertionPoint(last), location:
        func.ReturnOp([*last.operation.operands, *made])
    last.operation.erase()
    declare(program)
    states, initial = (*signature.states, *(spec for spec, _ in added)), (*signature.initial, *keys)
    program.signature = replace(signature, states=states, initial=initial)
    return made


def keep(program: Program, state: Any, value: Any) -> None:
    """Let a state that was added, an argument of `@main`, hold a value after each call."""
    (last,) = ops(main_block(program), "func.return")
    inputs, outputs = len(program.signature.inputs), len(program.signature.outputs)
    last.operation.operands[outputs + state.arg_number - inputs] = value


def declare(program: Program) -> None:
    """Let the type of `@main` be that of its arguments and of what it returns."""
    block = main_block(program)
    (last,) = ops(block, "func.return")
    given, made = ([value.type for value in values] for values in (block.arguments, last.operation.operands))
    kind = ir.TypeAttr.get(ir.FunctionType.get(given, made))
    function(program, "main").attributes["function_type"] = kind
