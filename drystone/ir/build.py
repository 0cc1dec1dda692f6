"""Small makers of attributes and epilogues, so that building `dry` operations reads like the operations."""

from collections.abc import Callable, Sequence
from typing import Any

from drystone.ir.dialect import Yield
from drystone.mlir import arith, ir, linalg


def integer(value: int) -> Any:
    """An i64 attribute."""
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


def flag(value: bool) -> Any:
    """An i1 attribute."""
    return ir.Attribute(ir.BoolAttr.get(value))


def number(value: float) -> Any:
    """An f64 attribute."""
    return ir.FloatAttr.get(ir.F64Type.get(), value)


def string(value: str) -> Any:
    """A string attribute."""
    return ir.StringAttr.get(value)


def integers(values: Sequence[int]) -> Any:
    """An array of i64 attributes."""
    return array([integer(value) for value in values])


def array(values: Sequence[Any]) -> Any:
    """An array attribute. Wrapped: the bindings' operation builders take a falsy attribute (an empty array, a
    false flag) for a missing one."""
    return ir.Attribute(ir.ArrayAttr.get(list(values)))


def maps(values: Sequence[Any]) -> Any:
    """An array of affine map attributes."""
    return array([ir.AffineMapAttr.get(value) for value in values])


def generic(
    inputs: Sequence[Any], inits: Sequence[Any], maps: Sequence[Any], iterators: Sequence[str]
) -> Any:
    """A linalg.generic without a block, results of the types of `inits`. iterators: "parallel",
    "reduction"."""
    kinds = [ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in iterators]
    return linalg.GenericOp(
        [init.type for init in inits],
        list(inputs),
        list(inits),
        ir.ArrayAttr.get([ir.AffineMapAttr.get(each) for each in maps]),
        ir.ArrayAttr.get(kinds),
    )


def mapped(
    inputs: Sequence[Any],
    init: Any,
    maps: Sequence[Any],
    body: Callable[..., Any],
    iterators: Sequence[str] | None = None,
) -> Any:
    """The result of a linalg.generic (all loops parallel where `iterators` is None): `body` makes an element
    of it from those of the inputs and the one before, at the insertion point."""
    made = generic(inputs, [init], maps, iterators or ["parallel"] * maps[0].n_dims)
    block = made.operation.regions[0].blocks.append(*(v.type.element_type for v in (*inputs, init)))
    with ir.InsertionPoint(block):
        ir.Operation.create("linalg.yield", operands=[body(*block.arguments)])
    return made.operation.results[0]


def copied(value: Any, init: Any) -> Any:
    """A linalg.generic that copies a tensor into one of the same shape that is held otherwise: how numbers
    change their encoding."""
    identity = ir.AffineMap.get_identity(init.type.rank)
    return mapped([value], init, [identity, identity], lambda element, _: element)


def scatter(before: Any, updates: Any, indices: Any, dims: Sequence[int]) -> Any:
    """A tm_tensor.scatter: a tensor with the slices `updates` [n, ..] in the place of those at `indices` [n,
    one for each of `dims`]."""
    made = ir.Operation.create(
        "tm_tensor.scatter",
        [before.type],
        [updates, indices, before],
        {
            "dimension_map": ir.DenseI64ArrayAttr.get(list(dims)),
            "unique_indices": ir.BoolAttr.get(False),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([2, 1]),
        },
        regions=1,
    )
    element = before.type.element_type
    block = made.regions[0].blocks.append(element, element)
    with ir.InsertionPoint(block):
        ir.Operation.create("tm_tensor.yield", operands=[block.arguments[0]])
    return made.results[0]


def sort(keys: Any, *others: Any) -> list[Any]:
    """Results of a tm_tensor.sort: floats by rising numbers along the last dimension, equal ones in order,
    and tensors of their shape in the same order."""
    values = [keys, *others]
    made = ir.Operation.create(
        "tm_tensor.sort",
        [value.type for value in values],
        values,
        {
            "dimension": integer(keys.type.rank - 1),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, len(values)]),
        },
        regions=1,
    )
    block = made.regions[0].blocks.append(*(v.type.element_type for v in values for _ in range(2)))
    with ir.InsertionPoint(block):
        stays = arith.CmpFOp(arith.CmpFPredicate.OLE, block.arguments[0], block.arguments[1]).result
        ir.Operation.create("tm_tensor.yield", operands=[stays])
    return list(made.results)


def identity_epilogue(op: Any, element: Any, extra_elements: Sequence[Any] = ()) -> None:
    """Give `op` the epilogue that yields its first argument unchanged."""
    block = op.epilogue.blocks[0] if len(op.epilogue.blocks) else op.epilogue.blocks.append()
    for kind in (element, *extra_elements):
        block.add_argument(kind, op.location)
    with ir.InsertionPoint(block), op.location:
        Yield(block.arguments[0])
