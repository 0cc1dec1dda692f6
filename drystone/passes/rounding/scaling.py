"""Scaling by activations: what is multiplied by large numbers is made large before it is rounded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import Encoding
from drystone.passes.rounding.methods import Method
from drystone.passes.rounding.seen import Seen, output_error

#: Powers of the size of x are multiples of 1 / _WHOLE: those of a first round, and of rounds about the best.
_WHOLE, _STEPS = 20, (4, 2, 1)
#: Rows of a weight that powers are judged by.
_ROWS = 128


@dataclass(frozen=True)
class Member:
    """A weight, f64 [n, k], one of those that read the same x: what it is to be held in, and how."""

    matrix: Array
    encoding: Encoding
    method: Method

    def error(self, seen: Seen) -> float:
        """What rounding it costs the outputs; infinite where its scales are beyond what they are held in."""
        with np.errstate(over="ignore", invalid="ignore"):
            parts = self.method.parts(self.matrix, self.encoding, seen)
            left = self.encoding.decode(parts, self.matrix.shape) - self.matrix
        return output_error(left, self.method.shown(seen).damped) if np.isfinite(left).all() else np.inf

    def times(self, factors: Array) -> "Member":
        """With its columns multiplied."""
        return replace(self, matrix=self.matrix * factors)

    def some(self) -> "Member":
        """Rows that tell about all of them, where an encoding holds so few, rounded as it is judged."""
        rows = self.matrix[:: max(1, len(self.matrix) // _ROWS)]
        few = self.matrix if any(self.encoding.problems(rows.shape)) else rows
        return replace(self, matrix=few, method=self.method.judged)


def scaled(members: Sequence[Member], seen: Seen) -> Array | None:
    """What the columns of weights that read the same x are multiplied by, f32 [k], and x divided by, so that
    rounding costs their outputs least; None where that is best as it is.

    AWQ (Lin et al. 2023): s is a power of the size of x (here the root mean square of each column), the one
    that leaves the least error of all outputs, judged by some rows of each weight that are rounded as the
    whole weight will be: feedback makes up for much of what factors do for numbers that are rounded to the
    nearest, and larger factors then cost more than they gain. The smallest and the largest s lie about 1.
    Columns that are never used have the least.
    """
    shown = seen.centred if all(each.method.corrected for each in members) else seen
    size, judged = shown.size, [each.some() for each in members]
    used = size > 0
    if not used.any():
        return None
    size = np.where(used, size, size[used].min())
    found = {0: sum(each.error(seen) for each in judged)}

    def tried(power: int) -> float:
        if power not in found:
            factors = _factors(size, power)
            known = seen.divided(factors)
            found[power] = sum(each.times(factors).error(known) for each in judged)
        return found[power]

    first, *finer = _STEPS
    for power in range(first, _WHOLE + 1, first):
        if tried(power) > min(found.values()):
            break
    for step in finer:
        best = min(found, key=tried)
        for power in (best - step, best + step):
            if 0 <= power <= _WHOLE:
                tried(power)
    best = min(found, key=tried)
    return _factors(size, best) if best else None


def _factors(size: Array, power: int) -> Array:
    factors = np.power(size, power / _WHOLE)
    return np.asarray(factors / np.sqrt(factors.max() * factors.min()), np.float32)
