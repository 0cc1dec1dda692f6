"""A program whose activations need too much memory as it is: some of it computed piece by piece."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone import codegen, passes, scheduling
from drystone.ir.program import Program
from drystone.options import Budget
from drystone.runtime.manifest import Patched
from drystone.scheduling.budgets.budget import OverBudget
from drystone.targets.target import CpuTarget


@dataclass(frozen=True)
class Planned:
    """An outlined program, the schedules of its kernels, its memory, and what of it is computed piece by
    piece."""

    program: Program
    schedules: dict[str, Any]
    memory: scheduling.Allotment
    patched: tuple[Patched, ...] = ()


def within(
    program: Program,
    net: scheduling.Net,
    target: CpuTarget,
    budget: Budget,
    refused: OverBudget,
    schedule: Callable[[Program], dict[str, Any]],
) -> Planned:
    """A fused program within a budget that was refused for the program as a whole: of the choices of spans in
    its `net`, the first with a plan that keeps the budget. `schedule` chooses schedules for an outlined
    program. Raises OverBudget where there is none, saying what would do.
    """
    for choice in scheduling.choices_of(net, refused.room):
        made = passes.copy_of(program)
        passes.run(made, passes.outlining(choice.spans))
        schedules = schedule(made)
        codegen.add_workspaces(made, target, schedules)
        try:
            # The choice is of best fit in the given order, which needs no search.
            memory = scheduling.Allotter(made, target, codegen.work, 0).within(budget)
        except OverBudget:
            continue
        return Planned(made, schedules, memory, _patched(net, choice))
    raise refused.with_pieces(scheduling.least_capacity(net))


def _patched(net: scheduling.Net, choice: scheduling.Choice) -> tuple[Patched, ...]:
    """The spans of a choice, as the manifest has them."""
    found = []
    for span, (made, whole) in zip(choice.spans, choice.works, strict=True):
        layers = net.layers[span.first : span.last + 1]
        places = layers[0].where, layers[-1].where
        found.append(Patched(*places, len(layers), span.grid.counts, span.grid.kept, made / whole))
    return tuple(found)
