"""The list of passes a target's programs go through: data."""

from drystone.passes.outline_kernels import OutlineKernels
from drystone.passes.pass_base import Pass
from drystone.passes.simplify import Simplify
from drystone.targets.target import CpuTarget


def pipeline(target: CpuTarget) -> tuple[Pass, ...]:
    """The passes, in order, that bring an imported program into the outlined form for `target`."""
    return (
        Simplify(),
        OutlineKernels(),
    )
