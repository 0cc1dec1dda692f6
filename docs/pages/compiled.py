"""A model on its way: what each stage makes of it, for the pages that show it."""

import re
from dataclasses import dataclass
from typing import Any

import torch

from drystone import autotune, codegen, frontend, mlir, passes, scheduling, targets
from drystone.ir.context import new_context
from drystone.ir.program import Program
from drystone.options import Budget

#: The machine that pages are made for, whichever they are made on.
MACHINE = "cpu:avx512"
#: How many groups of extras a product has: the bindings write a size for each.
_SIZES = re.compile(r"operandSegmentSizes = array<[^>]*>,? ?")


@dataclass(frozen=True)
class Compiled:
    """imported, optimized: the module's text; program: with its kernels outlined; schedules: of these."""

    imported: str
    optimized: str
    program: Program
    schedules: dict[str, Any]
    memory: scheduling.Allotment


def compiled(model: torch.nn.Module, *inputs: torch.Tensor) -> Compiled:
    """What `drystone.compile` does up to the plan."""
    machine = targets.resolve(MACHINE)
    program = frontend.import_model(model, inputs, ctx=new_context())
    imported = _text(program)
    passes.run(program, passes.pipeline(machine))
    schedules = autotune.first_choices(program, machine, threads=2)
    codegen.add_workspaces(program, machine, schedules)
    memory = scheduling.Allotter(program, machine, codegen.work, time_limit=30.0).within(Budget())
    return Compiled(imported, _text(program), program, schedules, memory)


def _text(program: Program) -> str:
    """The module without the sizes of groups of operands, which say nothing that the operands do not."""
    return _SIZES.sub("", mlir.text(program.module)).strip()
