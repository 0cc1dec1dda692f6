"""From a program whose operations are not yet outlined to what the choice of spans sees of it."""

from dataclasses import replace
from math import prod
from typing import Any

from drystone.ir.encoded import storage_bytes
from drystone.ir.features import feature_forms, summing_operands
from drystone.ir.pieces import Step
from drystone.ir.program import Program
from drystone.ir.values import is_tensor, main_block, producer_name, shape
from drystone.ir.windows import Form, computing, forms_of, global_average, is_view, step_of
from drystone.mlir import ints, ir, ir_place
from drystone.scheduling.budgets.streaming import AROUND
from drystone.scheduling.pieces.spans import Layer, Net
from drystone.targets.target import Target


def net_of(program: Program, target: Target) -> Net:
    """The layers of a program's `@main`, as many as `ir.windows.computing` has operations."""
    return _Reading(program, target).net()


class _Reading:
    def __init__(self, program: Program, target: Target) -> None:
        self.ops = computing(program)
        self.block = main_block(program)
        self.outputs = len(program.signature.outputs)
        self.alignment = target.levels[0].alignment
        self.names: dict[Any, str] = {}
        self.scattered: set[str] = set()
        self.apart: set[str] = set()

    def net(self) -> Net:
        found = zip(self.ops, forms_of(self.ops), feature_forms(self.ops), strict=True)
        layers = [self._layer(op, rows, features) for op, rows, features in found]
        # Inputs, states and outputs have memory of their own; what becomes a state lasts to the end.
        returned = [self.name(value) for value in list(self.block.operations)[-1].operation.operands]
        outside = {name for value, name in self.names.items() if isinstance(value.owner, ir.Block)}
        outside |= set(returned[: self.outputs])
        kept = set(returned[self.outputs :])
        return Net(
            tuple(layers),
            {name: _bytes(value) for value, name in self.names.items()},
            frozenset(outside),
            frozenset(self.scattered),
            frozenset(kept - outside),
            self.alignment,
            frozenset(self.apart),
        )

    def name(self, value: Any) -> str:
        """The name of a tensor; views have that of what they view."""
        return self.names.setdefault(_root(value), f"t{len(self.names)}")

    def _layer(self, op: Any, form: Form | None, features: Form | None) -> Layer:
        operation = op.operation
        values = [v for v in operation.operands if is_tensor(v) and _is_computed(v)]
        reads = tuple(dict.fromkeys(self.name(value) for value in values))
        if is_view(op):
            return Layer(self.name(operation.results[0]), reads, 0)
        for each in () if form is None else form.operands:
            value = operation.operands[each.number]
            # What stands before the rows keeps them apart.
            if any(n != 1 for n in shape(value)[: each.dims[0]]):
                self.scattered.add(self.name(value))
        for each in () if features is None else features.operands:
            value = operation.operands[each.number]
            if any(n != 1 for n in shape(value)[: each.dims[0]]):
                self.apart.add(self.name(value))
        averages = form is not None and global_average(op)
        step = None if form is None or averages else step_of(op, form, self.name)
        elementwise = operation.name == "linalg.generic" and form is not None
        place = ir_place(operation)
        used = [self.name(value) for value in operation.results if list(value.uses)]
        result, *others = used or [self.name(operation.results[0])]
        return Layer(
            result,
            reads,
            _work(op),
            step,
            averages,
            elementwise,
            "" if place is None else str(place),
            self._features(op, features),
            "" if summing_operands(op) is None else self.name(operation.operands[0]),
            tuple(_read_at_once(operation, value) for value in dict.fromkeys(operation.operands)),
            tuple(others),
        )

    def _features(self, op: Any, form: Form | None) -> Step | None:
        """How features are divided: of weights there are parts, so that only what is computed is cut."""
        if form is None:
            return None
        read = tuple(each for each in form.operands if _is_computed(op.operation.operands[each.number]))
        return step_of(op, replace(form, operands=read), self.name)


def _root(value: Any) -> Any:
    """What a tensor is a view of."""
    while not isinstance(value.owner, ir.Block) and is_view(value.owner):
        value = value.owner.operands[0]
    return value


def _read_at_once(operation: Any, value: Any) -> int:
    """Bytes that an operation reads of a weight, of a table with what comes along with its rows."""
    if producer_name(value) != "dry.weight":
        return 0
    if operation.name != "dry.embedding":
        return _bytes(value)
    rows = prod(n or 1 for n in shape(operation.results[0])[:-1])
    return min(_bytes(value), rows * (AROUND + _bytes(value) // (shape(value)[0] or 1)))


def _is_computed(value: Any) -> bool:
    return producer_name(_root(value)) not in ("dry.weight", "arith.constant", "tensor.empty", "linalg.fill")


def _bytes(value: Any) -> int:
    """Bytes of a tensor; 0 where they are known at the call alone."""
    return 0 if None in shape(value) else storage_bytes(value.type)


def _work(op: Any) -> int:
    """Multiply-adds of an operation; a map or a pooling counts an operation for every element it reads."""
    operation = op.operation
    elements = [prod(n or 1 for n in shape(value)) for value in operation.results if is_tensor(value)]
    made = sum(elements)
    if operation.name == "dry.conv":
        return made * prod(n or 1 for n in shape(operation.operands[1])[1:])
    if operation.name == "dry.matmul":
        return made * (shape(operation.operands[0])[-1] or 1)
    return made * prod(ints(operation.attributes["kernel"])) if operation.name == "dry.pool" else made
