"""Which schedules come first, and which to measure next."""

import random
from collections.abc import Callable, Sequence

from drystone.autotune.analytical import Analytical
from drystone.autotune.learned import Learned
from drystone.autotune.schedules import Schedules
from drystone.autotune.task import tunables
from drystone.codegen.search import Point
from drystone.ir.program import Program
from drystone.targets.target import Target

#: So many schedules are compared by a model one by one.
_FEW = 64
#: The part of a batch that is drawn at random, whatever the model says.
EPSILON = 0.2

#: How slow each of some points is expected to be, in a unit of the model's own.
Ranking = Callable[[Sequence[Point]], list[float]]


def ranking(schedules: Schedules, model: Learned | None) -> Ranking | None:
    """By `model`, or analytically; None where neither knows the family."""
    if model is not None and model.knows(schedules.describe(schedules.default)):
        return lambda points: model.costs([schedules.describe(point) for point in points])
    if Analytical.knows(schedules.sizes(schedules.default)):
        analytical = Analytical(schedules.target)
        return lambda points: [analytical.predict(schedules.sizes(point)) for point in points]
    return None


def first_choices(program: Program, target: Target, threads: int) -> dict[str, Point]:
    """By kernel function, the schedules taken without measurements: the same for the same program."""
    context = program.module.context
    kernels = tunables(program, target, threads)
    return {each.name: first_choice(Schedules(each.task, context)) for each in kernels}


def first_choice(schedules: Schedules, model: Learned | None = None) -> Point:
    """The schedule taken without measurements, the same every time: the family's own choice where no model
    knows the family; of few, the one expected to be fastest; of many, what the family's own choice becomes
    when one parameter after the other is set to its best value until nothing changes."""
    rank = ranking(schedules, model)
    if rank is None:
        return schedules.default
    if len(schedules.points) <= _FEW:
        return _least(schedules.points, rank)
    chosen = schedules.default
    while True:
        before = chosen
        for name in chosen:
            line = [p for p in schedules.points if all(p[n] == chosen[n] for n in p if n != name)]
            # First among equals is what is there.
            chosen = _least([chosen, *(p for p in line if p != chosen)], rank)
        if chosen == before:
            return chosen


def _least(points: Sequence[Point], rank: Ranking) -> Point:
    expected = rank(points)
    return points[expected.index(min(expected))]


def propose(
    points: Sequence[Point], expected: Sequence[float] | None, count: int, rng: random.Random
) -> list[Point]:
    """`count` of the points: the least expected costs, but for a part EPSILON drawn at random, so that a
    model that is wrong finds out (epsilon-greedy, as in AutoTVM and Ansor); all at random where nothing is
    expected."""
    if expected is None:
        return rng.sample(points, min(count, len(points)))
    ranked = [points[i] for i in sorted(range(len(points)), key=lambda i: expected[i])]
    drawn = min(round(EPSILON * count), max(0, len(ranked) - count))
    chosen, rest = ranked[: count - drawn], ranked[count - drawn :]
    return [*chosen, *rng.sample(rest, min(drawn, len(rest)))]
