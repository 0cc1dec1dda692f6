"""Scalar operations: dialects arith, math, complex and affine, and constants."""

from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir import scalars
from drystone.ir.constants import constant_array
from drystone.ir.elements import to_element
from drystone.ir.interpreter.machine import Machine, element_name, handles
from drystone.mlir import ir


@handles("arith.constant", "complex.constant")
def _constant(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [constant_array(op)]


@handles("arith.*", "math.*", "complex.*")
def _apply(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    operation = op.operation
    attributes = {}
    if "predicate" in operation.attributes:
        attributes["predicate"] = str(ir.IntegerAttr(operation.attributes["predicate"]).value)
    dtype = element_name(operation.results[0].type)
    if operation.name == "arith.select" and args[0].ndim == 0 and args[1].ndim + args[2].ndim > 0:
        # Whole tensors are chosen, whose shapes need not agree.
        return [args[1] if args[0] else args[2]]
    return [scalars.apply(operation.name, args, attributes, dtype)]


@handles("arith.addui_extended")
def _add_with_carry(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    total = scalars.apply("arith.addi", args, {}, element_name(op.operation.results[0].type))
    return [total, scalars.apply("arith.cmpi", [total, args[0]], {"predicate": "ult"}, "i1")]


@handles("arith.subui_extended")
def _subtract_with_borrow(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    difference = scalars.apply("arith.subi", args, {}, element_name(op.operation.results[0].type))
    return [difference, scalars.apply("arith.cmpi", args, {"predicate": "ult"}, "i1")]


@handles("arith.mulsi_extended", "arith.mului_extended")
def _wide_product(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    dtype = element_name(op.operation.results[0].type)
    bits = args[0].dtype.itemsize * 8
    unsigned = op.operation.name == "arith.mului_extended"
    a, b = (np.asarray(x).astype(object) % (1 << bits) if unsigned else x.astype(object) for x in args)
    low, high = (a * b) % (1 << bits), (a * b) >> bits
    halves = [np.asarray(half % (1 << bits)).astype(np.uint64) for half in (low, high)]
    return [to_element(half, dtype) for half in halves]


def affine_value(expr: Any, dims: list[Array], symbols: list[Array]) -> Array:
    """The value of an affine expression."""
    expr = expr.maybe_downcast()
    match expr:
        case ir.AffineConstantExpr():
            return np.asarray(expr.value)
        case ir.AffineDimExpr():
            return dims[int(expr.position)]
        case ir.AffineSymbolExpr():
            return symbols[int(expr.position)]
    left, right = (affine_value(side, dims, symbols) for side in (expr.lhs, expr.rhs))
    match expr:
        case ir.AffineAddExpr():
            return np.asarray(left + right)
        case ir.AffineMulExpr():
            return np.asarray(left * right)
        case ir.AffineModExpr():
            return np.asarray(left % right)
        case ir.AffineFloorDivExpr():
            return np.asarray(left // right)
    return np.asarray(-(-left // right))


@handles("affine.apply", "affine.min", "affine.max")
def _affine(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    attribute = next(op.operation.attributes[name] for name in ("map",) if name in op.operation.attributes)
    affine_map = ir.AffineMapAttr(attribute).value
    count = affine_map.n_dims
    values = [affine_value(expr, args[:count], args[count:]) for expr in affine_map.results]
    choose = np.maximum if op.operation.name == "affine.max" else np.minimum
    found = values[0]
    for value in values[1:]:
        found = choose(found, value)
    return [np.asarray(found, np.int64)]
