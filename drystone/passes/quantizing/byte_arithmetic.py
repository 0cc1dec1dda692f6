"""Scalar arithmetic around bytes: numbers of codes, codes of numbers, epilogues that compute multiples."""

from collections.abc import Callable
from typing import Any

from drystone.errors import InternalError
from drystone.ir.values import constant_number, producer, sums_of
from drystone.mlir import arith, ir
from drystone.passes.regions import copy_value

#: f(a x, a y) = a f(x, y) for a > 0; comparisons of such give the same.
_HOMOGENEOUS = frozenset(
    "arith." + name
    for name in (
        *("addf", "subf", "negf", "maximumf", "minimumf", "maxnumf", "minnumf"),
        *("cmpf", "select", "constant"),
    )
)
#: 1.5 * 2^23: to a number of f32 that is smaller in magnitude than 2^22 it adds up to one that ends in the
#: integer closest to it, of two the even one. And the bits of that sum where the integer is 0.
_SHIFT, _BITS = 12582912.0, 0x4B400000
#: Predicates of arith.cmpf that say the left side is the larger, the smaller one: ordered or not, or equal.
_ABOVE, _BELOW = frozenset({2, 3, 9, 10}), frozenset({4, 5, 11, 12})


def real_of(code: Any) -> Any:
    """An integer as f32."""
    return arith.SIToFPOp(ir.F32Type.get(), code).result


def code_of(value: Any, low: int, high: int, offset: int = 0) -> Any:
    """The integer closest to a number of f32, of two the even one, but from `low` to `high`, of a NaN one of
    these; plus `offset`, as a byte. The bounds are taken of the bits of the sum that rounds, which are in the
    order of the numbers, all less than -1.5 * 2^23 below them; their last byte is the code."""
    total = arith.AddFOp(value, arith.ConstantOp(ir.F32Type.get(), _SHIFT).result).result
    i32 = ir.IntegerType.get_signless(32)
    bits = arith.BitcastOp(i32, total).result
    bits = arith.MaxSIOp(bits, arith.ConstantOp(i32, _BITS + low).result).result
    bits = arith.MinSIOp(bits, arith.ConstantOp(i32, _BITS + high).result).result
    bits = arith.AddIOp(bits, arith.ConstantOp(i32, offset).result).result if offset else bits
    return arith.TruncIOp(ir.IntegerType.get_signless(8), bits).result


def unclamped(value: Any, low: int, high: int, code: Callable[[float], int]) -> tuple[Any, int, int]:
    """What is to be rounded in the place of a value of an epilogue whose codes are between `low` and `high`:
    the largest or smallest of a number and a constant is rounded to what the rounded number is within the
    constant's `code`."""
    while (found := clamped(value)) is not None:
        value, bound, above = found
        limit = min(max(code(bound), low), high)
        low, high = (limit, high) if above else (low, limit)
    return value, low, high


def clamped(value: Any) -> tuple[Any, float, bool] | None:
    """(x, constant, True) of the larger one of both, (x, constant, False) of the smaller one."""
    op = producer(value)
    if op is None:
        return None
    name, operands = op.operation.name, list(op.operation.operands)
    if name in ("arith.maximumf", "arith.maxnumf", "arith.minimumf", "arith.minnumf"):
        above = name.startswith("arith.max")
    elif name == "arith.select" and (test := producer(operands[0])) is not None:
        condition, compared = test.operation, list(test.operation.operands)
        operands = operands[1:]
        if condition.name != "arith.cmpf" or compared not in (operands, operands[::-1]):
            return None
        predicate = condition.attributes["predicate"].value
        if predicate not in _ABOVE | _BELOW:
            return None
        above = (predicate in _ABOVE) == (compared == operands)
    else:
        return None
    for x, other in (operands, operands[::-1]):
        number = constant_number(other)
        if number is not None:
            return x, float(number), above
    return None


def is_homogeneous(op: Any) -> bool:
    """Whether the epilogue of a multiple of all it reads, and of its constants, is the multiple."""
    block = op.operation.regions[0].blocks[0]
    names = [each.operation.name for each in list(block.operations)[:-1]]
    return (
        str(sums_of(op)) == "f32"
        and all(name in _HOMOGENEOUS for name in names)
        and all(str(argument.type) == "f32" for argument in block.arguments)
    )


def scaled_value(block: Any, value: Any, known: dict[Any, Any], factor: float) -> Any:
    """A value of an epilogue, made anew at the insertion point from what is `known` of its block's arguments,
    with the constants of f32 multiplied by `factor`."""
    if factor != 1:
        for op in block.operations:
            for used in op.operation.operands:
                number = constant_number(used) if str(used.type) == "f32" else None
                if number is not None and used not in known:
                    known[used] = arith.ConstantOp(used.type, float(number) * factor).result
    return copy_value(value, known, _no_index)


def _no_index(dim: int) -> Any:
    raise InternalError(f"an epilogue reads its position along dimension {dim}")
