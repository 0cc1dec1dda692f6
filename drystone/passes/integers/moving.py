"""Reshapes, slices, padding and concatenation of codes."""

from typing import Any

from drystone.ir.values import constant_number
from drystone.mlir import arith, ir, tensor
from drystone.passes.integers.held import is_real_tensor
from drystone.passes.integers.making import Maker, integer
from drystone.passes.integers.regions import refused


def make_move(maker: Maker, op: Any) -> None:
    """Put the same operation on codes in the place of one on real numbers."""
    operation = op.operation
    result = operation.results[0]
    held = maker.holding.of(result)
    operands = [maker.code(value, held) if is_real_tensor(value) else value for value in operation.operands]
    kind = ir.RankedTensorType.get(result.type.shape, integer(held.bits))
    named = {key: operation.attributes[key] for key in operation.attributes}
    if operation.name != "tensor.pad":
        made = ir.Operation.create(operation.name, [kind], operands, named)
    else:
        made = ir.Operation.create(operation.name, [kind], operands, named, regions=1)
        _padding(op, made, integer(held.bits))
    maker.codes[result, held.bits] = made.results[0]


def _padding(op: Any, made: Any, element: Any) -> None:
    """Let a tensor.pad of codes have zeros around."""
    old = op.operation.regions[0].blocks[0]
    value = list(old.operations)[-1].operation.operands[0]
    if constant_number(value) != 0:
        raise refused(op, "pads with numbers that are not 0")
    block = made.regions[0].blocks.append(*[ir.IndexType.get()] * len(old.arguments))
    with ir.InsertionPoint(block):
        tensor.YieldOp(arith.ConstantOp(element, 0).result)
