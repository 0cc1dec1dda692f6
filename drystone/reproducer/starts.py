"""From where a fault is run up to again: what a step was given, and what does the step.

`Importing`: a program as torch exported it. `Passing`: a program and the passes that were left, then all
stages that follow. Each has `module`, its IR as text, `data`, the rest of it as JSON, and `run`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from drystone import backends, env, frontend, mlir, passes
from drystone.errors import UserError
from drystone.ir.context import new_context
from drystone.ir.program import Program, WeightStore
from drystone.manifests import Before
from drystone.options import Budget, Options
from drystone.passes.patching.patch import Patch
from drystone.plans import Plans
from drystone.reproducer.exported import packed, unpacked
from drystone.reproducer.stated import Stating, read
from drystone.targets.target import Target

#: To be called with a stage's name as it begins.
Begin = Callable[[str], None]


@dataclass(frozen=True)
class Importing:
    """A program of torch's, to be imported for a target."""

    program: Any

    module = ""

    def data(self, stating: Stating) -> dict[str, Any]:
        return {"import": packed(self.program)}

    @classmethod
    def read(cls, data: Mapping[str, Any], module: str, named: Mapping[str, Any]) -> "Importing":
        return cls(unpacked(data["import"]))

    def run(self, begin: Begin) -> None:
        begin("import")
        Before.of(frontend.import_model(self.program, (), ctx=new_context()))


@dataclass(frozen=True)
class Passing:
    """A program and the passes that were left to do; where it was `to_compile`, all stages follow.

    schedules: of kernels by name, where they were chosen already; the first choice is taken for others.
    """

    program: Program
    passes: Sequence[passes.Pass]
    target: Target
    options: Options
    budget: Budget
    schedules: Mapping[str, Any]
    to_compile: bool

    @property
    def module(self) -> str:
        return mlir.text(self.program.module, locations=True)

    def data(self, stating: Stating) -> dict[str, Any]:
        program, state = self.program, stating.state
        weights = program.weights
        return {
            "signature": state(program.signature),
            "passes": [state(each) for each in self.passes],
            "options": state(replace(self.options, database=None, progress=False)),
            "budget": state(self.budget),
            "to compile": self.to_compile,
            "schedules": state(self.schedules),
            "found": state((program.zeros, program.removed)),
            "names": state({key: weights.names(key)[1:] for key in weights if weights.names(key)[1:]}),
            "weights": {key: state(weights[key]) for key in weights},
        }

    @classmethod
    def read(cls, data: Mapping[str, Any], module: str, named: Mapping[str, Any]) -> "Passing":
        def held(part: str) -> Any:
            return read(data[part], named)

        weights = WeightStore()
        for key, array in data["weights"].items():
            weights.add(key, read(array, named))
        for key, others in held("names").items():
            weights.call(key, others)
        try:
            parsed = mlir.parse(module, new_context())
        except mlir.ir.MLIRError as error:
            raise UserError(
                f"the file's module cannot be read: {error}",
                hint="get the file anew, whole; if you changed the module, see what MLIR says",
            ) from error
        program = Program(parsed, weights, held("signature"), *held("found"))
        left = held("passes")
        if None in left:
            raise UserError(
                "the file leaves out a pass that was to run: one that a script had inserted",
                hint="insert it in a module that an installed package names in its entry points",
            )
        given = named["target"], held("options"), held("budget"), held("schedules"), data["to compile"]
        return cls(program, left, *given)

    def run(self, begin: Begin) -> None:
        target, seconds = self.target, self.options.plan_seconds
        backend = backends.of(target)

        def schedule(program: Program) -> dict[str, Any]:
            return {**backend.first_choices(program, target, threads), **self.schedules}

        threads = self.options.threads or target.threads
        begin("optimize")
        fused = passes.run(self.program, self.passes, dump=env.dump_folder(), aside=Patch.name)
        if not self.to_compile:
            return
        # What is outlined already can be compiled as a whole only.
        budget = Budget() if fused is None else self.budget
        plans = Plans.of(self.program, fused or self.program, target, schedule, seconds, begin)
        made = plans.within(budget)
        begin("generate")
        backend.generate(made.program, made.memory.steps, target, made.schedules)


Start = Importing | Passing
#: By the part of its data that the others do not have.
KINDS: Mapping[str, type[Start]] = {"import": Importing, "passes": Passing}
