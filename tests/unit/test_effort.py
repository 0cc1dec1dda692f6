"""What planning may take: accounts within accounts, and a clock that ends what betters a plan."""

import itertools
from dataclasses import replace

import pytest

from drystone.scheduling import check, effort, plan
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Problem
from drystone.targets import Level
from tests.property.test_planning import random_problem


def test_a_part_draws_from_the_account_it_is_of() -> None:
    whole = Effort(8.0)
    half = whole.part(0.5)
    quarter = half.part(0.5)
    quarter.spend(1.0)
    assert (whole.left, half.left, quarter.left) == (7.0, 3.0, 1.0)
    whole.spend(6.5)
    assert (whole.left, half.left, quarter.left) == (0.5, 0.5, 0.5)
    quarter.spend(9.0)
    assert (whole.left, half.left, quarter.left) == (0.0, 0.0, 0.0)
    assert Effort(8.0).limited(2.0).left == 2.0
    assert Effort(1.0).limited(2.0).left == 1.0


def test_once_the_clock_has_run_down_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "monotonic", lambda: 0.0)
    whole = Effort(8.0, time_limit=2.0)
    part = whole.part(0.5)
    assert (part.left, part.clock) == (4.0, 2.0)
    monkeypatch.setattr(effort, "monotonic", lambda: 2.0)
    assert (whole.left, part.left, part.clock) == (0.0, 0.0, 0.0)


LEVELS = {
    "one": (),
    "two": (Level("dram"),),
    "three": (Level("near", 1024), Level("dram", cost=4)),
    "beside": (Level("near", 1024, bandwidth=64), Level("dram", cost=4, bandwidth=8)),
}


def _problem(slower: tuple[Level, ...], again: bool) -> Problem:
    problem = random_problem(7, 60, in_place=False)
    operations = tuple(replace(op, time=20, work=50 if again else None) for op in problem.operations)
    problem = replace(problem, operations=operations)
    capacity = Graph(problem).least() if slower else None
    return replace(problem, levels=(Level("ram", capacity), *slower))


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("slower", LEVELS.values(), ids=LEVELS)
@pytest.mark.parametrize("looks", [1, 5, 50, 500])
def test_a_plan_is_valid_whenever_the_clock_runs_down(
    slower: tuple[Level, ...], again: bool, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock stands still for so many looks at it, and is beyond the limit then.
    count = itertools.count()
    monkeypatch.setattr(effort, "monotonic", lambda: 0.0 if next(count) < looks else 9.0)
    problem = _problem(slower, again)
    found = plan(problem, time_limit=1.0)
    check(problem, found)
    assert found.cost_bound <= found.cost
