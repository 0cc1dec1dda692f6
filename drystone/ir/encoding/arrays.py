"""Arrays in encodings."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import numpy_dtype, to_element, widen
from drystone.ir.encoding.parts import BY_RANGE, Encoding, Parts, Search
from drystone.ir.encoding.scaled import Codes

#: Numbers of a slab whose scales are searched for by itself, about, and what its rows are a multiple of.
_SLAB, _SLAB_ROWS = 1 << 15, 8


def encode(array: Array, encoding: Encoding, given: Parts | None = None, search: Search = BY_RANGE) -> Parts:
    """The parts an array (elements as `ir.elements` holds them) is stored in.

    given: parts that are settled, by name (scales of a calibration, an order, outer scales); search: how the
    scales that are not are chosen. Every code is that of the nearest number.
    """
    held = np.asarray(array)
    if isinstance(encoding, Codes) and not encoding.coded:
        if held.dtype != np.dtype(numpy_dtype(encoding.held_as)):
            held = to_element(widen(held), encoding.held_as)
        return encoding.laid(held)
    slabs = [] if given or search == BY_RANGE else _slabs(encoding, held.shape)
    if len(slabs) < 2:
        return encoding.encode(widen(held).astype(np.float64), given or {}, search)

    def part(rows: slice) -> Parts:
        return encoding.encode(widen(held[rows]).astype(np.float64), {}, search)

    with ThreadPoolExecutor(min(len(slabs), os.cpu_count() or 1)) as pool:
        found = list(pool.map(part, slabs))
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def _slabs(encoding: Encoding, shape: Sequence[int]) -> list[slice]:
    """Rows that are encoded by themselves, small enough for a cache: where each part of a tensor is made of
    those of its rows, one behind the other, so that they share no scale."""
    if len(shape) < 2 or not prod(shape):
        return []
    rows = max(_SLAB_ROWS, _SLAB // prod(shape[1:]) // _SLAB_ROWS * _SLAB_ROWS)
    slabs = [slice(first, min(first + rows, shape[0])) for first in range(0, shape[0], rows)]
    whole = encoding.parts(shape)
    some = [encoding.parts((each.stop - each.start, *shape[1:])) for each in slabs]
    for name, (extents, _) in whole.items():
        own = [each[name][0] for each in some]
        if not extents or any(each[1:] != extents[1:] for each in own):
            return []
        if sum(each[0] for each in own) != extents[0]:
            return []
    return slabs


def decode(parts: Parts, encoding: Encoding, shape: Sequence[int], dtype: str) -> Array:
    """The array of logical `shape` and element `dtype` in the parts; computed in float64, rounded once."""
    if isinstance(encoding, Codes) and not encoding.coded:
        elements = encoding.stored(parts, shape)
        return elements if encoding.held_as == dtype else to_element(widen(elements), dtype)
    return to_element(encoding.decode(parts, shape), dtype)
