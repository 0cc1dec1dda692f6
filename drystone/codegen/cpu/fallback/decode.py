"""Kernels of upstream passes know plain tensors only: arguments held otherwise are decoded around them."""

from typing import Any

from drystone.codegen.cpu.fallback.sparse import is_sparse
from drystone.ir.encoded import codes_of
from drystone.ir.values import is_tensor, shape
from drystone.mlir import arith, ir, tensor


def decode_arguments(function: Any) -> None:
    """Give a kernel function arguments of the elements they are held as.

    Before: (%x: tensor<4xf32, #dry.enc<"bf16", ..>>, %init: ..) { %r = f(%x, %init); return %r }
    After:  (%x: tensor<4xbf16>, %init: tensor<4xbf16>) { %r = f(extf %x, empty); return truncf %r }
    """
    block = function.regions[0].blocks[0]
    operations = [op.operation for op in block.operations]
    arguments, last = list(block.arguments), operations[-1]
    given = [argument for argument in arguments if is_tensor(argument)]
    inits = given[len(given) - len(last.operands) :]
    for argument in (a for a in given if a.type.encoding is not None and not is_sparse(a.type)):
        readers = [(use.owner.operation, use.operand_number) for use in argument.uses]
        plain = ir.RankedTensorType.get(argument.type.shape, argument.type.element_type)
        held = ir.RankedTensorType.get(plain.shape, ir.Type.parse(codes_of(argument.type).held_as))
        argument.set_type(held)
        with ir.InsertionPoint.at_block_begin(block), function.operation.location:
            inside = _empty(argument, plain) if argument in inits else arith.ExtFOp(plain, argument).result
        for reader, number in readers:
            reader.operands[number] = inside
        if argument in inits:
            number = inits.index(argument)
            with ir.InsertionPoint(last), function.operation.location:
                last.operands[number] = arith.TruncFOp(held, last.operands[number]).result
    for operation in operations[:-1]:  # what was written over an encoded destination
        for result in operation.results:
            if is_tensor(result) and result.type.encoding is not None:
                result.set_type(ir.RankedTensorType.get(result.type.shape, result.type.element_type))
    kinds = [[value.type for value in values] for values in (arguments, last.operands)]
    function.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(*kinds))


def _empty(like: Any, kind: Any) -> Any:
    """A tensor.empty of a plain type with the extents of an argument."""
    sizes: list[Any] = []
    for axis, extent in enumerate(shape(like)):
        index = arith.ConstantOp(ir.IndexType.get(), axis).result
        sizes.append(tensor.DimOp(like, index).result if extent is None else extent)
    return tensor.EmptyOp(sizes, kind.element_type).result
