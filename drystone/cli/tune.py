"""`drystone tune`."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from drystone.cli.common import ARTIFACT, DATABASE, TARGET, THREADS, save
from drystone.options import Options, Tune


@click.command("tune")
@ARTIFACT
@TARGET
@click.option("--trials", type=click.IntRange(1), help="Schedules to measure.  [default: 500]")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so many minutes.")
@DATABASE
@click.option("--cluster", help="Measure on the workers of this dask scheduler.")
@THREADS
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the tuned artifact.")
@click.pass_obj
def tune_command(
    quiet: bool,
    path: Path,
    target: str,
    trials: int | None,
    minutes: float | None,
    database: str | None,
    cluster: str | None,
    threads: int | None,
    output: Path | None,
) -> None:
    """Find the fastest schedules of a model's kernels by measuring them.

    PATH is an exported program (.pt2) or "module:function", as for `compile`. Every measurement
    is kept: stop at any time, and the same command goes on from there.
    """
    from drystone import models
    from drystone.compiler import compile

    if trials is None and minutes is None:
        trials = 500
    began = time.monotonic()
    tune = Tune(minutes, trials, database, cluster, report=lambda found: _tuned(found, quiet))
    options = Options(threads=threads, progress=not quiet)
    try:
        fitted = compile(**models.loaded(str(path), Path()), target=target, tune=tune, options=options)
    except KeyboardInterrupt:
        click.echo("stopped; what was measured is kept: the same command goes on from there", err=True)
        sys.exit(130)
    if output is not None:
        save(fitted, output, quiet, began)


def _tuned(found: Sequence[Any], quiet: bool) -> None:
    """A line for every kernel that was tuned, and the gain of all."""
    before = after = 0.0
    for kernel in found:
        if kernel.best is None:
            click.echo(f"{kernel.label}: not tuned, {kernel.failure}")
            continue
        best = kernel.best
        before += kernel.calls * best.baseline
        after += kernel.calls * best.seconds
        if not quiet:
            point = " ".join(f"{name}={value}" for name, value in best.point.items())
            click.echo(
                f"{best.speedup:5.2f}x  {best.baseline * 1e3:9.3f} -> {best.seconds * 1e3:9.3f} ms  "
                f"{kernel.label}, {kernel.calls} calls, {kernel.trials} trials: {point}"
            )
    gain = f", {before / after:.2f}x in all" if after else ""
    click.echo(f"{len(found)} kernels tuned{gain}")
