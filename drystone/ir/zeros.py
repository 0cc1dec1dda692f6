"""Which numbers of a scalar region make what it yields 0, whatever the others are."""

from typing import Any

from drystone.ir.values import constant_number, producer
from drystone.mlir import ir

#: The predicate `ole` of arith.cmpf.
AT_MOST = 5
#: Operations that make 0 of 0, and nothing else 0 of what is not (but for what is too small for the element).
_KEEP = ("arith.extf", "arith.truncf", "arith.negf", "math.absf")


def factors_of(value: Any) -> list[Any]:
    """What a scalar is a product of, through changes of the element: every value that makes it 0 where it is
    0 and the others are finite. The value itself is the first."""
    made = producer(value)
    found = [value]
    if made is not None and made.operation.name in _KEEP:
        found += factors_of(made.operation.operands[0])
    elif made is not None and made.operation.name == "arith.mulf":
        found += [each for operand in made.operation.operands for each in factors_of(operand)]
    elif (kept := threshold_of(value)) is not None:
        both = dict.fromkeys((kept[0], made.operation.operands[2]))
        found += [each for x in both for each in factors_of(x)]
    return found


def factors(block: Any) -> list[int]:
    """The places of those arguments of a region's block, but the first, that are factors of what it yields:
    of an epilogue, the numbers of these extras."""
    *_, last = block.operations
    arguments = list(block.arguments)[1:]
    found = factors_of(last.operation.operands[0])
    return [number for number, argument in enumerate(arguments) if argument in found]


def threshold_of(value: Any) -> tuple[Any, Any] | None:
    """What a scalar is kept by, and the limit: x and t of select(|x| <= t, 0, y), where y is often x itself
    and t no negative number. None for any other value."""
    made = producer(value)
    if made is None or made.operation.name != "arith.select":
        return None
    condition, zero, _ = made.operation.operands
    compared = producer(condition)
    if compared is None or compared.operation.name != "arith.cmpf" or constant_number(zero) != 0:
        return None
    size, limit = compared.operation.operands
    magnitude = producer(size)
    if magnitude is None or magnitude.operation.name != "math.absf":
        return None
    at_most = ir.IntegerAttr(compared.operation.attributes["predicate"]).value == AT_MOST
    return (magnitude.operation.operands[0], limit) if at_most else None
