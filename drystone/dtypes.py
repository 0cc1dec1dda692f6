"""Element names as the IR spells them, and what holds them in numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: bf16 has no numpy dtype and is held as its bits.
DTYPES: dict[str, Any] = {
    "f32": np.float32,
    "f64": np.float64,
    "f16": np.float16,
    "bf16": np.uint16,
    "i64": np.int64,
    "i32": np.int32,
    "i16": np.int16,
    "i8": np.int8,
    "ui8": np.uint8,
    "i1": np.bool_,
    "complex<f32>": np.complex64,
    "complex<f64>": np.complex128,
}
