"""Order and residency chosen at once, for graphs that leave the order open.

Retention intervals as in "Moccasin: Efficient Tensor Rematerialization for Neural Networks" (Bartan et al.),
with spills and retrievals in the place of recomputation: a tensor is in the fast level during episodes, every
reader falls into one of them, and all episodes after the first cost a transfer. Addresses are left out, so
that what is proven here bounds every plan.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drystone.scheduling import solver
from drystone.scheduling.graph import Graph


@dataclass(frozen=True)
class Joint:
    """An order and the least that a plan under any order must spend."""

    order: list[int]
    bound: int


def arrange(graph: Graph, hint: Sequence[int], most: int | None, effort: float) -> Joint:
    """The order under which the least must be moved, as far as found within `effort` of deterministic time.
    `hint` is a known order, `most` what a known plan spends."""
    model = _Model(graph, most)
    for step, index in enumerate(hint):
        model.model.add_hint(model.position[index], step)
    answer, status = solver.solve(model.model, effort)
    if status not in solver.FOUND:
        return Joint(list(hint), 0)
    order = sorted(range(len(model.position)), key=lambda index: answer.value(model.position[index]))
    return Joint(order, max(0, round(answer.best_objective_bound)))


def suits(graph: Graph) -> bool:
    """Whether the model says all there is to choose: one slower level without end, in which nothing works
    directly, and nothing that may run again."""
    slow = graph.problem.levels[1:]
    simple = len(slow) == 1 and slow[0].capacity is None and not slow[0].direct
    return simple and all(op.work is None for op in graph.problem.operations)


class _Model:
    def __init__(self, graph: Graph, most: int | None) -> None:
        self.graph, self.model, self.count = graph, solver.new_model(), len(graph.before)
        self.weight = graph.problem.levels[1].cost
        self.position = solver.positions(self.model, graph)
        self.intervals: list[Any] = []
        self.demands: list[int] = []
        self.cost: list[Any] = []
        self.overwriting = self._in_place()
        for name, size in graph.size.items():
            if size:
                self._tensor(name)
        for index, size in enumerate(graph.scratch):
            if size:
                self._occupy(self.model.new_fixed_size_interval_var(self.position[index], 1, ""), size)
        capacity = graph.problem.levels[0].capacity
        if capacity is not None and self.intervals:
            self.model.add_cumulative(self.intervals, self.demands, capacity // graph.unit)
        if most is not None:
            self.model.add(sum(self.cost) <= most)
        self.model.minimize(sum(self.cost))

    def _occupy(self, interval: Any, size: int) -> None:
        self.intervals.append(interval)
        self.demands.append(size // self.graph.unit)

    def _in_place(self) -> dict[tuple[str, int], list[Any]]:
        """Literals for the outputs that may overwrite a tensor, by that tensor and the operation."""
        found: dict[tuple[str, int], list[Any]] = {}
        for index, _, source, literal in solver.overwriting(self.model, self.graph):
            found.setdefault((source, index), []).append(literal)
        for literals in found.values():
            self.model.add_at_most_one(literals)
        return found

    def _tensor(self, name: str) -> None:
        """Episodes of a tensor, and the one each of its readers falls into."""
        graph, model = self.graph, self.model
        readers, kept = graph.readers[name], name in graph.kept and not graph.home[name]
        made = not graph.home[name]
        episodes = len(readers) + made
        literals: list[Any] = []
        starts: list[Any] = []
        ends: list[Any] = []
        for number in range(episodes):
            first = made and not number
            literal = 1 if first else model.new_bool_var("")
            start = self._first(name) if first else model.new_int_var(0, self.count, "")
            end = model.new_int_var(0, self.count + 1, "")
            if literals:
                model.add(literal <= literals[-1])
                model.add(start >= ends[-1]).only_enforce_if(literal)
            interval = model.new_optional_interval_var(
                start, model.new_int_var(0, self.count + 1, ""), end, literal, ""
            )
            self._occupy(interval, graph.size[name])
            literals, starts, ends = [*literals, literal], [*starts, start], [*ends, end]
        if made:
            # What is there from the start may be overwritten by the first operation.
            model.add(ends[0] >= starts[0] + (name in graph.producer))
        spilled = model.new_bool_var("") if made and (episodes > 1 or kept) else 0
        for literal in literals[1:] if made else ():
            model.add(literal <= spilled)
        self._assign(name, literals, starts, ends, spilled if kept else None)
        weight = graph.bytes[name] * self.weight
        self.cost += [weight * literal for literal in [*literals[made:], spilled]]

    def _first(self, name: str) -> Any:
        return self.position[self.graph.producer[name]] if name in self.graph.producer else 0

    def _assign(self, name: str, literals: Any, starts: Any, ends: Any, spilled: Any) -> None:
        """Each reader's episode; `spilled` is given for what is kept, which may end in the slower level."""
        model = self.model
        for reader in self.graph.readers[name]:
            choices = [model.new_bool_var("") for _ in literals]
            model.add_exactly_one(choices)
            overwriters = self.overwriting.get((name, reader), [])
            for choice, literal, start, end in zip(choices, literals, starts, ends, strict=True):
                model.add(choice <= literal)
                model.add(start <= self.position[reader]).only_enforce_if(choice)
                stays = [choice, *(~each for each in overwriters)]
                model.add(end > self.position[reader]).only_enforce_if(stays)
                for each in overwriters:
                    model.add(end == self.position[reader]).only_enforce_if([choice, each])
        if spilled is not None:
            choices = [model.new_bool_var("") for _ in literals]
            model.add(sum(choices) + spilled >= 1)
            for choice, literal, end in zip(choices, literals, ends, strict=True):
                model.add(choice <= literal)
                model.add(end >= self.count).only_enforce_if(choice)
