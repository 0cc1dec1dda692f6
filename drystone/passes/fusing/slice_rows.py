"""The pass `slice-rows`: rows of a product that nothing reads are not computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.program import Program
from drystone.ir.values import dims_of, main_block, producer, producer_name
from drystone.mlir import ir
from drystone.passes.dims import Extent, extent, same_extent
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import through_units
from drystone.passes.layout.moves import cut
from drystone.passes.layout.sliced_products import bounds_of
from drystone.passes.rewriting import erase_dead, ops, tensor_type, uses


@dataclass(frozen=True)
class SliceRows:
    """A slice of a product's rows is the product of a slice of the rows (logits that a loss of the next token
    reads without those of the last one; logits of the last token alone).

    Before:  %y = "dry.matmul"(%a, %w, %r) : tensor<2x128x32000xf32>
             %z = tensor.extract_slice %y[0, 0, 0] [2, 127, 32000]
    After:   %z = "dry.matmul"(slice(%a), %w, slice(%r)) : tensor<2x127x32000xf32>

    - b is a plain matrix, and the slice is all that reads the product. Offsets are known, strides are 1, and
      all columns are in the slice.
    """

    name: ClassVar[str] = "slice-rows"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "tensor.extract_slice"):
            if producer_name(op.operation.operands[0]) == "dry.matmul":
                _slice(op)
        erase_dead(block)


def _slice(op: Any) -> None:
    value, bounds = op.operation.operands[0], bounds_of(op)
    product = producer(value)
    a, b = list(product.operation.operands)[:2]
    rank = value.type.rank
    if bounds is None or len(uses(value)) != 1 or b.type.rank != 2 or a.type.rank != rank:
        return
    offsets, sizes = bounds
    with ir.InsertionPoint(op), op.operation.location:
        whole = [same_extent(size, extent(value, d)) for d, size in enumerate(sizes)]
        if all(whole) or not whole[-1]:
            return
        rows = [*range(rank - 1), None]
        operands = [_part(a, rows, offsets, sizes), b]
        extras = [(_part(extra, dims_of(map_), offsets, sizes), map_) for extra, map_ in extras_of(product)]
        kind = tensor_type([n if isinstance(n, int) else None for n in sizes], value.type.element_type)
        made, _ = remade(product, operands, extras, kind)
        result = through_units(made.operation.results[0], op.operation.results[0].type)
    op.operation.results[0].replace_all_uses_with(result)
    op.operation.erase()
    take_epilogue(product, made)


def _part(value: Any, dims: Sequence[int | None], offsets: Sequence[int], sizes: Sequence[Extent]) -> Any:
    """The part of a tensor, whose dimensions are `dims` of the product, that a slice of the product reads."""
    starts = [0 if dim is None else offsets[dim] for dim in dims]
    wanted = [extent(value, d) if dim is None else sizes[dim] for d, dim in enumerate(dims)]
    if all(same_extent(n, extent(value, d)) for d, n in enumerate(wanted)):
        return value
    return cut(value, starts, wanted, [1] * len(dims))
