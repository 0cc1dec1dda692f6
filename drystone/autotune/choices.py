"""Which schedule every kernel of a program gets, as the user asks for it."""

import os
from collections.abc import Callable

from drystone.codegen.search import Point
from drystone.ir.program import Program
from drystone.options import Tune
from drystone.targets.target import Target


def choices(
    program: Program,
    target: Target,
    threads: int,
    first_choices: Callable[[Program, Target, int], dict[str, Point]],
    tune: Tune | None,
    database: str | os.PathLike[str] | None,
    note: Callable[[float, str], None],
) -> dict[str, Point]:
    """The schedule of every kernel that has several: by measurement where `tune` says so, else those that a
    database knows, else the `first_choices`. note: told how far measuring is."""
    if tune is None and database is None:
        return first_choices(program, target, threads)
    # Loads SQLAlchemy.
    from drystone.autotune import tuning

    if tune is None:
        return tuning.known_choices(program, target, threads, str(database))
    return tuning.tuned_choices(program, target, threads, tune, note)
