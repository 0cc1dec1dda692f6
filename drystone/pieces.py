"""A program whose activations need too much memory as it is: some of it computed piece by piece."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import chain
from typing import Any

from drystone import codegen, passes, scheduling
from drystone.ir.program import Program
from drystone.options import Budget
from drystone.runtime.manifest import Patched
from drystone.scheduling.budgets.budget import OverBudget
from drystone.targets.target import Target


@dataclass(frozen=True)
class Planned:
    """An outlined program, the schedules of its kernels, its memory, what of it is computed piece by piece,
    and how many of its kernels write over their input."""

    program: Program
    schedules: dict[str, Any]
    memory: scheduling.Allotment
    patched: tuple[Patched, ...] = ()
    over: int = 0

    def told(self) -> Iterator[str]:
        """What was done to need less memory."""
        if self.over:
            yield f"{self.over} convolution{'s' if self.over > 1 else ''} in place"
        if self.patched:
            spans = f"{len(self.patched)} run{'s' if len(self.patched) > 1 else ''}"
            yield f"{spans} of operations piece by piece"


def within(
    program: Program,
    net: scheduling.Net,
    target: Target,
    budget: Budget,
    refused: OverBudget,
    schedule: Callable[[Program], dict[str, Any]],
) -> Planned:
    """A fused program within a budget that was refused for the program as a whole: of the choices of spans in
    its `net`, the first with a plan that keeps the budget. `schedule` chooses schedules for an outlined
    program. Raises OverBudget where there is none, saying what would do.
    """
    for choice, weights in choices_within(net, refused):
        made = passes.copy_of(program)
        passes.run(made, passes.outlining(choice.spans, weights))
        schedules = schedule(made)
        codegen.add_workspaces(made, target, schedules)
        try:
            # The choice is of best fit in the given order, which needs no search.
            memory = scheduling.Allotter(made, target, codegen.work, 0).within(budget)
        except OverBudget:
            continue
        return Planned(made, schedules, memory, _patched(net, choice))
    together = None if refused.together is None else scheduling.least_together(net)
    raise refused.with_pieces(scheduling.least_capacity(net), together)


def choices_within(
    net: scheduling.Net, refused: OverBudget
) -> Iterator[tuple[scheduling.Choice, int | None]]:
    """What could keep the budget: of activations, and of them and weights that come and go, of which one step
    may read so many bytes. Those of less cost first, but what leaves room for all weights before the rest."""
    alone = ((choice, None) for choice in scheduling.choices_of(net, refused.room))
    if refused.together is None:
        yield from alone
        return
    choices = scheduling.choices_together(net, refused.together)
    together = ((choice, choice.weights) for choice in choices)
    if refused.total > refused.apart:
        yield from chain(alone, together)
    else:
        yield from merge(alone, together, key=lambda pair: pair[0].cost)


def _patched(net: scheduling.Net, choice: scheduling.Choice) -> tuple[Patched, ...]:
    """The spans of a choice, as the manifest has them."""
    found = []
    for span, (made, whole) in zip(choice.spans, choice.works, strict=True):
        layers = net.layers[span.first : span.last + 1]
        places = layers[0].where, layers[-1].where
        grid = span.grid
        work = made / whole
        found.append(Patched(*places, len(layers), grid.counts, grid.kept, work, span.features))
    return tuple(found)
