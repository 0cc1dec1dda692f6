"""From a planned program to a module of the LLVM dialect: kernels, driver, thread pool."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from drystone.codegen.cost import Cost, costs_of
from drystone.codegen.cpu.code import Code, KernelCall
from drystone.codegen.cpu.driver import driver
from drystone.codegen.cpu.empty import empty
from drystone.codegen.cpu.fallback.lower import lower as lower_by_passes
from drystone.codegen.cpu.finish import finish, promise
from drystone.codegen.cpu.tiles.lower import TO_LLVM, lower
from drystone.codegen.families import tile_program_of
from drystone.codegen.kernel import Kernel
from drystone.codegen.search import Point
from drystone.codegen.workspace import give, workspaces
from drystone.errors import InternalError
from drystone.ir.buffers import OVER, Buffers, buffers
from drystone.ir.encoded import storage_element
from drystone.ir.program import Program
from drystone.ir.steps import Step
from drystone.ir.values import function, main_block
from drystone.mlir import ir, ir_places, parse, run_pipeline, walk
from drystone.targets.target import CpuTarget


def generate(
    program: Program,
    steps: Sequence[Step],
    target: CpuTarget,
    schedules: Mapping[str, Point] | None = None,
) -> Code:
    """Code for an outlined program, as its plan's steps say.

    schedules: by the name of a kernel function, the point of its search space that it is built at; the
    families choose for the others.
    """
    schedules = schedules or {}
    found = buffers(program)
    costs = costs_of(program, found)
    kernels: dict[str, Kernel] = {}
    for call in found.calls:
        callee = call.op.attributes["callee"].value
        if callee not in kernels:
            kernel = function(program, callee).opview
            point = None if OVER in kernel.attributes else schedules.get(callee)
            kernels[callee] = lower_kernel(kernel, callee, target, point)
    context = program.module.context
    parsed = {name: _parse(kernel, context) for name, kernel in kernels.items()}
    types = {name: _types(module, kernels[name]) for name, module in parsed.items()}
    text, messages = driver(program, found, steps, kernels, types, costs)
    module = parse(files(__package__).joinpath("pool.mlir").read_text() + text, context)
    with context, ir.Location.unknown():
        for name, source in parsed.items():
            _add(module, source, name, not _overlaps(function(program, name)))
        run_pipeline(module, TO_LLVM)
        finish(module, target)
    weights, dtypes = _weights(program, found)
    tiles = any(kernel.tiles for kernel in kernels.values())
    return Code(module, tuple(_listed(found, steps, kernels, costs)), weights, dtypes, messages, tiles)


def add_workspaces(program: Program, target: CpuTarget, schedules: Mapping[str, Point] | None = None) -> None:
    """Give the kernels that share memory between their threads that memory, to be planned with the rest.

    schedules: as in `generate`, and the same.
    """
    schedules = schedules or {}
    with program.module.context, ir.Location.unknown():
        for op in list(program.module.body.operations):
            kernel = op.operation
            name = kernel.attributes["sym_name"].value
            if name == "main":
                continue
            tiles = tile_program_of(kernel.opview, target, schedules.get(name))
            if tiles is not None and tiles.shared:
                block = main_block(program)
                calls = [c.operation for c in block.operations if c.operation.name == "func.call"]
                give(kernel, [c for c in calls if c.attributes["callee"].value == name], tiles)


def lower_kernel(kernel: Any, name: str, target: CpuTarget, point: Point | None = None) -> Kernel:
    """The code of one outlined kernel function: by a family where one takes it (with the schedule `point`),
    else by upstream passes."""
    done = empty(kernel, name)
    if done is not None:
        return done
    tiles = tile_program_of(kernel, target, point)
    return lower_by_passes(kernel, name) if tiles is None else lower(tiles, name, target)


def _parse(kernel: Kernel, context: Any) -> Any:
    try:
        return parse(kernel.text, context)
    except ir.MLIRError as error:
        raise InternalError(f"kernel {kernel.name} is not valid MLIR: {error}\n{kernel.text}") from error


def _types(module: Any, kernel: Kernel) -> tuple[str, ...]:
    """What a kernel takes, without the units."""
    for op in module.body.operations:
        if op.operation.attributes["sym_name"].value == kernel.name:
            inputs = op.operation.attributes["function_type"].value.inputs
            return tuple(str(kind) for kind in inputs[: -len(kernel.units)])
    raise InternalError(f"the code of kernel {kernel.name} does not define it")


def _add(module: Any, source: Any, name: str, promised: bool) -> None:
    """Move a kernel's functions into the module, in place of their declarations; a definition that is already
    there by name (a helper of several kernels) is the same."""
    there = {op.operation.attributes["sym_name"].value: op.operation for op in module.body.operations}
    for op in list(source.body.operations):
        known = there.get(op.operation.attributes["sym_name"].value)
        if known is not None and _is_declaration(known) and not _is_declaration(op.operation):
            known.erase()
            known = None
        if op.operation.attributes["sym_name"].value == name and promised:
            promise(op)
        if known is None:
            module.body.append(op)


def _overlaps(kernel: Any) -> bool:
    """Whether a result of a kernel may be written over what it still reads, or another result is still to be
    computed from."""
    results = len(kernel.attributes["function_type"].value.results) - workspaces(kernel)
    return OVER in kernel.attributes or ("dry.in_place" in kernel.attributes and results > 1)


def _is_declaration(operation: Any) -> bool:
    return len(operation.regions) == 1 and not len(operation.regions[0].blocks)


def _listed(
    found: Buffers, steps: Sequence[Step], kernels: Mapping[str, Kernel], costs: Mapping[str, Cost]
) -> Iterator[KernelCall]:
    """What runs, in execution order, for reports."""
    calls = {call.name: call for call in found.calls}
    for step in steps:
        for copy in step.copies:
            buffer = found.buffers[copy.buffer]
            yield KernelCall(copy.levels, "copy", buffer.where, 2 * buffer.size, 0)
        op, cost = calls[step.call].op, costs[step.call]
        kernel = kernels[op.attributes["callee"].value]
        places = ", ".join(map(str, ir_places(op)))
        read = [found.buffers[name] for name in calls[step.call].inputs]
        weights = tuple(found.weights[each.slot] for each in read if each.kind == "weight")
        yield KernelCall(kernel.name, kernel.kind, places, cost.bytes, cost.flops, weights)


def _weights(program: Program, found: Buffers) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Keys and stored elements of the weights, the ones that only initialize states last."""
    dtypes = {
        op.operation.attributes["key"].value: storage_element(op.operation.results[0].type)
        for op in _weight_ops(program)
    }
    for key, spec in zip(program.signature.initial, program.signature.states, strict=True):
        dtypes.setdefault(key, spec.dtype)
    keys = tuple(dict.fromkeys([*found.weights, *program.signature.initial]))
    return keys, tuple(dtypes[key] for key in keys)


def _weight_ops(program: Program) -> Iterable[Any]:
    return (op for op in walk(function(program, "main")) if op.operation.name == "dry.weight")
