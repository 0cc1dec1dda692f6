"""The pass `fold-constants`: what depends on weights alone is computed now."""

from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import DTYPES, Array
from drystone.ir.buffers import VIEWS
from drystone.ir.interpreter.machine import Machine
from drystone.ir.program import Program
from drystone.ir.values import captured, constant_value, is_tensor, main_block, nested, producer_name, splat
from drystone.mlir import arith, ir
from drystone.passes.rewriting import erase_dead, ops, uses
from drystone.passes.weights import drop_unused, new_weight, weight_key

_FOLDED = ("linalg.", "tensor.", "tm_tensor.", "dry.", "arith.", "math.")


@dataclass(frozen=True)
class FoldConstants:
    """Evaluate with the reference interpreter whatever has only weights and constants for inputs.

    Before:  %w = "dry.weight"() {key = "w"} ; %s = linalg.generic ins(%w) {rsqrt(w + eps)}
    After:   %s = "dry.weight"() {key = "w.folded"}

    - Not where a result would hold more than `limit` bytes and twice those of the operation's inputs (a
      broadcast); not a fill; a reshape or slice only where the whole weight is not needed besides.
    - Constants with several values go to the weight store, and those that a `dry` operation reads.
    - Scalars become arith.constant, also inside the regions of linalg operations.
    - Weights that nothing names any more leave the store.
    """

    limit: int = 2**20
    name: ClassVar[str] = "fold-constants"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        folder = _Folder(program, self.limit)
        for op in ops(block):
            folder.look(op)
        folder.replace()
        erase_dead(block)
        drop_unused(program)


def _bytes(value: Any) -> int:
    kind = value.type
    if not is_tensor(value) or not kind.has_static_shape or str(kind.element_type) not in DTYPES:
        return 0
    item: int = np.dtype(DTYPES[str(kind.element_type)]).itemsize
    return int(prod(kind.shape)) * item


@dataclass
class _Folder:
    """Finds and evaluates. `known`: operations, in order, that depend on weights and constants only."""

    program: Program
    limit: int
    known: dict[Any, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machine = Machine(self.program.weights, {})

    def look(self, op: Any) -> None:
        """Note an operation whose results can be computed now."""
        operation = op.operation
        name = operation.name
        if name in ("dry.weight", "arith.constant"):
            self.known[operation] = None
            return
        if name.startswith("linalg."):
            self._scalars(op)
        if not name.startswith(_FOLDED) or not len(operation.results):
            return
        needed = [*operation.operands, *captured(op)]
        if any(isinstance(v.owner, ir.Block) or v.owner.operation not in self.known for v in needed):
            return
        if name != "tensor.empty" and any(
            is_tensor(r) and not self._fits(r, needed) for r in operation.results
        ):
            return
        self.known[operation] = None

    def _fits(self, result: Any, needed: list[Any]) -> bool:
        size = _bytes(result)
        given = sum(_bytes(v) for v in needed if producer_name(v) not in ("tensor.empty", "linalg.fill"))
        return size > 0 and (size <= self.limit or size <= 2 * given)

    def _scalars(self, op: Any) -> None:
        """Compute operations on constants inside a region."""
        for inner in nested(op):
            operation = inner.operation
            operands = list(operation.operands)
            if not operands or len(operation.results) != 1 or not operation.name.startswith(_FOLDED):
                continue
            if all(constant_value(v) is not None and not is_tensor(v) for v in operands):
                for value in operands:
                    self.machine.run(value.owner)
                self.machine.run(inner)
                with ir.InsertionPoint.at_block_begin(op.operation.block), operation.location:
                    made = _constant(self.machine.values[operation.results[0]], operation.results[0].type)
                operation.results[0].replace_all_uses_with(made)
                self.known[made.owner.operation] = None
                operation.erase()

    def replace(self) -> None:
        """Put weights and constants in place of the results that the rest of the program reads."""
        wanted = [value for op in self.known for value in op.results if self._is_wanted(op, value)]
        self._evaluate(wanted)
        for value in wanted:
            op = value.owner.operation
            array = self.machine.values[value]
            with ir.InsertionPoint(op), op.location:
                made = self._weight(value, array) if is_tensor(value) else _constant(array, value.type)
            value.replace_all_uses_with(made)

    def _is_wanted(self, op: Any, value: Any) -> bool:
        users = [user for user, _ in uses(value) if self._outer(user) not in self.known]
        if not users or op.name in ("dry.weight", "tensor.empty", "linalg.fill"):
            return False
        if op.name == "arith.constant":
            if not is_tensor(value) or str(value.type.element_type) not in DTYPES:
                return False
            several = splat(constant_value(value)) is None
            return several or any(user.name.startswith("dry.") for user in users)
        if op.name in VIEWS:
            source = op.operands[0]
            return all(self._outer(user) in self.known for user, _ in uses(source))
        return not is_tensor(value) or _bytes(value) > 0

    def _outer(self, op: Any) -> Any:
        """The operation of `@main` that an operation is, or is in a region of."""
        while op.parent.name != "func.func":
            op = op.parent.operation
        return op

    def _evaluate(self, wanted: list[Any]) -> None:
        """Run what the wanted values need, in order."""
        needed: set[Any] = set()
        stack = [value.owner.operation for value in wanted]
        while stack:
            op = stack.pop()
            if op not in needed:
                needed.add(op)
                stack.extend(v.owner.operation for v in [*op.operands, *captured(op)])
        for op in self.known:
            if op in needed:
                self.machine.run(op)

    def _weight(self, value: Any, array: Array) -> Any:
        only_maps = all(user.name == "linalg.generic" for user, _ in uses(value))
        if only_maps and array.dtype.kind in "fib" and bool(np.all(array == array.flat[0])):
            scalar = _constant(array.flat[0], value.type.element_type).owner.operation.attributes["value"]
            return arith.ConstantOp(value.type, ir.DenseElementsAttr.get_splat(value.type, scalar)).result
        key = self._origin(value)
        held = np.ascontiguousarray(array).reshape(array.shape)
        return new_weight(self.program, "constant" if key is None else f"{key}.folded", held, value.type)

    def _origin(self, value: Any) -> str | None:
        """The name of the first weight a value is computed from."""
        key = weight_key(value)
        if key is not None:
            return key.removesuffix(".folded")
        op = value.owner.operation
        for operand in [*op.operands, *captured(op)]:
            key = self._origin(operand)
            if key is not None:
                return key
        return None


def _constant(array: Array, kind: Any) -> Any:
    number = array.item()
    if isinstance(kind, ir.FloatType):
        return arith.ConstantOp(kind, ir.FloatAttr.get(kind, float(number))).result
    return arith.ConstantOp(kind, ir.IntegerAttr.get(kind, int(number))).result
