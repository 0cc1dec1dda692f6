"""Scaling by activations: what is multiplied by large numbers is made large before it is rounded."""

from collections.abc import Sequence

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import BY_RANGE, Encoding
from drystone.passes.rounding.seen import Seen, output_error

#: Powers of the size of x that are tried.
_POWERS = tuple(np.linspace(0, 1, 21).tolist())


def scaled(matrices: Sequence[Array], encodings: Sequence[Encoding], seen: Seen) -> Array:
    """What the columns of weights [n, k] that read the same x are multiplied by, f32 [k], and x divided by,
    so that rounding costs their outputs least.

    AWQ (Lin et al. 2023): s is a power of the size of x (here the root mean square of each column), the one
    that leaves the least error of all outputs where every number is rounded to the nearest; the smallest and
    the largest s lie about 1. Columns that are never used have the least.
    """
    size = seen.size
    used = size > 0
    size = np.where(used, size, size[used].min(initial=np.inf) if used.any() else 1.0)
    best, least = np.ones(len(size), np.float32), np.inf
    for power in _POWERS:
        factors = size**power
        factors = (factors / np.sqrt(factors.max() * factors.min())).astype(np.float32)
        error = 0.0
        for matrix, encoding in zip(matrices, encodings, strict=True):
            wide = matrix * factors
            held = encoding.decode(encoding.encode(wide, {}, BY_RANGE), wide.shape)
            error += output_error(held / factors - matrix, seen.moment)
        if error < least:
            best, least = factors, error
    return best
