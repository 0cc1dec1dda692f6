"""Encodings of arrays and of ranked tensor types."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.attributes import from_attribute, to_attribute
from drystone.ir.elements import numpy_dtype, to_element, widen
from drystone.ir.encoding.joined import Joined
from drystone.ir.encoding.layout import Pack
from drystone.ir.encoding.parts import BY_RANGE, Encoding, Held, Parts, Search
from drystone.ir.encoding.scaled import Codes
from drystone.ir.encoding.words import Words
from drystone.mlir import ir

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


def encoding_of(kind: Any) -> Encoding:
    """The encoding of a ranked tensor type; a type without one holds its own elements."""
    tensor = ir.RankedTensorType(kind)
    if tensor.encoding is None:
        return Codes(str(tensor.element_type))
    found: Encoding = from_attribute(tensor.encoding)
    return found


def codes_of(kind: Any) -> Codes:
    """The encoding of a ranked tensor type whose numbers are one code each. Raises InternalError for others:
    sums, outliers, mixtures and the like, which no kernel reads."""
    found = encoding_of(kind)
    if not isinstance(found, Codes):
        raise InternalError(f"no kernel or pass reads {kind}")
    return found


def with_encoding(kind: Any, encoding: Encoding | None) -> Any:
    """The type with this encoding; with None, or one that holds its own elements plainly, without any."""
    tensor = ir.RankedTensorType(kind)
    plain = encoding is None or encoding == Codes(str(tensor.element_type))
    attribute = None if encoding is None or plain else to_attribute(encoding)
    return ir.RankedTensorType.get(tensor.shape, tensor.element_type, encoding=attribute)


def is_coded(kind: Any) -> bool:
    """Whether a tensor type holds codes, not the numbers themselves."""
    encoding = encoding_of(kind)
    return not isinstance(encoding, Codes) or encoding.coded


def pack_of(kind: Any) -> Pack | None:
    """The blocked layout that a tensor type's elements lie in; None where they lie in rows, or are coded."""
    return None if is_coded(kind) else codes_of(kind).pack


def panel_width(kind: Any) -> int:
    """How many columns or channels lie side by side in the panels that a matrix is stored in, of numbers or
    of codes; 0 where it is not."""
    encoding = encoding_of(kind)
    if isinstance(encoding, Joined):
        layout = encoding.base.layout if isinstance(encoding.base, Codes) else None
        return layout.width if isinstance(layout, Words) else 0
    pack = pack_of(kind)
    return 0 if pack is None or not pack.inner_tiles else pack.inner_tiles[0]


def storage_shape(kind: Any) -> tuple[int, ...]:
    """The shape of the one array that a tensor of a type is stored in; a dynamic dimension stays one (it
    cannot be tiled, and its codes take whole bytes). Raises InternalError where there are several arrays."""
    return _storage(kind)[0]


def storage_element(kind: Any) -> str:
    """The element of the one array that a tensor of a type is stored in. Raises InternalError where there are
    several arrays."""
    return _storage(kind)[1]


def _storage(kind: Any) -> Held:
    tensor = ir.RankedTensorType(kind)
    encoding = encoding_of(tensor)
    if ir.ShapedType.get_dynamic_size() in tensor.shape and (
        not isinstance(encoding, Codes) or encoding.layout is not None or encoding.coded
    ):
        raise InternalError(f"{kind}: only static shapes are stored encoded")
    parts = encoding.parts(tensor.shape)
    if len(parts) > 1:
        raise InternalError(f"{kind} is held in several arrays: {', '.join(parts)}")
    (held,) = parts.values()
    return held


def storage_bytes(kind: Any, extents: Sequence[int] | None = None) -> int:
    """Bytes of all parts of a tensor of this type and of these extents (those of a static type)."""
    tensor = ir.RankedTensorType(kind)
    return encoding_of(tensor).bytes(tensor.shape if extents is None else extents)
