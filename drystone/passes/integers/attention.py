"""Attention as two products with a softmax between them."""

from typing import Any

from drystone.ir import build
from drystone.ir.build import mapped
from drystone.ir.dialect import MatMul, Softmax
from drystone.ir.values import operand_groups, shape
from drystone.mlir import arith, ir, linalg, tensor
from drystone.passes.dims import extent, sizes_of
from drystone.passes.generic import collapse
from drystone.passes.integers.regions import refused
from drystone.passes.layout.moves import move
from drystone.passes.rewriting import index_constant, tensor_type

#: Heads before positions, and back.
SWAPPED = (0, 2, 1, 3)


def spell_out_attention(op: Any) -> None:
    """Put products and a softmax in the place of a dry.attention."""
    operation = op.operation
    groups = operand_groups(op)
    masks, spans, blocks, *peaks = groups[3:]
    if blocks or any(peaks):
        raise refused(op, "has keys in bytes, or a list of blocks")
    swapped = operation.attributes["layout"].value == "bshd"
    q, k, v = (move(group[0], SWAPPED) if swapped else group[0] for group in groups[:3])
    k, v = (_repeated(value, shape(q)[1]) for value in (k, v))
    scores = product(q, k, transposed=True, scale=operation.attributes["scale"].value)
    sinks = operation.attributes["sinks"].value
    causal = operation.attributes["causal"].value
    if masks or spans or causal:
        scores = _masked(scores, masks, spans, causal=causal, sinks=sinks)
    weights = Softmax(scores.type, scores, dim=build.integer(3), log=build.flag(False)).out
    made = product(weights, v, transposed=False, scale=1.0)
    operation.results[0].replace_all_uses_with(move(made, SWAPPED) if swapped else made)


def _repeated(value: Any, heads: int | None) -> Any:
    """Keys or values with as many heads as the queries have."""
    own = shape(value)[1]
    if own == heads or own is None or heads is None:
        return value
    sizes = sizes_of(value)
    into = tensor.EmptyOp([sizes[0], own, heads // own, *sizes[2:]], value.type.element_type).result
    dims = [ir.AffineDimExpr.get(d) for d in range(5)]
    maps = [ir.AffineMap.get(5, 0, [dims[0], dims[1], dims[3], dims[4]]), ir.AffineMap.get_identity(5)]
    return collapse(mapped([value], into, maps, lambda x, _: x), [[0], [1, 2], [3], [4]])


def product(a: Any, b: Any, *, transposed: bool, scale: float) -> Any:
    """A product of two tensors, times a number."""
    element = a.type.element_type
    kind = tensor_type([*shape(a)[:3], shape(b)[2 if transposed else 3]], element)
    op = MatMul(kind, a, b, transpose_b=build.flag(transposed), extra_maps=build.array([]))
    block = op.operation.regions[0].blocks.append(element)
    with ir.InsertionPoint(block):
        value = block.arguments[0]
        if scale != 1:
            value = arith.MulFOp(value, arith.ConstantOp(element, scale).result).result
        ir.Operation.create("dry.yield", operands=[value])
    return op.out


def _masked(scores: Any, masks: list[Any], spans: list[Any], *, causal: bool, sinks: int) -> Any:
    """Scores, -inf where a query does not see a key."""
    dims = [ir.AffineDimExpr.get(d) for d in range(4)]
    zero, same = ir.AffineConstantExpr.get(0), ir.AffineMap.get_identity(4)
    maps, inputs = [same], [scores]
    for mask in masks:
        inputs.append(mask)
        maps.append(
            ir.AffineMap.get(4, 0, [zero if n == 1 else d for d, n in zip(dims, shape(mask), strict=True)])
        )
    for span in spans:
        places = [zero if n == 1 else d for d, n in zip((dims[0], dims[2]), shape(span)[1:], strict=True)]
        for side in range(2):
            inputs.append(span)
            maps.append(ir.AffineMap.get(4, 0, [ir.AffineConstantExpr.get(side), *places]))
    element = scores.type.element_type

    def of(score: Any, *more: Any) -> Any:
        rest = list(more[:-1])
        nothing = arith.ConstantOp(element, float("-inf")).result
        while len(rest) > 2 * len(spans):
            given = rest.pop(0)
            if str(given.type) == "i1":
                score = arith.SelectOp(given, score, nothing).result
            else:
                score = arith.AddFOp(score, given).result
        if causal:
            score = arith.SelectOp(
                _before(linalg.IndexOp(3), linalg.IndexOp(2), "sle"), score, nothing
            ).result
        if rest:
            score = arith.SelectOp(_inside(rest, sinks), score, nothing).result
        return score

    into = tensor.EmptyOp([extent(scores, d) for d in range(4)], element).result
    return mapped(inputs, into, [*maps, same], of)


def _before(one: Any, other: Any, predicate: str) -> Any:
    return arith.CmpIOp(getattr(arith.CmpIPredicate, predicate), one.result, other.result).result


def _inside(sides: list[Any], sinks: int) -> Any:
    """Whether a key is in the span of a query, or one of the first."""
    key = linalg.IndexOp(3).result
    low, high = (arith.IndexCastOp(ir.IndexType.get(), side).result for side in sides)
    sees = arith.CmpIOp(arith.CmpIPredicate.sge, key, low).result
    if sinks:
        early = arith.CmpIOp(arith.CmpIPredicate.slt, key, index_constant(sinks)).result
        sees = arith.OrIOp(sees, early).result
    return arith.AndIOp(sees, arith.CmpIOp(arith.CmpIPredicate.slt, key, high).result).result
