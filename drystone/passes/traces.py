"""Tensors behind reshapes, permutations and repetitions: which of their dimensions a view shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from drystone.ir.values import dims_of, producer, producer_name, shape, uncast
from drystone.mlir import ints
from drystone.passes.generic import collapse, moved_input, through_units
from drystone.passes.layout.moves import move
from drystone.passes.rewriting import tensor_type


@dataclass(frozen=True)
class Repeat:
    """A dimension along which everything is the same."""

    extent: int | None


#: The dimensions of a tensor, and repetitions, that one dimension of a view is made of, outermost first.
Dims = tuple[int | Repeat, ...]


@dataclass(frozen=True)
class Trace:
    """A tensor, and what each dimension asked for is made of in it; dimensions of extent 1 are left out."""

    source: Any
    dims: tuple[Dims, ...]

    def extents(self, dims: Dims) -> list[int | None]:
        """The extents of some of them."""
        known = shape(self.source)
        return [d.extent if isinstance(d, Repeat) else known[d] for d in dims]


def trace(value: Any, dims: Sequence[Sequence[int | Repeat]]) -> Trace:
    """Follow `dims` of `value` back through casts, reshapes, moves and broadcasts, as far as each dimension
    stays made of whole ones."""
    now = Trace(value, tuple(_long(value, group) for group in dims))
    while True:
        before = _before(now)
        if before is None:
            return now
        now = before


def _long(value: Any, group: Sequence[int | Repeat]) -> Dims:
    extents = shape(value)
    return tuple(d for d in group if (d.extent if isinstance(d, Repeat) else extents[d]) != 1)


def _before(now: Trace) -> Trace | None:
    """The same dimensions one operation earlier; None where there is none to look through."""
    plain = uncast(now.source)
    if shape(plain) == shape(now.source) and plain != now.source:
        return Trace(plain, now.dims)
    name = producer_name(now.source)
    if name == "tensor.collapse_shape":
        source, groups = now.source.owner.operation.operands[0], _groups(now.source)
        return Trace(source, tuple(_long(source, _spread(dims, groups)) for dims in now.dims))
    if name == "tensor.expand_shape":
        return _joined(now, _groups(now.source))
    op = producer(now.source)
    map_ = None if op is None else moved_input(op)
    if map_ is None:
        return None
    source = op.operation.operands[0]
    at = {d: k for k, d in enumerate(dims_of(map_)) if d is not None}
    extents = shape(now.source)
    moved = [
        tuple(d if isinstance(d, Repeat) else at.get(d, Repeat(extents[d])) for d in dims)
        for dims in now.dims
    ]
    return Trace(source, tuple(_long(source, dims) for dims in moved))


def _groups(value: Any) -> list[list[int]]:
    return [ints(group) for group in value.owner.operation.attributes["reassociation"]]


def _spread(dims: Dims, groups: Sequence[Sequence[int]]) -> list[int | Repeat]:
    found: list[int | Repeat] = []
    for d in dims:
        found.extend([d] if isinstance(d, Repeat) else groups[d])
    return found


def _joined(now: Trace, groups: Sequence[Sequence[int]]) -> Trace | None:
    """Through tensor.expand_shape: the parts of every dimension must be together."""
    extents = shape(now.source)
    found = [list(dims) for dims in now.dims]
    for number, group in enumerate(groups):
        long = [d for d in group if extents[d] != 1]
        for dims in found:
            places = [k for k, d in enumerate(dims) if d in long]
            if not places:
                continue
            if dims[places[0] : places[0] + len(long)] != long:
                return None
            # Negative for now: numbers of the source are not to be taken for those of the view.
            dims[places[0] : places[0] + len(long)] = [-1 - number]
    source = now.source.owner.operation.operands[0]
    plain = [tuple(d if isinstance(d, Repeat) else -1 - d for d in dims) for dims in found]
    return Trace(source, tuple(plain))


def arranged(source: Any, groups: Sequence[Sequence[int]]) -> Any:
    """`source` with its dimensions joined to those of `groups`, in that order; those not named have extent
    1, and an empty group gives one. Operations go to the current insertion point."""
    named = [d for group in groups for d in group]
    extents = shape(source)
    units = [d for d in range(len(extents)) if d not in named]
    moved = move(source, (*units, *named))
    full = [g for g in groups if g]
    joined: list[list[int]] = []
    at = 0
    for group in full:
        count = len(group) + (len(units) if not joined else 0)
        joined.append(list(range(at, at + count)))
        at += count
    flat = collapse(moved, joined) if full else moved
    sizes = [_product([extents[d] for d in group]) for group in groups]
    return through_units(flat, tensor_type(sizes, source.type.element_type))


def _product(extents: Sequence[int | None]) -> int | None:
    return None if None in extents else prod(n or 0 for n in extents)
