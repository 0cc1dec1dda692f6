"""What calibration shows of the numbers that a weight is multiplied with."""

from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array


@dataclass(frozen=True)
class Seen:
    """Of the rows x that a product with a weight [n, k] has read: how many, the sum of x, f64 [k], and the
    sum of x^T x, f64 [k, k]."""

    rows: float
    total: Array
    moment: Array

    @staticmethod
    def of(x: Array) -> "Seen":
        """Of some rows, f32 [rows, k]."""
        wide = x.astype(np.float64)
        return Seen(len(x), wide.sum(0), wide.T @ wide)

    def __add__(self, other: "Seen") -> "Seen":
        return Seen(self.rows + other.rows, self.total + other.total, self.moment + other.moment)

    @property
    def size(self) -> Array:
        """The root mean square of every column, f64 [k]."""
        return np.sqrt(np.diag(self.moment) / max(self.rows, 1))

    def scaled(self, factors: Array) -> "Seen":
        """Of the rows times `factors` [k]."""
        return Seen(self.rows, self.total * factors, self.moment * factors * factors[:, None])

    def damped(self, share: float) -> Array:
        """x^T x with `share` of its mean diagonal added to the diagonal, so that it has an inverse and few
        rows do not count for more than they can show."""
        diagonal = np.diag(self.moment)
        return self.moment + share * float(diagonal.mean()) * np.eye(len(diagonal))


def output_error(left: Array, moment: Array) -> float:
    """The squared error of all outputs, tr(e H e^T), for the error e [n, k] of a weight and H = x^T x."""
    return float(np.einsum("nk,nk->", left @ moment, left))
