"""`drystone build`."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


@click.command("build")
@click.argument("path", type=click.Path(path_type=Path), default="drystone.toml")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Build what has this name (MODEL, or MODEL/VARIANT@TARGET) or path, or matches this pattern, alone.",
)
@click.option("--force", is_flag=True, help="Build what has not changed, too.")
@click.option("--jobs", type=click.IntRange(1), help="How many to build at once; by default a core each.")
@click.option("--dry-run", is_flag=True, help="Say what would be built, and why.")
@click.option("--json", "as_json", is_flag=True, help="Say what came of each artifact as JSON.")
@click.pass_obj
def build_command(
    quiet: bool, path: Path, only: Sequence[str], force: bool, jobs: int | None, dry_run: bool, as_json: bool
) -> None:
    """Build the artifacts that a file lists (drystone.toml), those alone whose ingredients changed.

    Exit code 1: one could not be built, its outputs are not the model's, or it takes more than its budget.
    """
    from drystone import building

    # As Ctrl-C: what is half done is taken back.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = building.build(
            path, only=only, force=force, jobs=jobs, dry=dry_run, report=None if quiet else _tell
        )
    except KeyboardInterrupt:
        click.echo("stopped; what was built is kept: the same command goes on from there", err=True)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        click.echo(building.to_json(results), nl=False)
    elif not quiet:
        _print(results)
    for each in results:
        for line in (*each.missed, *filter(None, [each.error])):
            click.echo(f"{each.name}: {line}", err=True)
    sys.exit(building.exit_code(results))


def _tell(result: Any) -> None:
    """A line for what was not there already."""
    if result.seconds is not None:
        click.echo(f"{result.name}: {result.status} in {result.seconds:.1f} s", err=True)


def _print(results: Sequence[Any]) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("artifact", "state", "difference", "ram", "weights", "latency", "why"):
        table.add_column(
            name, justify="left" if name in ("artifact", "state", "why") else "right", overflow="fold"
        )
    for each in results:
        found = each.measured
        lacking = "not run" if "not_run" in found else "not compared" if "not_compared" in found else ""
        cells = (
            each.name,
            each.status if each.ok or each.status == "failed" else f"{each.status}, missed",
            f"{found['difference']:.1e}" if "difference" in found else lacking,
            *(f"{found[name]:,}" if name in found else "" for name in ("ram", "weights")),
            f"{found['latency'] * 1e3:.3g} ms" if "latency" in found else "",
            "; ".join((*each.missed, *each.why)),
        )
        table.add_row(*map(escape, cells), style=None if each.ok else "red")
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
