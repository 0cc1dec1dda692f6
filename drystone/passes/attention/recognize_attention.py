"""The pass `recognize-attention`: softmax(q k^T) v, written by hand, is one operation."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from drystone.ir import build
from drystone.ir.dialect import Attention
from drystone.ir.program import Program
from drystone.ir.values import main_block, producer, producer_name, shape
from drystone.mlir import ir, run_pipeline
from drystone.passes.attention.graph import (
    Heads,
    Scores,
    as_rows,
    heads_of,
    is_plain,
    operand_trace,
    scores_of,
)
from drystone.passes.attention.mask_operand import simplified
from drystone.passes.attention.mask_rows import one_of_those_alike
from drystone.passes.attention.masks import Masks, masks_of
from drystone.passes.attention.written_softmax import gather_softmax
from drystone.passes.dims import extent
from drystone.passes.generic import collapse, expand
from drystone.passes.rewriting import erase_dead, only_user, ops, replace, tensor_type

#: Wider heads than this would not fit a kernel's working memory.
_WIDEST = 1024


@dataclass(frozen=True)
class RecognizeAttention:
    """The products and the softmax between them become a dry.attention, which passes over the keys once.

    Before:  %s = "dry.matmul"(%q, move(%k)) ; %m = linalg.generic {select(t <= s, %s * 0.125, -inf)}
             %p = "dry.softmax"(%m) ; %y = "dry.matmul"(%p, %v)
    After:   %y = "dry.attention"(%q, %k, %v) {scale = 0.125, causal = true}

    - A softmax spelled out, exp(x - max) / sum, also divided behind the product with v, is a dry.softmax.
    - Between the first product and the softmax: scaling by a constant, added tensors, selects between scores
      and minus infinity. Factors of q and k count as scale. The softmax has no other reader.
    - A mask that is a condition on positions (comparisons of aranges, or with numbers given at run time,
      that say where each query's keys begin and end) becomes `causal`, `span` and `sinks`; any other is
      the operand `mask`, several ones summed up to one. The same for the mask of a dry.attention that
      came whole, and for constant masks, also where whole tiles of them are empty (`blocks`).
    - A mask that was repeated for queries, heads or images is read without that.
    - Keys and values that are repeated for groups of query heads are read as they were before.
    - A query that sees no key gives zeros, where softmax by itself would give NaN.
    """

    name: ClassVar[str] = "recognize-attention"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        gather_softmax(block)
        for op in ops(block, "dry.matmul"):
            _recognize(op)
        for op in ops(block, "dry.attention"):
            simplified(program, op)
        for op in ops(block, "dry.attention"):
            one_of_those_alike(op)
        erase_dead(block)
        run_pipeline(program.module, "canonicalize,cse")


def _recognize(product: Any) -> None:
    """Replace a product whose left operand is a softmax over its columns, which nothing else reads."""
    operation = product.operation
    softmax = _softmax(operation.operands[0])
    if softmax is None or not is_plain(product):
        return
    with ir.InsertionPoint(product), operation.location:
        found = scores_of(softmax.operation.operands[0])
        made = None if found is None else _attention(found, product)
        if made is None:
            return
        replace(operation.results[0], _shaped(made, operation.results[0]))
    operation.erase()


def _softmax(value: Any) -> Any:
    """The softmax that a value is, with other leading dimensions; None where it is none, or read besides."""
    source = as_rows(value)
    if source is None or producer_name(source) != "dry.softmax":
        return None
    attributes = source.owner.operation.attributes
    while value != source and only_user(value) is not None:
        value = value.owner.operation.operands[0]
    whole = attributes["dim"].value == source.type.rank - 1 and not attributes["log"].value
    return producer(source) if whole and value == source and only_user(value) is not None else None


def _attention(found: Scores, product: Any) -> Any:
    """The result [B, H, S, E] of the operation that takes the place of a product, made before it; None where
    none does."""
    masks = masks_of(found)
    values = operand_trace(product, product.operation.operands[1], *_axes(product), factors=False)
    if masks is None or values is None:
        return None
    images = _images(found, masks)
    sides = [heads_of(each, images) for each in (found.q, found.k, values[0])]
    q, k, v = sides
    if q is None or k is None or v is None or not _fit(q, k, v):
        return None
    tensors = [side.tensor() for side in (q, k, v)]
    sizes = (extent(tensors[0], 0), extent(tensors[0], 1), extent(tensors[0], 2), extent(tensors[1], 2))
    mask, span = masks.operands(sizes)
    kind = tensor_type([*shape(tensors[0])[:3], shape(tensors[2])[3]], tensors[0].type.element_type)
    return Attention(
        kind,
        *tensors,
        *(mask, span, [], [], []),
        scale=build.number(found.scale),
        causal=build.flag(masks.seen.causal),
        sinks=build.integer(masks.seen.sinks),
        tile=build.integers([]),
        layout=build.string("bhsd"),
    ).out


def _axes(product: Any) -> tuple[int, int]:
    """Where a product's right operand has the positions and the depth of values, from the end."""
    return (-1, -2) if product.operation.attributes["transpose_b"].value else (-2, -1)


def _images(found: Scores, masks: Masks) -> int | None:
    """The extent of the first batch dimension: images, which masks may tell apart."""
    lead = found.extents[:-2]
    if not lead:
        return 1
    batch = found.q.extents(found.q.dims[0])
    # Images and heads are one dimension of the scores, and two of the queries.
    return batch[0] if len(lead) == 1 and len(batch) > 1 and not masks.by_batch else lead[0]


def _fit(q: Heads, k: Heads, v: Heads) -> bool:
    """Whether queries, keys and values are those of one attention, of heads that are not too wide."""
    widths = [side.of.extents(side.of.dims[2]) for side in (q, k, v)]
    depths = [prod(n or 2 * _WIDEST for n in width) for width in widths]
    same = k.of.extents(k.heads) == v.of.extents(v.heads) and k.repeats == v.repeats
    heads = q.of.extents(q.heads) == k.of.extents(k.heads) if None in (q.count(), k.count()) else True
    fits = q.count() == k.count() and heads and same and not q.repeats
    return fits and depths[0] == depths[1] and max(depths) <= _WIDEST


def _shaped(value: Any, result: Any) -> Any:
    """[B, H, S, E] with its leading dimensions as those of the product's result."""
    extents = shape(result)
    if shape(value) == extents:
        return value
    lead = len(extents) - 2
    sizes = [extent(result, d) for d in range(len(extents))]
    flat = collapse(value, [[0, 1], [2], [3]])
    if lead == 0:
        return collapse(flat, [[0, 1], [2]])
    return expand(flat, [[*range(lead)], [lead], [lead + 1]], sizes)
