"""What code of any kind is told of: the calls that it makes, and the weights that it reads."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.cost import Cost
from drystone.ir.buffers import Buffers
from drystone.ir.encoded import storage_element
from drystone.ir.program import Program
from drystone.ir.steps import Step
from drystone.ir.values import function
from drystone.mlir import ir_places, walk


@dataclass(frozen=True)
class KernelCall:
    """One kernel call, or a copy between memory levels, for reports: the kernel's name, its kind (family),
    the model's line, bytes touched and arithmetic operations at the symbols' upper bounds, and the weights
    that it reads."""

    name: str
    kind: str
    where: str
    bytes: int
    flops: int
    weights: tuple[str, ...] = ()


def listed(
    found: Buffers, steps: Sequence[Step], kinds: Mapping[str, str], costs: Mapping[str, Cost]
) -> Iterator[KernelCall]:
    """What runs, in execution order, for reports; kinds: the families of kernel functions, by their names."""
    calls = {call.name: call for call in found.calls}
    for step in steps:
        for copy in step.copies:
            buffer = found.buffers[copy.buffer]
            yield KernelCall(copy.levels, "copy", buffer.where, 2 * buffer.size, 0)
        op, cost = calls[step.call].op, costs[step.call]
        callee = op.attributes["callee"].value
        places = ", ".join(map(str, ir_places(op)))
        read = [found.buffers[name] for name in calls[step.call].inputs]
        weights = tuple(found.weights[each.slot] for each in read if each.kind == "weight")
        yield KernelCall(callee, kinds[callee], places, cost.bytes, cost.flops, weights)


def weights_of(program: Program, found: Buffers) -> tuple[tuple[str, ...], tuple[str, ...]]:
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
