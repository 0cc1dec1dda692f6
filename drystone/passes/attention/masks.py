"""Masks of attention: as conditions on positions where they are, as tensors where not."""

from dataclasses import dataclass
from math import inf
from typing import Any

from drystone.ir.build import generic
from drystone.ir.values import dims_of, is_tensor, nested
from drystone.mlir import arith, ir, tensor
from drystone.passes.attention.graph import Scores, Step
from drystone.passes.attention.positions import EVERYWHERE, both
from drystone.passes.attention.spans import Seen, kept, seen, span_tensor
from drystone.passes.dims import Extent, as_value
from drystone.passes.generic import body, composed, maps_of, read_by, used_dims
from drystone.passes.regions import position
from drystone.passes.traces import arranged


@dataclass(frozen=True)
class Masks:
    """What masks the scores: the keys each query sees by position, and the steps that are tensors. `place`
    has the position of the scores as (image, head, query, key)."""

    seen: Seen
    steps: tuple[Step, ...]
    place: Any
    extents: tuple[int | None, ...]

    @property
    def by_batch(self) -> bool:
        """Whether anything depends on the dimensions before queries and keys."""
        lead = range(len(self.extents) - 2)
        return bool(self.seen.dims & {*lead}) or any(_step_dims(step) & {*lead} for step in self.steps)

    def operands(self, sizes: tuple[Extent, Extent, Extent, Extent]) -> tuple[list[Any], list[Any]]:
        """The operands mask and span for attention of these extents [B, H, S, T], made at the insertion
        point."""
        rank = len(self.extents)
        span = [span_tensor(self.seen, sizes[0], sizes[2], rank)] if self.seen.spans else []
        if not self.steps:
            return [], span
        (step, *more) = self.steps
        direct = None if more or step.added is None else _as_it_is(step, self.place)
        return [_summed(self.steps, self.place, sizes) if direct is None else direct], span


def masks_of(found: Scores) -> Masks | None:
    """The masks of scores; None where one depends on what no operand of attention can."""
    rank = len(found.extents)
    region, steps = EVERYWHERE, []
    for step in found.steps:
        split = step.cases()
        here = None if split is None else kept(split, found.extents)
        together = None if here is None else both(region, here)
        if together is None or seen(together, rank) is None:
            steps.append(step)
        else:
            region = together
    sees = seen(region, rank)
    exprs = [ir.AffineExpr.get_dim(d) for d in range(4)]
    lead = [exprs[0], *[exprs[1]] * (rank - 3)] if rank > 2 else []
    masks = Masks(
        sees or Seen(), tuple(steps), ir.AffineMap.get(4, 0, [*lead, exprs[2], exprs[3]]), found.extents
    )
    heads = {*range(1, rank - 2)}
    # Several dimensions of heads are joined: a mask may not tell them apart.
    joined = len(heads) > 1 and any(_step_dims(step) & heads for step in steps)
    return None if joined else masks


def _step_dims(step: Step) -> set[int]:
    """The dimensions of the scores that a step depends on."""
    found: set[int] = set()
    for value in _needed(step):
        if isinstance(value.owner, ir.Block):
            found |= used_dims(maps_of(step.op)[value.arg_number].results)
        elif value.owner.name == "linalg.index":
            found.add(value.owner.attributes["dim"].value)
    return found


def _needed(step: Step) -> list[Any]:
    """The values of the body that a step depends on, and itself."""
    block, found, stack = body(step.op), [], [step.scalar]
    while stack:
        value = stack.pop()
        owner = value.owner
        if isinstance(owner, ir.Block):
            if owner == block:
                found.append(value)
        elif owner.operation.block == block:
            found.append(value)
            stack.extend(owner.operands)
    return found


def _as_it_is(step: Step, place: Any) -> Any:
    """The tensor a step adds, reshaped to rank 4; None where it is computed, or lies otherwise."""
    value, read = read_by(step.op, step.scalar)
    if value is None or not is_tensor(value):
        return None
    at = dims_of(composed(read, place))
    used = [d for d in at if d is not None]
    if len(set(used)) != len(used):
        return None
    return arranged(value, [[k for k, d in enumerate(at) if d == axis] for axis in range(4)])


def _summed(steps: tuple[Step, ...], place: Any, sizes: tuple[Extent, Extent, Extent, Extent]) -> Any:
    """All steps in one tensor: flags of what is kept where they only drop, else numbers to add."""
    flags = all(step.added is None and step.fill == -inf for step in steps)
    inputs: list[Any] = []
    maps: list[Any] = []
    for step in steps:
        for value, read in zip(step.op.operation.operands, maps_of(step.op), strict=True):
            wanted = any(
                isinstance(v.owner, ir.Block) and step.op.operation.operands[v.arg_number] == value
                for v in _needed(step)
            )
            moved = composed(read, place)
            if wanted and is_tensor(value) and (value, moved) not in zip(inputs, maps, strict=True):
                inputs.append(value)
                maps.append(moved)
    used = {d for step in steps for d in _step_dims(step)}
    own = used_dims(place.results[d] for d in used)
    extents = [n if d in own else 1 for d, n in enumerate(sizes)]
    kind = ir.IntegerType.get_signless(1) if flags else inputs_element(steps)
    init = tensor.EmptyOp([n if isinstance(n, int) else as_value(n) for n in extents], kind).result
    made = generic(inputs, [init], [*maps, ir.AffineMap.get_identity(4)], ["parallel"] * 4)
    block = made.operation.regions[0].blocks.append(*(v.type.element_type for v in inputs), kind)
    with ir.InsertionPoint(block):
        total: Any = None
        for step in steps:
            one = _value(step, inputs, maps, list(block.arguments), place, kind, flags)
            combine = arith.AndIOp if flags else arith.AddFOp
            total = one if total is None else combine(total, one).result
        ir.Operation.create("linalg.yield", operands=[total])
    return made.operation.results[0]


def inputs_element(steps: tuple[Step, ...]) -> Any:
    """The element of the scores."""
    return steps[0].op.operation.results[0].type.element_type


def _value(
    step: Step, inputs: list[Any], maps: list[Any], arguments: list[Any], place: Any, kind: Any, flags: bool
) -> Any:
    """What one step adds, or whether it keeps, inside the new body."""
    known: dict[Any, Any] = {}
    old = body(step.op)
    reads = zip(list(old.arguments)[:-1], step.op.operation.operands, maps_of(step.op), strict=False)
    for argument, value, read in reads:
        moved = composed(read, place)
        for k, pair in enumerate(zip(inputs, maps, strict=True)):
            if pair == (value, moved):
                known[argument] = arguments[k]
    needed = {v.owner.operation for v in _needed(step) if not isinstance(v.owner, ir.Block)}
    for op in old.operations:
        if op.operation not in needed:
            continue
        if op.operation.name == "linalg.index":
            known[op.operation.results[0]] = position(place, op.operation.attributes["dim"].value)
            continue
        copy = op.operation.clone()
        for inner in [copy, *nested(copy)]:
            for number, value in enumerate(inner.operation.operands):
                if value in known:
                    inner.operation.operands[number] = known[value]
        known.update(zip(op.operation.results, copy.results, strict=True))
    scalar = known.get(step.scalar, step.scalar)
    if step.added is not None:
        return scalar
    if flags:
        when = arith.ConstantOp(kind, int(step.when)).result
        return arith.XOrIOp(scalar, when).result
    drop, keep = arith.ConstantOp(kind, step.fill).result, arith.ConstantOp(kind, 0.0).result
    return arith.SelectOp(scalar, *((drop, keep) if step.when else (keep, drop))).result
