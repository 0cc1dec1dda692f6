"""Memory allotted to a program within a budget: to its activations, its states and its weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from drystone.errors import UserError
from drystone.ir.buffers import Call, buffers
from drystone.ir.program import Program
from drystone.mlir import ir_place
from drystone.options import Budget, byte_count
from drystone.scheduling.budgets.budget import OverBudget, spell_bytes
from drystone.scheduling.budgets.extract import problem_of
from drystone.scheduling.budgets.streaming import AROUND, PAGE, Step, Streaming, needed, stream
from drystone.scheduling.check import check
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import Plan, Problem
from drystone.targets.target import CpuTarget

#: Bytes that could be moved in a microsecond: what a call's work is divided by for its time.
_BYTES = 20_000
_SHOWN = 5


@dataclass(frozen=True)
class Allotment:
    """The activations' problem and plan, checked; and where not all weights stay, when they come and go."""

    problem: Problem
    plan: Plan
    streaming: Streaming | None = None

    @property
    def arena(self) -> int:
        """Bytes of the first level that activations take."""
        return self.plan.peaks[self.problem.levels[0].name]

    @property
    def drops(self) -> list[tuple[int, str]]:
        """After which steps which weights go."""
        return [] if self.streaming is None else self.streaming.drops


def allot(
    program: Program,
    target: CpuTarget,
    budget: Budget,
    work: Callable[[Program], Mapping[str, int]],
    time_limit: float,
) -> Allotment:
    """Plan an outlined program. `work` tells what running each call takes, in bytes that could be moved
    meanwhile.

    Where the budget is one of all memory, activations are planned as they would be without it if the states
    and all weights fit beside them; else in what those leave, if that can be; else weights are streamed.
    Raises OverBudget for one that cannot be met.
    """
    return _Allotter(program, target, budget, work, time_limit).run()


class _Allotter:
    def __init__(
        self,
        program: Program,
        target: CpuTarget,
        budget: Budget,
        work: Callable[[Program], Mapping[str, int]],
        time_limit: float,
    ) -> None:
        self.program, self.target, self.budget, self.time_limit = program, target, budget, time_limit
        self.found = buffers(program)
        sizes = {name: buffer.size for name, buffer in self.found.buffers.items()}
        self.weights = {key: sizes[f"weight.{slot}"] for slot, key in enumerate(self.found.weights)}
        self.states = sum(size for name, size in sizes.items() if self.found.buffers[name].kind == "state")
        self.work = {} if budget.ram is None else work(program)

    def run(self) -> Allotment:
        self._fits_as_stored()
        if self.budget.ram is None or isinstance(self.budget.ram, Mapping):
            return self._activations(self.budget.ram)
        total = byte_count(self.budget.ram)
        free = self._activations(None)
        left = total - self.states - sum(self.weights.values())
        if free.arena <= left:
            return free
        if left >= 0:
            try:
                return self._activations({self.target.levels[0].name: left})
            except OverBudget:
                if not self.weights and not self.states:
                    raise
        return self._streamed(total, free)

    def _activations(self, limits: Mapping[str, int | str] | None) -> Allotment:
        problem = problem_of(self.program, self.target, limits, self.work if limits else None)
        found = plan(problem, time_limit=self.time_limit)
        check(problem, found)
        return Allotment(problem, found)

    def _streamed(self, total: int, free: Allotment) -> Allotment:
        steps, sizes = self._steps(free.plan)
        least, largest = needed(steps, sizes)
        left, chosen = total - self.states - least, free
        if free.arena > left:
            try:
                chosen = self._activations({self.target.levels[0].name: max(0, left)})
            except OverBudget as error:
                raise self._too_small(total, least, largest, error) from None
            steps, sizes = self._steps(chosen.plan)
        if chosen.arena > left:
            nothing = OverBudget("", why="no step has activations", least=0, proven=0, room=0)
            raise self._too_small(total, least, largest, nothing)
        room = total - self.states - chosen.arena
        return replace(chosen, streaming=stream(steps, sizes, room, self.time_limit))

    def _too_small(self, total: int, weights: int, largest: Step, error: OverBudget) -> OverBudget:
        """What to say where the budget of all memory cannot be met; `error` is about the activations."""
        beside = self.states + weights
        parts = [f"{spell_bytes(error.least)} for activations"]
        parts += [f"{spell_bytes(self.states)} for states"] if self.states else []
        parts += [f"{spell_bytes(weights)} for the weights of {largest.where}"] if weights else []
        return OverBudget(
            f"the model needs {spell_bytes(error.least + beside)}, the budget is {spell_bytes(total)}",
            why=f"that is {', '.join(parts)}; {error.why}",
            least=error.least + beside,
            proven=error.proven + beside,
            room=error.room,
        )

    def _steps(self, plan: Plan) -> tuple[list[Step], dict[str, int]]:
        """What each step reads of weights, and the weights' sizes in whole pages."""
        calls = {call.name: call for call in self.found.calls}
        keys = {f"weight.{slot}": key for slot, key in enumerate(self.found.weights)}
        steps = []
        for name in plan.order:
            call = calls[name]
            read = list(dict.fromkeys(keys[each] for each in call.inputs if each in keys))
            rows = {key: self._rows(call, key) for key in read}
            whole, parts = (tuple(k for k in read if bool(rows[k]) == part) for part in (False, True))
            time = -(-self.work[name] // _BYTES)
            steps.append(Step(whole, parts, sum(rows.values()), time, str(ir_place(call.op) or name)))
        # A weight may share its first and its last page with others.
        return steps, {key: -(-size // PAGE) * PAGE + PAGE for key, size in self.weights.items()}

    def _rows(self, call: Call, key: str) -> int:
        """Bytes that are there of a table that a call reads some rows of; 0 where it reads a weight whole."""
        if self.work[call.name] >= self.weights[key]:
            return 0
        row: int = self.weights[key] // self.program.weights[key].shape[0]
        made = sum(self.found.buffers[name].size for name in call.outputs)
        return min(self.weights[key], -(-made // row) * (row + AROUND))

    def _fits_as_stored(self) -> None:
        """Raise UserError where the weights have more bytes than the budget for them."""
        if self.budget.weights is None:
            return
        limit, whole = byte_count(self.budget.weights), sum(self.weights.values())
        if whole <= limit:
            return
        largest = sorted(self.weights, key=lambda key: (-self.weights[key], key))
        lines = [f"    {spell_bytes(self.weights[key]):>11}  {key}" for key in largest[:_SHOWN]]
        lines += [f"    and {len(largest) - _SHOWN} more"] if len(largest) > _SHOWN else []
        text = "\n".join(lines)
        raise UserError(
            f"the weights take {spell_bytes(whole)}, the budget for them is {spell_bytes(limit)}",
            hint=f"the largest are:\n{text}\n  the least budget this version can meet: weights={whole}",
        )
