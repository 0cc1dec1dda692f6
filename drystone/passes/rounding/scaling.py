"""Scaling by activations: what is multiplied by large numbers is made large before it is rounded."""

from collections.abc import Sequence

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import BY_RANGE, Encoding
from drystone.passes.rounding.seen import Seen, output_error

#: Powers of the size of x are multiples of 1 / _WHOLE: those of a first round, and of rounds about the best.
_WHOLE, _STEPS = 20, (4, 2, 1)
#: Rows of a weight that powers are judged by.
_ROWS = 256


def scaled(matrices: Sequence[Array], encodings: Sequence[Encoding], seen: Seen) -> Array:
    """What the columns of weights [n, k] that read the same x are multiplied by, f32 [k], and x divided by,
    so that rounding costs their outputs least.

    AWQ (Lin et al. 2023): s is a power of the size of x (here the root mean square of each column), the one
    that leaves the least error of all outputs where every number is rounded to the nearest, judged by some
    rows of each weight; the smallest and the largest s lie about 1. Columns that are never used have the
    least.
    """
    size = seen.size
    used = size > 0
    size = np.where(used, size, size[used].min(initial=np.inf) if used.any() else 1.0)
    judged = [_some(matrix, encoding) for matrix, encoding in zip(matrices, encodings, strict=True)]
    found: dict[int, tuple[float, Array]] = {}
    for step in _STEPS:
        best = min(found, key=lambda power: found[power][0], default=0)
        near = range(0, _WHOLE + 1, step) if not found else (best - step, best + step)
        for power in near:
            if 0 <= power <= _WHOLE and power not in found:
                factors = size ** (power / _WHOLE)
                factors = (factors / np.sqrt(factors.max() * factors.min())).astype(np.float32)
                error = sum(_error(*each, factors, seen) for each in zip(judged, encodings, strict=True))
                found[power] = error, factors
    return min(found.values(), key=lambda each: each[0])[1]


def _some(matrix: Array, encoding: Encoding) -> Array:
    """Rows of a weight that tell about all of them, where an encoding holds so few."""
    rows = matrix[:: max(1, len(matrix) // _ROWS)]
    return matrix if any(encoding.problems(rows.shape)) else rows


def _error(matrix: Array, encoding: Encoding, factors: Array, seen: Seen) -> float:
    """What rounding a weight that is multiplied by factors costs the outputs; infinite where its scales are
    beyond what they are held in."""
    wide = matrix * factors
    with np.errstate(over="ignore", invalid="ignore"):
        held = encoding.decode(encoding.encode(wide, {}, BY_RANGE), wide.shape)
    return output_error(held / factors - matrix, seen.moment) if np.isfinite(held).all() else np.inf
