"""The independent judge of plans: it replays a plan on a memory that remembers what every byte holds.

It shares no code with the planner. It believes nothing but the problem and the plan's own words.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from drystone.errors import InternalError
from drystone.scheduling.problem import Home, Operation, Plan, Problem


class PlanError(InternalError):
    """A plan that must not leave the compiler."""


def check(problem: Problem, plan: Plan) -> None:
    """Raise PlanError unless the plan runs every operation once, after all it depends on, with every byte it
    reads still there, every home aligned and inside its level's capacity, and peaks as stated."""
    _Judge(problem, plan).judge()


@dataclass(frozen=True)
class _Span:
    name: str
    low: int
    high: int

    def meets(self, other: "_Span") -> bool:
        return max(self.low, other.low) < min(self.high, other.high)


class _Judge:
    def __init__(self, problem: Problem, plan: Plan) -> None:
        self.problem, self.plan = problem, plan
        self.sizes = {tensor.name: tensor.size for tensor in problem.tensors}
        self.sizes |= {f"{op.name}.scratch": op.scratch for op in problem.operations if op.scratch}
        self.operations = {op.name: op for op in problem.operations}
        self.homes: dict[str, Home] = {}

    def judge(self) -> None:
        self._judge_order()
        self._judge_homes()
        self._replay()

    def _judge_order(self) -> None:
        if sorted(self.plan.order) != sorted(self.operations):
            raise PlanError("the plan's order is not the problem's operations, each once")
        producer = {name: op.name for op in self.problem.operations for name in op.outputs}
        done: set[str] = set()
        for name in self.plan.order:
            op = self.operations[name]
            for needed in (*op.after, *(producer[t] for t in op.inputs if t in producer)):
                if needed not in done:
                    raise PlanError(f"{name} runs before {needed}, which it depends on")
            done.add(name)

    def _judge_homes(self) -> None:
        if self.plan.moves:
            raise PlanError("the plan moves tensors between levels, but there is one level")
        levels = {level.name: level for level in self.problem.levels[:1]}
        used = dict.fromkeys(levels, 0)
        for home in self.plan.homes:
            level = levels.get(home.level)
            if level is None or home.tensor not in self.sizes or home.tensor in self.homes:
                raise PlanError(f"{home.tensor} has a home too many, or in an unknown level")
            if home.offset < 0 or home.offset % level.alignment:
                raise PlanError(f"{home.tensor} is at {home.offset}, not a multiple of {level.alignment}")
            if not 0 <= home.start < home.end <= max(1, len(self.plan.order)):
                raise PlanError(f"{home.tensor} lives during steps {home.start} to {home.end}")
            self.homes[home.tensor] = home
            end = home.offset + self.sizes[home.tensor]
            used[home.level] = max(used[home.level], end)
            if level.capacity is not None and end > level.capacity:
                raise PlanError(
                    f"{home.tensor} ends at {end}, beyond the {level.capacity} bytes of {level.name}"
                )
        if homeless := sorted(set(self.sizes) - set(self.homes)):
            raise PlanError(f"{', '.join(homeless)} without a home")
        for name, needed in used.items():
            if self.plan.peaks.get(name, -1) < needed:
                raise PlanError(
                    f"the plan states a peak of {self.plan.peaks.get(name)} bytes but uses {needed}"
                )
            if self.plan.peaks[name] < self.plan.bound:
                raise PlanError(
                    f"the plan's peak {self.plan.peaks[name]} is below its bound {self.plan.bound}"
                )

    def _span(self, name: str) -> _Span:
        low = self.homes[name].offset
        return _Span(name, low, low + self.sizes[name])

    def _replay(self) -> None:
        produced = {name for op in self.problem.operations for name in op.outputs}
        memory: dict[str, _Span] = {}
        for name in self.sizes:
            if name not in produced and not self._is_scratch(name):
                self._write(memory, self._span(name), 0)
        for step, name in enumerate(self.plan.order):
            self._run(memory, self.operations[name], step)
        for name in self.problem.kept:
            if name not in memory:
                raise PlanError(f"{name} is to last to the end but was overwritten")
            if self.homes[name].end < len(self.plan.order):
                raise PlanError(f"{name} is to last to the end but its home ends earlier")

    def _is_scratch(self, name: str) -> bool:
        return name.endswith(".scratch") and name.removesuffix(".scratch") in self.operations

    def _run(self, memory: dict[str, _Span], op: Operation, step: int) -> None:
        for name in op.inputs:
            if name not in memory:
                raise PlanError(f"{op.name} reads {name}, which is not there at step {step}")
            self._at_home(name, step)
        scratch = [f"{op.name}.scratch"] if op.scratch else []
        touched = [self._span(name) for name in dict.fromkeys((*op.inputs, *op.outputs, *scratch))]
        for number, one in enumerate(touched):
            for other in touched[number + 1 :]:
                if one.meets(other) and not self._may_share(op, one, other):
                    raise PlanError(f"{one.name} and {other.name} overlap at step {step}, in {op.name}")
        for name in (*scratch, *op.outputs):
            self._write(memory, self._span(name), step)
        for name in scratch:
            memory.pop(name, None)

    def _may_share(self, op: Operation, one: _Span, other: _Span) -> bool:
        pair = {(one.name, other.name), (other.name, one.name)} & set(op.in_place)
        return bool(pair) and (one.low, one.high) == (other.low, other.high)

    def _at_home(self, name: str, step: int) -> None:
        home = self.homes[name]
        if not home.start <= step < home.end:
            raise PlanError(f"{name} is used at step {step}, outside its steps {home.start} to {home.end}")

    def _write(self, memory: dict[str, _Span], span: _Span, step: int) -> None:
        """The bytes of `span` now hold its tensor; whatever they held before is gone, and must be dead."""
        self._at_home(span.name, step)
        for name in [held for held, other in memory.items() if other.meets(span)]:
            del memory[name]
            if self.homes[name].end > step + 1 or not self._overwritten(name, span.name, step):
                raise PlanError(f"{span.name} overwrites {name} at step {step}, while that still lives")
        memory[span.name] = span

    def _overwritten(self, held: str, writer: str, step: int) -> bool:
        """Whether `held` may lose its bytes now: its steps are over, or this step's operation takes its
        place."""
        if self.homes[held].end <= step:
            return True
        pairs: Iterable[tuple[str, str]] = (
            self.operations[self.plan.order[step]].in_place if self.plan.order else ()
        )
        return (writer, held) in pairs
