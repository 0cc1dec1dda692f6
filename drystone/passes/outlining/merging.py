"""Outlined kernels that become one: calls, what they compute, and one call in the place of several."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from drystone.ir.program import Program
from drystone.ir.values import main_block, nested
from drystone.mlir import func, ir
from drystone.passes.outlining.kernels import name_kernel
from drystone.passes.rewriting import erase_dead, ops


@dataclass(frozen=True)
class Called:
    """A call of a kernel of operations of the dialect only, its function, and its operations in order."""

    call: Any
    kernel: Any
    mains: tuple[Any, ...]

    def given(self, argument: Any) -> Any:
        """What the call gives for an argument of the kernel."""
        return self.call.operands[list(self.kernel.entry_block.arguments).index(argument)]

    @property
    def inputs(self) -> list[Any]:
        """The operands of the call but for the destinations."""
        return list(self.call.operands)[: len(self.call.operands) - len(self.call.results)]

    @property
    def inits(self) -> list[Any]:
        """The destinations."""
        return list(self.call.operands)[len(self.call.operands) - len(self.call.results) :]


class Merger:
    """Merges calls of a program's kernels."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.kernels = {
            op.operation.attributes["sym_name"].value: op for op in program.module.body.operations
        }
        self.names = set(self.kernels)

    def called(self, call: Any, kinds: Set[str]) -> Called | None:
        """What a call computes; None where its kernel has operations of other kinds."""
        kernel = self.kernels[call.attributes["callee"].value]
        inner = [op.operation for op in kernel.entry_block.operations]
        mains = tuple(op for op in inner if op.name in kinds)
        others = {op.name for op in inner} - kinds - {"arith.constant", "func.return"}
        return Called(call, kernel, mains) if mains and not others else None

    def made_by(self, value: Any, kinds: Set[str]) -> Called | None:
        """The call that makes a value, if its kernel has operations of these kinds only."""
        made = value.owner
        if isinstance(made, ir.Block) or made.name != "func.call":
            return None
        return self.called(made, kinds)

    def merge(self, group: Sequence[Called], wanted: Sequence[Any], place: Any, kind: str) -> Any:
        """One call in the place of several, before one of them, `place`. wanted: those of their results that
        are its own; the others are read by the group alone."""
        made = [result for each in group for result in each.call.results]
        inits = {
            result: init
            for each in group
            for result, init in zip(each.call.results, each.inits, strict=True)
            if result in wanted
        }
        inputs: list[Any] = []
        for each in group:
            inputs += [value for value in each.inputs if value not in inputs and value not in made]
        types = [value.type for value in wanted]
        outside = [*inputs, *(inits[value] for value in wanted)]
        with ir.InsertionPoint(self.program.module.body), ir.Location.unknown():
            kernel = func.FuncOp("kernel", ([v.type for v in outside], types), visibility="private")
            block = kernel.add_entry_block()
        known = dict(zip(outside, block.arguments, strict=True))
        with ir.InsertionPoint(block):
            for each in group:
                known.update(zip(each.call.results, _copied(each, known), strict=True))
            with place.location:
                func.ReturnOp([known[value] for value in wanted])
        # One part for each of the calls it stands for.
        layers = ir.Location.fused([each.call.location for each in group])
        with ir.InsertionPoint(place), layers:
            call = func.CallOp(types, "kernel", outside).operation
        name_kernel(kernel, call, kind, self.names)
        self.kernels.setdefault(call.attributes["callee"].value, kernel)
        for value, new in zip(wanted, call.results, strict=True):
            value.replace_all_uses_with(new)
        for each in reversed(group):
            each.call.erase()
        return call

    def drop_unused(self) -> None:
        """Erase kernels that nothing calls any more, and destinations of what is not stored."""
        calls = ops(main_block(self.program), "func.call")
        called = {op.operation.attributes["callee"].value for op in calls}
        for name in self.kernels.keys() - called - {"main"}:
            self.kernels[name].operation.erase()
        erase_dead(main_block(self.program))


def _copied(called: Called, known: dict[Any, Any]) -> list[Any]:
    """The operations of a kernel at the insertion point; the values it returns. known: what stands for the
    operands of its call."""
    arguments = list(called.kernel.entry_block.arguments)
    inside = {
        argument: known[value]
        for argument, value in zip(arguments, called.call.operands, strict=True)
        if value in known
    }
    for op in called.kernel.entry_block.operations:
        if op.operation.name == "func.return":
            return [inside[value] for value in op.operation.operands]
        copy = op.operation.clone()
        for each in [copy, *(inner.operation for inner in nested(copy.opview))]:
            for number, value in enumerate(each.operands):
                if value in inside:
                    each.operands[number] = inside[value]
        inside.update(zip(op.operation.results, copy.results, strict=True))
    return []
