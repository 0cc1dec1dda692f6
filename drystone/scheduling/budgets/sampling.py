"""Which budgets a curve is made of: none, the least that can be met, and those where most is not known."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from drystone.errors import UserError
from drystone.scheduling.budgets.allot import Allotment
from drystone.scheduling.budgets.budget import OverBudget
from drystone.scheduling.budgets.curve import Curve, Point
from drystone.scheduling.check import check
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import Problem

#: Steps narrower than this part of the most memory are not looked into.
_FINEST = 0.002
#: Where what ought to be enough is refused, so much more is tried.
_MORE = 1.05


@dataclass(frozen=True)
class Met:
    """What a budget gets: the memory, what running all calls takes, and what is done beside planning."""

    memory: Allotment
    spent: int
    done: tuple[str, ...] = ()


#: What so many bytes (None: as many as it needs) get. Raises OverBudget.
Planner = Callable[[int | None], Met]


def curve_of(problem: Problem, points: int = 8, time_limit: float = 5.0) -> Curve:
    """The curve of a problem over the capacity of its first level. Raises UserError where no plan is
    found."""
    work = {op.name: op.work or 0 for op in problem.operations}

    def met(ram: int | None) -> Met:
        levels = (replace(problem.levels[0], capacity=ram), *problem.levels[1:])
        limited = replace(problem, levels=levels)
        found = plan(limited, time_limit)
        check(limited, found)
        return Met(Allotment(limited, found), sum(work[name] for name in found.order))

    return curve(met, points, problem.levels[0].name)


def curve(met: Planner, points: int = 8, level: str = "") -> Curve:
    """The curve of what `met` gives: without a budget, for the least that it meets (with the program as a
    whole, and piece by piece), and in between, always where the widest step is left, until `points` are
    planned. level: what the budgets are of; "" for all memory."""
    if points < 2:
        raise UserError(f"a curve of {points} points", hint="give 2 or more")
    tried = _Tried(met, level)
    free = tried.add(None)
    refused = tried.refusal(1)
    if refused is None:
        return Curve(tried.front(), level, 0)
    # Of the program as a whole; and piece by piece, which is known from shapes alone.
    for least in dict.fromkeys((refused.least, refused.pieces)):
        for wanted in (least, int(_MORE * least)):
            if wanted >= free.ram or tried.refusal(wanted) is None:
                break
    for _ in range(points - 2 - (refused.pieces < refused.least)):
        budget = tried.middle()
        if budget is None:
            break
        tried.refusal(budget)
    return Curve(tried.front(), level, min(refused.proven, free.ram), refused.driver)


class _Tried:
    """What budgets got so far, by budget, and those that were refused."""

    def __init__(self, met: Planner, level: str) -> None:
        self.met, self.level = met, level
        self.points: dict[int, Point] = {}
        self.refused: set[int] = set()
        self.basis = 0

    def refusal(self, ram: int) -> OverBudget | None:
        """Add what a budget gets; if it is refused, why."""
        try:
            self.add(ram)
        except OverBudget as error:
            self.refused.add(ram)
            return error
        return None

    def add(self, ram: int | None) -> Point:
        """What a budget gets, which is noted."""
        met = self.met(ram)
        self.basis = met.spent if ram is None else self.basis
        memory, fixed = met.memory, ram is not None and (met.done or met.memory.streaming is not None)
        used = memory.plan.peaks[self.level] if self.level else memory.total
        size = {tensor.name: tensor.size for tensor in memory.problem.tensors}
        point = Point(
            # What is chosen within a budget is not always chosen within what it takes.
            ram if fixed and ram is not None else used,
            met.spent / self.basis - 1 if self.basis else 0.0,
            sum(size[move.tensor] for move in memory.plan.moves),
            0 if memory.streaming is None else memory.streaming.read,
            (*_told(memory), *met.done),
            memory,
        )
        self.points[point.ram if ram is None else ram] = point
        return point

    def middle(self) -> int | None:
        """A budget about half way through the widest range at whose ends plans cost differently; None where
        none is left that matters."""
        ranges = [
            (max(budget for budget in (low, *self.refused) if budget < self.points[high].ram), high)
            for low, high in pairwise(sorted(self.points))
            if self.points[low].cost != self.points[high].cost
        ]
        widths = [(self.points[high].ram - low, low) for low, high in ranges]
        width, low = max(widths, default=(0, 0))
        if width <= _FINEST * max(self.points):
            return None
        return roundest(low + width // 4, low + 3 * width // 4)

    def front(self) -> tuple[Point, ...]:
        """From least to most memory, without those that another one beats."""
        front: list[Point] = []
        for point in sorted(self.points.values(), key=lambda point: (point.ram, point.cost)):
            if not any(other.beats(point) for other in front):
                front.append(point)
        return tuple(front)


def roundest(low: int, high: int) -> int:
    """The multiple of the largest power of two between two numbers, which are included."""
    unit = 1 << max(0, high.bit_length() - 1)
    while high // unit * unit < low:
        unit >>= 1
    return high // unit * unit


def _told(memory: Allotment) -> tuple[str, ...]:
    """What a plan does to need less."""
    said = []
    again = len(memory.plan.order) - len(set(memory.plan.order))
    if again:
        said.append(f"{again} call{'s' if again > 1 else ''} run again")
    if memory.streaming is not None:
        stay = len(memory.streaming.kept)
        come = {move.tensor for move in memory.streaming.plan.moves} | {t for _, t in memory.streaming.tables}
        said.append(f"{stay} of {stay + len(come)} weights stay")
    return tuple(said)
