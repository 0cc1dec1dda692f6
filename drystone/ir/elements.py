"""How numpy holds the elements of tensors, and conversions between them.

Elements are named as the IR spells them ("f32", "bf16", "i1", "index", "complex<f32>") and held as
`drystone.dtypes` says: i1 as bool, bf16 as its bits in uint16 (nothing else is held so), integers signed.
"""

import re
from typing import Any

import numpy as np

from drystone.dtypes import DTYPES, Array
from drystone.errors import InternalError

_INTEGER = re.compile(r"(u?)i(\d+)")


def numpy_dtype(dtype: str) -> Any:
    """The numpy dtype elements of this name are held in; integers of odd widths in the next wider one."""
    if dtype == "index":
        return np.int64
    if dtype in DTYPES:
        return DTYPES[dtype]
    match = _INTEGER.fullmatch(dtype)
    if match is None or int(match[2]) > 64:
        raise InternalError(f"no numpy array holds elements of type {dtype}")
    bits = next(n for n in (8, 16, 32, 64) if n >= int(match[2]))
    return np.dtype(f"{'u' if match[1] else ''}int{bits}")


def is_element(name: str) -> bool:
    """Whether this is the name of an element."""
    return name == "index" or name in DTYPES or _INTEGER.fullmatch(name) is not None


def from_bf16(bits: Array) -> Array:
    """bfloat16 bits (uint16) -> float32."""
    return (np.asarray(bits, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bf16(values: Array) -> Array:
    """Real numbers -> bfloat16 bits (uint16), to nearest even; NaN stays NaN."""
    with np.errstate(over="ignore"):
        single = np.asarray(values).astype(np.float32)
    bits = single.view(np.uint32).astype(np.uint64)
    rounded = (bits + np.uint64(0x7FFF) + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    return np.where(np.isnan(single), (bits >> np.uint64(16)) | np.uint64(0x40), rounded).astype(np.uint16)


def widen(array: Array) -> Array:
    """The same numbers in a numpy dtype that computes: bfloat16 bits as float32, everything else as it is."""
    return from_bf16(array) if array.dtype == np.uint16 else array


def to_element(values: Array, dtype: str) -> Array:
    """Numbers as the element `dtype`: reals rounded to nearest, integers wrapped, i1 the lowest bit."""
    values = np.asarray(values)
    if dtype == "bf16":
        return to_bf16(values)
    if dtype == "i1":
        return values if values.dtype == np.bool_ else (values.astype(np.int64) & 1).astype(np.bool_)
    held = np.dtype(numpy_dtype(dtype))
    with np.errstate(all="ignore"):
        out = values.astype(held, copy=False)
    match = _INTEGER.fullmatch(dtype)
    spare = 0 if match is None else held.itemsize * 8 - int(match[2])
    return np.asarray((out << spare) >> spare) if spare else out
