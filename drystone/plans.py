"""What an optimized program gets within budgets."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from drystone import codegen, pieces, scheduling
from drystone.ir.program import Program
from drystone.options import Budget
from drystone.pieces import Planned
from drystone.scheduling.budgets.budget import OverBudget
from drystone.targets.target import Target


class Plans:
    """Plans of one program, for one budget after the other.

    program: outlined, with workspaces; fused: the same before it was outlined. schedules: of the program's
    kernels; `schedule` chooses those of a program some of which is computed piece by piece. seconds: the
    planner's time for each.
    """

    def __init__(
        self,
        program: Program,
        fused: Program,
        target: Target,
        schedules: dict[str, Any],
        schedule: Callable[[Program], dict[str, Any]],
        seconds: float,
    ) -> None:
        self.program, self._fused, self._target, self._seconds = program, fused, target, seconds
        self._schedules, self._schedule = schedules, schedule
        self._plain = self._allotter(program)

    @classmethod
    def of(
        cls,
        program: Program,
        fused: Program,
        target: Target,
        schedule: Callable[[Program], dict[str, Any]],
        seconds: float,
        begin: Callable[[str], None],
    ) -> "Plans":
        """Plans of an outlined program, whose schedules are chosen and which gets its workspaces; `begin` is
        called with the name of each of these stages."""
        begin("schedule")
        schedules = schedule(program)
        begin("plan")
        codegen.add_workspaces(program, target, schedules)
        return cls(program, fused, target, schedules, schedule, seconds)

    def _allotter(self, program: Program) -> scheduling.Allotter:
        return scheduling.Allotter(program, self._target, codegen.work, self._seconds)

    @cached_property
    def _over(self) -> scheduling.Allotter | None:
        """With all kernels that can write over their input free to do so; None where there is none."""
        return self._allotter(self.program) if codegen.spare(self.program, self._target) else None

    @cached_property
    def _net(self) -> scheduling.Net:
        """What the choice of what to compute piece by piece sees of the program."""
        return scheduling.net_of(self._fused, self._target)

    def within(self, budget: Budget) -> Planned:
        """The program as a whole where it keeps the budget, else piece by piece. Raises OverBudget."""
        try:
            memory = self._whole(budget)
        except OverBudget as refused:
            return pieces.within(self._fused, self._net, self._target, budget, refused, self._schedule)
        over = codegen.settle(self.program, memory.steps)
        return Planned(self.program, self._schedules, memory, over=over)

    def _whole(self, budget: Budget) -> scheduling.Allotment:
        """Memory of the program as a whole. Kernels write over their input, at the price of a slower
        program, only where the budget is met that way and not without."""
        try:
            return self._plain.within(budget)
        except OverBudget:
            if self._over is None:
                raise
            memory = self._over.within(budget)
        codegen.spare(self.program, self._target)
        return memory

    def met(self, budget: Budget) -> scheduling.Met:
        """What a budget gets, as a point of a curve. Raises OverBudget."""
        made = self.within(budget)
        work = codegen.work(made.program)
        spent = sum(work[name] for name in made.memory.plan.order)
        return scheduling.Met(made.memory, spent, tuple(made.told()))
