"""Columns one after the other, with feedback: what changing one costs is made up for by those that follow."""

from collections.abc import Callable

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
    made up for by those that are left.
    """
    order = hessian.order
    return with_feedback(matrix, order, hessian.factor, settled.turned(order).nearest)


def with_feedback(
    matrix: Array,
    order: Array,
    factor: Array,
    nearest: Callable[[Array, int], Array],
    opened: Callable[[Array, int], None] | None = None,
    group: int = _BLOCK,
) -> Array:
    """A weight, f64 [n, k], each of whose columns is what `nearest` makes of the one that is wanted, [n], in
    its place in the order; what that costs the outputs is made up for by the columns that follow. `opened` is
    given the columns that are wanted of each group, [group, n], before the first of them is settled, and the
    place of that. factor: R of `factored`.

    In the form of Babai's nearest plane (Chen et al. 2025, "The geometry of LLM quantization"), which needs
    no H^-1: for H = R D R^T the error e of a row costs |e R sqrt(D)|^2, in which column c is the first that
    e[c] is part of, and the last that can make up for those before. Columns lie along rows here, so that each
    is read in one piece.
    """
    wide, block = np.ascontiguousarray(matrix.T[order]), -(-_BLOCK // group) * group
    errors = np.empty_like(wide)
    for start in range(0, len(order), block):
        stop = min(start + block, len(order))
        wide[start:stop] += factor[:start, start:stop].T @ errors[:start]
        for first in range(start, stop, group):
            last = min(first + group, stop)
            wide[first:last] += factor[start:first, first:last].T @ errors[start:first]
            if opened is not None:
                opened(wide[first:last], first)
            for i in range(first, last):
                found = nearest(wide[i] + factor[first:i, i] @ errors[first:i], i)
                errors[i] = matrix[:, order[i]] - found
                wide[i] = found
    result = np.empty_like(matrix)
    result[:, order] = wide.T
    return result
