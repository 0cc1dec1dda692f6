"""What several passes do to the IR: finding, making and erasing operations of a block."""

from collections.abc import Callable, Iterable
from functools import cmp_to_key
from typing import Any

from drystone.ir.windows import is_view
from drystone.mlir import arith, ir, tensor

#: Operations of `@main` that must stay though nothing uses their results.
_EFFECTS = frozenset({"func.return", "cf.assert"})


def ops(block: Any, *names: str) -> list[Any]:
    """The operations of a block, of the given full names only where any are given, as typed views. A copy:
    the block may be changed while it is walked."""
    found = list(block.operations)
    return found if not names else [op for op in found if op.operation.name in names]


def uses(value: Any) -> list[tuple[Any, int]]:
    """(operation, operand number) of every use."""
    return [(use.owner.operation, use.operand_number) for use in value.uses]


def only_user(value: Any) -> Any:
    """The operation with the only use of a value, as a typed view; None where there are none or several."""
    found = uses(value)
    return found[0][0].opview if len(found) == 1 else None


def latest_first(found: Iterable[Any]) -> list[Any]:
    """Operations of one block, the last one first."""

    def order(one: Any, other: Any) -> int:
        return 1 if one.operation.is_before_in_block(other.operation) else -1

    return sorted(found, key=cmp_to_key(order))


def read_later(value: Any, op: Any) -> bool:
    """Whether all that reads a value, also from inside, comes after an operation that does."""

    def later(user: Any) -> bool:
        while user.block != op.operation.block:
            user = user.parent
        return bool(op.operation.is_before_in_block(user))

    return all(user == op.operation or later(user) for user, _ in uses(value))


def read_only_by(value: Any, name: str) -> bool:
    """Whether operations of this name read a value, or a view of it, and no others do."""
    readers = [user for user, _ in uses(value)]
    return bool(readers) and all(
        user.name == name or (is_view(user.opview) and read_only_by(user.results[0], name))
        for user in readers
    )


def replace(old: Any, new: Any) -> None:
    """Let every use of one tensor read another, of the same shape; the new type may know more extents."""
    if old.type != new.type:
        with ir.InsertionPoint(old.owner), old.owner.operation.location:
            new = tensor.CastOp(old.type, new).result
    old.replace_all_uses_with(new)


def tensor_type(extents: Iterable[int | None], element: Any) -> Any:
    """The plain tensor type of these extents (None where dynamic)."""
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.RankedTensorType.get([dynamic if n is None else n for n in extents], element)


def index_constant(value: int) -> Any:
    """An index constant at the current insertion point."""
    return arith.ConstantOp(ir.IndexType.get(), value).result


def erase_dead(block: Any, keep: Callable[[Any], bool] = lambda op: False) -> None:
    """Erase the operations of a block whose results nobody uses, but for asserts and returns."""
    for op in reversed(list(block.operations)):
        operation = op.operation
        if operation.name in _EFFECTS or keep(op):
            continue
        if not any(True for result in operation.results for _ in result.uses):
            operation.erase()
