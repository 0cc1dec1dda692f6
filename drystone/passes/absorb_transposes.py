"""The pass `absorb-transposes`: operations read tensors in the order in which they lie."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.build import flag, string
from drystone.ir.program import Program
from drystone.ir.values import dims_of, main_block, producer_name, shape
from drystone.mlir import ints, ir, run_pipeline
from drystone.passes.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import collapse, expand
from drystone.passes.moved_rows import keep_rows_apart, pass_rows
from drystone.passes.moves import cut, in_order, move, permutation_of, sink, source_of
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
      extent 1 are dropped between the two.
    - A product with a plain matrix passes a move of its rows where another move follows behind reshapes, as
      in torch.nn.MultiheadAttention with the batch first; rows joined for such a product stay apart.
    - A dry.matmul with a weight of which only slices of the columns are read (the queries, keys and values
      of one product) becomes a product for each, with a slice of the weight: each has its result by itself.
    """

    name: ClassVar[str] = "absorb-transposes"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block, "tensor.extract_slice"):
            _slice_before_collapse(op)
        _absorb(block)
        for op in ops(block, "tensor.extract_slice"):
            _slice_before_expand(op)
        erase_dead(block)
        for op in ops(block, "dry.matmul"):
            _split(op)
        run_pipeline(program.module, "canonicalize,cse")
        # Rows into attention first: what it gives is in their order then.
        for rule in (pass_rows, keep_rows_apart):
            passed = [rule(op) for op in ops(block, "dry.matmul")]
            if any(passed):
                _absorb(block)
                run_pipeline(program.module, "canonicalize,cse")


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
    """Let a move pass what reads it, where that is another move or a slice."""
    operation = op.operation
    value = operation.operands[0] if len(operation.operands) else None
    if value is None or permutation_of(value) is None:
        return
    passing = permutation_of(operation.results[0]) is not None or operation.name == "tensor.extract_slice"
    # A reshape passes where nothing else needs the moved tensor, so that no second copy comes of it.
    reshaped = operation.name != "linalg.generic" and len(uses(value)) == 1
    moved = sink(op) if passing or reshaped else None
    if moved is not None:
        replace(operation.results[0], moved)
        operation.erase()


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


def _bounds(op: Any) -> tuple[list[int], list[int]] | None:
    """Offsets and sizes of a slice with static bounds, unit strides and all dimensions kept."""
    attributes = op.operation.attributes
    kept = op.operation.results[0].type.rank == op.operation.operands[0].type.rank
    if len(op.operation.operands) != 1 or not kept or set(attributes["static_strides"]) - {1}:
        return None
    return list(attributes["static_offsets"]), list(attributes["static_sizes"])


def _slice_before_collapse(op: Any) -> None:
    """slice(collapse(move)) -> collapse(slice(move)), where only dimensions of extent 1 are dropped."""
    value, bounds = op.operation.operands[0], _bounds(op)
    if bounds is None or producer_name(value) != "tensor.collapse_shape":
        return
    source = value.owner.operation.operands[0]
    groups = [ints(group) for group in value.owner.operation.attributes["reassociation"]]
    extents = shape(source)
    if permutation_of(source) is None or any(sum(extents[d] != 1 for d in group) > 1 for group in groups):
        return
    offsets, sizes = [0] * len(extents), [1] * len(extents)
    for group, offset, size in zip(groups, *bounds, strict=True):
        d = next((d for d in group if extents[d] != 1), group[0])
        offsets[d], sizes[d] = offset, size
    with ir.InsertionPoint(op), op.operation.location:
        part = collapse(cut(source, offsets, sizes, [1] * len(sizes)), groups)
    replace(op.operation.results[0], part)
    op.operation.erase()


def _slice_before_expand(op: Any) -> None:
    """slice(expand(product)) -> expand(slice(product)), where the slice is one stretch of every dimension."""
    value = op.operation.operands[0]
    bounds = _bounds(op)
    if bounds is None or producer_name(value) != "tensor.expand_shape":
        return
    product = value.owner.operation.operands[0]
    extents = shape(value)
    if producer_name(product) != "dry.matmul" or None in extents:
        return
    groups = [ints(group) for group in value.owner.operation.attributes["reassociation"]]
    offsets, sizes = [], []
    for group in groups:
        long = [d for d in group if extents[d] != 1]
        stretch, offset, size = 1, 0, 1
        for d in reversed(long):
            if bounds[1][d] != extents[d] and any(bounds[1][e] != 1 for e in long if e < d):
                return
            offset += bounds[0][d] * stretch
            size *= bounds[1][d]
            stretch *= extents[d] or 1
        offsets.append(offset)
        sizes.append(size)
    with ir.InsertionPoint(op), op.operation.location:
        part = cut(product, offsets, sizes, [1] * len(sizes))
        whole = expand(part, groups, bounds[1])
    replace(op.operation.results[0], whole)
    op.operation.erase()


def _split(op: Any) -> None:
    """One product for each slice of the columns."""
    operation = op.operation
    result = operation.results[0]
    a, b = list(operation.operands)[:2]
    rank = result.type.rank
    users = [user.opview for user, _ in uses(result)]
    if len(users) < 2 or producer_name(b) != "dry.weight" or b.type.rank != 2:
        return
    if any(user.operation.name != "tensor.extract_slice" for user in users):
        return
    cuts = [_bounds(user) for user in users]
    extents = shape(result)
    for bounds in cuts:
        if bounds is None or bounds[1][:-1] != extents[:-1]:
            return
    major = 0 if operation.attributes["transpose_b"].value else 1
    for user, bounds in zip(users, cuts, strict=True):
        assert bounds is not None
        start, size = bounds[0][-1], bounds[1][-1]
        with ir.InsertionPoint(op), operation.location:
            extras = [
                (_columns(value, dims_of(map_), rank - 1, start, size), map_) for value, map_ in extras_of(op)
            ]
            weight = _columns(b, [0, 1], major, start, size)
            kind = user.operation.results[0].type
            made, _ = remade(op, [a, weight], extras, kind)
            copy = operation.clone()
        take_epilogue(copy.opview, made)
        user.operation.results[0].replace_all_uses_with(made.operation.results[0])
        user.operation.erase()
    operation.erase()


def _columns(value: Any, dims: list[int | None], dim: int, start: int, size: int) -> Any:
    """The part of a tensor, whose dimensions are `dims`, for a stretch of dimension `dim`."""
    if dim not in dims:
        return value
    at = dims.index(dim)
    extents = [n or 1 for n in shape(value)]
    offsets = [start if d == at else 0 for d in range(len(extents))]
    sizes = [size if d == at else n for d, n in enumerate(extents)]
    return cut(value, offsets, sizes, [1] * len(extents))
