"""Which tensors stay in the fast level between their uses, which leave and come back, and which are computed
again, so that the least is spent under one order.

The choice is COSMA's (Li, Gupta, Malik, "Combined Scheduling, Memory Allocation and Tensor Replacement for
Minimizing Off-Chip Data Accesses of DNN Accelerators": create, preserve, spill, retrieve) with Checkmate's
recomputation, written per gap between two touches of a tensor, so that its size grows with the uses and not
with the square of the steps. Under a given order it is a 0-1 program whose rows are the bytes at each event;
addresses are found afterwards, and what cannot be placed is forbidden (`ResidencyModel.forbid`): Benders'
decomposition.
"""

from collections.abc import Sequence
from typing import Any

from drystone.scheduling import solver
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Home
from drystone.scheduling.residency.stays import Choices, Reading, Residency, Stay
from drystone.scheduling.residency.timeline import START, Timeline
from drystone.targets.target import Level


class ResidencyModel:
    """The 0-1 program of a timeline; solved again after each `forbid`."""

    def __init__(self, graph: Graph, line: Timeline) -> None:
        self.graph, self.line = graph, line
        self.fast, *self.slow = graph.problem.levels
        self.model = solver.new_model()
        self.cost: list[Any] = []
        self.runs = [self.model.new_bool_var("") if event.again else 1 for event in line.events]
        #: Terms of the bytes used at each event, by level.
        self.rows: dict[str, list[list[Any]]] = {
            level.name: [[] for _ in line.events] for level in graph.problem.levels
        }
        self.tensors = {name: self._tensor(name) for name in graph.size}
        self.shared: list[tuple[int, str, str, Any]] = []
        for number, event in enumerate(line.events):
            self._event(number, event.op)
        for level in graph.problem.levels:
            if level.capacity is not None:
                for row in self.rows[level.name]:
                    self.model.add(sum(row) <= level.capacity // graph.unit)
        self.model.minimize(sum(self.cost))

    # -- one tensor --------------------------------------------------------------------------------------

    def _tensor(self, name: str) -> Choices:
        touches, found = self.line.touches[name], Choices()
        for level in self.slow:
            self._copies(name, level, found, len(touches))
        for number, touch in enumerate(touches):
            self._touch(name, found, number)
            gap = self.model.new_bool_var("") if number + 1 < len(touches) or name in self.graph.kept else 0
            self.model.add(gap <= found.held[-1])
            found.kept.append(gap)
            end = touches[number + 1].event if number + 1 < len(touches) else len(self.line.events)
            self._occupy(self.fast.name, name, gap, max(0, touch.event) + 1, end)
        self._pay_for_copies(name, found)
        if name in self.graph.kept and touches and not self.graph.home[name]:
            copies = [copy[-1] for copy in found.copy.values()]
            self.model.add(found.kept[-1] + sum(copies) >= 1)
        return found

    def _copies(self, name: str, level: Level, found: Choices, count: int) -> None:
        """Whether a slower level has a copy during the gap after each touch. Where there is no end of room
        one that is made is made at once and kept."""
        if self.graph.home[name] == level.name:
            found.copy[level.name] = [1] * count
        elif level.capacity is None:
            found.copy[level.name] = [self.model.new_bool_var("")] * count
        else:
            found.copy[level.name] = [self.model.new_bool_var("") for _ in range(count)]

    def _touch(self, name: str, found: Choices, number: int) -> None:
        """What makes the tensor present at a touch: it was kept, is fetched, or is made there."""
        model, touch = self.model, self.line.touches[name][number]
        runs: Any = 1 if touch.event == START else self.runs[touch.event]
        before = found.kept[-1] if number else 0
        fetched: dict[str, Any] = {}
        direct: dict[str, Any] = {}
        for level in self.slow:
            if not touch.made and (number or self.graph.home[name] == level.name):
                copy = found.copy[level.name][max(0, number - 1)]
                fetched[level.name] = self._literal_below(copy, runs)
                direct |= {level.name: self._literal_below(copy, runs)} if level.direct else {}
            elif touch.made and touch.sure and level.direct and touch.event != START:
                direct[level.name] = self._literal_below(found.copy[level.name][number], runs)
        found.fetched.append(fetched)
        found.direct.append(direct)
        if touch.sure and not direct:
            held: Any = 1
        else:
            held = model.new_bool_var("")
            model.add(held + sum(direct.values()) >= runs)
            model.add(held + sum(direct.values()) <= 1)
        found.held.append(held)
        for literal in fetched.values():
            model.add(literal <= held)
        if fetched:
            model.add(before + sum(fetched.values()) <= 1)
        model.add(held <= before + sum(fetched.values()) + (runs if touch.made else 0))
        weight = {level.name: level.cost * self.graph.bytes[name] for level in self.slow}
        self.cost += [weight[level] * literal for level, literal in fetched.items()]
        if not touch.made:
            self.cost += [weight[level] * literal for level, literal in direct.items()]
        later = self.line.touches[name][number + 1 : number + 2]
        if touch.event != START or not (later and later[0].event == 0):
            self._occupy(self.fast.name, name, held, max(0, touch.event), max(0, touch.event) + 1)

    def _literal_below(self, *limits: Any) -> Any:
        literal = self.model.new_bool_var("")
        for limit in limits:
            self.model.add(literal <= limit)
        return literal

    def _pay_for_copies(self, name: str, found: Choices) -> None:
        """A copy is paid for where it appears, which is where the tensor is held or made."""
        touches = self.line.touches[name]
        for level in self.slow:
            copies = found.copy[level.name]
            spilled = found.spilled[level.name] = [0] * len(copies)
            if self.graph.home[name] == level.name:
                continue
            weight = level.cost * self.graph.bytes[name]
            if touches and touches[0].event + 1 == len(self.line.events):
                self.model.add(copies[0] == 0)
            if level.capacity is None:
                spilled[:1] = copies[:1]
                for copy, held, others in zip(copies[:1], found.held, found.direct, strict=False):
                    self.model.add(copy <= held + others.get(level.name, 0))
                self.cost += [weight * copy for copy in copies[:1]]
                continue
            for number, copy in enumerate(copies):
                new = self.model.new_bool_var("")
                before = copies[number - 1] if number else 0
                direct = found.direct[number].get(level.name, 0) if touches[number].made else 0
                self.model.add(new >= copy - before)
                self.model.add(new <= copy)
                self.model.add(new <= 1 - before)
                self.model.add(new <= found.held[number] + direct)
                spilled[number] = new
                self.cost.append(weight * new)
                end = touches[number + 1].event + 1 if number + 1 < len(touches) else len(self.line.events)
                event = touches[number].event
                self._occupy(level.name, name, copy, event + 1, end)
                self._occupy(level.name, name, direct, event, event + 1)

    def _occupy(self, level: str, name: str, literal: Any, start: int, end: int) -> None:
        units = self.graph.size[name] // self.graph.unit
        if units and not (isinstance(literal, int) and not literal):
            for event in range(max(0, start), min(end, len(self.line.events))):
                self.rows[level][event].append(units * literal)

    # -- one event ---------------------------------------------------------------------------------------

    def _event(self, number: int, index: int) -> None:
        op, runs, row = self.graph.problem.operations[index], self.runs[number], self.rows[self.fast.name]
        if self.graph.scratch[index]:
            row[number].append(self.graph.scratch[index] // self.graph.unit * runs)
        if self.line.events[number].again:
            self.cost.append((op.work or 0) * runs)
        taken: dict[str, list[Any]] = {}
        for output, source in dict.fromkeys(op.in_place):
            if source in self.graph.kept or not self.graph.size[output]:
                continue
            literal = self._share(number, output, source)
            self.shared.append((number, output, source, literal))
            row[number].append(-(self.graph.size[output] // self.graph.unit) * literal)
            taken.setdefault(output, []).append(literal)
            taken.setdefault(f"{source} as input", []).append(literal)
        for literals in taken.values():
            self.model.add_at_most_one(literals)

    def _share(self, number: int, output: str, source: str) -> Any:
        """Whether the output takes the bytes of an input that is not kept after this event, and whose copies,
        if any, were made before it."""
        at = self._number(source, number)
        found = self.tensors[source]
        literal = self._literal_below(
            found.held[at], self.tensors[output].held[self._number(output, number)], self.runs[number]
        )
        self.model.add(literal + found.kept[at] <= 1)
        new = self._number(output, number)
        if new:
            self.model.add(literal + self.tensors[output].kept[new - 1] <= 1)
        for level, spilled in found.spilled.items():
            self.model.add(literal + spilled[at] <= 1)
            if found.direct[at].get(level) is not None:
                self.model.add(literal + found.direct[at][level] <= 1)
        return literal

    def _number(self, name: str, event: int) -> int:
        return next(n for n, touch in enumerate(self.line.touches[name]) if touch.event == event)

    # -- the answer --------------------------------------------------------------------------------------

    def forbid(self, stays: Sequence[Stay], shared: Sequence[tuple[int, str, str]]) -> None:
        """These stays, with these pairs sharing their bytes, may not be chosen together again, nor longer
        ones."""
        literals = [self.tensors[stay.tensor].kept[gap] for stay in stays for gap in stay.gaps]
        known = {(event, output, source): literal for event, output, source, literal in self.shared}
        literals += [known[pair] for pair in shared]
        self.model.add_bool_or([~literal for literal in literals])

    def tighten(self, level: str, spared: int) -> None:
        """Choose as if the level had `spared` bytes less, but for what single operations need."""
        (capacity,) = (each.capacity for each in self.graph.problem.levels if each.name == level)
        for row in self.rows[level]:
            needed = sum(term for term in row if isinstance(term, int))
            self.model.add(sum(row) <= max(needed, ((capacity or 0) - spared) // self.graph.unit))

    def hint(self, homes: Sequence[Home]) -> None:
        """Start the search from a known plan of this order, in which nothing runs again."""
        steps = [number for number, event in enumerate(self.line.events) if not event.again]
        spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for home in homes:
            end = steps[home.end] if home.end < len(steps) else len(self.line.events)
            spans.setdefault((home.tensor, home.level), []).append((steps[home.start], end))

        def there(name: str, level: str, event: int) -> bool:
            return any(start <= event < end for start, end in spans.get((name, level), ()))

        def say(literal: Any, value: bool) -> None:
            if not isinstance(literal, int):
                self.model.add_hint(literal, value)

        for literal in self.runs:
            say(literal, False)
        for name, found in self.tensors.items():
            kept = False
            for number, touch in enumerate(self.line.touches[name]):
                here = there(name, self.fast.name, max(0, touch.event))
                say(found.held[number], here)
                for level, literal in found.fetched[number].items():
                    copied = self.graph.home[name] == level or (name, level) in spans
                    say(literal, touch.sure and here and not kept and copied)
                kept = here and there(name, self.fast.name, max(0, touch.event) + 1)
                say(found.kept[number], kept)
            for level, copies in found.copy.items():
                for literal in copies[:1]:
                    say(literal, (name, level) in spans)

    def solve(self, effort: Effort) -> Residency | None:
        """The cheapest choice found within the effort; None without any."""
        answer, status = solver.solve(self.model, effort)
        if status not in solver.FOUND:
            return None

        def true(literal: Any) -> bool:
            return bool(literal) if isinstance(literal, int) else bool(answer.value(literal))

        reading = Reading(self.graph, self.line, self.tensors, true)
        return Residency(
            [true(literal) for literal in self.runs],
            reading.stays(),
            reading.transfers(),
            [(event, output, source) for event, output, source, taken in self.shared if true(taken)],
            round(answer.objective_value),
            round(answer.best_objective_bound),
        )
