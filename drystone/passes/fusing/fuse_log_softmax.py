"""The pass `fuse-log-softmax`: what a loss reads of a log softmax is computed where it is read."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import integer, mapped
from drystone.ir.dialect import LogSumExp
from drystone.ir.program import Program
from drystone.ir.values import dims_of, main_block, shape
from drystone.mlir import arith, ir
from drystone.passes.dims import empty_like
from drystone.passes.fusing.fuse_elementwise import merge
from drystone.passes.generic import dims_map, is_producer, maps_of
from drystone.passes.layout.moves import permutation_of, source_of
from drystone.passes.rewriting import erase_dead, ops, tensor_type, uses


@dataclass(frozen=True)
class FuseLogSoftmax:
    """A log softmax of which single elements or sums are wanted is not stored.

    Before:  %l = "dry.softmax"(%x) {log} ; %loss = linalg.generic ins(%target) {-%l[i, target]}
    After:   %peak, %rest = "dry.logsumexp"(%x) ; %l = linalg.generic ins(%x, %peak, %rest) {two sub} ;
             %loss = linalg.generic ins(%target) {-%l[i, target]}, where `fuse-gather` computes %l

    - Its readers, also behind maps, pick elements by index, or sum the dimension that sums to 1 (one-hot
      targets, label smoothing, a divergence); these compute it inside.
    - Where the logits are moved and their other dimensions stay in order, they are read where they lie.
    - f32 only: shorter results would be rounded before they are taken apart.
    """

    inputs: int = 12
    name: ClassVar[str] = "fuse-log-softmax"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "dry.softmax"):
            operation = op.operation
            result, dim = operation.results[0], operation.attributes["dim"].value
            plain = str(result.type.element_type) == "f32" and result.type.encoding is None
            if operation.attributes["log"].value and plain and _is_summed(result, dim):
                self._split(op, dim)
        erase_dead(block)

    def _split(self, op: Any, dim: int) -> None:
        result = op.operation.results[0]
        with ir.InsertionPoint(op), op.operation.location:
            made = _spelled_out(op.operation.operands[0], result, dim)
        result.replace_all_uses_with(made.operation.results[0])
        for user, number in uses(made.operation.results[0]):
            if user.name == "linalg.generic":
                merge(user.opview, number, made, maps_of(user)[number], self.inputs)


def _is_summed(value: Any, dim: int) -> bool:
    """Whether all that is read of a value is elements picked by index, or sums along a dimension."""
    found = uses(value)
    for user, number in found:
        if user.name == "tensor.extract" and user.parent.name == "linalg.generic":
            continue
        if user.name != "linalg.generic" or number >= len(user.operands) - len(user.results):
            return False
        loop = dims_of(maps_of(user)[number])[dim]
        if loop is None:
            return False
        if "reduction" in str(user.attributes["iterator_types"][loop]):
            continue
        out = dims_of(maps_of(user)[-1])
        if not is_producer(user.opview) or not _is_summed(user.results[0], out.index(loop)):
            return False
    return bool(found)


def _spelled_out(x: Any, result: Any, dim: int) -> Any:
    """x - peak - rest as a linalg.generic."""
    rank = result.type.rank
    others = [d for d in range(rank) if d != dim]
    source, along = x, dim
    order = permutation_of(x)
    # A move that leaves the other dimensions in order changes neither part.
    if order is not None and [order[d] for d in others] == sorted(order[d] for d in others):
        source, along = source_of(x), order[dim]
    kind = tensor_type([shape(result)[d] for d in others], result.type.element_type)
    parts = LogSumExp(kind, kind, source, dim=integer(along))
    identity = ir.AffineMap.get_identity(rank)
    line = dims_map(rank, others)
    inputs, maps = [x, parts.peak, parts.rest], [identity, line, line, identity]

    def logarithm(value: Any, peak: Any, rest: Any, _: Any) -> Any:
        return arith.SubFOp(arith.SubFOp(value, peak).result, rest).result

    return mapped(inputs, empty_like(result), maps, logarithm).owner.opview
