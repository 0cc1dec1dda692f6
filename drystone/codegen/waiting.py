"""What `@main` reads from tensors, and its checks: each is due as soon as what it needs is there, before
anything else may overwrite it."""

from collections.abc import Iterator
from typing import Any

from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir, ir_place


class Waiting:
    """The operations tensor.extract and cf.assert of an outlined program that have not run yet.

    checks: all cf.assert, in order.
    """

    def __init__(self, program: Program) -> None:
        operations = [op.operation for op in main_block(program).operations]
        self.checks = [op for op in operations if op.name == "cf.assert"]
        extracts = [op for op in operations if op.name == "tensor.extract"]
        self._left = [*extracts, *self.checks]
        self._done: set[Any] = set()

    @property
    def left(self) -> tuple[Any, ...]:
        """What still waits."""
        return tuple(self._left)

    def ran(self, op: Any) -> None:
        """Note that a call has run."""
        self._done.add(op)

    def due(self) -> Iterator[Any]:
        """The operations that can run now; each has run before the next one is looked for."""
        progress = True
        while progress:
            progress = False
            for op in list(self._left):
                if any(self.missing(value) for value in op.operands):
                    continue
                self._left.remove(op)
                yield op
                self._done.add(op)
                progress = True

    def missing(self, value: Any) -> bool:
        """Whether a value depends on a call or an extraction that has not run."""
        owner = value.owner
        if isinstance(owner, ir.Block) or owner in self._done:
            return False
        if owner.name in ("func.call", "tensor.extract"):
            return True
        missing = any(self.missing(operand) for operand in owner.operands)
        if not missing:
            self._done.add(owner)
        return missing


def message_of(op: Any) -> str:
    """What is said where a check of `@main` fails."""
    place = ir_place(op)
    text = str(op.attributes["msg"].value)
    return text if place is None else f"{text} ({place})"
