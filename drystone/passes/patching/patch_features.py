"""The builder of the pass `patch` along features."""

from collections.abc import Sequence
from typing import Any

from drystone.errors import InternalError
from drystone.ir.build import integer, string
from drystone.ir.encoded import codes_of
from drystone.ir.features import summing_operands
from drystone.ir.pieces import Interval, Region, Span
from drystone.ir.program import Program
from drystone.ir.values import constant_value, shape, splat
from drystone.ir.windows import Form
from drystone.mlir import arith, ir
from drystone.passes.fusing.epilogues import extras_of, remade
from drystone.passes.patching.patch_rows import RowPieces, part_of
from drystone.passes.regions import copy_body
from drystone.passes.weights import stored_weight, weight_key

#: What a part of a weight says of the piece it is for: products of different pieces stay apart.
PIECE = "dry.piece"


class FeaturePieces(RowPieces):
    """A `Builder` of the pieces of one span along features, before its last operation."""

    def __init__(
        self, program: Program, ops: Sequence[Any], forms: Sequence[Form | None], span: Span
    ) -> None:
        super().__init__(ops, forms, span)
        self.program, self.number = program, 0

    def part(self, name: str, value: Any, held: Region, wanted: Region) -> Any:
        """A slice, a part of a weight, or of a constant; `value` where that is all of it."""
        if weight_key(value) is not None:
            return self._weight(value, self.dims[name][0], wanted[0])
        one = splat(constant_value(value))
        if one is not None:
            kind = part_of(value.type, self.dims[name], wanted)
            return arith.ConstantOp(kind, ir.DenseElementsAttr.get_splat(kind, one)).result
        return super().part(name, value, held, wanted)

    def changed(self, op: Any, form: Form, region: Region) -> dict[str, Any]:
        """A depthwise convolution has as many groups as features."""
        grouped = op.operation.name == "dry.conv" and op.operation.attributes["groups"].value > 1
        return {"groups": integer(region[0][1] - region[0][0])} if grouped else {}

    def put(self, whole: Any, piece: Any, region: Region) -> Any:
        """An insertion into the whole result, or the sum of products."""
        made = self._added(whole, piece, region[0]) if self.span.summed else super().put(whole, piece, region)
        self.number += 1
        return made

    def _weight(self, value: Any, dim: int, part: Interval) -> Any:
        """A part of a weight, as one of its own; where several operations read it, it is stored once."""
        key, held = weight_key(value), codes_of(value.type)
        first, end = part
        name = f"{key}[{dim}:{first}:{end}]"
        kind = part_of(value.type, (dim,), (part,))
        if name not in self.program.weights:
            stored, extents = self.program.weights[str(key)], [n or 0 for n in shape(value)]
            if held.pack is None:
                array = stored.take(range(first, end), dim)
            else:
                array = held.pack.part(stored, extents, dim, first, end)
            self.program.weights.add(name, array)
        made = stored_weight(name, kind)
        made.owner.attributes[PIECE] = string(f"{self.span.first}.{self.number}")
        return made

    def _added(self, whole: Any, piece: Any, part: Interval) -> Any:
        """The product of a piece, with the sum of those before; the last one with the epilogue."""
        op, found = self.last, summing_operands(self.last)
        operation, last = op.operation, self.number == self.span.grid.counts[0] - 1
        if found is None or operation.operands[0] != self.result:
            raise InternalError(f"{operation.name} does not sum over what the run makes")
        weight, result = self._weight(operation.operands[1], found[1].dims[0], part), operation.results[0]
        # What is summed is held as sums are, however the result is.
        kind = result.type if last else ir.RankedTensorType.get(shape(result), result.type.element_type)
        same = ir.AffineMap.get_identity(result.type.rank)
        sums = [] if whole is None else [(whole, same)]
        with operation.location:
            made, block = remade(op, [piece, weight], [*sums, *(extras_of(op) if last else [])], kind)
            with ir.InsertionPoint(block):
                total, *given = block.arguments
                if whole is not None:
                    total = arith.AddFOp(given.pop(0), total).result
                if last:
                    old = operation.regions[0].blocks[0]
                    (total,) = copy_body(old, dict(zip(old.arguments, [total, *given], strict=True)))
                ir.Operation.create("dry.yield", operands=[total])
        return made.operation.results[0]
