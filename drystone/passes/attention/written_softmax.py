"""A softmax spelled out as maximum, exponential, sum and quotient, as the one operation it is."""

from typing import Any

from drystone.ir import build
from drystone.ir.dialect import Softmax
from drystone.ir.values import dims_of, is_tensor, producer, producer_name, shape
from drystone.mlir import ir
from drystone.passes.attention.graph import is_plain
from drystone.passes.generic import (
    body,
    is_filled_with_zero,
    is_identity,
    is_parallel,
    maps_of,
    without_units,
)
from drystone.passes.rewriting import ops


def gather_softmax(block: Any) -> None:
    """Replace exp(x - max) / sum, and (exp(x - max) v) / sum, by softmax(x) and softmax(x) v; the maximum may
    be missing."""
    for op in ops(block, "linalg.generic"):
        sides = _two(op, "arith.divf")
        grown = None if sides is None else _summed(sides[1])
        if sides is None or grown is None:
            continue
        exponents = _exponents(grown)
        if exponents is None:
            continue
        result = op.operation.results[0]
        top = sides[0]
        with ir.InsertionPoint(op), op.operation.location:
            if top == grown:
                made = _softmax(exponents)
            elif producer_name(top) == "dry.matmul" and is_plain(producer(top)):
                product = top.owner.operation
                if product.operands[0] != grown or top.type != result.type:
                    continue
                copy = product.clone()
                copy.operands[0] = _softmax(exponents)
                made = copy.results[0]
            else:
                continue
        result.replace_all_uses_with(made)
        op.operation.erase()


def _softmax(x: Any) -> Any:
    return Softmax(x.type, x, dim=build.integer(x.type.rank - 1), log=build.flag(False)).out


def _two(op: Any, name: str) -> tuple[Any, Any] | None:
    """(a, b) of a map `name`(a, b) of a tensor and one that is the same along the last dimension."""
    operation = op.operation
    maps = maps_of(op)
    if len(operation.operands) != 3 or not is_parallel(op) or not is_identity(maps[0]) or maps[2] != maps[0]:
        return None
    inner = list(body(op).operations)
    arguments = list(body(op).arguments)
    made = inner[0].operation
    plain = len(inner) == 2 and made.name == name and list(made.operands) == arguments[:2]
    a, b = list(operation.operands)[:2]
    if not plain or not is_tensor(a) or not is_tensor(b):
        return None
    dims, rank, extents = dims_of(maps[1]), a.type.rank, shape(a)
    long = [d for d in range(rank - 1) if extents[d] != 1]
    return (a, b) if rank and rank - 1 not in dims and set(long) <= set(dims) else None


def _summed(value: Any) -> Any:
    """What is added up along its last dimension to a value; None where that is not all."""
    return _reduced(value, "arith.addf")


def _reduced(value: Any, name: str) -> Any:
    """The tensor that a value is the reduction of along the last dimension, whatever it starts from."""
    source, _ = without_units(value, ir.AffineMap.get_identity(value.type.rank))
    op = producer(source)
    if op is None or op.operation.name != "linalg.generic" or source.result_number != 0:
        return None
    kinds = ["reduction" in str(kind) for kind in op.operation.attributes["iterator_types"]]
    maps = maps_of(op)
    if kinds.count(True) != 1 or not kinds[-1] or not is_identity(maps[0]):
        return None
    yielded = list(body(op).operations)[-1].operation.operands[0].owner
    arguments = [body(op).arguments[0], body(op).arguments[len(maps) - len(op.operation.results)]]
    if isinstance(yielded, ir.Block) or yielded.name != name or set(yielded.operands) != set(arguments):
        return None
    return op.operation.operands[0] if _starts_right(op, name) else None


def _starts_right(op: Any, name: str) -> bool:
    """Whether a reduction starts from what changes nothing: sums from 0; a peak may be any number."""
    init = op.operation.operands[len(maps_of(op)) - len(op.operation.results)]
    return name != "arith.addf" or is_filled_with_zero(init)


def _exponents(grown: Any) -> Any:
    """x where a tensor is exp(x - max of x), or exp(x) by itself."""
    op = producer(grown)
    if op is None or op.operation.name != "linalg.generic" or len(op.operation.operands) != 2:
        return None
    inner = list(body(op).operations)
    made = inner[0].operation
    plain = len(inner) == 2 and made.name == "math.exp" and made.operands[0] == body(op).arguments[0]
    if not plain or not is_parallel(op) or not all(map(is_identity, maps_of(op))):
        return None
    x = op.operation.operands[0]
    below = producer(x)
    if below is not None and below.operation.name == "linalg.generic":
        sides = _two(below, "arith.subf")
        if sides is not None and _reduced(sides[1], "arith.maximumf") == sides[0]:
            return sides[0]
    return x
