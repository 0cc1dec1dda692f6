"""Moves beside operations: graphs whose least time is known, and what the checker says of copies."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product

import pytest

from drystone.scheduling import PlanError, check, plan
from drystone.scheduling.graph import Graph
from drystone.scheduling.moves.moving import clock
from drystone.scheduling.problem import Move, Operation, Plan, Problem, Tensor
from drystone.targets import Level

WEIGHT, VALUE, BANDWIDTH = 1000, 100, 10
FETCH = WEIGHT // BANDWIDTH


def layers(times: Sequence[int], rooms: int) -> Problem:
    """A chain of layers, each with a weight in flash, and room for so many weights beside two values."""
    count = len(times)
    operations = [
        Operation(f"layer{n}", (f"x{n}", f"w{n}"), (f"x{n + 1}",), time=time) for n, time in enumerate(times)
    ]
    tensors = [Tensor(f"x{n}", VALUE) for n in range(count + 1)]
    tensors += [Tensor(f"w{n}", WEIGHT, home="flash") for n in range(count)]
    sram = Level("sram", 2 * VALUE + rooms * WEIGHT, alignment=1)
    levels = (sram, Level("flash", bandwidth=BANDWIDTH))
    return Problem(tuple(operations), tuple(tensors), levels, (f"x{count}",))


def planned(problem: Problem) -> Plan:
    found = plan(problem)
    check(problem, found)
    return found


@pytest.mark.parametrize("time", [50, 150])
def test_without_a_second_room_every_layer_waits_for_its_weight(time: int) -> None:
    assert planned(layers([time] * 8, rooms=1)).time == 8 * (FETCH + time)


@pytest.mark.parametrize("time", [50, 150])
def test_with_a_second_room_only_the_longer_of_both_counts(time: int) -> None:
    found = planned(layers([time] * 8, rooms=2))
    assert found.time == FETCH + 7 * max(FETCH, time) + time
    assert all(move.begins == max(0, move.step - 1) for move in found.moves)


def test_a_third_room_evens_out_uneven_layers() -> None:
    times = [10, 10, 300, 10, 10, 300]
    two, three = (planned(layers(times, rooms)).time for rooms in (2, 3))
    assert (two, three) == (least(times, 2), least(times, 3))
    assert three < two


def least(times: Sequence[int], rooms: int) -> int:
    """The least time over every choice of the steps before which the weights begin to come."""
    best = sum(times) + len(times) * FETCH
    for begins in product(*(range(step + 1) for step in range(len(times)))):
        rows = [sum(first <= step <= n for n, first in enumerate(begins)) for step in range(len(times))]
        if list(begins) != sorted(begins) or max(rows) > rooms:
            continue
        busy = now = 0
        arrived = [0] * len(times)
        for step, time in enumerate(times):
            for number in (n for n, first in enumerate(begins) if first == step):
                busy = arrived[number] = max(busy, now) + FETCH
            now = max(now, arrived[step]) + time
        best = min(best, now)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_random_layers_take_the_least_time(seed: int) -> None:
    rng = random.Random(seed)
    times = [rng.choice((0, 10, 90, 300)) for _ in range(6)]
    assert planned(layers(times, rooms=2)).time == least(times, 2)


def spilling(room: int) -> Problem:
    """x -> e -> a -> b -> large -> c -> d -> out, which reads e too: it leaves while `large` is there."""
    names = ("x", "e", "a", "b", "large", "c", "d")
    operations = [Operation(f"make_{new}", (old,), (new,), time=80) for old, new in pairwise(names)]
    operations.append(Operation("join", ("d", "e"), ("out",), time=80))
    sizes = {"x": 100, "e": 500, "a": 500, "b": 100, "large": 1000, "c": 100, "d": 100, "out": 100}
    tensors = tuple(Tensor(name, size) for name, size in sizes.items())
    levels = (Level("sram", room, alignment=1), Level("dram", bandwidth=10))
    return Problem(tuple(operations), tensors, levels, ("out",))


def test_what_leaves_and_comes_back_does_so_beside_operations() -> None:
    found = planned(spilling(1100))
    copies = [(move.tensor, move.source, move.begins, move.step) for move in found.moves]
    # It is written while a is made, and read while d is.
    assert copies == [("e", "sram", 1, 3), ("e", "dram", 5, 6)]
    assert found.time == 7 * 80


def _overlapped() -> tuple[Problem, Plan]:
    problem = layers([50] * 4, rooms=2)
    return problem, plan(problem)


def _later(plan: Plan, number: int) -> tuple[Move, ...]:
    """The moves, one of them complete a step later."""
    moves = list(plan.moves)
    moves[number] = replace(moves[number], step=moves[number].step + 1)
    return tuple(moves)


def test_the_checker_does_not_read_what_is_still_on_its_way() -> None:
    problem, found = _overlapped()
    with pytest.raises(PlanError, match="layer1 reads w1, which is not there"):
        check(problem, replace(found, moves=_later(found, 1)))


def test_the_checker_keeps_what_is_copied_until_it_is() -> None:
    problem = spilling(1100)
    found = plan(problem)
    early = tuple(
        replace(home, end=2) if (home.tensor, home.start, home.level) == ("e", 0, "sram") else home
        for home in found.homes
    )
    with pytest.raises(PlanError, match="e is moved from sram at step 1, but is not there"):
        check(problem, replace(found, homes=early))


def test_the_checker_takes_the_time() -> None:
    problem, found = _overlapped()
    with pytest.raises(PlanError, match=f"states a time of 1, but takes {found.time}"):
        check(problem, replace(found, time=1))
    assert clock(Graph(problem), found).last == found.time
