"""Rows of caches that are held as codes: how they are written, and read."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.dialect import END_STEP
from drystone.ir.elements import widen
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import BY_RANGE, Codes, Encoding, Joined, Parts, Recent, decode
from drystone.ir.encoding.parts import put, take
from drystone.ir.interpreter.machine import Machine, element_name, handles


def numbers_of(kind: Any, array: Array) -> Array:
    """The numbers that a value of a tensor type stands for; a coded one is held as it is stored."""
    encoding = encoding_of(kind)
    if not isinstance(encoding, Joined):
        return array
    return decode({"codes": array}, encoding, kind.shape, element_name(kind))


@handles("dry.write_rows")
def _write_rows(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    cache, rows, at = args
    kind, axis = op.cache.type, op.axis.value
    joined = encoding_of(kind)
    assert isinstance(joined, Joined)
    shape = tuple(kind.shape)
    parts = {name: array.copy() for name, array in joined.split(cache, shape).items()}
    for row, position in zip(widen(rows).astype(np.float64), at.reshape(-1), strict=True):
        place = int(np.clip(position, 0, shape[axis] - 1))
        parts = _written(joined.base, parts, shape, axis, row, place, op.tries.value)
    return [joined.join(parts, shape)]


def _written(
    encoding: Encoding,
    parts: Parts,
    shape: Sequence[int],
    axis: int,
    row: Array,
    place: int,
    tries: int,
) -> Parts:
    """The parts with one more row."""
    row = row.reshape([1 if d == axis else n for d, n in enumerate(shape)])
    if isinstance(encoding, Recent):
        ring = encoding.ring(shape)
        rows = encoding.held.decode(take("rows", parts), ring)
        at = (slice(None),) * axis + (slice(place % encoding.size, place % encoding.size + 1),)
        rows[at] = row
        parts = parts | put("rows", encoding.held.encode(rows, {}, BY_RANGE))
        parts["places"][at[: len(shape) - 1]] = place
        base, own = encoding.base, take("base", parts)
    else:
        assert isinstance(encoding, Codes)
        base, own = encoding, parts
    assert base.scale is not None
    size = base.scale.per.all_sizes(len(shape))[axis]
    if (place + 1) % size and place + 1 < shape[axis]:
        return parts
    block = slice(place // size * size, place + 1)
    numbers = row
    if size > 1:
        numbers = encoding.decode(parts, shape)[(slice(None),) * axis + (block,)]
    fresh = _searched(base, numbers, tries)
    rounded = _rounded(base, own, shape, axis, numbers, block, fresh)
    return parts | put("base", rounded) if isinstance(encoding, Recent) else rounded


def _searched(base: Codes, numbers: Array, tries: int) -> Parts:
    """The parts of numbers whose codes reach between the ends, of those that are tried, that leave the least
    squared error. Ends, and steps between codes, are computed in f32."""
    assert base.scale is not None
    per, children = base.scale.per, base.scale.children()
    low, high = (per.reduce(least, numbers).astype(np.float32) for least in (np.minimum, np.maximum))
    cut = (high - low) * np.float32(END_STEP)
    least = np.full(low.shape, np.inf)
    ends: tuple[Array, ...] = (low, high)

    def between(low: Array, high: Array) -> Parts:
        step = (high - low) * np.float32(1 / base.code.high)
        wanted = {"scale": step, "minimum": -low}
        given: Parts = {}
        for name, each in wanted.items():
            given |= put(name, children[name].encode(each.astype(np.float64), {}, BY_RANGE))
        return base.encode(numbers, given, BY_RANGE)

    for from_low, from_high in product(range(tries), repeat=2) if tries > 1 else ():
        moved = low + np.float32(from_low) * cut, high - np.float32(from_high) * cut
        rest = base.decode(between(*moved), numbers.shape) - numbers
        error = per.reduce(np.add, np.square(rest))
        ends = tuple(np.where(error < least, new, old) for new, old in zip(moved, ends, strict=True))
        least = np.fmin(error, least)
    return between(*ends)


def _rounded(
    base: Codes, parts: Parts, shape: Sequence[int], axis: int, numbers: Array, block: slice, fresh: Parts
) -> Parts:
    """The parts of codes with those of one block of positions, `fresh`, in the place of what was there."""
    assert base.scale is not None
    codes = base.stored(parts, shape)
    codes[(slice(None),) * axis + (block,)] = base.stored(fresh, numbers.shape)
    size, found = base.scale.per.all_sizes(len(shape))[axis], base.laid(codes)
    own = (slice(None),) * axis + (slice(block.start // size, block.start // size + 1),)
    for name, child in base.scale.children().items():
        assert isinstance(child, Codes)
        held = child.stored(take(name, parts), base.scale.per.shape(shape)).copy()
        held[own] = child.stored(take(name, fresh), base.scale.per.shape(numbers.shape))
        found |= put(name, child.laid(held))
    return found
