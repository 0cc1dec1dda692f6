"""What each operation says of dimensions that shrink together, and the groups of a program."""

from collections.abc import Callable
from typing import Any

from drystone.ir.program import Program
from drystone.ir.shapes import channel_axis, layouts
from drystone.ir.values import (
    captured,
    is_tensor,
    main_block,
    nested,
    operand_groups,
)
from drystone.mlir import ir
from drystone.passes.generic import maps_of, unwidened
from drystone.passes.sparsifying.tied_dims import Group, TiedDims, extents, is_free, place_of
from drystone.passes.weights import weight_key


def tied_groups(program: Program) -> list[Group]:
    """The groups of a program's dimensions, of two units and more, that some weight's outputs are in, in
    order."""
    tied, block = TiedDims(), main_block(program)
    for argument in block.arguments:
        tied.stay_whole(argument, "an input of the model")
    weights: dict[str, Any] = {}
    for op in block.operations:
        _OF_OPERATIONS.get(op.operation.name, _stay_whole)(tied, op.operation)
        if op.operation.name == "dry.weight":
            result, key = op.operation.results[0], str(weight_key(op.operation.results[0]))
            tied.alike([weights.setdefault(key, result), result], range(len(extents(result))))
            if key in program.signature.initial:
                tied.stay_whole(result, "a state of the model")
    return tied.groups()


def _stay_whole(tied: TiedDims, op: Any) -> None:
    """An operation of which nothing is known."""
    what = {"func.return": "a result of the model"}.get(op.name, f"{op.name} reads or gives it as a whole")
    for number, value in enumerate(op.operands):
        if is_tensor(value):
            tied.stay_whole(place_of(op, number), what)
    for value in [*op.results, *captured(op)]:
        if is_tensor(value):
            tied.stay_whole(value, what)


def _nothing(tied: TiedDims, op: Any) -> None:
    """What has no numbers of its own; other constants stay."""
    for result in op.results:
        if is_tensor(result) and not is_free(result):
            tied.stay_whole(result, "it is a constant")


def _weight(tied: TiedDims, op: Any) -> None:
    result = op.results[0]
    if result.type.encoding is not None:
        tied.stay_whole(result, "it is coded")


def _matmul(tied: TiedDims, op: Any) -> None:
    x, w, out = place_of(op, 0), place_of(op, 1), op.results[0]
    rank, turned = len(extents(out)), op.attributes["transpose_b"].value
    size = len(extents(w))
    n, k = (size - 2, size - 1) if turned else (size - 1, size - 2)
    tied.tie((w, n), (out, rank - 1))
    tied.tie((x, rank - 1), (w, k))
    tied.alike([x, out], range(rank - 1))
    if size == 2:
        tied.reads(op.operands[1], n, k)
    else:
        tied.alike([w, out], range(rank - 2))
    if size != 2 or weight_key(unwidened(op.operands[1])) is None:
        tied.stay((w, k), "a product of two tensors sums it")
    _extras(tied, op)


def _extras(tied: TiedDims, op: Any) -> None:
    """The operands of an epilogue."""
    out = op.results[0]
    maps = [each.value for each in op.attributes["extra_maps"]]
    places = [place_of(op, number) for number in range(2, 2 + len(maps))]
    tied.mapped([out, *places], [ir.AffineMap.get_identity(len(extents(out))), *maps])


def _conv(tied: TiedDims, op: Any) -> None:
    x, w, out = place_of(op, 0), place_of(op, 1), op.results[0]
    rank, groups = len(extents(out)), op.attributes["groups"].value
    given, made = layouts(op.attributes["layout"].value)
    c, o = channel_axis(given, rank), channel_axis(made, rank)
    tied.alike([x, out], [0])
    for place, channels in ((x, c), (out, o)):
        for dim in range(1, rank):
            if dim != channels:
                tied.stay((place, dim), "a convolution moves along it")
    for dim in range(2, rank):
        tied.stay((w, dim), "taps of a convolution")
    single = groups == extents(x)[c] == extents(out)[o] and not op.attributes["transposed"].value
    if single:
        tied.tie((w, 0), (out, o))
        tied.tie((x, c), (out, o))
    elif groups > 1:
        for node in ((x, c), (out, o), (w, 0), (w, 1)):
            tied.stay(node, "a convolution of several groups")
    else:
        outputs, inputs = (1, 0) if op.attributes["transposed"].value else (0, 1)
        tied.tie((w, outputs), (out, o))
        tied.tie((x, c), (w, inputs))
        tied.reads(op.operands[1], outputs, inputs)
    _extras(tied, op)


def _attention(tied: TiedDims, op: Any) -> None:
    q, k, v, out = place_of(op, 0), place_of(op, 1), place_of(op, 2), op.results[0]
    heads = 1 if op.attributes["layout"].value == "bhsd" else 2
    for place in (k, v, out):
        tied.tie((q, heads), (place, heads))
    tied.heads.add((q, heads))
    tied.alike([q, k, v, out], [0])
    for place in (q, k, v, out):
        for dim in {1, 2, 3} - {heads}:
            tied.stay((place, dim), "attention reads it as a whole")
    number = 3
    for segment, group in enumerate(operand_groups(op)[3:]):
        for _ in group:
            place, own = place_of(op, number), {0: 1, 2: 0}.get(segment)
            for dim, extent in enumerate(extents(place)):
                if dim == own and extent == extents(q)[heads] and extent != 1:
                    tied.tie((q, heads), (place, dim))
                elif extent != 1:
                    tied.stay((place, dim), "attention reads it as a whole")
            number += 1


def _generic(tied: TiedDims, op: Any) -> None:
    kinds = [str(each) for each in op.attributes["iterator_types"]]
    reduced = {n for n, kind in enumerate(kinds) if "parallel" not in kind}
    for inner in nested(op):
        if inner.operation.name == "linalg.index":
            reduced.add(inner.operation.attributes["dim"].value)
    for value in captured(op):
        if is_tensor(value):
            tied.stay_whole(value, "an operation picks from it")
    places = [place_of(op, number) for number in range(len(op.operands))]
    maps = maps_of(op)
    tied.mapped([*places, *op.results], [*maps, *maps[len(maps) - len(op.results) :]], reduced)


def _transpose(tied: TiedDims, op: Any) -> None:
    for dim, own in enumerate(op.attributes["permutation"]):
        for place in (place_of(op, 1), op.results[0]):
            tied.tie((place_of(op, 0), own), (place, dim))


def _reshape(tied: TiedDims, op: Any) -> None:
    groups = [[int(d.value) for d in group] for group in op.attributes["reassociation"]]
    sides = place_of(op, 0), op.results[0]
    whole, parts = sides if op.name == "tensor.expand_shape" else sides[::-1]
    tied.regrouped(whole, parts, groups)


def _slice(tied: TiedDims, op: Any) -> None:
    """What is taken whole along a dimension; other dimensions stay."""
    x, out = place_of(op, 0), op.results[0]
    if len(extents(x)) != len(extents(out)):
        _stay_whole(tied, op)
        return
    for dim in range(len(extents(x))):
        if extents(x)[dim] == extents(out)[dim]:
            tied.tie((x, dim), (out, dim))
        else:
            tied.stay((x, dim), "a part of it is picked")
            tied.stay((out, dim), "it is a part of another one")


def _concat(tied: TiedDims, op: Any) -> None:
    places = [*(place_of(op, n) for n in range(len(op.operands))), op.results[0]]
    along = op.attributes["dim"].value
    tied.alike(places, [dim for dim in range(len(extents(places[-1]))) if dim != along])
    for place in places:
        tied.stay((place, along), "it is joined of several")


def _cast(tied: TiedDims, op: Any) -> None:
    tied.alike([place_of(op, 0), op.results[0]], range(len(extents(op.results[0]))))


def _pool(tied: TiedDims, op: Any) -> None:
    x, out = place_of(op, 0), op.results[0]
    rank = len(extents(out))
    channels = channel_axis(op.attributes["layout"].value, rank)
    tied.alike([x, out], [0, channels])
    for dim in set(range(1, rank)) - {channels}:
        tied.stay((x, dim), "pooling moves along it")
        tied.stay((out, dim), "pooling moves along it")


def _norm(tied: TiedDims, op: Any) -> None:
    axes, out = op.attributes["axes"].value, op.results[0]
    rank = len(extents(out))
    places = [place_of(op, n) for n in range(len(op.operands))]
    whole = [each for each in places if len(extents(each)) == rank]
    tied.alike([*whole, *op.results], range(rank))
    for place in (*places, out):
        size = len(extents(place))
        for dim in range(size - axes, size):
            tied.stay((place, dim), "a normalization reduces it")


def _softmax(tied: TiedDims, op: Any) -> None:
    x, out = place_of(op, 0), op.results[0]
    tied.alike([x, out], range(len(extents(out))))
    tied.stay((out, op.attributes["dim"].value), "a softmax reduces it")


def _embedding(tied: TiedDims, op: Any) -> None:
    table, out = place_of(op, 0), op.results[0]
    tied.tie((table, 1), (out, len(extents(out)) - 1))
    tied.stay((table, 0), "rows of a table")
    tied.stay_whole(place_of(op, 1), "indices of a table")
    for dim in range(len(extents(out)) - 1):
        tied.stay((out, dim), "indices of a table")


#: By the names of operations; all that others read or give stays as it is.
_OF_OPERATIONS: dict[str, Callable[[TiedDims, Any], None]] = {
    **dict.fromkeys(("tensor.empty", "linalg.fill", "arith.constant"), _nothing),
    "dry.weight": _weight,
    "dry.matmul": _matmul,
    "dry.conv": _conv,
    "dry.attention": _attention,
    "dry.pool": _pool,
    "dry.norm": _norm,
    "dry.softmax": _softmax,
    "dry.embedding": _embedding,
    "linalg.generic": _generic,
    "linalg.transpose": _transpose,
    "tensor.expand_shape": _reshape,
    "tensor.collapse_shape": _reshape,
    "tensor.extract_slice": _slice,
    "tensor.concat": _concat,
    "tensor.cast": _cast,
}
