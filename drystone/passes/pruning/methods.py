"""Methods of pruning a weight, by name."""

from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.passes.pruning.zeros import Zeros
from drystone.passes.rounding import Seen
from drystone.passes.rounding.descent import descended
from drystone.passes.rounding.feedback import with_feedback
from drystone.passes.rounding.hessian import factored

#: What says which numbers become 0, the best that nothing has to be known for first.
METHODS = ("magnitude", "wanda", "sparsegpt")
_REFIT = "refit"
#: Sweeps over the numbers that are left.
_SWEEPS = 3
#: Shares of the zeros after which what is left is fitted anew: what then matters is not what did before.
_SHARES = (0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Pruning:
    """Where a weight is to have zeros, by which of `METHODS` (None: "wanda" where it is known what the weight
    is multiplied with, else "magnitude"), and whether the numbers that are left are fitted anew, each time
    that some more have become 0."""

    zeros: Zeros
    method: str | None = None
    refit: bool = False
    #: Whether its level is that of all weights together that are pruned so, and each may have another.
    free: bool = False

    @staticmethod
    def of(zeros: Zeros, name: str) -> "Pruning":
        """By the name of a method, with "+refit" behind it or not. Raises UserError for any other."""
        method, *more = name.split("+")
        if method not in METHODS or more not in ([], [_REFIT]):
            known = ", ".join(f'"{each}"' for each in METHODS)
            raise UserError(
                f"sparsify: no method is called {name!r}",
                hint=f'give {known}, or one with "+{_REFIT}" behind it',
            )
        return Pruning(zeros, method, bool(more))

    @property
    def calibrated(self) -> bool:
        """Whether it needs to know what the weight is multiplied with."""
        return self.free or self.refit or self.method not in (None, "magnitude")

    def pruned(self, matrix: Array, seen: Seen | None) -> Array:
        """A weight, f64 [n, k], with zeros. By magnitude where nothing is known of what it is multiplied
        with."""
        if seen is None or not seen.moment.any():
            return _without(matrix, self.zeros.left(np.abs(matrix)))
        if not self.refit:
            return self._once(matrix, seen)
        found = matrix
        for share in _SHARES:
            found = refitted(matrix, self._once(found, seen, share), seen)
        return found

    def _once(self, matrix: Array, seen: Seen, share: float = 1.0) -> Array:
        """The weight with a share of the zeros."""
        zeros = self.zeros
        match self.method or "wanda":
            case "magnitude":
                return _without(matrix, zeros.left(np.abs(matrix), share))
            case "wanda":
                # Sun et al. 2023, section 3: numbers times the norm of their input.
                return _without(matrix, zeros.left(np.abs(matrix) * seen.size, share))
            case _:
                return _with_updates(matrix, zeros, seen, share)


def _without(matrix: Array, left: Array) -> Array:
    return np.where(left, matrix, 0)


def _with_updates(matrix: Array, zeros: Zeros, seen: Seen, share: float) -> Array:
    """SparseGPT (Frantar and Alistarh 2023): input by input, what the zeros of one cost the outputs is made
    up for by the numbers of those that follow, as the optimal brain surgeon does. Zeros are those that then
    cost least; of groups when all inputs before are settled, of anything else beforehand, so that of inputs
    that matter more is left (the paper has the same level for every 128 inputs)."""
    moment, order = seen.damped, np.arange(matrix.shape[1])
    factor, costs = factored(moment, order)
    sizes = np.sqrt(costs)
    left = np.empty(matrix.shape[::-1], bool)

    def opened(wanted: Array, first: int) -> None:
        part = slice(first, first + len(wanted))
        left[part] = zeros.left(np.abs(wanted.T) * sizes[part], share).T

    def nearest(wanted: Array, k: int) -> Array:
        return np.where(left[k], wanted, 0)

    group = zeros.together(len(order))
    if group < len(order):
        return with_feedback(matrix, order, factor, nearest, opened, group)
    opened(matrix.T, 0)
    return with_feedback(matrix, order, factor, nearest)


def refitted(matrix: Array, found: Array, seen: Seen) -> Array:
    """With the numbers that are left changed, one input after the other, to what is the best for all others:
    towards the least squares solution for the outputs."""
    left = np.ascontiguousarray(found.T != 0)
    return descended(matrix, found, lambda wanted, k: np.where(left[k], wanted, 0), seen.damped, _SWEEPS)
