"""Units of work: how many steps of a grid are worth a thread's attention, by a rough count of operations."""

import math
from collections.abc import Sequence

from drystone.codegen.tile import (
    Apply,
    Beside,
    Compress,
    Dot,
    Gather,
    Grid,
    LaneDot,
    Load,
    Lookup,
    Loop,
    Reduce,
    Scatter,
    Shuffle,
    Statement,
    Store,
    TileProgram,
    When,
)

#: A unit has at least about this many operations, so that handing it out costs little.
_UNIT = 20_000
#: Trips assumed of a loop whose bounds are known only when the kernel is called.
_TRIPS = 32
#: Operations that a function such as exp counts as.
_FUNCTION = 20


def steps_per_unit(program: TileProgram) -> int:
    """Neighbouring steps that make one unit; a single one where threads keep their units through rounds, for
    what every thread does in a round should be equal."""
    if program.rounds is not None:
        return 1
    return max(1, round(_UNIT / max(1, step_cost(program.grid.body))))


def step_cost(body: Sequence[Statement]) -> int:
    """Operations of one run of the body."""
    total = 0
    for s in body:
        match s:
            case Dot():
                total += 2 * math.prod(s.a.shape) * s.b.shape[1]
            case LaneDot():
                total += 2 * math.prod(s.a.shape)
            case Apply():
                total += math.prod(s.result.shape) * (_FUNCTION if s.op.startswith("math.") else 1)
            case Load() | Gather() | Lookup() | Shuffle():
                total += math.prod(s.result.shape)
            case Store() | Scatter() | Compress():
                total += math.prod(s.value.shape)
            case Reduce():
                total += math.prod(s.arg.shape)
            case Loop():
                total += _trips(s) * step_cost(s.body)
            case When() | Grid() | Beside():
                total += step_cost(s.body)
    return total


def _trips(s: Loop) -> int:
    lower, upper = s.lower.constant, s.upper.constant
    if lower is None or upper is None:
        return _TRIPS
    return max(0, -(-(upper - lower) // s.step))
