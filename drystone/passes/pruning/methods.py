"""Methods of pruning a weight, by name."""

from dataclasses import dataclass, replace

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.passes.pruning.zeros import Blocks, Free, Zeros
from drystone.passes.rounding import Seen
from drystone.passes.rounding.descent import descended
from drystone.passes.rounding.feedback import with_feedback
from drystone.passes.rounding.hessian import factored

#: The smallest numbers of a whole weight, the baseline of the papers: Sun et al. 2023, section 4.
LAYERWISE = "layer-magnitude"
#: Methods that need to know nothing.
SIMPLE = ("magnitude", LAYERWISE)
#: What says which numbers become 0, the best that nothing has to be known for first.
METHODS = (*SIMPLE, "wanda", "sparsegpt")
_REFIT = "refit"
#: Sweeps over the numbers that are left.
_SWEEPS = 3
#: Shares of the zeros after which what is left is fitted anew: what then matters is not what did before.
_SHARES = (0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Pruning:
    """Where a weight is to have zeros, settled or yet to be chosen, by which of `METHODS` (None: "wanda"
    where it is known what the weight is multiplied with, else "magnitude"), and whether the numbers that are
    left are fitted anew, each time that some more have become 0."""

    zeros: Zeros | Free
    method: str | None = None
    refit: bool = False

    @staticmethod
    def of(zeros: Zeros | Free, name: str) -> "Pruning":
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
        return isinstance(self.zeros, Free) or self.refit or self.method not in (None, *SIMPLE)

    @property
    def for_now(self) -> "Pruning | None":
        """What stands for it until zeros are chosen: the level that all weights are to have together, or no
        zeros."""
        if not isinstance(self.zeros, Free):
            return self
        level = self.zeros.level
        return None if level is None else replace(self, zeros=Blocks(level))

    @property
    def settled(self) -> Zeros:
        """Where a weight is to have zeros, once that is chosen."""
        assert isinstance(self.zeros, Zeros), "zeros are chosen before weights are pruned"
        return self.zeros

    def pruned(self, matrix: Array, seen: Seen | None) -> Array:
        """A weight, f64 [n, k], with zeros. By magnitude where nothing is known of what it is multiplied
        with."""
        if seen is None or not seen.moment.any():
            return _without(matrix, self.settled.left(np.abs(matrix), whole=self.method == LAYERWISE))
        if not self.refit:
            return self._once(matrix, seen)
        found = matrix
        for share in _SHARES:
            found = refitted(matrix, self._once(found, seen, share), seen)
        return found

    def _once(self, matrix: Array, seen: Seen, share: float = 1.0) -> Array:
        """The weight with a share of the zeros."""
        zeros = self.settled
        match self.method or "wanda":
            case "magnitude" | "layer-magnitude":
                whole = self.method == LAYERWISE
                return _without(matrix, zeros.left(np.abs(matrix), share, whole=whole))
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
