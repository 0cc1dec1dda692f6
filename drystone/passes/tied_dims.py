"""Which dimensions of a program's tensors have to shrink together, and which cannot."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from drystone.ir.program import Program
from drystone.ir.shapes import channel_axis, layouts
from drystone.ir.values import (
    captured,
    constant_value,
    dims_of,
    is_tensor,
    main_block,
    nested,
    operand_groups,
    producer_name,
    shape_of,
    splat,
)
from drystone.mlir import ir
from drystone.passes.generic import maps_of, unwidened
from drystone.passes.rewriting import ops
from drystone.passes.weights import weight_key

#: A tensor, or an operand (operation and number) that has no numbers of its own (`is_free`).
Place = Any
#: A dimension of one.
Node = tuple[Place, int]


@dataclass(frozen=True)
class Group:
    """Dimensions that shrink together: of each go, or stay, `units` of equally many neighbouring positions.

    outputs, inputs: keys of weights whose outputs, or inputs, they are, and the dimensions of these. heads:
    whether units are heads of attention. why: it cannot shrink ("": it can).
    """

    nodes: tuple[Node, ...]
    units: int
    outputs: tuple[tuple[str, int], ...]
    inputs: tuple[tuple[str, int], ...]
    heads: bool
    why: str


def is_free(value: Any) -> bool:
    """Whether a tensor has one value everywhere, or none: each operation may be given one of its own size."""
    if producer_name(value) == "arith.constant":
        return is_tensor(value) and splat(constant_value(value)) is not None
    return producer_name(value) in ("tensor.empty", "linalg.fill")


def place_of(op: Any, number: int) -> Place:
    """What stands for an operand."""
    value = op.operands[number]
    return (op, number) if is_free(value) else value


def extents(place: Place) -> list[int | None]:
    """The extents of a tensor or an operand."""
    value = place[0].operands[place[1]] if isinstance(place, tuple) else place
    return shape_of(value.type)


@dataclass
class TiedDims:
    """The groups of a program. parents: a forest of nodes; why: of roots, why they stay."""

    program: Program
    parents: dict[Node, Node] = field(default_factory=dict)
    why: dict[Node, str] = field(default_factory=dict)
    heads: set[Node] = field(default_factory=set)
    roles: dict[Node, list[tuple[str, str, int]]] = field(default_factory=dict)

    def groups(self) -> list[Group]:
        """All groups of two units and more that some weight's outputs are in, in order."""
        block = main_block(self.program)
        for argument in block.arguments:
            self._stay(argument, "an input of the model")
        for op in block.operations:
            handler = _HANDLERS.get(op.operation.name, _stay_whole)
            handler(self, op.operation)
        found: dict[Node, list[Node]] = {}
        for node in self.parents:
            found.setdefault(self._root(node), []).append(node)
        made = [self._group(root, nodes) for root, nodes in found.items()]
        return [each for each in made if each.outputs and each.units > 1]

    def _group(self, root: Node, nodes: Sequence[Node]) -> Group:
        sizes = [extents(place)[dim] for place, dim in nodes]
        known = [size for size in sizes if size is not None]
        units, why = min(known, default=1), self.why.get(root, "")
        if len(known) < len(sizes) or any(size % units for size in known):
            why = why or "it is divided in several ways, or its extent is known at the call only"
        roles = dict.fromkeys(role for node in nodes for role in self.roles.get(node, ()))
        outputs, inputs = (
            tuple((key, dim) for kind, key, dim in roles if kind == wanted) for wanted in ("out", "in")
        )
        if not why and not inputs:
            why = "no weight reads it"
        return Group(tuple(nodes), units, outputs, inputs, any(n in self.heads for n in nodes), why)

    def _root(self, node: Node) -> Node:
        self.parents.setdefault(node, node)
        while self.parents[node] != node:
            self.parents[node] = node = self.parents[self.parents[node]]
        return node

    def tie(self, first: Node, second: Node) -> None:
        """Let two dimensions shrink together: where one is longer, a run of its positions with each of the
        other's."""
        one, other = self._root(first), self._root(second)
        if one != other:
            self.parents[other] = one
            reason = self.why.pop(other, "")
            if reason:
                self.why.setdefault(one, reason)

    def stay(self, node: Node, why: str) -> None:
        """Let a dimension be as it is."""
        self.why.setdefault(self._root(node), why)

    def _stay(self, place: Place, why: str) -> None:
        for dim in range(len(extents(place))):
            self.stay((place, dim), why)

    def alike(self, places: Iterable[Place], dims: Iterable[int]) -> None:
        """Tie these dimensions of tensors of one rank; those that differ stay."""
        first, *others = places
        for dim in dims:
            for other in others:
                if extents(first)[dim] == extents(other)[dim]:
                    self.tie((first, dim), (other, dim))
                else:
                    self.stay((first, dim), "it is repeated")
                    self.stay((other, dim), "it is repeated")

    def reads(self, weight: Any, outputs: int, inputs: int | None) -> None:
        """Note that an operation reads a weight, or that in a longer float, with these dimensions."""
        weight = unwidened(weight)
        key = weight_key(weight)
        if key is not None and weight.type.encoding is None:
            self.roles.setdefault((weight, outputs), []).append(("out", key, outputs))
            if inputs is not None:
                self.roles.setdefault((weight, inputs), []).append(("in", key, inputs))

    def mapped(self, places: Sequence[Place], maps: Sequence[Any], reduced: Iterable[int] = ()) -> None:
        """Tie what maps make the same dimension of an iteration space; those that are `reduced` stay."""
        first: dict[int, Node] = {}
        for place, map_ in zip(places, maps, strict=True):
            for dim, position in enumerate(dims_of(map_)):
                node = (place, dim)
                if position is None:
                    if extents(place)[dim] != 1:
                        self.stay(node, "an operation picks from it")
                elif position in first:
                    self.tie(first[position], node)
                else:
                    first[position] = node
        for position in reduced:
            if position in first:
                self.stay(first[position], "an operation reduces it")

    def regrouped(self, whole: Place, parts: Place, groups: Sequence[Sequence[int]]) -> None:
        """Tie each dimension of `whole` with the first of those of `parts` that it is made of; the others
        stay."""
        for dim, group in enumerate(groups):
            long = [d for d in group if extents(parts)[d] != 1]
            for position, part in enumerate(long):
                if position == 0:
                    self.tie((whole, dim), (parts, part))
                else:
                    self.stay((parts, part), "it lies within another dimension")


def _stay_whole(tied: TiedDims, op: Any) -> None:
    """An operation of which nothing is known."""
    what = {"func.return": "a result of the model"}.get(op.name, f"{op.name} reads or gives it as a whole")
    for number, value in enumerate(op.operands):
        if is_tensor(value):
            tied._stay(place_of(op, number), what)
    for value in [*op.results, *captured(op)]:
        if is_tensor(value):
            tied._stay(value, what)


def _nothing(tied: TiedDims, op: Any) -> None:
    """What has no numbers of its own; other constants stay."""
    for result in op.results:
        if is_tensor(result) and not is_free(result):
            tied._stay(result, "it is a constant")


def _weight(tied: TiedDims, op: Any) -> None:
    result = op.results[0]
    if result.type.encoding is not None:
        tied._stay(result, "it is coded")
    key = weight_key(result)
    first = next(
        each.operation.results[0]
        for each in ops(main_block(tied.program), "dry.weight")
        if weight_key(each.operation.results[0]) == key
    )
    tied.alike([first, result], range(len(extents(result))))
    if key in tied.program.signature.initial:
        tied._stay(result, "a state of the model")


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
            tied._stay(value, "an operation picks from it")
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
    tied._stay(place_of(op, 1), "indices of a table")
    for dim in range(len(extents(out)) - 1):
        tied.stay((out, dim), "indices of a table")


_HANDLERS: dict[str, Callable[[TiedDims, Any], None]] = {
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
