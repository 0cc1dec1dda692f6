"""From a planned program to a module of the LLVM dialect: kernels, driver, thread pool."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from drystone.codegen.calls import listed, weights_of
from drystone.codegen.cost import costs_of
from drystone.codegen.cpu.code import Code
from drystone.codegen.cpu.driver import driver
from drystone.codegen.cpu.empty import empty
from drystone.codegen.cpu.fallback.lower import lower as lower_by_passes
from drystone.codegen.cpu.finish import finish, promise
from drystone.codegen.cpu.tiles.lower import TO_LLVM, lower
from drystone.codegen.families import tile_program_of
from drystone.codegen.kernel import Kernel
from drystone.codegen.search import Point
from drystone.codegen.workspace import workspaces
from drystone.errors import InternalError
from drystone.ir.buffers import OVER, buffers
from drystone.ir.program import Program
from drystone.ir.steps import Step
from drystone.ir.values import function
from drystone.mlir import ir, parse, run_pipeline
from drystone.targets.target import CpuTarget, Target


def generate(
    program: Program,
    steps: Sequence[Step],
    target: Target,
    schedules: Mapping[str, Point] | None = None,
) -> Code:
    """Code for an outlined program, as its plan's steps say.

    schedules: by the name of a kernel function, the point of its search space that it is built at; the
    families choose for the others. Raises InternalError for a target that is no x86-64 CPU.
    """
    if not isinstance(target, CpuTarget):
        raise InternalError(f"{target.name} is no x86-64 CPU")
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
    parts = ["pool.mlir", *(["windows.mlir"] if any(step.windows for step in steps) else [])]
    shared = "".join(files(__package__).joinpath(name).read_text() for name in parts)
    module = parse(shared + text, context)
    with context, ir.Location.unknown():
        for name, source in parsed.items():
            _add(module, source, name, not _overlaps(function(program, name)))
        run_pipeline(module, TO_LLVM)
        finish(module, target)
    weights, dtypes = weights_of(program, found)
    kinds = {name: kernel.kind for name, kernel in kernels.items()}
    tiles = any(kernel.tiles for kernel in kernels.values())
    # LLVM itself makes no use of tile registers.
    required = tuple(flag for flag in target.required if tiles or not flag.startswith("amx_"))
    return Code(module, tuple(listed(found, steps, kinds, costs)), weights, dtypes, messages, required)


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
