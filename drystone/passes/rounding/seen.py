"""What calibration shows of the numbers that a weight is multiplied with."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from drystone.dtypes import Array
from drystone.passes.rounding.hessian import Hessian, divided

#: Steps between the ends of a row that is rounded to bytes.
_STEPS = 255
#: The share of the median of H's diagonal that is added to it: so much, or so much of k by the rows.
_DAMPING, _SCARCE = 0.01, 0.5
#: What part of the squares of a column, which are summed in f32, may be rounding where its mean is taken off.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Seen:
    """Of the rows x that a product with a weight [n, k] has read: how many, the sum of x, f64 [k], the sum of
    x^T x, f64 [k, k], and the sum of the squares of what lies between the ends of each row. Where the rows
    were divided by factors [k]: what was seen before, and these.

    What is found of them once, and kept, is as large: an object is for as long as weights that read x are
    rounded."""

    rows: float
    total: Array
    moment: Array
    spread: float = 0.0
    before: "tuple[Seen, Array] | None" = None

    @staticmethod
    def of(x: Array) -> "Seen":
        """Of some rows, f32 [rows, k]."""
        wide = x.astype(np.float64)
        return Seen(len(x), wide.sum(0), wide.T @ wide, float(np.square(np.ptp(wide, 1)).sum()))

    def __add__(self, other: "Seen") -> "Seen":
        sums = self.rows + other.rows, self.total + other.total, self.moment + other.moment
        return Seen(*sums, self.spread + other.spread)

    @property
    def size(self) -> Array:
        """The root mean square of every column, f64 [k]."""
        return np.sqrt(np.diag(self.moment) / max(self.rows, 1))

    @property
    def rounding(self) -> float:
        """What rounding every row to bytes between its ends adds to each diagonal element of x^T x, that is
        to an output's squared error for each square of a weight: a step squared, by 12, of every row."""
        return self.spread / _STEPS**2 / 12

    def divided(self, factors: Array) -> "Seen":
        """Of the rows divided by `factors` [k], but for the ends of rows, which stay."""
        total, moment = self.total / factors, divided(self.moment, factors)
        return Seen(self.rows, total, moment, self.spread, (self, factors))

    @cached_property
    def centred(self) -> "Seen":
        """Of the rows less their mean, but for the sum, which stays: what errors cost where biases make up
        for their mean."""
        if self.before is not None:
            return self.before[0].centred.divided(self.before[1])
        mean = self.total / max(self.rows, 1)
        moment = self.moment - np.outer(self.total, mean)
        # What sums that cancel leave is rounding, which may be below 0: one row has nothing beside its mean.
        varies = np.diag(moment) > _ROUNDING * np.diag(self.moment)
        return replace(self, moment=np.where(varies & varies[:, None], moment, 0.0))

    def mean_error(self, left: Array) -> Array:
        """The mean error of every output, f64 [n], for the error [n, k] of a weight."""
        return left @ self.total / max(self.rows, 1)

    @cached_property
    def damped(self) -> Array:
        """x^T x with a share of the median of its diagonal, zeros apart, added to the diagonal, so that it
        has an inverse and few rows do not count for more than they can show: what chance puts into it grows
        as k by the rows. A mean would be that of a few outlier columns. Rows that are divided have what is
        added to them divided: an error costs the same for any factors."""
        if self.before is not None:
            return divided(self.before[0].damped, self.before[1])
        diagonal = np.diag(self.moment)
        used = diagonal[diagonal > 0]
        share = max(_DAMPING, _SCARCE * len(diagonal) / max(self.rows, 1))
        return self.moment + share * float(np.median(used) if len(used) else 1.0) * np.eye(len(diagonal))

    @cached_property
    def hessian(self) -> Hessian:
        """What feedback needs of that."""
        if self.before is not None:
            return self.before[0].hessian.divided(self.before[1])
        return Hessian.of(self.damped)


def output_error(left: Array, moment: Array) -> float:
    """The squared error of all outputs, tr(e H e^T), for the error e [n, k] of a weight and H = x^T x."""
    return float(np.einsum("nk,nk->", left @ moment, left))
