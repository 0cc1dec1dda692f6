"""Schedules by measurement: those a database knows, or those found now."""

from collections.abc import Callable

from drystone import machine
from drystone.autotune.database import Database
from drystone.autotune.explore import first_choice
from drystone.autotune.measurements import best_of
from drystone.autotune.schedules import Schedules
from drystone.autotune.session import Limits, Session, State
from drystone.autotune.task import tunables
from drystone.autotune.worker import Measures, Worker
from drystone.codegen.search import Point
from drystone.errors import UserError
from drystone.ir.program import Program
from drystone.options import Tune
from drystone.targets.target import CpuTarget

#: Told how far tuning is: a part of 1, and a line of text.
Note = Callable[[float, str], None]


def known_choices(program: Program, target: CpuTarget, threads: int, where: str) -> dict[str, Point]:
    """By kernel function, the best schedule that the database `where` knows, or else the first choice."""
    database = Database(where)
    try:
        return _choices(program, target, threads, database)
    finally:
        database.close()


def tuned_choices(
    program: Program, target: CpuTarget, threads: int, tune: Tune, note: Note
) -> dict[str, Point]:
    """By kernel function, the best schedule once the budget of `tune` is spent; `tune.report` is told what
    came of each kernel worth tuning."""
    database = Database(tune.database)
    try:
        measures = _measures(tune, target)
        try:
            kernels = tunables(program, target, threads)
            limits = Limits(tune.trials, None if tune.minutes is None else 60 * tune.minutes)
            session = Session(
                kernels, database, measures, limits, seed=tune.seed, watch=lambda state: _tell(note, state)
            )
            found = session.run()
        finally:
            measures.close()
        if tune.report is not None:
            tune.report(found)
        return _choices(program, target, threads, database)
    finally:
        database.close()


def _choices(program: Program, target: CpuTarget, threads: int, database: Database) -> dict[str, Point]:
    chosen = {}
    for kernel in tunables(program, target, threads):
        best = best_of(database.of(kernel.task.signature()))
        if best is None:
            chosen[kernel.name] = first_choice(Schedules(kernel.task, program.module.context))
        else:
            chosen[kernel.name] = best.point
    return chosen


def _measures(tune: Tune, target: CpuTarget) -> Measures:
    if tune.cluster is None:
        if lacking := machine.missing_features(target.required):
            raise UserError(
                f"{target.name} cannot be measured here: this machine lacks {', '.join(lacking)}",
                hint="tune on such a machine, or on a cluster of them: Tune(cluster=...), --cluster ADDRESS",
            )
        return Worker(tune.trial_seconds)
    from drystone.autotune.cluster import Cluster

    return Cluster(tune.cluster, target, tune.trial_seconds)


def _tell(note: Note, state: State) -> None:
    trials = f"{state.trials}" if state.limit is None else f"{state.trials}/{state.limit}"
    best = "" if state.best is None else f", best {state.best.seconds * 1e3:.3f} ms"
    note(state.spent, f"{trials} trials, {state.speedup:.2f}x so far; {state.label}{best}")
