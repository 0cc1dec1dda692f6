"""Scaling by activations: what is multiplied by large numbers is made large before it is rounded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding import Encoding
from drystone.passes.rounding.methods import Method
from drystone.passes.rounding.seen import Seen, output_error

#: Powers of the size of x are multiples of 1 / _WHOLE: those of a first round, and of rounds about the best.
_WHOLE, _STEPS = 20, (4, 2, 1)
#: Rows of a weight that powers are judged by.
_ROWS = 256


@dataclass(frozen=True)
class Member:
    """A weight, f64 [n, k], one of those that read the same x: what it is to be held in, and how."""

    matrix: Array
    encoding: Encoding
    method: Method

    def error(self, seen: Seen, factors: Array | None) -> float:
        """What rounding it costs the outputs where it is multiplied by factors before; infinite where its
        scales are beyond what they are held in."""
        with np.errstate(over="ignore", invalid="ignore"):
            parts = self.method.parts(self.matrix, self.encoding, seen, factors)
            held = self.encoding.decode(parts, self.matrix.shape)
        left = (held if factors is None else held / factors) - self.matrix
        return output_error(left, self.method.shown(seen).damped) if np.isfinite(left).all() else np.inf

    def some(self) -> "Member":
        """Rows that tell about all of them, where an encoding holds so few, rounded as it is judged."""
        rows = self.matrix[:: max(1, len(self.matrix) // _ROWS)]
        few = self.matrix if any(self.encoding.problems(rows.shape)) else rows
        return Member(few, self.encoding, self.method.judged)


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
    found: dict[int, float] = {}

    def tried(power: int) -> float:
        if power not in found:
            factors = _factors(size, power) if power else None
            found[power] = sum(each.error(seen, factors) for each in judged)
        return found[power]

    first, *finer = _STEPS
    for power in range(0, _WHOLE + 1, first):
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
