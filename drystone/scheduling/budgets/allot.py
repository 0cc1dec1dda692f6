"""Memory allotted to a program within a budget: to its activations, its states and its weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from drystone.dtypes import DTYPES
from drystone.errors import UserError
from drystone.ir.buffers import Buffers, Call, buffers
from drystone.ir.encoded import own_bytes
from drystone.ir.picked_rows import picked_rows
from drystone.ir.program import Program
from drystone.ir.steps import Step, Window
from drystone.mlir import ir_place
from drystone.options import Budget, byte_count
from drystone.scheduling.arena import Arena, arena_of
from drystone.scheduling.budgets.budget import OverBudget, spell_bytes
from drystone.scheduling.budgets.extract import problem_of
from drystone.scheduling.budgets.streaming import AROUND, Reading, Streaming, needed, paged, stream
from drystone.scheduling.check import check
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import Plan, Problem
from drystone.targets.target import Target

#: Bytes that could be moved in a microsecond: what a call's work is divided by for its time.
_BYTES = 20_000
_SHOWN = 5


@dataclass(frozen=True)
class Allotment:
    """The activations' problem and plan, checked; the bytes of states and of all weights; and where not all
    of these stay, when they come and go."""

    problem: Problem
    plan: Plan
    states: int = 0
    weights: int = 0
    streaming: Streaming | None = None

    @cached_property
    def arena(self) -> Arena:
        """Where activations lie."""
        return arena_of(self.problem, self.plan)

    @property
    def resident(self) -> int:
        """Bytes of weights that are there at once, at most."""
        return self.weights if self.streaming is None else self.streaming.resident

    @property
    def total(self) -> int:
        """Bytes of all that is in memory, at most."""
        return self.arena.size + self.states + self.resident

    @property
    def steps(self) -> list[Step]:
        """The plan for the code generator."""
        drops: dict[int, list[str]] = {}
        windows: dict[int, list[Window]] = {}
        if self.streaming is not None:
            for step, key in self.streaming.drops:
                drops.setdefault(step, []).append(key)
            for step, window in self.streaming.windows:
                windows.setdefault(step, []).append(window)
        return [
            Step(name, places, copies, tuple(drops.get(step, ())), tuple(windows.get(step, ())))
            for step, (name, places, copies) in enumerate(
                zip(self.plan.order, self.arena.places, self.arena.copies, strict=True)
            )
        ]


class Allotter:
    """Plans an outlined program within budgets; what it needs without one is planned once.

    `work` tells what running each call takes, in bytes that could be moved meanwhile. What the program is
    when this is made counts, not what it becomes.
    """

    def __init__(
        self,
        program: Program,
        target: Target,
        work: Callable[[Program], Mapping[str, int]],
        time_limit: float,
    ) -> None:
        self._program, self._target, self._time_limit = program, target, time_limit
        self._found = buffers(program)
        sizes = {name: buffer.size for name, buffer in self._found.buffers.items()}
        self._weights = {key: sizes[f"weight.{slot}"] for slot, key in enumerate(self._found.weights)}
        self._windows = _windows(program, self._found)
        self.states = sum(size for name, size in sizes.items() if self._found.buffers[name].kind == "state")
        self._tell_work = work
        #: The refusal of what activations were given beside the rest, which holds for less than it says would
        #: do.
        self._refused: OverBudget | None = None

    @cached_property
    def work(self) -> Mapping[str, int]:
        """What running each call takes."""
        return self._tell_work(self._program)

    @cached_property
    def free(self) -> Allotment:
        """The plan without a budget."""
        return self._activations(None)

    @property
    def weights(self) -> int:
        """Bytes of all weights."""
        return sum(self._weights.values())

    def within(self, budget: Budget) -> Allotment:
        """The plan within a budget.

        Where it is one of all memory, activations are planned as they would be without it if the states and
        all weights fit beside them; else in what those leave, if that can be; else weights are streamed.
        Raises OverBudget for one that cannot be met.
        """
        self._fits_as_stored(budget)
        if budget.ram is None:
            return self.free
        if isinstance(budget.ram, Mapping):
            return self._activations(budget.ram)
        names = [level.name for level in self._target.levels]
        if len(names) > 1:
            raise UserError(
                f"ram={budget.ram!r} names none of the memory levels of {self._target.name}",
                hint=f'limit them by name: Budget(ram={{"{names[0]}": ...}}); they are {", ".join(names)}',
            )
        total = byte_count(budget.ram)
        left = total - self.states - self.weights
        if self.free.arena.size <= left:
            return self.free
        least, largest = needed(*self._steps(self.free.plan))
        streams = least < self.weights
        try:
            if left >= 0 or not streams:
                return self._beside(left)
        except OverBudget as error:
            if not streams:
                raise self._too_small(total, self.weights, "all weights", error) from None
        left = total - self.states - least
        try:
            chosen = self._beside(left)
        except OverBudget as error:
            raise self._too_small(total, least, f"the weights of {largest.where}", error) from None
        steps, sizes = self._steps(chosen.plan)
        room = total - self.states - chosen.arena.size
        streaming = stream(steps, sizes, room, self._time_limit, self._windows)
        return replace(chosen, streaming=streaming)

    def _activations(self, limits: Mapping[str, int | str] | None) -> Allotment:
        limited = limits or any(level.capacity is not None for level in self._target.levels)
        work = self.work if limited else None
        problem = problem_of(self._program, self._target, limits, work, self._found)
        found = plan(problem, time_limit=self._time_limit)
        check(problem, found)
        return Allotment(problem, found, self.states, self.weights)

    def _beside(self, left: int) -> Allotment:
        """Activations within what the rest leaves them."""
        if self.free.arena.size <= left:
            return self.free
        room = max(0, left)
        if not self.free.arena.size:
            raise OverBudget("", why="no step has activations", least=0, proven=0, room=room)
        if self._refused is None or room >= self._refused.least:
            try:
                return self._activations({self._target.levels[0].name: room})
            except OverBudget as error:
                self._refused = error
        raise self._refused.changed(room=room)

    def _too_small(self, total: int, weights: int, which: str, error: OverBudget) -> OverBudget:
        """What to say where the budget of all memory cannot be met; `error` is about the activations."""
        beside = self.states + weights
        if not beside:
            return error
        parts = [f"{spell_bytes(error.least)} for activations"]
        parts += [f"{spell_bytes(self.states)} for states"] if self.states else []
        parts += [f"{spell_bytes(weights)} for {which}"] if weights else []
        least, proven = error.least + beside, error.proven + beside
        driver = f"the activations of {error.driver}" if error.driver else "activations"
        driver += " and states" * bool(self.states) + f" and {which}" * bool(weights)
        return error.changed(
            f"the model needs {spell_bytes(least)}, the budget is {spell_bytes(total)}",
            why=f"that is {', '.join(parts)}; {error.why}",
            least=least,
            proven=proven,
            driver=driver,
            room=max(error.room, total - self.states - self.weights),
            beside=self.states + AROUND if self.weights else None,
            total=total,
            apart=self.states + self.weights,
        )

    def _steps(self, plan: Plan) -> tuple[list[Reading], dict[str, int]]:
        """What each step reads of weights, and the weights' sizes in whole pages."""
        calls = {call.name: call for call in self._found.calls}
        keys = {f"weight.{slot}": key for slot, key in enumerate(self._found.weights)}
        reads = [
            list(dict.fromkeys(keys[each] for each in calls[name].inputs if each in keys))
            for name in plan.order
        ]
        places = {key: [n for n, each in enumerate(reads) if key in each] for key in self._windows}
        steps = []
        for number, name in enumerate(plan.order):
            call = calls[name]
            read = [key for key in reads[number] if key not in self._windows]
            inside = tuple(key for key, at in places.items() if at[0] <= number <= at[-1])
            made = sum(self._found.buffers[name].size for name in call.outputs)
            rows = {key: self._rows(call, key, made) for key in read}
            whole, parts = (tuple(k for k in read if bool(rows[k]) == part) for part in (False, True))
            time = -(-self.work[name] // _BYTES)
            place, picked = str(ir_place(call.op) or name), made if parts else 0
            steps.append(Reading(whole, parts, sum(rows.values()), time, place, picked, inside))
        return steps, {key: paged(size) for key, size in self._weights.items()}

    def _rows(self, call: Call, key: str, made: int) -> int:
        """Bytes that are there of a table that a call reads some rows of; 0 where it reads a weight whole."""
        place = f"weight.{self._found.weights.index(key)}"
        kinds = [value.type for value in call.op.operands if self._found.of.get(value) == place]
        if not kinds or self.work[call.name] >= own_bytes(kinds[0]):  # none: a scalar of it
            return 0
        rows, *columns = kinds[0].shape
        item = np.dtype(DTYPES[str(kinds[0].element_type)]).itemsize
        picked = -(-made // (prod(columns) * item))
        return min(self._weights[key], int(picked * (self._weights[key] // rows + AROUND)))

    def _fits_as_stored(self, budget: Budget) -> None:
        """Raise UserError where the weights have more bytes than the budget for them."""
        if budget.weights is None:
            return
        limit, whole = byte_count(budget.weights), self.weights
        if whole <= limit:
            return
        largest = sorted(self._weights, key=lambda key: (-self._weights[key], key))
        lines = [f"    {spell_bytes(self._weights[key]):>11}  {key}" for key in largest[:_SHOWN]]
        lines += [f"    and {len(largest) - _SHOWN} more"] if len(largest) > _SHOWN else []
        text = "\n".join(lines)
        raise UserError(
            f"the weights take {spell_bytes(whole)}, the budget for them is {spell_bytes(limit)}",
            hint=f"the largest are:\n{text}\n  the least budget this version can meet: weights={whole}",
        )


def _windows(program: Program, found: Buffers) -> dict[str, int]:
    """For weights of which every call reads rows alone, by key, for how many runs those stay that are not
    read."""
    whole, picked = set[str](), dict[str, int]()
    for call in found.calls:
        own = {found.of[each.weight] for each in picked_rows(program, call.op)}
        whole |= {name for name in call.inputs if name not in own}
        for key in (found.weights[found.buffers[name].slot] for name in own):
            if key in program.windows:
                picked[key] = program.windows[key]
    slots = {key: f"weight.{slot}" for slot, key in enumerate(found.weights)}
    return {key: runs for key, runs in picked.items() if slots[key] not in whole}
