"""Element names of numpy arrays, for tests that write types down."""

from typing import Any

import numpy as np

from drystone.dtypes import DTYPES

#: bf16 is held as its bits and cannot be told from an unsigned integer.
_NAMES = {np.dtype(held): name for name, held in DTYPES.items() if name != "bf16"}


def element(array: Any) -> str:
    """The element of the IR that an array holds."""
    return _NAMES[array.dtype]
