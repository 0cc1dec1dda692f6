"""The independent judge of plans: it replays a plan on memories that remember what every byte holds.

It shares no code with the planner. It believes nothing but the problem and the plan's own words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.errors import InternalError
from drystone.scheduling.problem import Home, Move, Operation, Plan, Problem


class PlanError(InternalError):
    """A plan that must not leave the compiler."""


def check(problem: Problem, plan: Plan) -> None:
    """Raise PlanError unless the plan runs every operation, after all it depends on, with every byte it reads
    still there, every home aligned and inside its level's capacity, and peaks, cost and time as stated."""
    _Judge(problem, plan).judge()


@dataclass(frozen=True)
class _Span:
    """The bytes a tensor has in a level during one of its homes."""

    name: str
    low: int
    high: int
    end: int

    def meets(self, other: "_Span") -> bool:
        return max(self.low, other.low) < min(self.high, other.high)


class _Judge:
    def __init__(self, problem: Problem, plan: Plan) -> None:
        self.problem, self.plan = problem, plan
        self.sizes = {tensor.name: tensor.size for tensor in problem.tensors}
        self.sizes |= {f"{op.name}.scratch": op.scratch for op in problem.operations if op.scratch}
        self.operations = {op.name: op for op in problem.operations}
        self.produced = {name for op in problem.operations for name in op.outputs}
        #: What always lies in a slower level, by tensor: no home is written for it there.
        self.settled = {tensor.name: tensor.home for tensor in problem.tensors if tensor.home}
        self.levels = {level.name: level for level in problem.levels}
        self.first = problem.levels[0].name
        self.working = [n for n, level in self.levels.items() if level.direct or n == self.first]
        #: Homes that nobody has written to yet, by their first step, tensor and level.
        self.awaited: dict[tuple[int, str, str], Home] = {}
        self.memory: dict[str, dict[str, _Span]] = {name: {} for name in self.levels}
        #: Copies under way, by tensor and either of their levels: the step before which they are complete.
        self.leaving: dict[tuple[str, str], int] = {}
        self.arriving: dict[tuple[str, str], int] = {}
        self.cost = 0
        #: The clock, until when each level moves bytes, and what each step waits for.
        self.now = 0
        self.busy = dict.fromkeys(self.levels, 0)
        self.ready: dict[int, int] = {}

    def judge(self) -> None:
        self._judge_order()
        self._judge_homes()
        self._replay()
        self._judge_totals()

    def _judge_order(self) -> None:
        if set(self.plan.order) != set(self.operations):
            raise PlanError("the plan's order is not the problem's operations, each at least once")
        producer = {name: op.name for op in self.problem.operations for name in op.outputs}
        done: set[str] = set()
        for name in self.plan.order:
            op = self.operations[name]
            if name in done:
                if op.work is None:
                    raise PlanError(f"{name} runs again, which it may not")
                self.cost += op.work
            for needed in (*op.after, *(producer[t] for t in op.inputs if t in producer)):
                if needed not in done:
                    raise PlanError(f"{name} runs before {needed}, which it depends on")
            done.add(name)

    def _judge_homes(self) -> None:
        used = dict.fromkeys(self.levels, 0)
        ends: dict[tuple[str, str], int] = {}
        for home in sorted(self.plan.homes, key=lambda home: home.start):
            level = self.levels.get(home.level)
            if level is None or home.tensor not in self.sizes or home.level == self.settled.get(home.tensor):
                raise PlanError(f"{home.tensor} has a home in {home.level}, which is not for it")
            if home.start < ends.get((home.tensor, home.level), 0):
                raise PlanError(f"{home.tensor} has a home too many at step {home.start}")
            if home.offset < 0 or home.offset % level.alignment:
                raise PlanError(f"{home.tensor} is at {home.offset}, not a multiple of {level.alignment}")
            if not 0 <= home.start < home.end <= max(1, len(self.plan.order)):
                raise PlanError(f"{home.tensor} lives during steps {home.start} to {home.end}")
            ends[home.tensor, home.level] = home.end
            self.awaited[home.start, home.tensor, home.level] = home
            end = home.offset + self.sizes[home.tensor]
            used[home.level] = max(used[home.level], end)
            if level.capacity is not None and end > level.capacity:
                raise PlanError(
                    f"{home.tensor} ends at {end}, beyond the {level.capacity} bytes of {level.name}"
                )
        for name, needed in used.items():
            if self.plan.peaks.get(name, 0 if name != self.first else -1) < needed:
                raise PlanError(
                    f"the plan states a peak of {self.plan.peaks.get(name)} bytes in {name} but uses {needed}"
                )

    def _replay(self) -> None:
        for tensor in self.problem.tensors:
            if tensor.name not in self.produced and not tensor.home:
                self._write(tensor.name, self.first, 0, ())
        moves: dict[int, list[Move]] = {}
        for move in self.plan.moves:
            if not 0 <= move.begins <= move.step < len(self.plan.order):
                raise PlanError(f"{move.tensor} is moved before step {move.step}, which there is not")
            moves.setdefault(move.begins, []).append(move)
        for step, name in enumerate(self.plan.order):
            for move in moves.get(step, ()):
                self._move(move)
            self._run(self.operations[name], step)
            self.now = max(self.now, self.ready.get(step, 0)) + self.operations[name].time
        for name in self.problem.kept:
            if not any(self._holds(level, name, len(self.plan.order) - 1) for level in self.levels):
                raise PlanError(f"{name} is to last to the end but does not")
        for _, name, level in sorted(self.awaited):
            raise PlanError(f"{name} has a home in {level} that nothing writes")

    def _move(self, move: Move) -> None:
        if {move.source, move.destination} - set(self.levels) or move.source == move.destination:
            raise PlanError(f"{move.tensor} is moved from {move.source} to {move.destination}")
        name, begins = move.tensor, move.begins
        span = self.memory[move.source].get(name)
        lasts = span is not None and (begins == move.step or span.end >= move.step)
        arrived = self.arriving.get((name, move.source), 0) <= begins
        if not (lasts and arrived) and self.settled.get(name) != move.source:
            raise PlanError(f"{name} is moved from {move.source} at step {begins}, but is not there")
        self._write(name, move.destination, begins, ())
        self.leaving[name, move.source] = move.step
        self.arriving[name, move.destination] = move.step
        slower = max(move.source, move.destination, key=list(self.levels).index)
        self._pay(name, slower)
        self._transfer(move, slower)

    def _pay(self, tensor: str, level: str) -> None:
        self.cost += self.sizes[tensor] * self.levels[level].cost

    def _holds(self, level: str, name: str, step: int) -> bool:
        """Whether the tensor can be read in the level during the step."""
        span = self.memory[level].get(name)
        there = span is not None and span.end > step and self.arriving.get((name, level), 0) <= step
        return self.settled.get(name) == level or there

    def _run(self, op: Operation, step: int) -> None:
        touched: dict[str, list[_Span]] = {level: [] for level in self.levels}
        for name in dict.fromkeys(op.inputs):
            level = next((level for level in self.working if self._holds(level, name, step)), None)
            if level is None:
                raise PlanError(f"{op.name} reads {name}, which is not there at step {step}")
            if level != self.first:
                self._pay(name, level)
            if name in self.memory[level]:
                touched[level].append(self.memory[level][name])
        made: list[tuple[str, str]] = [(f"{op.name}.scratch", self.first)] if op.scratch else []
        for name in op.outputs:
            found = [level for level in self.working if (step, name, level) in self.awaited]
            still = next((level for level in self.working if self._holds(level, name, step)), None)
            if not found and still is not None:
                # It runs again while this result is still there, and writes the same once more.
                touched[still].append(self.memory[still][name])
                continue
            if not found:
                raise PlanError(f"{op.name} writes {name} at step {step}, which has no home then")
            made += [(name, level) for level in found[:1]]
            if found[0] != self.first:
                self._pay(name, found[0])
        for name, level in made:
            span = self._span(name, level, step)
            for other in touched[level]:
                if span.meets(other) and not self._may_share(op, span, other):
                    raise PlanError(f"{name} and {other.name} overlap at step {step}, in {op.name}")
            touched[level].append(span)
        for name, level in made:
            self._write(name, level, step, op.in_place)
        if op.scratch:
            del self.memory[self.first][f"{op.name}.scratch"]

    def _may_share(self, op: Operation, one: _Span, other: _Span) -> bool:
        """Whether `one`, which is written, may lie over `other`, which is read or written too."""
        inside = one.low == other.low and one.high <= other.high
        return (one.name, other.name) in op.in_place and inside

    def _span(self, name: str, level: str, step: int) -> _Span:
        home = self.awaited.get((step, name, level))
        if home is None:
            raise PlanError(f"{name} without a home in {level} at step {step}")
        return _Span(name, home.offset, home.offset + self.sizes[name], home.end)

    def _write(self, name: str, level: str, step: int, in_place: Sequence[tuple[str, str]]) -> None:
        """The bytes of a home now hold its tensor; whatever they held before is gone, and must be dead, or be
        what this step's operation writes over."""
        span, memory = self._span(name, level, step), self.memory[level]
        del self.awaited[step, name, level]
        for held, other in list(memory.items()):
            if other.meets(span):
                del memory[held]
                over = other.end == step + 1 and (name, held) in in_place
                if (other.end > step and not over) or self.leaving.get((held, level), 0) > step:
                    raise PlanError(f"{name} overwrites {held} at step {step}, while that still lives")
        memory[name] = span

    def _judge_totals(self) -> None:
        peak = self.plan.peaks.get(self.first, 0)
        if peak < self.plan.bound:
            raise PlanError(f"the plan's peak {peak} is below its bound {self.plan.bound}")
        if self.cost != self.plan.cost:
            raise PlanError(f"the plan states a cost of {self.plan.cost}, but spends {self.cost}")
        time = max(self.now, *self.busy.values())
        if time != self.plan.time:
            raise PlanError(f"the plan states a time of {self.plan.time}, but takes {time}")
        if self.cost < self.plan.cost_bound:
            raise PlanError(f"the plan's cost {self.cost} is below its bound {self.plan.cost_bound}")

    def _transfer(self, move: Move, level: str) -> None:
        """The move waits for the operations before the step it begins before, and for the moves of its slower
        level before it; what comes at its last step waits for it."""
        bandwidth = self.levels[level].bandwidth
        needed = 0 if bandwidth is None else -(-self.sizes[move.tensor] // bandwidth)
        self.busy[level] = max(self.busy[level], self.now) + needed
        self.ready[move.step] = max(self.ready.get(move.step, 0), self.busy[level])
