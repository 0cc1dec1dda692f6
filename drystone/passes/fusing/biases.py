"""Biases of products and convolutions: weights along their output channels, added to their sums."""

from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import mapped
from drystone.ir.elements import to_element, widen
from drystone.ir.program import Program
from drystone.ir.shapes import channel_axis, layouts
from drystone.ir.values import dims_of
from drystone.mlir import arith, ir
from drystone.passes.dims import empty_like
from drystone.passes.fusing.epilogues import extras_of
from drystone.passes.generic import unwidened
from drystone.passes.rewriting import only_user, tensor_type, uses
from drystone.passes.weights import new_weight, weight_key


def output_axis(op: Any) -> int:
    """The axis of the output channels in what a product or a convolution gives."""
    rank = int(op.operation.results[0].type.rank)
    if op.operation.name == "dry.matmul":
        return rank - 1
    return channel_axis(layouts(op.operation.attributes["layout"].value)[1], rank)


def bias_of(op: Any) -> int | None:
    """The number of the operand that an epilogue adds to the sums first, where that is a weight along the
    output channels, or one in a longer float; None where there is no such."""
    arguments = list(op.operation.regions[0].blocks[0].arguments)
    step = only_user(arguments[0])
    if step is None or step.operation.name != "arith.addf":
        return None
    others = [value for value in step.operation.operands if value != arguments[0]]
    for number, (value, map_) in enumerate(extras_of(op)):
        along = (
            weight_key(unwidened(value)) is not None
            and value.type.rank == 1
            and dims_of(map_) == [output_axis(op)]
        )
        if along and others == [arguments[1 + number]]:
            return 2 + number
    return None


def add_to_bias(program: Program, op: Any, key: str, change: Array) -> None:
    """Add `change`, f64 [outputs], to the bias of a product or a convolution: another weight in its place,
    and one of the name `key` that is added to the result where there is none."""
    number, operation = bias_of(op), op.operation
    if number is not None:
        old = operation.operands[number]
        held = program.weights[str(weight_key(unwidened(old)))]
        array = to_element(widen(held).astype(np.float64) + change, str(old.type.element_type))
        with ir.InsertionPoint(op), operation.location:
            operation.operands[number] = new_weight(program, key, array, old.type)
        return
    result = operation.results[0]
    element, rank, readers = result.type.element_type, result.type.rank, uses(result)
    along = ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(output_axis(op))])
    same = ir.AffineMap.get_identity(rank)
    with ir.InsertionPoint.after(operation), operation.location:
        bias = new_weight(program, key, to_element(change, str(element)), tensor_type(change.shape, element))
        made = mapped([result, bias], empty_like(result), [same, along, same], _plus)
    for reader, place in readers:
        reader.operands[place] = made


def _plus(a: Any, b: Any, _: Any) -> Any:
    return arith.AddFOp(a, b).result
