"""Dimensions of tensors that have to shrink together, and those that cannot."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from drystone.ir.values import (
    constant_value,
    dims_of,
    is_tensor,
    producer_name,
    shape_of,
    splat,
)
from drystone.passes.generic import unwidened
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
    """Which dimensions are tied. parents: a forest of nodes; why: of roots, why they stay; heads: nodes that
    are heads of attention; roles: weights whose outputs, or inputs, a node is."""

    parents: dict[Node, Node] = field(default_factory=dict)
    why: dict[Node, str] = field(default_factory=dict)
    heads: set[Node] = field(default_factory=set)
    roles: dict[Node, list[tuple[str, str, int]]] = field(default_factory=dict)

    def groups(self) -> list[Group]:
        """All groups of two units and more that some weight's outputs are in, in order."""
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

    def stay_whole(self, place: Place, why: str) -> None:
        """Let all dimensions of a tensor be as they are."""
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
