"""Kernels that may write over their input at the price of a slower program.

Such a kernel is marked with the pair (result, argument): then its family makes a program for it that gives
the same wherever the two lie, and the planner may put them in one place. `spare` marks all, for a plan that
needs it; `settle` takes back the marks that the plan made no use of.
"""

from collections.abc import Sequence
from typing import Any

from drystone.codegen.families.conv.kernel import can_write_over
from drystone.codegen.families.outlined import main_operation
from drystone.ir.buffers import OVER, buffers
from drystone.ir.program import Program
from drystone.ir.steps import Step
from drystone.mlir import ir
from drystone.targets.target import Target


def spare(program: Program, target: Target) -> bool:
    """Mark every kernel that can write over its input; whether there are any."""
    found = False
    with program.module.context, ir.Location.unknown():
        for kernel in _kernels(program):
            main = main_operation(kernel)
            if main is None or main.operation.name != "dry.conv":
                continue
            arguments = list(kernel.regions[0].blocks[0].arguments)
            x = main.operation.operands[0]
            if x in arguments and len(list(x.uses)) == 1 and can_write_over(kernel, target):
                kernel.attributes[OVER] = ir.DenseI64ArrayAttr.get([0, arguments.index(x)])
                found = True
    return found


def settle(program: Program, steps: Sequence[Step]) -> int:
    """Leave the marks of those kernels only whose calls have input and result in one place at some step; how
    many those are."""
    calls = {call.name: call for call in buffers(program).calls}
    used = {
        calls[step.call].op.attributes["callee"].value
        for step in steps
        for new, old in calls[step.call].in_place
        if step.places.get(new, -1) == step.places.get(old, -2)
    }
    marked = [kernel for kernel in _kernels(program) if OVER in kernel.attributes]
    unused = [kernel for kernel in marked if kernel.attributes["sym_name"].value not in used]
    for kernel in unused:
        del kernel.attributes[OVER]
    return len(marked) - len(unused)


def _kernels(program: Program) -> list[Any]:
    """The kernel functions."""
    functions = [op.operation for op in program.module.body.operations]
    return [kernel for kernel in functions if kernel.attributes["sym_name"].value != "main"]
