"""Schedules by measurement: those a database knows, or those found now."""

from collections.abc import Callable

from drystone import machine
from drystone.autotune.database import Database
from drystone.autotune.explore import first_choice
from drystone.autotune.measurements import best_of
from drystone.autotune.schedules import Schedules
from drystone.autotune.session import Limits, Progress, Session
from drystone.autotune.task import tunables
from drystone.autotune.worker import Measurer, Worker
from drystone.codegen.search import Point
from drystone.errors import UserError
from drystone.ir.program import Program
from drystone.options import Tune
from drystone.targets.target import Target

#: Told how far tuning is: a part of 1, and a line of text.
Note = Callable[[float, str], None]


def known_choices(program: Program, target: Target, threads: int, where: str) -> dict[str, Point]:
    """By kernel function, the best schedule that the database `where` knows, or else the first choice."""
    database = Database(where)
    try:
        return _best_known(program, target, threads, database)
    finally:
        database.close()


def tuned_choices(program: Program, target: Target, threads: int, tune: Tune, note: Note) -> dict[str, Point]:
    """By kernel function, the best schedule once the budget of `tune` is spent; `tune.report` is told what
    came of each kernel worth tuning."""
    database = Database(tune.database)
    try:
        measurer = _measurer(tune, target)
        try:
            kernels = tunables(program, target, threads)
            limits = Limits(tune.trials, None if tune.minutes is None else 60 * tune.minutes)
            session = Session(
                kernels,
                database,
                measurer,
                limits,
                seed=tune.seed,
                watch=lambda progress: _tell(note, progress),
            )
            found = session.run()
        finally:
            measurer.close()
        if tune.report is not None:
            tune.report(found)
        return _best_known(program, target, threads, database)
    finally:
        database.close()


def _best_known(program: Program, target: Target, threads: int, database: Database) -> dict[str, Point]:
    chosen = {}
    for kernel in tunables(program, target, threads):
        best = best_of(database.of(kernel.task.signature()))
        if best is None:
            chosen[kernel.name] = first_choice(Schedules(kernel.task, program.module.context))
        else:
            chosen[kernel.name] = best.point
    return chosen


def _measurer(tune: Tune, target: Target) -> Measurer:
    if tune.cluster is None:
        if lacking := machine.missing_features(target.required):
            raise UserError(
                f"{target.name} cannot be measured here: this machine lacks {', '.join(lacking)}",
                hint="tune on such a machine, or on a cluster of them: Tune(cluster=...), --cluster ADDRESS",
            )
        return Worker(tune.trial_seconds)
    from drystone.autotune.cluster import Cluster

    return Cluster(tune.cluster, target, tune.trial_seconds)


def _tell(note: Note, progress: Progress) -> None:
    trials = f"{progress.trials}" if progress.limit is None else f"{progress.trials}/{progress.limit}"
    best = "" if progress.best is None else f", best {progress.best.seconds * 1e3:.3f} ms"
    note(progress.spent, f"{trials} trials, {progress.speedup:.2f}x so far; {progress.label}{best}")
