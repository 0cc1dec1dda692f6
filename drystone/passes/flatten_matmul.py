"""The pass `flatten-matmul`: products with a plain matrix are products of two matrices."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.program import Program
from drystone.ir.values import dims_of, main_block, shape
from drystone.mlir import ir, run_pipeline
from drystone.passes.dims import extent
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import collapse, expand
from drystone.passes.rewriting import erase_dead, ops, replace, tensor_type


@dataclass(frozen=True)
class FlattenMatmul:
    """A dry.matmul whose b is a plain matrix takes all leading dimensions of a as one.

    Before:  %y = "dry.matmul"(%a, %w, %r) : (tensor<4x128x384xf32>, tensor<64x384xf32>, tensor<4x128x64xf32>)
    After:   %y = expand("dry.matmul"(collapse(%a), %w, collapse(%r))) : (tensor<512x384xf32>, ..)

    - Extras must be read along all leading dimensions (those of extent 1 do not count), in order, or none.
    """

    name: ClassVar[str] = "flatten-matmul"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "dry.matmul"):
            _flatten(op)
        erase_dead(block)
        run_pipeline(program.module, "canonicalize,cse")


def _flatten(op: Any) -> None:
    operation = op.operation
    a, b = list(operation.operands)[:2]
    result = operation.results[0]
    rank = result.type.rank
    if b.type.rank != 2 or rank < 3:
        return
    rows = list(range(rank - 1))
    long = [d for d in rows if shape(result)[d] != 1]
    reads = [_flat_read(value, map_, long, rank - 1) for value, map_ in extras_of(op)]
    if any(read is None for read in reads):
        return
    groups = [rows, [rank - 1]]
    with ir.InsertionPoint(op), operation.location:
        flat = collapse(a, groups)
        extras = []
        for (value, _), read in zip(extras_of(op), reads, strict=True):
            assert read is not None
            joined, exprs = read
            extras.append((collapse(value, joined), ir.AffineMap.get(2, 0, exprs)))
        kind = tensor_type([shape(flat)[0], shape(result)[-1]], result.type.element_type)
        made, _ = remade(op, [flat, b], extras, kind)
        sizes = [extent(result, d) for d in range(rank)]
        whole = expand(made.operation.results[0], groups, sizes)
    replace(result, whole)
    take_epilogue(op, made)


def _flat_read(
    value: Any, map_: Any, long: list[int], columns: int
) -> tuple[list[list[int]], list[Any]] | None:
    """How an extra is read in the flat product: the groups its dimensions are collapsed to, and what each is
    read at; None where it cannot be."""
    extents = shape(value)
    dims = [None if extents[k] == 1 else d for k, d in enumerate(dims_of(map_))]
    kept = [d for d in dims if d is not None]
    rows = [d for d in kept if d != columns]
    if kept not in ([*long, columns], [columns, *long], long, [columns], []):
        return None
    if not long and dims[1:] and dims[-1] == columns:
        # One row of the result is one of what it reads, so that it may take its place.
        last = len(dims) - 1
        return [list(range(last)), [last]], [ir.AffineExpr.get_dim(0), ir.AffineExpr.get_dim(1)]
    groups: list[list[int]] = []
    exprs: list[Any] = []
    leading: list[int] = []
    for k, d in enumerate(dims):
        if d is not None and (d == columns or d == rows[0]):
            groups.append([*leading, k])
            exprs.append(ir.AffineExpr.get_dim(int(d == columns)))
            leading = []
        elif groups:
            groups[-1].append(k)
        else:
            leading.append(k)
    return groups, exprs
