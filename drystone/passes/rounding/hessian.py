"""H = x^T x as methods of rounding use it, computed once for all weights that read x."""

from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array


@dataclass(frozen=True)
class Hessian:
    """H, f64 [k, k], positive definite; the order in which feedback rounds columns, those first whose inputs
    are largest, [k]; and R with ones on its diagonal, upper triangular, for which H in this order is
    R D R^T, D diagonal."""

    matrix: Array
    order: Array
    factor: Array

    @staticmethod
    def of(matrix: Array) -> "Hessian":
        """Of H."""
        order = np.argsort(-np.diag(matrix), kind="stable")
        return Hessian(matrix, order, factored(matrix, order)[0])

    def divided(self, factors: Array) -> "Hessian":
        """Of rows that are divided by these, [k]: in the same order, without another factorization."""
        own = factors[self.order]
        return Hessian(divided(self.matrix, factors), self.order, self.factor * own / own[:, None])


def factored(matrix: Array, order: Array) -> tuple[Array, Array]:
    """R, f64 [k, k], upper triangular with ones on its diagonal, and d > 0, [k], for which H, in this order
    of rows and columns, is R diag(d) R^T: where columns up to c are settled and those after it make up for
    them, an error of c costs d[c] times its square."""
    backward = order[::-1]
    factor = np.linalg.cholesky(matrix[np.ix_(backward, backward)])[::-1, ::-1]
    diagonal = np.diag(factor)
    return factor / diagonal, np.square(diagonal)


def divided(matrix: Array, factors: Array) -> Array:
    """H [k, k] of rows that are divided by these, [k]."""
    return matrix / factors / factors[:, None]
