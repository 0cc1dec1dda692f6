"""Heads of one cache that are held differently become caches, each with an attention of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from drystone.caches import Heads, Held
from drystone.errors import UserError
from drystone.ir.build import scatter
from drystone.ir.encoding import part_key
from drystone.ir.program import Program
from drystone.ir.values import operand_groups, shape
from drystone.mlir import ir, tensor
from drystone.passes.caches.read_caches import (
    KEYS,
    VALUES,
    Cache,
    State,
    attending,
    found,
    positions_axis,
    renewed,
    settle,
)
from drystone.passes.dims import sizes_of
from drystone.passes.layout.moves import cut
from drystone.passes.rewriting import tensor_type

#: Masks and blocks among the groups of attention's operands: heads along axis 1 and 0.
_BY_HEAD = {3: 1, 5: 0}
#: Heads in order, as runs of neighbours: the first one of each and how many there are.
Runs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class _Split:
    """Caches that the same attentions read, and the heads of each part of theirs, by their first heads."""

    caches: tuple[Cache, ...]
    parts: tuple[tuple[int, ...], ...]

    @property
    def attentions(self) -> list[Any]:
        """What reads the caches."""
        return list(dict.fromkeys(op for cache in self.caches for op, _ in cache.reads))


def split(program: Program, held: Mapping[str, Held]) -> dict[str, Held]:
    """Make states of heads that are held differently several; what states are held as, by name, then. Raises
    UserError for heads that there are not."""
    splits = list(_splits(program, held))
    by_number = {cache.number: (cache, each) for each in splits for cache in each.caches}
    named: dict[str, Held] = {name: each for name, each in held.items() if not isinstance(each, Heads)}
    written: dict[tuple[int, int], Any] = {}

    def make(number: int, argument: Any) -> list[State] | None:
        if number not in by_number:
            return None
        cache, whole = by_number[number]
        named.pop(cache.spec.name, None)
        states = []
        for at, heads in enumerate(whole.parts):
            states.append(_part(program, cache, heads, argument))
            written[number, at] = states[-1].value
            wanted = held.get(cache.spec.name)
            own = wanted.held().get(heads[0]) if isinstance(wanted, Heads) else wanted
            if own is not None:
                named[states[-1].spec.name] = own
        return states

    states = renewed(program, make)
    for each in splits:
        for op in each.attentions:
            _attend(op, each, written)
    settle(program, states, [cache.write for cache, _ in by_number.values()])
    return named


def _splits(program: Program, held: Mapping[str, Held]) -> list[_Split]:
    """The caches that are to be several, with those that the same attentions read."""
    left = list(found(program))
    splits = []
    for first in [cache for cache in left if isinstance(held.get(cache.spec.name), Heads)]:
        if first not in left:
            continue
        own, reads = [first], {op for op, _ in first.reads}
        left.remove(first)
        while more := [cache for cache in left if reads & {op for op, _ in cache.reads}]:
            own += more
            reads |= {op for cache in more for op, _ in cache.reads}
            left = [cache for cache in left if cache not in more]
        splits.append(_Split(tuple(own), _parts(own, held)))
    return splits


def _parts(caches: Sequence[Cache], held: Mapping[str, Held]) -> tuple[tuple[int, ...], ...]:
    """The heads that are held alike in all of some caches."""
    count = caches[0].by_position()[3 - caches[0].axis]
    labels: list[list[Any]] = [[] for _ in range(count)]
    for cache in caches:
        cache.by_position()
        wanted = held.get(cache.spec.name)
        own = wanted.held() if isinstance(wanted, Heads) else {}
        if own and max(own) >= count:
            raise UserError(
                f"caches: {cache.spec.name} has {count} heads, of which there is no number {max(own)}",
                hint=f"give numbers of 0 to {count - 1}: heads of keys and values, not of queries",
            )
        for head, label in enumerate(labels):
            label.append(own.get(head))
    parts: list[list[int]] = []
    for head in range(count):
        same = next((part for part in parts if labels[part[0]] == labels[head]), None)
        if same is None:
            parts.append([head])
        else:
            same.append(head)
    return tuple(map(tuple, parts))


def _part(program: Program, cache: Cache, heads: Sequence[int], argument: Any) -> State:
    """The state of some heads of a cache."""
    axis = 3 - cache.axis
    extents = [len(heads) if d == axis else n for d, n in enumerate(argument.type.shape)]
    kind = tensor_type(extents, argument.type.element_type)
    own = argument.owner.add_argument(kind, argument.location)
    name = "heads_" + "_".join(map(str, heads))
    first = program.weights.add(f"{cache.key}.{name}", np.take(program.weights[cache.key], heads, axis))
    rows, at, _ = list(cache.write.operands)
    # Rows have the dimension of positions, as 1, or not.
    behind = 1 + axis - (rows.type.rank == argument.type.rank and axis > cache.axis)
    with ir.InsertionPoint(cache.write), cache.write.location:
        some = _some(rows, behind, _runs(heads))
        value = scatter(own, some, at, cache.dims)
    spec = replace(cache.spec, name=part_key(cache.spec.name, name), shape=tuple(extents))
    return State(spec, first, value)


def _attend(op: Any, whole: _Split, written: Mapping[tuple[int, int], Any]) -> None:
    """One attention for each part, and their results as one."""
    axis, groups = 3 - positions_axis(op), operand_groups(op)
    caches = {at: cache for cache in whole.caches for reader, at in cache.reads if reader == op}
    repeats = op.operands[0].type.shape[axis] // sum(map(len, whole.parts))
    order = [head for heads in whole.parts for head in heads]
    made = []
    for at, heads in enumerate(whole.parts):
        own, runs = [list(group) for group in groups], _runs(heads)
        queries = [(first * repeats, length * repeats) for first, length in runs]
        with ir.InsertionPoint(op), op.location:
            own[0] = [_some(own[0][0], axis, queries)]
            for operand in (KEYS, VALUES):
                own[operand] = [
                    written[caches[operand].number, at]
                    if operand in caches
                    else _some(own[operand][0], axis, runs)
                ]
            for group, by in _BY_HEAD.items():
                own[group] = [x if shape(x)[by] == 1 else _some(x, by, queries) for x in own[group]]
        extents = [len(heads) * repeats if d == axis else n for d, n in enumerate(shape(op.results[0]))]
        made.append(attending(op, own, tensor_type(extents, op.results[0].type.element_type)))
    with ir.InsertionPoint(op), op.location:
        joined = tensor.ConcatOp(op.results[0].type, axis, made).result
        back = [(order.index(first) * repeats, n * repeats) for first, n in _runs_back(order)]
        joined = joined if len(back) == 1 else _some(joined, axis, back)
    op.results[0].replace_all_uses_with(joined)
    op.erase()


def _runs(heads: Sequence[int]) -> Runs:
    """Heads in order, as runs of neighbours."""
    grouped = groupby(enumerate(heads), lambda each: each[1] - each[0])
    runs = [[head for _, head in group] for _, group in grouped]
    return [(run[0], len(run)) for run in runs]


def _runs_back(order: Sequence[int]) -> Runs:
    """The runs of heads 0, 1, .. that stand together in an order."""
    places = [order.index(head) for head in range(len(order))]
    runs, head = [], 0
    for _, length in _runs(places):
        runs.append((head, length))
        head += length
    return runs


def _some(value: Any, axis: int, runs: Runs) -> Any:
    """Stretches of a tensor along an axis, behind each other, made at the insertion point."""
    sizes = sizes_of(value)
    pieces = [
        cut(
            value,
            [first if d == axis else 0 for d in range(len(sizes))],
            [length if d == axis else n for d, n in enumerate(sizes)],
            [1] * len(sizes),
        )
        for first, length in runs
    ]
    if len(pieces) == 1:
        return pieces[0]
    extents = [sum(n for _, n in runs) if d == axis else n for d, n in enumerate(shape(value))]
    return tensor.ConcatOp(tensor_type(extents, value.type.element_type), axis, pieces).result
