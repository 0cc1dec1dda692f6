"""What every stage asks of the IR: where a value comes from, what is known of it, what lies in a region."""

from typing import Any

from drystone.ir.program import Program
from drystone.mlir import ir


def function(program: Program, name: str) -> Any:
    """The function of this name, as an operation. Raises KeyError where there is none."""
    return ir.SymbolTable(program.module.operation)[name].operation


def main_block(program: Program) -> Any:
    """The one block of `@main`."""
    return function(program, "main").regions[0].blocks[0]


def is_tensor(value: Any) -> bool:
    """Whether the value is a ranked tensor."""
    return isinstance(value.type, ir.RankedTensorType)


def tensors(values: Any) -> list[Any]:
    """Those of the values that are ranked tensors."""
    return [value for value in values if is_tensor(value)]


def shape(value: Any) -> list[int | None]:
    """The extents of a tensor, None where dynamic."""
    return shape_of(value.type)


def shape_of(kind: Any) -> list[int | None]:
    """The extents of a tensor type, None where dynamic."""
    return [None if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in range(kind.rank)]


def producer(value: Any) -> Any:
    """The operation that makes a value, as a typed view; None for a block argument."""
    owner = value.owner
    return None if isinstance(owner, ir.Block) else owner.opview


def producer_name(value: Any) -> str:
    """The full name of the operation that makes a value; "" for a block argument."""
    owner = value.owner
    return "" if isinstance(owner, ir.Block) else str(owner.operation.name)


def uncast(value: Any) -> Any:
    """The value behind tensor.cast."""
    while producer_name(value) == "tensor.cast":
        value = value.owner.operands[0]
    return value


def constant_value(value: Any) -> Any:
    """The attribute of an arith.constant (a tensor's or a scalar's); None for any other value."""
    return value.owner.operation.attributes["value"] if producer_name(value) == "arith.constant" else None


def number_of(attribute: Any) -> float | int | None:
    """The Python number that an attribute of one float, integer or flag is; None for any other."""
    if isinstance(attribute, ir.FloatAttr):
        return float(attribute.value)
    return int(attribute.value) if isinstance(attribute, ir.IntegerAttr | ir.BoolAttr) else None


def constant_number(value: Any) -> float | int | None:
    """The number a scalar is, where an arith.constant makes it."""
    return number_of(constant_value(value))


def constant_int(value: Any) -> int | None:
    """The Python int of an integer or index constant; None for any other value."""
    found = constant_number(value)
    return found if isinstance(found, int) else None


def splat(constant: Any) -> Any:
    """The attribute of the one value that all elements of a tensor's constant are; None where they differ, or
    are held where the bindings cannot see them (dense_resource)."""
    known = isinstance(constant, ir.DenseElementsAttr) and constant.is_splat
    return constant.get_splat_value() if known else None


def dims_of(map_: Any) -> list[int | None]:
    """For each result of an affine map the dimension it is, or None where it is anything else."""
    found: list[int | None] = []
    for expr in map_.results:
        kind = expr.maybe_downcast()
        found.append(kind.position if isinstance(kind, ir.AffineDimExpr) else None)
    return found


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


def sums_of(op: Any) -> Any:
    """The element that the epilogue of a `dry` operation is given: that of the sums, which need not be the
    result's."""
    return op.operation.regions[0].blocks[0].arguments[0].type
