"""The pass `check-integers`: nothing is computed with real numbers between inputs and outputs."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.errors import InternalError
from drystone.ir.program import Program
from drystone.ir.values import captured, is_tensor, main_block, nested
from drystone.mlir import ir
from drystone.passes.rewriting import ops, uses


@dataclass(frozen=True)
class CheckIntegers:
    """A program whose numbers are to be integers has no float but where an argument of `@main` is rounded and
    where a result is decoded: operations whose floats are all arguments and which make integers, or which
    read integers and whose results are all returned. Any other is a fault of the passes before.

    Before:  %q = linalg.generic ins(%x) {round(x / 0.02)} ; %y = linalg.generic ins(%q) {exp(q * 0.02)}
             %z = linalg.generic ins(%y) {y + 1} ; return %z
    After:   the error "linalg.generic computes with real numbers"
    """

    name: ClassVar[str] = "check-integers"

    def run(self, program: Program) -> None:
        """Raise InternalError for what computes with real numbers."""
        for op in ops(main_block(program)):
            operation = op.operation
            if operation.name in ("arith.constant", "tensor.empty", "func.return") or not _floats(op):
                continue
            given = [value for value in (*operation.operands, *captured(op)) if _is_float(value)]
            given = [value for value in given if not _holds_nothing(value)]
            made = [value for value in operation.results if _is_float(value)]
            rounds = bool(given) and not made and all(isinstance(v.owner, ir.Block) for v in given)
            decodes = bool(made) and not given and all(_is_returned(value) for value in made)
            if not rounds and not decodes:
                raise InternalError(f"integers only: {operation.name} computes with real numbers")


def _floats(op: Any) -> bool:
    """Whether an operation has anything to do with floats."""
    inner = [each.operation for each in nested(op)]
    return any(
        _is_float(value) for each in (op.operation, *inner) for value in (*each.operands, *each.results)
    )


def _is_float(value: Any) -> bool:
    kind = value.type.element_type if is_tensor(value) else value.type
    return isinstance(kind, ir.FloatType)


def _holds_nothing(value: Any) -> bool:
    """Whether a value is a constant of a body, or memory to write to."""
    owner = value.owner
    return not isinstance(owner, ir.Block) and owner.name in ("arith.constant", "tensor.empty")


def _is_returned(value: Any) -> bool:
    return all(user.name == "func.return" for user, _ in uses(value))
