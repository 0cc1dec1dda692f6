"""x86-64 CPUs: code by MLIR and LLVM, in this process at once."""

from collections.abc import Mapping, Sequence

from drystone.backends.backend import Backend, Generated
from drystone.codegen.cpu.generate import generate
from drystone.codegen.cpu.jit import jit
from drystone.codegen.search import Point
from drystone.ir.program import Program
from drystone.ir.steps import Step
from drystone.runtime import native
from drystone.targets.target import Target


def _generate(
    program: Program, steps: Sequence[Step], target: Target, schedules: Mapping[str, Point]
) -> Generated:
    code = generate(program, steps, target, schedules)
    made = jit(code)
    return Generated(
        made.image,
        code.calls,
        code.weights,
        code.weight_dtypes,
        code.assertions,
        code.required,
        native.Code(made.create, made.destroy, made.run, made.owner),
    )


CPU = Backend(name="cpu", generate=_generate, measured=True)
