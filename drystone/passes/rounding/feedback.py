"""Rounding with feedback: what rounding a column costs is made up for by those that follow."""

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.settled import Settled

#: Columns after which the others are updated in one product.
_BLOCK = 128


def rounded(matrix: Array, settled: Settled, moment: Array) -> Array:
    """The numbers of the codes that a weight, f64 [n, k], is rounded to so that its products with x change
    little, for H = x^T x, f64 [k, k], positive definite.

    GPTQ (Frantar et al. 2022): columns are rounded one after the other, those whose inputs are largest first
    (`act-order`; scales are settled before, so their groups stay where they are), and the error of each is
    taken off those that are left by H^-1, of which the Cholesky factor has what every step needs.
    """
    order = np.argsort(-np.diag(moment), kind="stable")
    factor = np.linalg.cholesky(np.linalg.inv(moment[np.ix_(order, order)])).T
    left, found = matrix[:, order], np.empty_like(matrix)
    for start in range(0, len(order), _BLOCK):
        stop = min(start + _BLOCK, len(order))
        errors = np.empty((len(matrix), stop - start))
        for i in range(start, stop):
            column = settled.nearest(left[:, i], order[i])
            errors[:, i - start] = (left[:, i] - column) / factor[i, i]
            left[:, i:stop] -= np.outer(errors[:, i - start], factor[i, i:stop])
            found[:, order[i]] = column
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    return found
