"""How much memory a program needs, and what needing less costs: plans for a range of budgets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from drystone.errors import UserError
from drystone.scheduling.budgets.budget import OverBudget, spell_bytes
from drystone.scheduling.check import check
from drystone.scheduling.graph import Graph
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import Plan, Problem, plan_gap

#: Steps narrower than this part of the most memory are not looked into.
_FINEST = 0.002
#: Plans a problem within so many bytes of the first level (None: as many as it needs).
Planner = Callable[[int | None], tuple[Problem, Plan]]


@dataclass(frozen=True)
class Point:
    """A plan that uses `ram` bytes of the first level.

    extra: what its calls take beyond those of the plan without a budget, as a part of those. moved: bytes
    copied between levels. gap: how far its cost (without any: `ram`) may be above the least, as a part of
    what is proven; infinite where nothing is.
    """

    ram: int
    extra: float
    moved: int
    gap: float
    problem: Problem
    plan: Plan

    @property
    def proof(self) -> str:
        """What is known about how good the plan is."""
        if not self.gap:
            return "proven least"
        return "not proven" if self.gap == float("inf") else f"at most {100 * self.gap:.1f} % above least"


@dataclass(frozen=True)
class Pieced:
    """What computing `spans` runs of operations piece by piece is good for, as far as shapes tell: the bytes
    of the first level that are enough, and how many multiply-adds there are beyond those of the whole, as a
    part of those."""

    ram: int
    extra: float
    spans: int


@dataclass(frozen=True)
class Curve:
    """Points from the least memory to that above which nothing is gained; each costs more than the next.
    `bound`: bytes below which no plan of this program can be; `driver`: the operation that needs them for
    itself, where one does. `pieces`: what less memory would do where some of it is computed piece by piece,
    from least to most. `str()` gives a table."""

    points: tuple[Point, ...]
    bound: int
    driver: str = ""
    pieces: tuple[Pieced, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether some plan copies between levels."""
        return any(point.moved for point in self.points)

    def __str__(self) -> str:
        most = self.points[-1].ram or 1
        lines = [["ram", "", "of the most", "extra work", "bytes moved", "cost"]]
        for point in self.points:
            share, extra = 100 * point.ram / most, 100 * point.extra
            cells = [f"{point.ram:,} B", spell_bytes(point.ram), f"{share:.1f} %", f"{extra:.1f} %"]
            lines.append([*cells, f"{point.moved:,}", point.proof])
        if not self.moves:
            lines = [[*cells[:4], cells[5]] for cells in lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.rjust, cells[:-1], widths)) + f"  {cells[-1]}" for cells in lines]
        why = f": {self.driver} needs them for itself" if self.driver else ""
        text.append(f"no plan of this program can need less than {self.bound:,} bytes{why}")
        if self.pieces:
            text.append("computed piece by piece, as far as shapes tell:")
        for each in self.pieces:
            share, spans = 100 * each.ram / most, f"{each.spans} run{'s' if each.spans > 1 else ''}"
            cells = [f"{each.ram:,} B", spell_bytes(each.ram), f"{share:.1f} %", f"{100 * each.extra:.1f} %"]
            text.append("  ".join(map(str.rjust, cells, widths)) + f"  {spans} of operations")
        return "\n".join(text)


def curve_of(problem: Problem, points: int = 8, time_limit: float = 5.0) -> Curve:
    """The curve of a problem over the capacity of its first level. Raises UserError where no plan is
    found."""

    def planned(ram: int | None) -> tuple[Problem, Plan]:
        levels = (replace(problem.levels[0], capacity=ram), *problem.levels[1:])
        limited = replace(problem, levels=levels)
        found = plan(limited, time_limit)
        check(limited, found)
        return limited, found

    return curve(planned, points)


def curve(planned: Planner, points: int = 8, work: Mapping[str, int] | None = None) -> Curve:
    """The curve of what `planned` gives for budgets: none, the least that can be met, and in between, always
    where the widest step is left, until `points` are planned. `work` says what running each call takes,
    where the problem's operations do not."""
    if points < 2:
        raise UserError(f"a curve of {points} points", hint="give 2 or more")
    tried = _Tried(planned, dict(work or {}))
    free = tried.add(None)
    assert free is not None
    # A budget that cannot be met is refused with the least that can be, which may be found wanting once.
    wanted = 1
    for _ in range(3):
        if wanted >= free.ram or tried.add(wanted) is not None:
            break
        wanted = tried.refused
    for _ in range(points - 2):
        budget = tried.middle()
        if budget is None or tried.add(budget) is None:
            break
    return Curve(tried.front(), *tried.bound())


class _Tried:
    """The budgets planned so far, and the plans by budget; what was refused last could be met with
    `refused`."""

    def __init__(self, planned: Planner, work: dict[str, int]) -> None:
        self.planned, self.work = planned, work
        self.points: dict[int, Point] = {}
        self.refused = 0
        self.basis = 0

    def add(self, ram: int | None) -> Point | None:
        """Plan within a budget; None where it is refused."""
        try:
            problem, found = self.planned(ram)
        except OverBudget as error:
            if ram is None:
                raise
            self.refused = error.least
            return None
        spent = self._spent(problem, found)
        self.basis = spent if ram is None else self.basis
        size = {tensor.name: tensor.size for tensor in problem.tensors}
        point = Point(
            found.peaks[problem.levels[0].name],
            spent / self.basis - 1 if self.basis else 0.0,
            sum(size[move.tensor] for move in found.moves),
            plan_gap(found),
            problem,
            found,
        )
        self.points[point.ram if ram is None else ram] = point
        return point

    def _spent(self, problem: Problem, found: Plan) -> int:
        """What all calls of a plan take, each as often as it runs."""
        known = {op.name: op.work or 0 for op in problem.operations} | self.work
        return sum(known[name] for name in found.order)

    def middle(self) -> int | None:
        """The budget half way through the widest range at whose ends plans cost differently; None where
        none is left that matters."""
        budgets = sorted(self.points)
        width, low = max(
            (
                (self.points[high].ram - low, low)
                for low, high in pairwise(budgets)
                if _rank(self.points[low]) != _rank(self.points[high])
            ),
            default=(0, 0),
        )
        return low + width // 2 if width > _FINEST * budgets[-1] else None

    def front(self) -> tuple[Point, ...]:
        """From least to most memory, without those that need more than another and cost no less."""
        front: list[Point] = []
        for point in sorted(self.points.values(), key=lambda point: (point.ram, _rank(point))):
            if not front or _rank(point) < _rank(front[-1]):
                front.append(point)
        return tuple(front)

    def bound(self) -> tuple[int, str]:
        """Bytes below which no plan of any of these problems can be, and the operation that needs them for
        itself, "" where none does."""
        return min(map(_bound, self.points.values()))


def _bound(point: Point) -> tuple[int, str]:
    graph = Graph(point.problem)
    bound = point.plan.bound if graph.rigid else graph.least()
    return bound, graph.neediest() if bound == graph.least() else ""


def _rank(point: Point) -> tuple[int, float]:
    return point.plan.cost, point.extra
