"""`drystone reproduce`."""

import sys
import traceback
from pathlib import Path

import click


@click.command("reproduce")
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_obj
def reproduce_command(quiet: bool, path: Path) -> None:
    """Run a file that a fault of drystone left, or a dump, and say whether the fault still shows.

    PATH is a drystone-failure-*.mlir, which begins at the step that failed, or a file of the folder
    DRYSTONE_DUMP, which begins behind the step that it is named by. Exit code 0: nothing fails (any more);
    1: the fault of the file, or one of a dump; 2: the file cannot be run; 3: another fault.
    """
    from drystone.reproducer import reproduce

    outcome = reproduce(path)
    if not quiet:
        for note in outcome.notes:
            click.echo(f"note: {note}", err=True)
        if outcome.error is not None:
            click.echo("".join(traceback.format_exception(outcome.error)), err=True, nl=False)
    click.echo(str(outcome))
    sys.exit(outcome.code)
