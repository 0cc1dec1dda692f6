"""What is proven of the cost holds for every plan, with several slower levels and operations that run again
too: beside the least of all plans, found by trying everything."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from heapq import heappop, heappush

import pytest

from drystone.errors import UserError
from drystone.scheduling import check, plan
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph
from drystone.scheduling.order import divide, joint
from drystone.scheduling.problem import Problem, Tensor
from drystone.targets import Level
from tests.property.test_planning import ALIGNMENT, random_problem

#: The operations done, and what is in each level, the first one first.
State = tuple[frozenset[int], tuple[frozenset[str], ...]]

SLOWER = {
    "none": (),
    "one": (Level("dram", cost=2),),
    "two": (Level("near", ALIGNMENT), Level("dram", cost=3)),
    "wider": (Level("near", 2 * ALIGNMENT), Level("far", cost=5)),
    "ends": (Level("near", ALIGNMENT, cost=2), Level("dram", 2 * ALIGNMENT, cost=3)),
    "falling": (Level("near", ALIGNMENT, cost=3), Level("dram", cost=1)),
}


def unit_problem(seed: int, count: int, slower: tuple[Level, ...], again: bool) -> Problem:
    """A random graph of tensors of one size, of which one may lie in a slower level, and operations of which
    some may run again, in little more memory than one of them needs."""
    rng = random.Random(seed)
    problem = random_problem(seed, count, in_place=False, extras=False)
    home = rng.choice(slower).name if slower and rng.random() < 0.5 else ""
    tensors = tuple(Tensor(t.name, ALIGNMENT, home=home if t.name == "x" else "") for t in problem.tensors)
    operations = tuple(
        replace(op, work=rng.randrange(1, 3 * ALIGNMENT) if again and rng.random() < 0.8 else None)
        for op in problem.operations
    )
    kept = tuple(rng.sample([t.name for t in tensors], 2))
    problem = replace(problem, tensors=tensors, operations=operations, kept=kept)
    capacity = Graph(problem).least() + rng.choice((0, 0, ALIGNMENT))
    return replace(problem, levels=(Level("ram", capacity, ALIGNMENT), *slower))


class Everything:
    """All that can be done, one thing after the other: Dijkstra's search for the cheapest plan."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.graph = problem, Graph(problem)
        self.home = {t.name: t.home for t in problem.tensors if t.home}
        self.rooms = [None if n.capacity is None else n.capacity // ALIGNMENT for n in problem.levels]

    def least(self) -> int | None:
        """What the cheapest plan spends; None where there is no plan."""
        first = frozenset(n for n in self.graph.size if n not in self.graph.producer and n not in self.home)
        names = [level.name for level in self.problem.levels]
        there = (first, *(frozenset(n for n, at in self.home.items() if at == level) for level in names[1:]))
        start: State = (frozenset(), there)
        queue, seen, ties = [(0, 0, start)], set(), itertools.count(1)
        while queue:
            cost, _, state = heappop(queue)
            if state in seen:
                continue
            seen.add(state)
            done, there = state
            if len(done) == len(self.graph.before) and set(self.problem.kept) <= frozenset().union(*there):
                return cost
            for price, new in (*self._runs(state), *self._moves(state)):
                heappush(queue, (cost + price, next(ties), new))
        return None

    def _fits(self, there: tuple[frozenset[str], ...]) -> bool:
        counts = [
            sum(1 for n in names if n not in self.home) if i else len(names) for i, names in enumerate(there)
        ]
        return all(room is None or count <= room for room, count in zip(self.rooms, counts, strict=True))

    def _runs(self, state: State) -> Iterator[tuple[int, State]]:
        done, (fast, *slow) = state
        for index, op in enumerate(self.problem.operations):
            if not self.graph.before[index] <= done or not set(op.inputs) <= fast:
                continue
            if index in done and op.work is None:
                continue
            now = (fast | set(op.outputs), *slow)
            if self._fits(now):
                yield (op.work or 0) if index in done else 0, (done | {index}, now)

    def _moves(self, state: State) -> Iterator[tuple[int, State]]:
        done, there = state
        for number, names in enumerate(there):
            for name in sorted(names):
                if self.home.get(name) != self.problem.levels[number].name and (done or number):
                    yield 0, (done, self._changed(there, number, names - {name}))
                for other in range(len(there)):
                    if name not in there[other]:
                        now = self._changed(there, other, there[other] | {name})
                        if self._fits(now):
                            cost = self.problem.levels[max(number, other)].cost * self.graph.bytes[name]
                            yield cost, (done, now)

    def _changed(
        self, there: tuple[frozenset[str], ...], number: int, names: frozenset[str]
    ) -> tuple[frozenset[str], ...]:
        return (*there[:number], names, *there[number + 1 :])


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("slower", SLOWER.values(), ids=SLOWER)
@pytest.mark.parametrize("seed", range(6))
def test_no_plan_of_all_spends_less_than_is_proven(slower: tuple[Level, ...], again: bool, seed: int) -> None:
    rng = random.Random(seed)
    problem = unit_problem(seed, rng.randint(2, 6), slower, again)
    least = Everything(problem).least()
    try:
        found = plan(problem, time_limit=2)
    except UserError:
        return
    check(problem, found)
    assert least is not None
    assert found.cost_bound <= least <= found.cost
    graph = Graph(problem)
    if not graph.rigid:
        assert joint.arrange(graph, range(len(graph.before)), None, Effort(2)).bound <= least
        assert divide.bounded(graph, range(len(graph.before)), Effort(2)).bound <= least
