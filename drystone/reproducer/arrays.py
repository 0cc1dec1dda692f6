"""Arrays as a few of their numbers: small ones whole, of larger ones a sample that others are drawn from."""

import base64
import zlib
from typing import Any

import numpy as np

from drystone.dtypes import Array

#: Bytes of arrays that are held whole, and numbers of the sample of larger ones.
WHOLE, SAMPLE = 1024, 64


def described(array: Array) -> dict[str, Any]:
    """An array's element, shape and numbers ("whole"), or a sample of them ("random").

    What is drawn from a sample has zeros as often and numbers as large as the array, in no order ("sorted":
    in the order of a list that never falls, such as where rows begin).
    """
    held: dict[str, Any] = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.nbytes <= WHOLE:
        return held | {"held": "whole", "numbers": _text(array)}
    picked = np.random.default_rng(0).integers(0, array.size, SAMPLE)
    rises = array.ndim == 1 and array.dtype.kind in "iu" and bool((array[:-1] <= array[1:]).all())
    if rises:
        picked = np.concatenate([[0], np.sort(picked), [array.size - 1]])
    return held | {"held": "sorted" if rises else "random", "numbers": _text(array.flat[picked])}


def drawn(data: dict[str, Any]) -> Array:
    """An array that is like the described one; the same each time."""
    raw, shape = base64.b64decode(data["numbers"]), tuple(data["shape"])
    numbers = np.frombuffer(raw, data["dtype"])
    if data["held"] == "whole":
        return numbers.reshape(shape).copy()
    rng = np.random.default_rng(zlib.crc32(raw))
    made = numbers[rng.integers(0, len(numbers), shape)]
    if data["held"] == "sorted":
        made.sort()
        made[0], made[-1] = numbers[0], numbers[-1]
    return made


def _text(array: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
