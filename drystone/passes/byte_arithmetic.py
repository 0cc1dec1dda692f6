"""Scalar arithmetic around bytes: numbers of codes, codes of numbers, epilogues that compute multiples."""

from typing import Any

from drystone.ir.values import constant_number, sums_of
from drystone.mlir import arith, ir
from drystone.passes.regions import copy_body

#: f(a x, a y) = a f(x, y) for a > 0; comparisons of such give the same.
_HOMOGENEOUS = frozenset(
    "arith." + name
    for name in (
        *("addf", "subf", "negf", "maximumf", "minimumf", "maxnumf", "minnumf"),
        *("cmpf", "select", "constant"),
    )
)
#: 1.5 * 2^23: to a number of f32 that is smaller in magnitude than 2^22 it adds up to one that ends in the
#: integer closest to it, of two the even one.
_SHIFT = 12582912.0


def real_of(code: Any) -> Any:
    """An integer as f32."""
    return arith.SIToFPOp(ir.F32Type.get(), code).result


def code_of(value: Any, largest: int) -> Any:
    """The integer closest to a number of f32, of two the even one, within +-`largest`, as a byte; of a NaN
    the least. The bounds are taken of the sum that rounds, whose last byte is the code."""
    f32 = ir.F32Type.get()
    total = arith.AddFOp(value, arith.ConstantOp(f32, _SHIFT).result).result
    for predicate, bound in (
        (arith.CmpFPredicate.OGT, _SHIFT - largest),
        (arith.CmpFPredicate.OLT, _SHIFT + largest),
    ):
        limit = arith.ConstantOp(f32, bound).result
        total = arith.SelectOp(arith.CmpFOp(predicate, total, limit).result, total, limit).result
    bits = arith.BitcastOp(ir.IntegerType.get_signless(32), total).result
    return arith.TruncIOp(ir.IntegerType.get_signless(8), bits).result


def is_homogeneous(op: Any) -> bool:
    """Whether the epilogue of a multiple of all it reads, and of its constants, is the multiple."""
    block = op.operation.regions[0].blocks[0]
    names = [each.operation.name for each in list(block.operations)[:-1]]
    return (
        str(sums_of(op)) == "f32"
        and all(name in _HOMOGENEOUS for name in names)
        and all(str(argument.type) == "f32" for argument in block.arguments)
    )


def scaled_body(block: Any, known: dict[Any, Any], factor: float) -> list[Any]:
    """`copy_body` at the insertion point, with the constants of f32 multiplied by `factor`."""
    if factor != 1:
        for op in block.operations:
            for value in op.operation.operands:
                number = constant_number(value) if str(value.type) == "f32" else None
                if number is not None and value not in known:
                    known[value] = arith.ConstantOp(value.type, float(number) * factor).result
    return copy_body(block, known)
