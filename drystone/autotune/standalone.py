"""A task's kernel as the only one of a program, and data to call it with."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.autotune.task import KERNEL, Task
from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import encode
from drystone.ir.program import Program, Signature, TensorSpec, WeightStore
from drystone.mlir import ir, parse
from drystone.runtime import memory


def weight_key(number: int) -> str:
    """The name of the weight that is the kernel's tensor argument `number`."""
    return f"w{number}"


def standalone_program(task: Task, ctx: Any) -> Program:
    """A program that calls the task's kernel once: its weights are weights, its other inputs and its
    destinations the model's."""
    kinds, results = _signature(task, ctx)
    first = len(kinds) - results
    lines, names, arguments = [], [], []
    for number, (kind, extents) in enumerate(zip(kinds, task.extents, strict=True)):
        static = _static(kind, extents)
        if number >= first:
            sizes = [n for d, n in enumerate(extents) if kind.is_dynamic_dim(d)]
            for place, size in enumerate(sizes):
                lines.append(f"%n{number}_{place} = arith.constant {size} : index")
            listed = ", ".join(f"%n{number}_{place}" for place in range(len(sizes)))
            lines.append(f"%a{number} = tensor.empty({listed}) : {kind}")
        elif number in task.weights:
            lines.append(f'%a{number} = "dry.weight"() {{key = "{weight_key(number)}"}} : () -> {kind}')
        else:
            arguments.append(f"%x{number}: {static}")
            lines.append(f"%a{number} = tensor.cast %x{number} : {static} to {kind}")
        names.append(f"%a{number}")
    outs = [(kind, _static(kind, e)) for kind, e in zip(kinds[first:], task.extents[first:], strict=True)]
    types = ", ".join(str(kind) for kind, _ in outs)
    lines.append(
        f"%r:{results} = call @{KERNEL}({', '.join(names)}) : ({', '.join(map(str, kinds))}) -> ({types})"
    )
    for i, (kind, static) in enumerate(outs):
        lines.append(f"%o{i} = tensor.cast %r#{i} : {kind} to {static}")
    returned = ", ".join(f"%o{i}" for i in range(results))
    given = ", ".join(str(static) for _, static in outs)
    body = "\n  ".join(lines)
    head = f"func.func @main({', '.join(arguments)}) -> ({given})"
    main = f"{head} {{\n  {body}\n  return {returned} : {given}\n}}\n"
    specs = [
        TensorSpec(f"x{i}", str(kind.element_type), extents)
        for i, (kind, extents) in enumerate(zip(kinds, task.extents, strict=True))
    ]
    inputs = tuple(spec for i, spec in enumerate(specs[:first]) if i not in task.weights)
    signature = Signature(inputs, tuple(specs[first:]), None, None)
    return Program(parse(task.kernel + "\n" + main, ctx), WeightStore(), signature)


@dataclass(frozen=True)
class Data:
    """Arrays for a call: weights by key, inputs, outputs, and the element of each output."""

    weights: dict[str, Array]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    elements: tuple[str, ...]


def random_data(task: Task, ctx: Any) -> Data:
    """Seeded numbers for every argument, stored as the kernel's types say."""
    kinds, results = _signature(task, ctx)
    rng = np.random.default_rng(0)
    weights, inputs, outputs, elements = {}, [], [], []
    for number, (kind, extents) in enumerate(zip(kinds, task.extents, strict=True)):
        encoding = encoding_of(kind)
        if number >= len(kinds) - results:
            shape, held = encoding.parts(extents)["codes"]
            outputs.append(memory.empty(shape, numpy_dtype(held)))
            elements.append(str(kind.element_type))
            continue
        array = memory.aligned(encode(_numbers(rng, extents, str(kind.element_type)), encoding)["codes"])
        if number in task.weights:
            weights[weight_key(number)] = array
        else:
            inputs.append(array)
    return Data(weights, tuple(inputs), tuple(outputs), tuple(elements))


def _numbers(rng: np.random.Generator, extents: tuple[int, ...], element: str) -> Array:
    if element.startswith(("f", "bf")):
        return rng.uniform(-1, 1, extents).astype(np.float64 if element == "f64" else np.float32)
    if element == "i1":
        return rng.integers(0, 2, extents).astype(np.bool_)
    low = 0 if element.startswith("ui") else -9
    return rng.integers(low, 10, extents).astype(numpy_dtype(element))


def _signature(task: Task, ctx: Any) -> tuple[list[Any], int]:
    """The types of the kernel's arguments, and how many results it has."""
    with ctx, ir.Location.unknown():
        (kernel,) = ir.Module.parse(task.kernel).body.operations
        kind = ir.FunctionType(kernel.operation.attributes["function_type"].value)
        return list(map(ir.RankedTensorType, kind.inputs)), len(kind.results)


def _static(kind: Any, extents: tuple[int, ...]) -> Any:
    with kind.context, ir.Location.unknown():
        return ir.RankedTensorType.get(list(extents), kind.element_type, encoding=kind.encoding)
