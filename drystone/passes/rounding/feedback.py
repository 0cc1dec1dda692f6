"""Rounding with feedback: what rounding a column costs is made up for by those that follow."""

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.settled import Settled
from drystone.passes.rounding.hessian import Hessian

#: Columns after which what they cost the others is summed in one product.
_BLOCK = 128


def rounded(matrix: Array, settled: Settled, hessian: Hessian) -> Array:
    """The numbers of the codes that a weight, f64 [n, k], is rounded to so that its products with x change
    little, for H = x^T x.

    GPTQ (Frantar et al. 2022): columns are rounded one after the other, those whose inputs are largest first
    (`act-order`; scales are settled before, so their groups stay where they are), and the error of each is
    made up for by those that are left. In the form of Babai's nearest plane (Chen et al. 2025, "The geometry
    of LLM quantization"), which gives the same codes without H^-1: for H = R D R^T the error e of a row costs
    |e R sqrt(D)|^2, in which column c is the first that e[c] is part of, and the last that can make up for
    those before. Columns lie along rows here, so that each is read in one piece.
    """
    order, factor = hessian.order, hessian.factor
    wide, turned = np.ascontiguousarray(matrix.T[order]), settled.turned(order)
    errors = np.empty_like(wide)
    for start in range(0, len(order), _BLOCK):
        stop = min(start + _BLOCK, len(order))
        wide[start:stop] += factor[:start, start:stop].T @ errors[:start]
        for i in range(start, stop):
            wanted = wide[i] + factor[start:i, i] @ errors[start:i]
            found = turned.nearest(wanted, i)
            errors[i] = matrix[:, order[i]] - found
            wide[i] = found
    result = np.empty_like(matrix)
    result[:, order] = wide.T
    return result
