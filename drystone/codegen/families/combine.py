"""How the region of a reduction combines an element with what there was before."""

from collections.abc import Callable
from typing import Any

from drystone.codegen.elements import limits
from drystone.codegen.families.generic import Generic
from drystone.codegen.families.outlined import number
from drystone.codegen.families.region import predicate
from drystone.ir.values import producer_name
from drystone.mlir import ir

#: How the second result of an argmax combines.
PLACE = "place"

_NEUTRAL: dict[str, Callable[[str], float]] = {
    "arith.addf": lambda dtype: 0.0,
    "arith.addi": lambda dtype: 0,
    "arith.mulf": lambda dtype: 1.0,
    "arith.muli": lambda dtype: 1,
    "arith.maximumf": lambda dtype: -float("inf"),
    "arith.maxnumf": lambda dtype: -float("inf"),
    "arith.minimumf": lambda dtype: float("inf"),
    "arith.minnumf": lambda dtype: float("inf"),
    "arith.maxsi": lambda dtype: limits(dtype)[0],
    "arith.minsi": lambda dtype: limits(dtype)[1],
    "arith.maxui": lambda dtype: 0,
    "arith.minui": lambda dtype: -1,
    "arith.andi": lambda dtype: 1 if dtype == "i1" else -1,
    "arith.ori": lambda dtype: 0,
    "arith.xori": lambda dtype: 0,
    PLACE: lambda dtype: 0,
}
_BEATS = {
    **dict.fromkeys(("arith.maximumf", "arith.maxnumf"), ("ogt", "ugt")),
    **dict.fromkeys(("arith.minimumf", "arith.minnumf"), ("olt", "ult")),
    "arith.maxsi": ("sgt",),
    "arith.minsi": ("slt",),
    "arith.maxui": ("ugt",),
    "arith.minui": ("ult",),
}


def neutral(name: str, dtype: str) -> float:
    """The element that combines with any other to that other."""
    return _NEUTRAL[name](dtype)


def combiners(op: Generic) -> list[str] | None:
    """The operation that combines each result with its old content (argmax: then PLACE for its second); None
    where a region does otherwise."""
    yielded = list(list(op.block.operations)[-1].operation.operands)
    names = [_combiner(op, place, value) for place, value in enumerate(yielded)]
    found = [name for name in names if name is not None]
    return found if len(found) == len(names) else _argmax(op, yielded)


def _combiner(op: Generic, place: int, value: Any) -> str | None:
    """The operation, where it is the only one to see the old content and nothing else sees its result."""
    name, old = producer_name(value), _old(op, place)
    if name not in _NEUTRAL or len(list(value.uses)) != 1:
        return None
    alone = len(list(old.uses)) == 1 and old in list(value.owner.operands)
    return name if alone else None


def _argmax(op: Generic, yielded: list[Any]) -> list[str] | None:
    """Yields (best(x, old), select(x beats old, place, old place)) and starts from the neutral element."""
    if len(yielded) != 2:
        return None
    name, (best, choice) = producer_name(yielded[0]), (value.owner for value in yielded)
    if name not in _BEATS or producer_name(yielded[1]) != "arith.select":
        return None
    old, old_place, beaten = _old(op, 0), _old(op, 1), choice.operands[0]
    if producer_name(beaten) not in ("arith.cmpf", "arith.cmpi"):
        return None
    x = next((value for value in best.operands if value != old), None)
    beats = predicate(beaten.owner) in _BEATS[name] and list(beaten.owner.operands) == [x, old]
    if not beats or old not in list(best.operands) or choice.operands[2] != old_place:
        return None
    starts = [number(operand.source) for operand in op.operands[-2:] if isinstance(operand.source, ir.Value)]
    known = starts == [neutral(name, op.results[0].tensor.dtype), 0]
    return [name, PLACE] if known else None


def _old(op: Generic, place: int) -> Any:
    """The block argument that stands for the old content of a result."""
    return list(op.block.arguments)[len(op.operands) - len(op.results) + place]
