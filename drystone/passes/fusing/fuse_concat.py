"""The pass `fuse-concat`: equal parts laid one after the other are computed in place."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import generic
from drystone.ir.program import Program
from drystone.ir.values import dims_of, main_block, producer, shape
from drystone.mlir import arith, ir, linalg, run_pipeline, tensor
from drystone.passes.dims import extent
from drystone.passes.fusing.fuse_elementwise import FuseElementwise
from drystone.passes.fusing.loops import join_dim, split_loop, splits
from drystone.passes.generic import body, is_parallel, is_producer, maps_of
from drystone.passes.outlining.outline_kernels import is_contiguous
from drystone.passes.regions import is_cheap
from drystone.passes.rewriting import erase_dead, index_constant, ops, replace, uses


@dataclass(frozen=True)
class FuseConcat:
    """A concatenation of few equal parts, each a cheap map or a slice, is one map that knows which part it is
    in; so is the map that reads it (rotary positions: x * cos + concat(-x2, x1) * sin).

    Before:  %n = linalg.generic ins(%x2 : tensor<4x32xf32>) {negf}
             %c = tensor.concat dim(1) %n, %x1 : (tensor<4x32xf32>, tensor<4x32xf32>) -> tensor<4x64xf32>
    After:   %c = linalg.generic ins(%x2, %x1) outs(tensor<4x2x32xf32>) {select(index 1 == 0, negf, ..)}
             collapsed to tensor<4x64xf32>

    - Parts are equal along the dimension, `parts` at most, each used here only; every one is a map of
      `cheap` operations at most or a slice that takes a copy, as all of them are computed everywhere.
    - The map behind it, where it is the only user, takes the part as a loop of its own and computes the
      concatenation inside (as in `fuse-elementwise`, which reads slices in place).
    """

    parts: int = 2
    cheap: int = 4
    name: ClassVar[str] = "fuse-concat"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "tensor.concat"):
            if self._takes(op):
                self._fuse(op)
        erase_dead(block)
        run_pipeline(program.module, "canonicalize,cse")

    def _takes(self, op: Any) -> bool:
        operands = list(op.operation.operands)
        dim = op.operation.attributes["dim"].value
        extents = {shape(value)[dim] for value in operands}
        if not 2 <= len(operands) <= self.parts or len(extents) > 1 or None in extents or 1 in extents:
            return False
        return all(self._computed(value) for value in operands)

    def _computed(self, value: Any) -> bool:
        """Whether a part is a cheap map, or a slice that is no view."""
        made = producer(value)
        if made is None:
            return False
        if made.operation.name == "tensor.extract_slice":
            return not is_contiguous(made)
        if made.operation.name != "linalg.generic" or len(uses(value)) != 1:
            return False
        return is_producer(made) and is_cheap(body(made), self.cheap)

    def _fuse(self, op: Any) -> None:
        operation = op.operation
        result = operation.results[0]
        dim = operation.attributes["dim"].value
        parts = list(operation.operands)
        with ir.InsertionPoint(op), operation.location:
            made = _by_part(result, dim, parts)
            joined = join_dim(made.operation.results[0], dim)
        replace(result, joined)
        operation.erase()
        fuse = FuseElementwise(self.cheap)
        fuse.absorb(made)
        reader = _reader(joined)
        if reader is not None:
            loop = next(
                dims_of(map_)[dim]
                for value, map_ in zip(reader.operation.operands, maps_of(reader), strict=True)
                if value == joined
            )
            fuse.absorb(split_loop(reader, loop, len(parts)))


def _by_part(result: Any, dim: int, parts: list[Any]) -> Any:
    """The parts of a concatenation as one linalg.generic with a loop over them before dimension `dim`."""
    rank = result.type.rank
    sizes = [extent(result, d) for d in range(rank)]
    sizes[dim : dim + 1] = [len(parts), extent(parts[0], dim)]
    element = result.type.element_type
    init = tensor.EmptyOp(sizes, element).result
    read = [ir.AffineExpr.get_dim(d + (d >= dim)) for d in range(rank)]
    maps = [ir.AffineMap.get(rank + 1, 0, read)] * len(parts)
    made = generic(parts, [init], [*maps, ir.AffineMap.get_identity(rank + 1)], ["parallel"] * (rank + 1))
    block = made.operation.regions[0].blocks.append(*[element] * (len(parts) + 1))
    with ir.InsertionPoint(block):
        value = block.arguments[len(parts) - 1]
        for number in reversed(range(len(parts) - 1)):
            here = arith.CmpIOp(
                arith.CmpIPredicate.eq, linalg.IndexOp(dim).result, index_constant(number)
            ).result
            value = arith.SelectOp(here, block.arguments[number], value).result
        ir.Operation.create("linalg.yield", operands=[value])
    return made


def _reader(value: Any) -> Any:
    """The map that is the only user of a concatenation and has its dimensions as loops; None where none."""
    found = {user for user, _ in uses(value)}
    if len(found) != 1:
        return None
    op = found.pop().opview
    if op.operation.name != "linalg.generic" or not is_parallel(op):
        return None
    reads = [map_ for v, map_ in zip(op.operation.operands, maps_of(op), strict=True) if v == value]
    dims = dims_of(reads[0])
    if len(reads) != 1 or None in dims or len(set(dims)) != len(dims):
        return None
    return op if all(splits(op, d) for d in dims if d is not None) else None
