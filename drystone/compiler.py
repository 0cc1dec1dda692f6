"""The whole trip on one page: each stage of the compiler, called once, in order."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import Any

from drystone import (
    autotune,
    choosing,
    codegen,
    env,
    frontend,
    mlir,
    passes,
    quantizing,
    reproducer,
    scheduling,
    skipping,
    sparsifying,
    targets,
)
from drystone.caches import Held
from drystone.errors import UserError
from drystone.ir.program import Program, TensorSpec
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
from drystone.passes.patch import Patch
from drystone.plans import Plans
from drystone.progress import Steps, steps
from drystone.runtime import accuracy, native
from drystone.runtime.fitted import Fitted
from drystone.runtime.manifest import (
    ChosenFormat,
    KernelCall,
    KeyPasses,
    Leaf,
    Manifest,
    Patched,
    Streaming,
)
from drystone.sparse_weight import SparseWeight


def compile(
    model: Any,
    example_inputs: Sequence[Any] = (),
    target: str | targets.CpuTarget = "cpu",
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
    options, budget = chosen(options, Options), chosen(budget, Budget)
    machine = targets.resolve(target)
    quantized, auto = _asked(quantize, caches, sparsify, skip, calibration, budget)
    source = _Source(model, example_inputs, kwargs, dynamic_shapes, checkpoint_of(checkpoint), quantized)
    if calibration is not None:
        source = _calibrated(source, machine, options, calibration, auto, budget)
    search = chosen(None if tune is True else tune, Tune) if tune else None

    def build(compute: str | None, search: Tune | None = None) -> Fitted:
        return _trip(source, machine, budget, replace(options, compute=compute), search)

    if budget.error is None or auto or choosing.are_chosen(quantized):
        return build(options.compute, search)
    source = replace(source, kept=source.kept or [])
    call = frontend.example_call(model, example_inputs, kwargs)
    return _within(budget.error, build, options.compute, call, search)


def _within(
    error: float,
    build: Callable[[str | None, Tune | None], Fitted],
    compute: str | None,
    call: tuple[Sequence[Any], Mapping[str, Any]],
    search: Tune | None,
) -> Fitted:
    """What `build` makes of the precision that keeps an error, relative and on a call, tuned if asked for."""
    built: list[tuple[Fitted, str | None]] = []

    def tried(compute: str | None) -> Fitted:
        built.append((build(compute, None), compute))
        return built[-1][0]

    found = accuracy.choose(tried, error, compute, *call)
    # Schedules do not change the precision: only the model that was chosen is tuned.
    return found if search is None else build(next(c for made, c in built if made is found), search)


def _asked(
    quantize: Format | Mapping[str, Format | None] | None,
    caches: Held | Mapping[str, Held | None] | None,
    sparsify: Zeroed | Mapping[str, Zeroed | None] | None,
    skip: Skipped | Mapping[str, Skipped | None] | None,
    calibration: Sequence[Any] | str | os.PathLike[str] | None,
    budget: Budget,
) -> tuple[passes.Quantization, frozenset[str]]:
    """The passes for what is to be quantized, pruned and skipped, and patterns of formats to be chosen."""
    auto = quantizing.autos(quantize)
    quantized = sparsifying.sparsified(quantizing.quantization_of(quantize, caches), sparsify, auto)
    quantized = skipping.skipped(quantized, skip, auto)
    sparsifying.check(quantized, calibration, budget)
    skipping.check(quantized, calibration)
    quantizing.check(quantized, auto, choosing.are_chosen(quantized), calibration, budget)
    return replace(quantized, settled=passes.Sparsity(sparsifying.are_bytes_asked(budget))), auto


@dataclass(frozen=True)
class _Source:
    """What the user gave to compile. kept: where the model is built several times, the program it is imported
    as, once it is; each build gets a copy that shares its arrays."""

    model: Any
    example_inputs: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    dynamic_shapes: Any
    checkpoint: Checkpoint | None
    quantized: passes.Quantization
    formats: tuple[ChosenFormat, ...] = ()
    kept: list[Program] | None = None

    def imported(self) -> Program:
        if self.kept:
            return passes.copy_of(self.kept[0])
        program = frontend.import_model(
            self.model,
            self.example_inputs,
            kwargs=self.kwargs,
            dynamic_shapes=self.dynamic_shapes,
            checkpoint=self.checkpoint,
            ctx=mlir.context(),
        )
        if self.kept is not None:
            self.kept.append(passes.copy_of(program))
        return program


def _calibrated(
    source: _Source,
    machine: targets.CpuTarget,
    options: Options,
    given: Sequence[Any] | str | os.PathLike[str],
    auto: Collection[str],
    budget: Budget,
) -> _Source:
    """The source with what is known of its numbers after running these calls on the machine at hand, and
    formats and zeros within the budget for weights of which these are chosen; `auto`: patterns of formats."""
    own, here = replace(options, compute=None), targets.resolve("cpu")
    source = replace(source, kept=[])
    program = source.imported()
    calls = quantizing.calls_of(given, program.signature)

    def build(observed: passes.Quantization, options: Options = own) -> Fitted:
        return _trip(replace(source, quantized=observed), here, Budget(), options, None)

    known = quantizing.calibrated(source.quantized, build, calls)
    known, levels = choosing.with_levels(known, program, build, calls)
    if not auto and not choosing.are_chosen(known):
        return replace(source, quantized=known, formats=levels)
    element, panels = element_of(options.compute) or "f32", budget.weights is not None
    chooser = choosing.Chooser.of(known, auto, program, build, calls, panels, machine, element)

    def settle(found: choosing.Settled) -> choosing.Settled:
        quantized, formats = found
        return quantizing.with_ranges(quantized, build, calls), formats

    reference = cache(lambda: build(passes.Quantization()))

    def error_of(found: choosing.Settled) -> float:
        made = build(found[0], options)
        return max(accuracy.difference(made, reference(), *call) for call in calls)

    quantized, formats = choosing.kept(chooser, budget, error_of, settle)
    return replace(source, quantized=quantized, formats=(*levels, *formats))


def _trip(
    source: _Source, machine: targets.CpuTarget, budget: Budget, options: Options, search: Tune | None
) -> Fitted:
    """Each stage once, in order."""
    stages = ["import", "optimize", "schedule", "plan", "generate"]
    with steps(stages, shown=options.progress) as shown, reproducer.watch(machine, shown) as step:
        step("import")
        program = step.program = source.imported()
        before = codegen.bytes_moved(passes.unfused(program))
        written = passes.cascades(program)
        made = _plans(source, program, step, machine, options, search, shown).within(budget)
        program, memory = made.program, made.memory
        step("generate")
        code = codegen.generate(program, memory.steps, machine, made.schedules)
        compiled = codegen.jit(code)
    threads = _threads(machine, options)
    manifest = _manifest(program, before, written, memory, made.patched, code, machine, threads, options.pin)
    manifest = replace(manifest, formats=source.formats)
    entry = native.Code(compiled.create, compiled.destroy, compiled.run, compiled.owner)
    return Fitted(manifest, [program.weights[key] for key in code.weights], entry, compiled.image)


def fit(
    model: Any,
    example_inputs: Sequence[Any] = (),
    target: str | targets.CpuTarget = "cpu",
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
    options, machine = chosen(options, Options), targets.resolve(target)
    levels = [each.name for each in machine.levels]
    if level not in (*levels, None) or (level is None and len(levels) > 1):
        what = "several memory levels" if level is None else f"no memory level {level!r}"
        raise UserError(f"{machine.name} has {what}", hint=f"name one with level=: {', '.join(levels)}")
    quantized, _ = _asked(quantize, caches, sparsify, skip, None, Budget(ram=0 if level is None else None))
    source = _Source(model, example_inputs, kwargs, dynamic_shapes, checkpoint_of(checkpoint), quantized)
    stages = ["import", "optimize", "schedule", "plan"]
    with steps(stages, shown=options.progress) as shown, reproducer.watch(machine, shown) as step:
        step("import")
        program = step.program = source.imported()
        plans = _plans(source, program, step, machine, options, None, shown)

        tried = count()

        def met(ram: int | None) -> scheduling.Met:
            done = min(0.9, next(tried) / points)
            shown.note(done, "without a budget" if ram is None else f"within {ram:,} bytes")
            return plans.met(Budget(ram=ram if ram is None or level is None else {level: ram}))

        return scheduling.curve(met, points, level or "")


def _plans(
    source: _Source,
    program: Program,
    step: reproducer.Watched,
    machine: targets.CpuTarget,
    options: Options,
    search: Tune | None,
    shown: Steps,
) -> Plans:
    """Optimize an imported program and choose its schedules; what it then gets within budgets."""
    step("optimize")
    threads = _threads(machine, options)
    quantized = source.quantized if search is None else _timing(source, machine, options)
    listed = passes.pipeline(machine, element_of(options.compute), quantized)
    fused = passes.run(program, listed, dump=env.dump_folder(), aside=Patch.name)
    assert fused is not None, "the pipeline computes nothing piece by piece"

    def schedule(outlined: Program) -> dict[str, Any]:
        return _schedules(outlined, machine, threads, search, options, shown)

    step("schedule")
    schedules = schedule(program)
    step("plan")
    codegen.add_workspaces(program, machine, schedules)
    return Plans(program, fused, machine, schedules, schedule, options.plan_seconds)


def _timing(source: _Source, machine: targets.CpuTarget, options: Options) -> passes.Quantization:
    """The source's passes, which measure whether products are faster with sparse matrices."""
    own, quantized = replace(options, progress=False, database=None), source.quantized

    def build(program: Program) -> Fitted:
        alone = replace(source, kept=[program], quantized=passes.Quantization(settled=None), formats=())
        return _trip(alone, machine, Budget(), own, None)

    timed = sparsifying.measured(machine, _threads(machine, options), build)
    settled = None if quantized.settled is None else replace(quantized.settled, timed=timed)
    return replace(quantized, settled=settled)


def _threads(machine: targets.CpuTarget, options: Options) -> int:
    return options.threads or min(machine.threads, os.cpu_count() or 1)


def _schedules(
    program: Program, machine: Any, threads: int, tune: Tune | None, options: Options, shown: Steps
) -> dict[str, Any]:
    """The schedule of every kernel that has several: by measurement if the user asks for it."""
    if tune is None and options.database is None:
        return autotune.first_choices(program, machine, threads)
    # Loads SQLAlchemy.
    from drystone.autotune import tuning

    if tune is None:
        return tuning.known_choices(program, machine, threads, str(options.database))
    return tuning.tuned_choices(program, machine, threads, tune, shown.note)


def _streaming(found: scheduling.Streaming | None, weights: Sequence[str]) -> Streaming | None:
    """When weights come, in the manifest's words."""
    if found is None:
        return None
    slot = {key: number for number, key in enumerate(weights)}
    reads = tuple((begins, step, slot[key]) for begins, step, key in found.reads)
    tables = dict.fromkeys(slot[key] for _, key in found.tables)
    return Streaming(found.resident, tuple(slot[key] for key in found.kept), tuple(tables), reads)


def _leaves(specs: Sequence[TensorSpec]) -> tuple[Leaf, ...]:
    return tuple(Leaf(spec.name, spec.dtype, spec.shape) for spec in specs)


def _key_passes(
    written: Sequence[passes.Cascade], compiled: Sequence[passes.Cascade]
) -> tuple[KeyPasses, ...]:
    """Every attention of the model before and after; those of one line are in the same order in both."""
    left = list(compiled)
    found = []
    for each in written:
        same = next((other for other in left if other.where == each.where), each)
        if same in left:
            left.remove(same)
        found.append(KeyPasses(each.where, each.passes, same.passes))
    return tuple(found)


def _sparsity(program: Program, calls: Sequence[codegen.KernelCall]) -> tuple[SparseWeight, ...]:
    """Weights with many zeros, by the model's names, and the calls that read them."""
    found = []
    for each in program.zeros:
        reads = (
            n for n, call in enumerate(calls) if any(passes.made_of(key, each.weight) for key in call.weights)
        )
        found.append(replace(each, weight=passes.model_name(each.weight), call=next(reads, -1)))
    return tuple(found)


def _manifest(
    program: Program,
    unfused: int,
    written: Sequence[passes.Cascade],
    memory: scheduling.Allotment,
    patched: tuple[Patched, ...],
    code: codegen.Code,
    machine: Any,
    threads: int,
    pin: bool,
) -> Manifest:
    signature = program.signature
    return Manifest(
        target=machine.name,
        # LLVM itself makes no use of tile registers.
        required=tuple(flag for flag in machine.required if code.tiles or not flag.startswith("amx_")),
        threads=threads,
        pin=pin,
        inputs=_leaves(signature.inputs),
        outputs=_leaves(signature.outputs),
        states=_leaves(signature.states),
        initial=tuple(code.weights.index(key) for key in signature.initial),
        in_tree=signature.in_tree,
        out_tree=signature.out_tree,
        symbols=dict(signature.symbols),
        weights=tuple(
            Leaf(key, dtype, program.weights[key].shape)
            for key, dtype in zip(code.weights, code.weight_dtypes, strict=True)
        ),
        kernels=tuple(KernelCall(c.name, c.kind, c.where, c.bytes, c.flops) for c in code.calls),
        unfused=unfused,
        assertions=code.assertions,
        attention=_key_passes(written, passes.cascades(program)),
        arena=memory.arena.size,
        levels=tuple((n, start, memory.plan.peaks.get(n, 0)) for n, start in memory.arena.starts.items()),
        plan=scheduling.as_data(memory.plan),
        picture=scheduling.svg(memory.problem, memory.plan, memory.streaming),
        streaming=_streaming(memory.streaming, code.weights),
        patched=patched,
        sparsity=_sparsity(program, code.calls),
        removed=tuple(program.removed),
    )
