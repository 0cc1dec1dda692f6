"""The graph of an attention written by hand: from the scores a softmax takes back to queries and keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any

from drystone.ir.values import constant_number, is_tensor, producer, shape
from drystone.mlir import ir
from drystone.passes.attention.positions import Cases, Element, cases, flag, outside
from drystone.passes.generic import body, is_identity, is_parallel, maps_of
from drystone.passes.traces import Dims, Repeat, Trace, arranged, trace


@dataclass(frozen=True)
class Step:
    """What a map does to the scores: it adds the scalar `added` of its body, or puts `fill` in place of them
    where the flag `where` is `when`."""

    op: Any
    added: Any = None
    where: Any = None
    when: bool = True
    fill: float = -inf

    @property
    def scalar(self) -> Any:
        """The value of the body that it depends on."""
        return self.where if self.added is None else self.added

    def cases(self) -> Cases | None:
        """The numbers it adds (minus infinity where it drops scores), and where."""
        rank = self.op.operation.results[0].type.rank
        here = Element(self.scalar, self.op, ir.AffineMap.get_identity(rank))
        if self.added is not None:
            return cases(here.at(self.added))
        region = flag(here.at(self.where))
        if region is None:
            return None
        dropped, others = (region, outside(region)) if self.when else (outside(region), region)
        return [(dropped, self.fill), (others, 0)]


@dataclass(frozen=True)
class Scores:
    """scale * q k^T with `steps` on it. q and k: [batch dimensions], [positions], [depth] of their sources.
    extents: those of the scores where the steps read positions."""

    q: Trace
    k: Trace
    scale: float
    extents: tuple[int | None, ...]
    steps: tuple[Step, ...] = ()


def scores_of(value: Any) -> Scores | None:
    """What the tensor of scores that a softmax takes is computed from; None where it is no product."""
    plain = as_rows(value)
    op = None if plain is None else producer(plain)
    if op is None:
        return None
    name = op.operation.name
    if name == "dry.matmul" and is_plain(op):
        return _product(op)
    if name != "linalg.generic" or not is_parallel(op) or len(op.operation.results) != 1:
        return None
    if not is_identity(maps_of(op)[-1]):
        return None
    last = list(body(op).operations)[-1].operation
    return _scalar(op, last.operands[0])


def as_rows(value: Any) -> Any:
    """The tensor a value shows with other leading dimensions and the same last two; None where it shows
    another order."""
    rank = value.type.rank
    if rank < 2:
        return None
    found = trace(value, [[*range(rank - 2)], [rank - 2], [rank - 1]])
    last = found.source.type.rank - 1
    extents = shape(found.source)
    long = [tuple(d for d in group if extents[d] != 1) for group in ([*range(last - 1)], [last - 1], [last])]
    return found.source if last and list(found.dims) == long else None


def is_plain(op: Any) -> bool:
    """Whether a product has neither extras nor an epilogue."""
    return len(op.operation.operands) == 2 and len(list(op.operation.regions[0].blocks[0].operations)) == 1


def _scalar(op: Any, scalar: Any) -> Scores | None:
    """Scores behind a scalar of the body of a map over them."""
    owner = scalar.owner
    if isinstance(owner, ir.Block):
        if owner != body(op) or scalar.arg_number >= len(op.operation.operands) - 1:
            return None
        value, map_ = op.operation.operands[scalar.arg_number], maps_of(op)[scalar.arg_number]
        return scores_of(value) if is_tensor(value) and is_identity(map_) else None
    made = owner.operation
    operands = list(made.operands)
    if made.name in ("arith.mulf", "arith.divf"):
        sides = [(0, 1), (1, 0)] if made.name == "arith.mulf" else [(0, 1)]
        for one, other in sides:
            factor = scalar_number(operands[other])
            found = None if factor is None else _scalar(op, operands[one])
            if found is not None and factor is not None:
                return _scaled(found, factor if made.name == "arith.mulf" else 1 / factor)
    if made.name == "arith.addf":
        for one, other in ((0, 1), (1, 0)):
            found = _scalar(op, operands[one])
            if found is not None:
                return _with(found, Step(op, added=operands[other]))
    if made.name == "arith.select":
        for one, other in ((1, 2), (2, 1)):
            fill = scalar_number(operands[one])
            found = None if fill is None or fill > -1e30 else _scalar(op, operands[other])
            if found is not None and fill is not None:
                return _with(found, Step(op, where=operands[0], when=one == 1, fill=fill))
    return None


def _scaled(found: Scores, factor: float) -> Scores | None:
    """The scores times a number; what was added before would have to be scaled too."""
    return None if found.steps or factor <= 0 else replace(found, scale=found.scale * factor)


def _with(found: Scores, step: Step) -> Scores | None:
    extents = tuple(shape(step.op.operation.results[0]))
    if found.steps and found.extents != extents:
        return None
    return replace(found, extents=extents, steps=(*found.steps, step))


def scalar_number(value: Any) -> float | None:
    """The number of a scalar that is a constant, or a constant in another width."""
    while not isinstance(value.owner, ir.Block) and value.owner.name in ("arith.truncf", "arith.extf"):
        value = value.owner.operands[0]
    found = constant_number(value)
    return None if found is None else float(found)


def _product(op: Any) -> Scores | None:
    """q k^T: the depth of both is the last dimension but for k where it is not transposed by the product."""
    q, k = op.operation.operands
    swapped = bool(op.operation.attributes["transpose_b"].value)
    depth, positions = (-1, -2) if swapped else (-2, -1)
    left = operand_trace(op, q, -2, -1)
    right = operand_trace(op, k, positions, depth)
    if left is None or right is None:
        return None
    q_trace, q_scale = left
    k_trace, k_scale = right
    extents = tuple(shape(op.operation.results[0]))
    return Scores(q_trace, k_trace, q_scale * k_scale, extents)


def operand_trace(
    op: Any, value: Any, positions: int, depth: int, *, factors: bool = True
) -> tuple[Trace, float] | None:
    """An operand of a product traced back as [batches], [positions], [depth], and the factor it was
    multiplied by; batch dimensions that the product repeats are repetitions."""
    rank, extents = value.type.rank, shape(op.operation.results[0])
    if rank != len(extents) and len(extents) > 2:
        return None
    own = shape(value)
    batch: list[int | Repeat] = [
        d if own[d] == extents[d] or own[d] != 1 else Repeat(extents[d]) for d in range(rank - 2)
    ]
    now, scale = trace(value, [batch, [rank + positions], [rank + depth]]), 1.0
    while factors:
        factor = _factor(now.source)
        if factor is None or factor[1] <= 0:
            break
        now, scale = trace(factor[0], now.dims), scale * factor[1]
    return now, scale


def _factor(value: Any) -> tuple[Any, float] | None:
    """(x, c) where a value is x * c for a constant c."""
    op = producer(value)
    if op is None or op.operation.name != "linalg.generic" or len(op.operation.operands) != 2:
        return None
    operations = list(body(op).operations)
    last = operations[-1].operation
    if (
        not is_parallel(op)
        or not all(map(is_identity, maps_of(op)))
        or not is_tensor(op.operation.operands[0])
    ):
        return None
    made = last.operands[0].owner
    if isinstance(made, ir.Block) or made.name not in ("arith.mulf", "arith.divf"):
        return None
    x, c = made.operands
    if made.name == "arith.mulf" and scalar_number(c) is None:
        x, c = c, x
    number = scalar_number(c)
    if number is None or x != body(op).arguments[0]:
        return None
    return op.operation.operands[0], number if made.name == "arith.mulf" else 1 / number


@dataclass(frozen=True)
class Heads:
    """Queries, keys or values with their batch dimensions divided into images and heads, each head repeated
    `repeats` times."""

    of: Trace
    images: Dims
    heads: Dims
    repeats: tuple[int | None, ...]

    def count(self) -> int | None:
        """How many heads there are, repetitions included."""
        extents = [*self.of.extents(self.heads), *self.repeats]
        return None if None in extents else prod(n or 0 for n in extents)

    def tensor(self) -> Any:
        """The tensor [images, heads, positions, depth] without repetitions, made at the insertion point."""
        groups = (self.images, self.heads, *self.of.dims[1:])
        return arranged(self.of.source, [[d for d in g if not isinstance(d, Repeat)] for g in groups])


def heads_of(found: Trace, images: int | None) -> Heads | None:
    """Divide the batch dimensions so that the first have `images` elements; None where they do not."""
    dims, extents = found.dims[0], found.extents(found.dims[0])
    if images is None:
        count = 1 if extents and extents[0] is None else -1
    else:
        count = next((n for n in range(len(dims) + 1) if _times(extents[:n]) == images), -1)
    if count < 0:
        return None
    first, rest = dims[:count], dims[count:]
    own = next((n for n, d in enumerate(rest) if isinstance(d, Repeat)), len(rest))
    repeats = [d.extent for d in rest[own:] if isinstance(d, Repeat)]
    plain = not any(isinstance(d, Repeat) for d in (*first, *found.dims[1], *found.dims[2]))
    if not plain or len(repeats) != len(rest) - own:
        return None
    return Heads(found, first, rest[:own], tuple(repeats))


def _times(extents: Sequence[int | None]) -> int | None:
    return None if None in extents else prod(n or 0 for n in extents)
