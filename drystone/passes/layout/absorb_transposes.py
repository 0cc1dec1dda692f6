"""The pass `absorb-transposes`: operations read tensors in the order in which they lie."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import flag, string
from drystone.ir.program import Program
from drystone.ir.values import main_block, shape
from drystone.mlir import ir, run_pipeline
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import body, is_producer
from drystone.passes.layout.moved_rows import keep_rows_apart, pass_rows
from drystone.passes.layout.moves import in_order, move, permutation_of, sink, source_of
from drystone.passes.layout.sliced_products import slice_before_collapse, slice_before_expand, split
from drystone.passes.rewriting import erase_dead, ops, replace, tensor_type, uses

_HEADS = (0, 2, 1, 3)
_SINKING = ("linalg.generic", "tensor.expand_shape", "tensor.collapse_shape", "tensor.extract_slice")


@dataclass(frozen=True)
class AbsorbTransposes:
    """No copy is made for a transpose that the operation around it can do without.

    Before:  %q = move(%x) : tensor<1x128x12x32xf32> to tensor<1x12x128x32xf32>, k and v likewise
             %y = "dry.attention"(%q, %k, %v) {layout = "bhsd"} ; %z = move(%y)
    After:   %z = "dry.attention"(%x, ..) {layout = "bshd"}

    - dry.attention in layout "bhsd" whose q, k and v are moved from "bshd" (or have one head or position)
      takes that layout; its result is moved back, which the move behind it undoes.
    - dry.matmul of a b whose last two dimensions are swapped -> transpose_b is.
    - Moves of moves are one; slices are taken before a move rather than behind it, also where dimensions of
      extent 1 are dropped between the two. Floats are made longer or shorter before a move, too.
    - A product with a plain matrix passes a move of its rows where another move follows behind reshapes, as
      in torch.nn.MultiheadAttention with the batch first; rows joined for such a product stay apart.
    - A dry.matmul with a weight or part of one, of which only slices of the columns are read (the queries,
      keys and values of one product), becomes a product for each, with a slice of the weight: each has its
      result by itself.
    """

    name: ClassVar[str] = "absorb-transposes"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "tensor.extract_slice"):
            slice_before_collapse(op)
        _absorb(block)
        for op in ops(block, "tensor.extract_slice"):
            slice_before_expand(op)
        erase_dead(block)
        for op in ops(block, "dry.matmul"):
            split(op)
        run_pipeline(program.module, "canonicalize,cse")
        # Rows into attention first: what it gives is in their order then.
        for rule in (pass_rows, keep_rows_apart):
            passed = [rule(op) for op in ops(block, "dry.matmul")]
            if any(passed):
                _absorb(block)
                run_pipeline(program.module, "canonicalize,cse")
        erase_dead(block)


def _absorb(block: Any) -> None:
    """Let moves pass what they can, and operations read tensors as they lie."""
    for op in ops(block):
        name = op.operation.name
        if name == "dry.attention":
            _attention(op)
        elif name == "dry.matmul":
            _swapped(op)
        elif name in _SINKING:
            _sink(op)
    erase_dead(block)


def _sink(op: Any) -> None:
    """Let a move pass what reads it, where that is another move, a slice or a conversion."""
    operation = op.operation
    value = operation.operands[0] if len(operation.operands) else None
    if value is None or permutation_of(value) is None:
        return
    slices = operation.name == "tensor.extract_slice"
    passing = slices or permutation_of(operation.results[0]) is not None or _converts(op)
    # A reshape passes where nothing else needs the moved tensor, so that no second copy comes of it.
    reshaped = operation.name != "linalg.generic" and len(uses(value)) == 1
    moved = sink(op) if passing or reshaped else None
    if moved is not None:
        replace(operation.results[0], moved)
        operation.erase()


def _converts(op: Any) -> bool:
    """Whether an operation is a linalg.generic that only makes each element a longer or shorter float."""
    if op.operation.name != "linalg.generic" or not is_producer(op):
        return False
    first, last = body(op).operations[0].operation, list(body(op).operations)[-1].operation
    return first.name in ("arith.extf", "arith.truncf") and last.operands[0] == first.results[0]


def _attention(op: Any) -> None:
    operation = op.operation
    if operation.attributes["layout"].value != "bhsd":
        return
    result = operation.results[0]
    with ir.InsertionPoint(op), operation.location:
        read = [in_order(value, _HEADS) for value in list(operation.operands)[:3]]
        if any(value is None for value in read):
            return
        named = {key: operation.attributes[key] for key in operation.attributes}
        named["layout"] = string("bshd")
        extents = shape(result)
        kind = tensor_type([extents[d] for d in _HEADS], result.type.element_type)
        operands = [*read, *list(operation.operands)[3:]]
        made = ir.Operation.create("dry.attention", [kind], operands, named)
        replace(result, move(made.results[0], _HEADS))
    operation.erase()


def _swapped(op: Any) -> None:
    """Flip transpose_b where b is a move that swaps its last two dimensions."""
    operation = op.operation
    b = operation.operands[1]
    rank = b.type.rank
    if permutation_of(b) != (*range(rank - 2), rank - 1, rank - 2):
        return
    with ir.InsertionPoint(op), operation.location:
        flipped = {"transpose_b": flag(not operation.attributes["transpose_b"].value)}
        made, _ = remade(op, [operation.operands[0], source_of(b)], extras_of(op), attributes=flipped)
    take_epilogue(op, made)
