"""Elements of tiles, named as the IR spells them."""

import numpy as np

from drystone.errors import InternalError

#: Bits of every element a tile can have.
_WIDTH = {
    "ui8": 8,
    "i1": 1,
    "i8": 8,
    "i16": 16,
    "i32": 32,
    "i64": 64,
    "f16": 16,
    "bf16": 16,
    "f32": 32,
    "f64": 64,
}
FLOATS = ("f16", "bf16", "f32", "f64")
INTEGERS = tuple(dtype for dtype in _WIDTH if dtype.startswith("i"))
#: What is computed with, for elements that are only stored.
_WIDE = {"f16": "f32", "bf16": "f32"}


def width(dtype: str) -> int:
    """Bits of an element. Raises InternalError for an element no tile has."""
    if dtype not in _WIDTH:
        raise InternalError(f"tiles have no elements of type {dtype}")
    return _WIDTH[dtype]


def is_float(dtype: str) -> bool:
    """Whether an element is a floating-point number."""
    return dtype in FLOATS


def lowest(dtype: str) -> float:
    """Where a maximum of wide elements starts: the least finite number, from which -inf can be taken away."""
    return float(np.finfo(np.float64 if dtype == "f64" else np.float32).min)


def wide(dtype: str) -> str:
    """The element that sums of this element are held in."""
    return _WIDE.get(dtype, dtype)


def limits(dtype: str) -> tuple[int, int]:
    """The smallest and the largest signed integer of this element (of a flag: -1 and 0)."""
    half = 2 ** (width(dtype) - 1)
    return -half, half - 1
