"""Order and residency chosen at once, for graphs that leave the order open.

Retention intervals as in "Moccasin: Efficient Tensor Rematerialization for Neural Networks" (Bartan et al.):
a tensor is in the fast level during episodes, every reader falls into one of them, and all episodes after the
first cost a transfer or another run of the tensor's operation. Addresses are left out.

With one slower level without end, in which nothing works, and nothing that runs again (`suits`) the model
says all there is to choose but addresses. In any case what is proven here bounds every plan. Take a plan, and
look at it only while operations run for the first time: these are an order. The stays in the fast level in
which a tensor is read then are its episodes; together they never need more bytes than there are. Between two
episodes

- a tensor may be nowhere at some time: then its operation runs again, which pays for no other gap, and for
  gaps of its other results by their own shares;
- or in the near levels or, without being read, in the fast one all the time: then it takes room there, once
  came to a near level, and comes from one at the end;
- or in another level at some time: then it once came there, and leaves it before the end.

All these moves differ from each other. That other runs need their operands is left out, as is what else
limits the slower levels.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.scheduling import solver
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph
from drystone.scheduling.order.prices import prices_of, rerun


@dataclass(frozen=True)
class Border:
    """What holds at the ends of a part of a graph, beside what its problem says: tensors with a home that are
    in the fast level too at the start (`here`); tensors that must be in the fast level at the end (`stay`),
    and those of which the slower one must have a copy by then (`saved`); and those whose moves are paid for
    elsewhere (`free`)."""

    here: frozenset[str] = frozenset()
    stay: frozenset[str] = frozenset()
    saved: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Joint:
    """An order, the least that a plan under any order must spend, and what this order spends (None where the
    search found no order)."""

    order: list[int]
    bound: int
    cost: int | None = None


@dataclass(frozen=True)
class Known:
    """Where tensors are under a known order: the steps of their stays in the fast level (one that is
    overwritten ends with its last reader's step), which are copied, and which pairs (operation, output,
    source) share their bytes."""

    stays: Mapping[str, Sequence[tuple[int, int]]]
    spilled: Collection[str]
    shared: Collection[tuple[int, str, str]]


#: The border of a whole graph.
WHOLE = Border()


def arrange(
    graph: Graph,
    hint: Sequence[int],
    most: int | None,
    effort: Effort,
    border: Border = WHOLE,
    known: Known | None = None,
) -> Joint:
    """The order under which the least must be moved, as far as found within the effort. `hint` is a known
    order, `most` what a plan may spend, `known` what is where under the known order."""
    if not effort.left:
        return Joint(list(hint), 0)
    model = _Model(graph, most, border)
    for step, index in enumerate(hint):
        model.model.add_hint(model.position[index], step)
    if known is not None:
        model.start(hint, known)
    answer, status = solver.solve(model.model, effort)
    if status not in solver.FOUND:
        return Joint(list(hint), max(0, solver.proven(answer, status)))
    order = sorted(range(len(model.position)), key=lambda index: answer.value(model.position[index]))
    return Joint(order, max(0, round(answer.best_objective_bound)), round(answer.objective_value))


def suits(graph: Graph) -> bool:
    """Whether the model says all there is to choose: one slower level without end, in which nothing works
    directly, and nothing that may run again."""
    slow = graph.problem.levels[1:]
    simple = len(slow) == 1 and slow[0].capacity is None and not slow[0].direct
    return simple and all(op.work is None for op in graph.problem.operations)


class _Model:
    def __init__(self, graph: Graph, most: int | None, border: Border) -> None:
        self.border = border
        self.graph, self.model, self.count = graph, solver.new_model(), len(graph.before)
        self.prices = prices_of(graph)
        self.position = solver.positions(self.model, graph)
        self.intervals: list[Any] = []
        self.demands: list[int] = []
        self.cost: list[Any] = []
        #: The times during which tensors take room of the near levels.
        self.near: list[tuple[Any, int]] = []
        #: The episodes of each tensor (literal, start, end), and whether it is copied.
        self.episodes: dict[str, list[tuple[Any, Any, Any]]] = {}
        self.spilled: dict[str, Any] = {}
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
            if self.near:
                gaps, sizes = zip(*self.near, strict=True)
                room = (capacity + self.prices.room) // graph.unit
                self.model.add_cumulative([*self.intervals, *gaps], [*self.demands, *sizes], room)
        if most is not None:
            self.model.add(sum(self.cost) <= most)
        self.model.minimize(sum(self.cost))

    def _occupy(self, interval: Any, size: int) -> None:
        self.intervals.append(interval)
        self.demands.append(size // self.graph.unit)

    def _in_place(self) -> dict[tuple[str, int], list[Any]]:
        """Literals for the outputs that may overwrite a tensor, by that tensor and the operation. While it
        runs, what a tensor is larger than the output is not counted: bounds hold, and the plan of the order
        that is found has the last word."""
        found: dict[tuple[str, int], list[Any]] = {}
        self.pairs = solver.overwriting(self.model, self.graph)
        for index, _, source, literal in self.pairs:
            found.setdefault((source, index), []).append(literal)
        for literals in found.values():
            self.model.add_at_most_one(literals)
        return found

    def _tensor(self, name: str) -> None:
        """Episodes of a tensor, and the one each of its readers falls into."""
        graph, model = self.graph, self.model
        readers, kept = graph.readers[name], name in graph.kept and not graph.home[name]
        border, made = self.border, not graph.home[name]
        here = made or name in border.here
        again = rerun(graph, name) is not None
        episodes = len(readers) + here + (name in border.stay) + (kept and again)
        literals: list[Any] = []
        starts: list[Any] = []
        ends: list[Any] = []
        for number in range(episodes):
            first = here and not number
            literal = self._made_here(name) if first else model.new_bool_var("")
            start = self._first(name) if first else model.new_int_var(0, self.count, "")
            end = model.new_int_var(0, self.count + 1, "")
            if literals:
                if number > 1 or not here:
                    model.add(literal <= literals[-1])
                model.add(start >= ends[-1]).only_enforce_if(literal)
            interval = model.new_optional_interval_var(
                start, model.new_int_var(0, self.count + 1, ""), end, literal, ""
            )
            self._occupy(interval, graph.size[name])
            literals, starts, ends = [*literals, literal], [*starts, start], [*ends, end]
        if here:
            # What is there from the start may be overwritten by the first operation.
            model.add(ends[0] >= starts[0] + (name in graph.producer))
        self.episodes[name] = list(zip(literals, starts, ends, strict=True))
        copies = self._pay(name, here, kept)
        #: Known plans have one kind of copy.
        self.spilled[name] = next(iter(copies.values()), 0)
        self._assign(name, literals, starts, ends, sum(copies.values()) if kept else None)
        if self.prices.direct is not None and here:
            model.add(literals[0] + sum(copies.values()) >= 1)

    def _made_here(self, name: str) -> Any:
        """Whether the first episode takes place: an operation may write to a slower level directly."""
        always = self.prices.direct is None or name not in self.graph.producer
        return 1 if always else self.model.new_bool_var("")

    def _pay(self, name: str, here: bool, kept: bool) -> dict[int, Any]:
        """What opens a tensor's episodes but the first costs: a transfer, with a copy made once, or another
        run of its operation. Whether there are copies, by what a byte of them costs."""
        graph, model, prices = self.graph, self.model, self.prices
        episodes, work = self.episodes[name], rerun(graph, name)
        opened = range(int(here), len(episodes))
        copies: dict[int, Any] = {}
        saved = name in self.border.saved
        for cost in (prices.far, prices.near) if not graph.home[name] else ():
            if cost is not None and (opened or kept or saved or prices.direct is not None):
                copies[cost] = 1 if saved else model.new_bool_var("")
                self._spend(name, cost * graph.bytes[name], copies[cost])
        for number in opened:
            literal = episodes[number][0]
            tiers = [(graph.leaving(name, first=not number), 1)] if graph.home[name] else [*copies.items()]
            alone = len(tiers) == 1 and work is None
            ways = [literal if alone else model.new_bool_var("") for _ in tiers]
            for way, (cost, copy) in zip(ways, tiers, strict=True):
                model.add(way <= copy)
                self._spend(name, cost * graph.bytes[name], way)
                if cost == prices.near and number and not graph.home[name]:
                    self._wait(name, way, episodes[number - 1][2], episodes[number][1])
            if work is not None:
                ways.append(model.new_bool_var(""))
                self._spend(name, work, ways[-1])
            if not alone:
                model.add(literal <= sum(ways))
        return copies

    def _spend(self, name: str, cost: int, literal: Any) -> None:
        self.cost.append(0 if name in self.border.free else cost * literal)

    def _wait(self, name: str, literal: Any, start: Any, end: Any) -> None:
        """Room of the near levels during a gap between episodes."""
        size = self.graph.bytes[name] // self.graph.unit
        length = self.model.new_int_var(0, self.count + 1, "")
        if size:
            self.near.append((self.model.new_optional_interval_var(start, length, end, literal, ""), size))

    def start(self, order: Sequence[int], known: Known) -> None:
        """Start the search from a known answer."""

        def say(variable: Any, value: int) -> None:
            if not isinstance(variable, int):
                self.model.add_hint(variable, value)

        for name, episodes in self.episodes.items():
            stays = known.stays.get(name, ())
            say(self.spilled[name], name in known.spilled)
            for number, (literal, start, end) in enumerate(episodes):
                say(literal, number < len(stays))
                if number < len(stays):
                    # A tensor that is made has the position of its maker as its first start.
                    if number or name not in self.graph.producer:
                        say(start, stays[number][0])
                    say(end, stays[number][1])
        shared = set(known.shared)
        for index, output, source, literal in self.pairs:
            say(literal, (index, output, source) in shared)

    def _first(self, name: str) -> Any:
        return self.position[self.graph.producer[name]] if name in self.graph.producer else 0

    def _assign(self, name: str, literals: Any, starts: Any, ends: Any, spilled: Any) -> None:
        """Each reader's episode; `spilled` is given for what is kept, which may end in the slower level."""
        model = self.model
        if name in self.border.stay:
            self._last(literals, starts, ends)
        for reader in self.graph.readers[name]:
            choices = [model.new_bool_var("") for _ in literals]
            model.add_exactly_one([*choices, *self._read_directly(name)])
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

    def _read_directly(self, name: str) -> list[Any]:
        """Whether a reader finds the tensor in a slower level, if that is possible at all."""
        if self.prices.direct is None:
            return []
        literal = self.model.new_bool_var("")
        self._spend(name, self.prices.direct * self.graph.bytes[name], literal)
        if not self.graph.home[name]:
            self.model.add(literal <= self.spilled[name])
        return [literal]

    def _last(self, literals: Any, starts: Any, ends: Any) -> None:
        """One episode lasts beyond the end: what comes after this part finds the tensor there."""
        choices = [self.model.new_bool_var("") for _ in literals]
        self.model.add_exactly_one(choices)
        for choice, literal, start, end in zip(choices, literals, starts, ends, strict=True):
            self.model.add(choice <= literal)
            self.model.add(start <= self.count).only_enforce_if(choice)
            self.model.add(end > self.count).only_enforce_if(choice)
