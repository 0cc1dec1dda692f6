"""Aligned arrays: kernels take every buffer aligned to a cache line."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from drystone.dtypes import Array

ALIGNMENT = 64


def empty(shape: Sequence[int], dtype: Any) -> Array:
    """An uninitialized C-contiguous array that starts at a multiple of 64 bytes."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    array: Array = raw[start : start + size].view(dtype).reshape(shape)
    return array


def aligned(array: Array) -> Array:
    """The array itself where it is contiguous and aligned, else a copy that is."""
    if array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy
