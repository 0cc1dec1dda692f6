"""The whole trip on one page: each stage of the compiler, called once, in order."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from drystone import (
    autotune,
    backends,
    choosing,
    env,
    frontend,
    passes,
    registry,
    reproducer,
    scheduling,
    targets,
)
from drystone.asking import calibrating
from drystone.asking.source import Source, asked
from drystone.caches import Held
from drystone.errors import UserError
from drystone.ir.program import Program
from drystone.manifests import Before, manifest_of
from drystone.options import (
    Budget,
    Checkpoint,
    Format,
    Options,
    Skipped,
    Tune,
    Zeroed,
    checkpoint_of,
    chosen,
    element_of,
)
from drystone.passes.patching.patch import Patch
from drystone.plans import Plans
from drystone.progress import Steps, steps
from drystone.runtime.fitted import Fitted


def compile(
    model: Any,
    example_inputs: Sequence[Any] = (),
    target: str | targets.Target = "cpu",
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    budget: Budget | None = None,
    quantize: Format | Mapping[str, Format | None] | None = None,
    calibration: Sequence[Any] | str | os.PathLike[str] | None = None,
    caches: Held | Mapping[str, Held | None] | None = None,
    sparsify: Zeroed | Mapping[str, Zeroed | None] | None = None,
    skip: Skipped | Mapping[str, Skipped | None] | None = None,
    tune: Tune | bool | None = None,
    options: Options | None = None,
) -> Fitted:
    """Compile a PyTorch model into a callable program.

    model: an nn.Module, a torch.export.ExportedProgram, or the path of a .pt2 file. example_inputs and
    kwargs: one call's arguments; their shapes and element types are fixed, but for the dimensions that
    dynamic_shapes (as in torch.export.export) declares. checkpoint: a file or folder with the weights, which
    are taken as they were quantized (docs/quantized_checkpoints.md); the model may then be on the meta
    device. target: "cpu" is this machine; one that `drystone targets` lists, or a description, does as well.
    budget: limits to keep. What follows is for all weights (or
    buffers), or a mapping for those whose names a regular expression matches, the first that does. quantize:
    what weights are held in: "int8" computes their products in bytes, another name of docs/formats.md, an
    encoding or a `Quantize` rounds the weights alone (docs/quantization.md). caches: what buffers that
    attention reads as keys or values are held in: "int8", "kivi2", .., a `Cache`, `Keep` or `Heads`.
    sparsify: which numbers of weights become 0 before: "2:4", a level such as 0.9 or a `Sparsify`. skip: what
    part of the numbers that weights are multiplied with becomes 0 when the model runs, so that products of
    few rows leave out what meets them: 0.7, 0 (those alone that are 0) or a `Skip` (docs/sparsity.md).
    calibration: inputs of calls (a tuple of arguments, a mapping of keyword arguments, or the only argument)
    on which the model is run to see what weights are multiplied with; or the path of an .npz with an array
    for every input, by its name, that has the calls along a first axis. tune: search for the fastest
    schedules of the kernels by measuring them (True: five minutes). Raises UserError for what the user can
    mend, such as operations that cannot be compiled. Weights that need no packing share memory with the
    model's: what changes these in place changes them too.
    """
    registry.load_installed()
    options, budget = chosen(options, Options), chosen(budget, Budget)
    machine = targets.resolve(target)
    backends.of(machine).check(machine, tune=bool(tune))
    quantized, auto = asked(quantize, caches, sparsify, skip, calibration, budget)
    source = Source(model, example_inputs, kwargs, dynamic_shapes, checkpoint_of(checkpoint), quantized)
    if calibration is not None:
        source = calibrating.calibrated(source, machine, options, calibration, auto, budget, _trip)
    search = chosen(None if tune is True else tune, Tune) if tune else None

    def build(compute: str | None, search: Tune | None = None) -> Fitted:
        return _trip(source, machine, budget, replace(options, compute=compute), search)

    if budget.error is None or auto or choosing.are_chosen(quantized):
        return build(options.compute, search)
    source = replace(source, kept=source.kept or [])
    call = frontend.example_call(model, example_inputs, kwargs)
    return calibrating.within_error(budget.error, build, options.compute, call, search)


def fit(
    model: Any,
    example_inputs: Sequence[Any] = (),
    target: str | targets.Target = "cpu",
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
    quantize: Format | Mapping[str, Format | None] | None = None,
    caches: Held | Mapping[str, Held | None] | None = None,
    sparsify: Zeroed | Mapping[str, Zeroed | None] | None = None,
    skip: Skipped | Mapping[str, Skipped | None] | None = None,
    level: str | None = None,
    points: int = 8,
    options: Options | None = None,
) -> scheduling.Curve:
    """How much memory a model needs, and what needing less costs: from the least that can be met up to where
    everything stays.

    The arguments are those of `compile`, and each point is what `compile` gives for it: with
    `Budget(ram=point.ram)`, which counts activations, states and weights; or with `level`, the name of one of
    the target's memory levels, with `Budget(ram={level: point.ram})`, which counts activations alone. At most
    `points` budgets are planned, each within `options.plan_seconds`. `str()` of the curve is a table. Nothing
    is generated or run. Raises UserError as `compile` does.
    """
    registry.load_installed()
    options, machine = chosen(options, Options), targets.resolve(target)
    levels = [each.name for each in machine.levels]
    if level not in (*levels, None) or (level is None and len(levels) > 1):
        what = "several memory levels" if level is None else f"no memory level {level!r}"
        raise UserError(f"{machine.name} has {what}", hint=f"name one with level=: {', '.join(levels)}")
    quantized, _ = asked(quantize, caches, sparsify, skip, None, Budget(ram=0 if level is None else None))
    source = Source(model, example_inputs, kwargs, dynamic_shapes, checkpoint_of(checkpoint), quantized)
    stages = ["import", "optimize", "schedule", "plan"]
    with steps(stages, shown=options.progress) as shown, reproducer.watch(machine, shown, options) as step:
        step("import")
        step.source = source.exported
        program = step.program = source.imported()
        plans = _plans(source, program, step, machine, options, None, shown)
        tried = count()

        def met(ram: int | None) -> scheduling.Met:
            done = min(0.9, next(tried) / points)
            shown.note(done, "without a budget" if ram is None else f"within {ram:,} bytes")
            step.budget = Budget(ram=ram if ram is None or level is None else {level: ram})
            return plans.met(step.budget)

        return scheduling.curve(met, points, level or "")


def _trip(
    source: Source,
    machine: targets.Target,
    budget: Budget,
    options: Options,
    search: Tune | None = None,
) -> Fitted:
    """Each stage once, in order."""
    backend = backends.of(machine)
    stages = ["import", "optimize", "schedule", "plan", "generate"]
    with steps(stages, shown=options.progress) as shown, reproducer.watch(machine, shown, options) as step:
        step("import")
        step.source = source.exported
        program = step.program = source.imported()
        before = Before.of(program)
        step.budget = budget
        made = _plans(source, program, step, machine, options, search, shown).within(budget)
        step("generate")
        code = backend.generate(made.program, made.memory.steps, machine, made.schedules)
    threads = _threads(machine, options)
    manifest = manifest_of(before, made, code, backend.runner, machine, threads, options.pin, source.formats)
    weights = [made.program.weights[key] for key in code.weights]
    return Fitted(manifest, weights, code.ready(manifest), code.image)


def _plans(
    source: Source,
    program: Program,
    step: reproducer.Watched,
    machine: targets.Target,
    options: Options,
    search: Tune | None,
    shown: Steps,
) -> Plans:
    """Optimize an imported program and choose its schedules; what it then gets within budgets."""
    step("optimize")
    backend = backends.of(machine)
    threads, quantized = _threads(machine, options), source.quantized
    if search is not None:
        quantized = calibrating.timing(source, machine, threads, options, _trip)
    listed = backend.pipeline(machine, element_of(options.compute), quantized)
    fused = passes.run(program, listed, dump=env.dump_folder(), aside=Patch.name, note=step.note)
    assert fused is not None, "the pipeline computes nothing piece by piece"
    step.fused = fused

    def schedule(outlined: Program) -> dict[str, Any]:
        first = backend.first_choices
        made = autotune.choices(outlined, machine, threads, first, search, options.database, shown.note)
        step.schedules |= made
        return made

    return Plans.of(program, fused, machine, schedule, options.plan_seconds, step)


def _threads(machine: targets.Target, options: Options) -> int:
    return options.threads or min(machine.threads, os.cpu_count() or 1)
