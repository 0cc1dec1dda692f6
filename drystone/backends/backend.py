"""A backend: everything about the code of one kind of target, as data and functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drystone import autotune, passes
from drystone.codegen.calls import KernelCall, listed, weights_of
from drystone.codegen.cost import costs_of
from drystone.codegen.search import Point
from drystone.errors import UserError
from drystone.ir.buffers import buffers
from drystone.ir.program import Program
from drystone.ir.steps import Step
from drystone.passes import Pass, Quantization
from drystone.runtime.manifest import NATIVE, Manifest
from drystone.runtime.runners import Runnable, named
from drystone.targets.target import Target


@dataclass(frozen=True)
class Generated:
    """Code of a planned program.

    image: what an artifact holds, or a function that makes it once it is needed; in a form that the
    backend's runner takes. calls: in execution order, the order of profile slots. weights: keys in the order
    of the call's table, with the elements they are stored in; those that only initialize states come last.
    assertions: what the run's result 1 + i means. required: features, in /proc/cpuinfo, of machines that can
    run it. code: the code, where it is in this process already; else the runner makes it of the image.
    """

    image: Any
    calls: tuple[KernelCall, ...]
    weights: tuple[str, ...]
    weight_dtypes: tuple[str, ...]
    assertions: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    code: Runnable | None = None

    @staticmethod
    def of(
        program: Program,
        steps: Sequence[Step],
        kinds: Mapping[str, str],
        image: Any,
        assertions: tuple[str, ...] = (),
    ) -> "Generated":
        """Code that does the steps of a plan with the program's weights in their order of first use, that of
        their slots in `ir.buffers`; kinds: what kernel functions are told to be, by their names."""
        found = buffers(program)
        calls = listed(found, steps, kinds, costs_of(program, found))
        return Generated(image, tuple(calls), *weights_of(program, found), assertions)

    def ready(self, manifest: Manifest) -> Runnable:
        """The code, ready to run. Raises UserError where it cannot run here."""
        runner = named(manifest.runner)
        return self.code or runner.code(runner.stored(self.image), manifest)


#: Code for an outlined program, as its plan's steps say; by the name of a kernel function, the point of its
#: search space that it is built at: the families choose for the others.
Generate = Callable[[Program, Sequence[Step], Target, Mapping[str, Point]], Generated]


@dataclass(frozen=True, kw_only=True)
class Backend:
    """How programs become code for the targets that name it.

    generate: see `Generate`. pipeline: the passes for a target that bring an imported program into the
    outlined form, where products of f32 are held as an element and what is to be quantized is; its last ones
    are `passes.outlining()`. first_choices: by kernel function, the schedules taken without measurements, for
    a number of threads; a family's own choice for those that it leaves out. measured: whether autotuning can
    measure kernels (it does so with the code for x86-64 CPUs). runner: the name of what runs the code; see
    `drystone.runtime.runners`.
    """

    name: str
    generate: Generate
    pipeline: Callable[[Target, str | None, Quantization], tuple[Pass, ...]] = passes.pipeline
    first_choices: Callable[[Program, Target, int], dict[str, Point]] = autotune.first_choices
    measured: bool = False
    runner: str = NATIVE

    def check(self, target: Target, tune: bool) -> None:
        """Raises UserError where what is asked for cannot be had of the target."""
        if tune and not self.measured:
            raise UserError(
                f"schedules for {target.name} cannot be measured: its code does not run on this CPU",
                hint="compile without tune",
            )
