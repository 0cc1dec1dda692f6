"""The pass `channels-last`: convolutions and pooling work on images whose channels are innermost."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import string
from drystone.ir.program import Program
from drystone.ir.values import main_block, shape
from drystone.mlir import ir, run_pipeline
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import composed, dims_map
from drystone.passes.layout.moves import inverse, move, permutation_of, sink
from drystone.passes.rewriting import erase_dead, ops, replace, tensor_type
from drystone.passes.weights import weight_key

#: Channels that are read as they lie, at most.
_FEW = 4


@dataclass(frozen=True)
class ChannelsLast:
    """Turn layout "nchw" into "nhwc", with moves at the borders that meet and cancel.

    Before:  %y = "dry.conv"(%x, %w) {layout = "nchw"} ; %z = linalg.generic ins(%y) {relu}
             %u = "dry.conv"(%z, %v) {layout = "nchw"}
    After:   %x' = move(%x) ; %y = "dry.conv"(%x', %w) {layout = "nhwc"} ; %z = linalg.generic ins(%y) {relu}
             %u' = "dry.conv"(%z, %v) {layout = "nhwc"} ; %u = move(%u')

    A convolution of few channels (a model's images) reads them as they lie, layout "nchw-nhwc".

    A move passes through maps whose whole tensors are all moved, reshapes that keep its dimensions together,
    slices, padding and concatenation. What cannot be passed reads the moved tensor; a linalg.generic takes
    the move into its indexing map when it is fused.
    """

    name: ClassVar[str] = "channels-last"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block):
            name = op.operation.name
            if name == "dry.conv":
                _conv(op)
            elif name == "dry.pool":
                _pool(op)
            else:
                moved = sink(op)
                if moved is not None:
                    replace(op.operation.results[0], moved)
                    op.operation.erase()
        erase_dead(block)
        run_pipeline(program.module, "canonicalize,cse")


def _last(rank: int) -> tuple[int, ...]:
    """The move from "nchw" to "nhwc"."""
    return (0, *range(2, rank), 1)


def _moved_type(value: Any, p: tuple[int, ...]) -> Any:
    extents = shape(value)
    return tensor_type([extents[d] for d in p], value.type.element_type)


def _conv(op: Any) -> None:
    operation = op.operation
    result = operation.results[0]
    if operation.attributes["layout"].value != "nchw":
        return
    p = _last(result.type.rank)
    # Dimensions of the result in the new layout -> in the old one.
    back = dims_map(len(p), inverse(p))
    with ir.InsertionPoint(op), operation.location:
        x, layout = operation.operands[0], "nchw-nhwc"
        if not _reads_as_it_lies(op):
            x, layout = move(x, p), "nhwc"
        extras = []
        for value, map_ in extras_of(op):
            read = composed(map_, back)
            if read.is_permutation:
                value, read = move(value, p), ir.AffineMap.get_identity(len(p))
            extras.append((value, read))
        made, _ = remade(
            op, [x, operation.operands[1]], extras, _moved_type(result, p), {"layout": string(layout)}
        )
        moved = move(made.operation.results[0], inverse(p))
        replace(result, moved)
        take_epilogue(op, made)


def _reads_as_it_lies(op: Any) -> bool:
    """Whether a convolution gains nothing from channels that are innermost: there are few, no move would
    cancel, and the width is known, so that neighbours along it can take their place."""
    operation = op.operation
    x, weight = operation.operands[0], operation.operands[1]
    channels, across = shape(x)[1], (shape(x)[-1], shape(operation.results[0])[-1])
    few = channels is not None and channels <= _FEW and None not in across
    plain = operation.attributes["groups"].value == 1 and not operation.attributes["transposed"].value
    return few and plain and permutation_of(x) is None and weight_key(weight) is not None


def _pool(op: Any) -> None:
    operation = op.operation
    result = operation.results[0]
    if operation.attributes["layout"].value != "nchw":
        return
    p = _last(result.type.rank)
    with ir.InsertionPoint(op), operation.location:
        x = move(operation.operands[0], p)
        named = {key: operation.attributes[key] for key in operation.attributes}
        named["layout"] = string("nhwc")
        made = ir.Operation.create("dry.pool", [_moved_type(result, p)], [x], named)
        replace(result, move(made.results[0], inverse(p)))
    operation.erase()
