"""Aligned arrays: kernels take every buffer aligned to a cache line."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from drystone.dtypes import Array

ALIGNMENT = 64


def placed(shape: Sequence[int], dtype: Any) -> tuple[Array, int]:
    """An uninitialized C-contiguous array that starts at a multiple of 64 bytes, and where."""
    raw = np.empty(math.prod(shape) * np.dtype(dtype).itemsize + ALIGNMENT, np.uint8)
    address = raw.ctypes.data
    start = -address % ALIGNMENT
    return np.ndarray(shape, dtype, raw, start), address + start


def empty(shape: Sequence[int], dtype: Any) -> Array:
    """The array that `placed` gives."""
    return placed(shape, dtype)[0]


def readable(array: Array) -> tuple[Array, int]:
    """The array itself where it is contiguous and aligned, else a copy that is; and where it starts."""
    address = array.ctypes.data
    if array.flags.c_contiguous and address % ALIGNMENT == 0:
        return array, address
    copy, address = placed(array.shape, array.dtype)
    copy[...] = array
    return copy, address


def aligned(array: Array) -> Array:
    """The array that `readable` gives."""
    return readable(array)[0]
