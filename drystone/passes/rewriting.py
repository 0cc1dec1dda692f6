"""What several passes need of the IR: finding, testing and replacing operations of `@main`."""

from collections.abc import Callable, Iterable
from typing import Any

from drystone.ir.program import Program
from drystone.mlir import arith, ir

#: Operations of `@main` that must stay though nothing uses their results.
_EFFECTS = frozenset({"func.return", "cf.assert"})


def main(program: Program) -> Any:
    """The function `@main`."""
    for op in program.module.body.operations:
        if op.operation.name == "func.func" and op.operation.attributes["sym_name"].value == "main":
            return op
    raise ValueError("the module has no function @main")


def entry(program: Program) -> Any:
    """The one block of `@main`."""
    return main(program).operation.regions[0].blocks[0]


def ops(block: Any, *names: str) -> list[Any]:
    """The operations of a block, of the given full names only where any are given, as typed views. A copy:
    the block may be changed while it is walked."""
    found = list(block.operations)
    return found if not names else [op for op in found if op.operation.name in names]


def producer(value: Any) -> Any:
    """The operation that makes a value, as a typed view; None for a block argument."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.opview


def producer_name(value: Any) -> str:
    """The full name of the operation that makes a value; "" for a block argument."""
    owner = value.owner
    return "" if isinstance(owner, ir.Block) else str(owner.operation.name)


def uses(value: Any) -> list[tuple[Any, int]]:
    """(operation, operand number) of every use."""
    return [(use.owner.operation, use.operand_number) for use in value.uses]


def only_user(value: Any) -> Any:
    """The operation with the only use of a value, as a typed view; None where there are none or several."""
    found = uses(value)
    return found[0][0].opview if len(found) == 1 else None


def is_tensor(value: Any) -> bool:
    """Whether the value is a ranked tensor."""
    return isinstance(value.type, ir.RankedTensorType)


def shape(value: Any) -> list[int | None]:
    """The extents of a tensor, None where dynamic."""
    kind = value.type
    return [None if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in range(kind.rank)]


def tensor_type(extents: Iterable[int | None], element: Any) -> Any:
    """The plain tensor type of these extents (None where dynamic)."""
    dynamic = ir.ShapedType.get_dynamic_size()
    return ir.RankedTensorType.get([dynamic if n is None else n for n in extents], element)


def attribute(op: Any, name: str) -> Any:
    """An attribute of an operation; None where it has none of this name."""
    return op.operation.attributes.get(name, None)


def operand_groups(op: Any) -> list[list[Any]]:
    """The operands of an operation by its operand segments (one group where it has none)."""
    operands = list(op.operation.operands)
    sizes = attribute(op, "operandSegmentSizes")
    if sizes is None:
        return [operands]
    groups, at = [], 0
    for size in sizes:
        groups.append(operands[at : at + size])
        at += size
    return groups


def constant_value(value: Any) -> Any:
    """The attribute of an arith.constant (a tensor's or a scalar's); None for any other value."""
    if producer_name(value) != "arith.constant":
        return None
    return value.owner.operation.attributes["value"]


def splat(constant: Any) -> Any:
    """The attribute of the one value that all elements of a tensor's constant are; None where they differ, or
    are held where the bindings cannot see them (dense_resource)."""
    known = isinstance(constant, ir.DenseElementsAttr) and constant.is_splat
    return constant.get_splat_value() if known else None


def constant_int(value: Any) -> int | None:
    """The Python int of an integer or index constant; None for any other value."""
    found = constant_value(value)
    return int(found.value) if isinstance(found, ir.IntegerAttr | ir.BoolAttr) else None


def index_constant(value: int) -> Any:
    """An index constant at the current insertion point."""
    return arith.ConstantOp(ir.IndexType.get(), value).result


def captured(op: Any) -> list[Any]:
    """Values that the regions of an operation use but that are defined outside of it, each once, in order."""
    root = op.operation
    found: list[Any] = []
    if not len(root.regions):
        return found

    def inside(value: Any) -> bool:
        owner = value.owner
        block = owner if isinstance(owner, ir.Block) else owner.operation.block
        above = block.owner.operation
        while above is not None and above.name != "builtin.module":
            if above == root:
                return True
            above = above.parent
        return False

    for inner in nested(root):
        for value in inner.operation.operands:
            if value not in found and not inside(value):
                found.append(value)
    return found


def nested(op: Any) -> list[Any]:
    """Every operation in the regions of an operation, outermost first."""
    found = []
    for region in op.operation.regions:
        for block in region.blocks:
            for inner in block.operations:
                found.append(inner)
                if len(inner.operation.regions):
                    found.extend(nested(inner))
    return found


def erase_dead(block: Any, keep: Callable[[Any], bool] = lambda op: False) -> None:
    """Erase the operations of a block whose results nobody uses, but for asserts and returns."""
    for op in reversed(list(block.operations)):
        operation = op.operation
        if operation.name in _EFFECTS or keep(op):
            continue
        if not any(True for result in operation.results for _ in result.uses):
            operation.erase()
