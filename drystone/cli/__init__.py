"""The command `drystone`.

Exit codes: 0 done, 1 a comparison or check failed, 2 wrong use or input, 3 a fault of drystone.
"""

import sys
from typing import Any

import click

from drystone.cli.artifact import (
    bench_command,
    explain_command,
    report_command,
    run_command,
    unpack_command,
)
from drystone.cli.build import build_command
from drystone.cli.compile import compile_command
from drystone.cli.database import database_group
from drystone.cli.fit import fit_command
from drystone.cli.machine import doctor_command, formats_command, selftest_command, targets_command
from drystone.cli.plan import mlsys_command, place_command, plan_command
from drystone.cli.reproduce import reproduce_command
from drystone.cli.tune import tune_command
from drystone.errors import InternalError, UserError


class _Group(click.Group):
    """Turns our errors into messages and exit codes."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except InternalError as error:
            click.echo(f"internal error: {error}", err=True)
            sys.exit(3)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-q", "--quiet", is_flag=True, help="Print results only: no progress, no summaries.")
@click.version_option(package_name="drystone")
@click.pass_context
def main(ctx: click.Context, quiet: bool) -> None:
    """Compile PyTorch models into memory-planned programs, run and measure them."""
    ctx.obj = quiet


for _command in (
    compile_command,
    build_command,
    fit_command,
    tune_command,
    database_group,
    run_command,
    bench_command,
    report_command,
    explain_command,
    unpack_command,
    plan_command,
    place_command,
    mlsys_command,
    targets_command,
    formats_command,
    doctor_command,
    selftest_command,
    reproduce_command,
):
    main.add_command(_command)
