"""What an artifact says of itself, from what the stages made."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from drystone import codegen, passes, scheduling, targets
from drystone.backends import Generated
from drystone.ir.program import Program, TensorSpec
from drystone.pieces import Planned
from drystone.runtime.manifest import ChosenFormat, KernelCall, KeyPasses, Leaf, Manifest, Streaming
from drystone.sparse_weight import SparseWeight


@dataclass(frozen=True)
class Before:
    """What is told of a program as it was imported: the bytes that it moves where every operation is a kernel
    of its own, and how often attentions pass over their keys."""

    moved: int
    attention: tuple[passes.Cascade, ...]

    @staticmethod
    def of(program: Program) -> "Before":
        """To be asked before the program is optimized."""
        return Before(codegen.bytes_moved(passes.unfused(program)), tuple(passes.cascades(program)))


def manifest_of(
    before: Before,
    made: Planned,
    code: Generated,
    runner: str,
    target: targets.Target,
    threads: int,
    pin: bool,
    formats: tuple[ChosenFormat, ...],
) -> Manifest:
    """The manifest of a planned program and its code; formats: those that were chosen for weights."""
    program, memory = made.program, made.memory
    signature = program.signature
    return Manifest(
        target=target.name,
        required=code.required,
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
        unfused=before.moved,
        assertions=code.assertions,
        attention=_key_passes(before.attention, passes.cascades(program)),
        arena=memory.arena.size,
        levels=tuple((n, start, memory.plan.peaks.get(n, 0)) for n, start in memory.arena.starts.items()),
        plan=scheduling.as_data(memory.plan),
        picture=scheduling.svg(memory.problem, memory.plan, memory.streaming),
        streaming=_streaming(memory.streaming, code.weights),
        patched=made.patched,
        formats=formats,
        sparsity=_sparsity(program, code.calls),
        removed=tuple(program.removed),
        runner=runner,
    )


def _streaming(found: scheduling.Streaming | None, weights: Sequence[str]) -> Streaming | None:
    """When weights come, in the manifest's words."""
    if found is None:
        return None
    slot = {key: number for number, key in enumerate(weights)}
    reads = tuple((begins, step, slot[key]) for begins, step, key in found.reads)
    tables = dict.fromkeys(slot[key] for _, key in found.tables)
    windows = tuple((slot[each.key], each.runs, each.pages) for _, each in found.windows)
    return Streaming(found.resident, tuple(slot[key] for key in found.kept), tuple(tables), reads, windows)


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
