"""One option for each of several items, so that they cost least within a limit: a choice of formats."""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.scheduling import solver
from drystone.scheduling.effort import Effort

#: What the sum of the largest costs is as an integer: a solver takes no other numbers.
_WHOLE = 2**40


@dataclass(frozen=True)
class Option:
    """What an option takes of the limit, and what it costs (0 or more)."""

    size: int
    cost: float


@dataclass(frozen=True)
class Selected:
    """The number of the option of every item; proven: no other choice costs less, but for what rounding costs
    to 2^-40 of their sum hides."""

    chosen: tuple[int, ...]
    proven: bool


def select(items: Sequence[Sequence[Option]], limit: int, seconds: float = 10.0) -> Selected | None:
    """The cheapest choice whose sizes are at most `limit` together; None where there is none.

    The multiple-choice knapsack problem, one variable for each option (MixDQ: Zhao et al. 2024, section 4.4),
    solved by CP-SAT from a greedy choice, which is the answer where there is no time for a better one.
    """
    useful = [_useful(options) for options in items]
    start = _greedy(items, useful, limit)
    if start is None:
        return None
    model = solver.new_model()
    total = sum(max((option.cost for option in options), default=0.0) for options in items) or 1.0
    picked = [{number: model.new_bool_var("") for number in numbers} for numbers in useful]
    for variables, first in zip(picked, start, strict=True):
        model.add_exactly_one(variables.values())
        for number, variable in variables.items():
            model.add_hint(variable, number == first)
    every = [
        (variable, options[number])
        for options, variables in zip(items, picked, strict=True)
        for number, variable in variables.items()
    ]
    model.add(sum(variable * option.size for variable, option in every) <= limit)
    model.minimize(sum(variable * round(option.cost / total * _WHOLE) for variable, option in every))
    found, status = solver.solve(model, Effort(seconds))
    if status not in solver.FOUND:
        return Selected(tuple(start), proven=False)
    chosen = (next(n for n, variable in variables.items() if found.value(variable)) for variables in picked)
    return Selected(tuple(chosen), proven=status == solver.FOUND[0])


def _useful(options: Sequence[Option]) -> list[int]:
    """Options, the smallest first, of which each costs less than all smaller ones."""
    found: list[int] = []
    for number in sorted(range(len(options)), key=lambda n: (options[n].size, options[n].cost, n)):
        if not found or options[number].cost < options[found[-1]].cost:
            found.append(number)
    return found


def _greedy(
    items: Sequence[Sequence[Option]], useful: Sequence[Sequence[int]], limit: int
) -> list[int] | None:
    """The smallest options, then step by step the larger one that saves most cost for its size; None where
    the smallest are too large."""
    at = [0] * len(items)
    left = limit - sum(options[numbers[0]].size for options, numbers in zip(items, useful, strict=True))
    if left < 0:
        return None
    while True:
        steps = []
        for item, (options, numbers) in enumerate(zip(items, useful, strict=True)):
            now = options[numbers[at[item]]]
            for place in range(at[item] + 1, len(numbers)):
                then = options[numbers[place]]
                if then.size - now.size <= left:
                    steps.append(((now.cost - then.cost) / (then.size - now.size), -item, place))
        if not steps:
            return [numbers[place] for numbers, place in zip(useful, at, strict=True)]
        _, item, place = max(steps)
        item = -item
        left -= items[item][useful[item][place]].size - items[item][useful[item][at[item]]].size
        at[item] = place
