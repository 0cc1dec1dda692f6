"""`drystone fit`."""

from pathlib import Path
from typing import Any

import click

from drystone.cli.common import ARTIFACT, TARGET
from drystone.files import read_text
from drystone.options import Options


@click.command("fit")
@ARTIFACT
@TARGET
@click.option("--points", type=click.IntRange(2), default=8, show_default=True, help="Budgets to plan.")
@click.option("--compute", help='What products are computed in: "f32" (exactly), "bf16" or "fp16".')
@click.option(
    "--plan-seconds", type=float, default=5.0, show_default=True, help="The memory planner's time for each."
)
@click.pass_obj
def fit_command(
    quiet: bool, path: Path, target: str, points: int, compute: str | None, plan_seconds: float
) -> None:
    """How much memory a model needs, and what needing less costs in work and traffic.

    PATH is an exported program (.pt2), or a planning problem (.json, see docs/planning.md).
    """
    click.echo(
        str(
            _curve(
                path, target, points, Options(plan_seconds=plan_seconds, progress=not quiet, compute=compute)
            )
        )
    )


def _curve(path: Path, target: str, points: int, options: Options) -> Any:
    if path.suffix == ".json":
        from drystone import scheduling

        return scheduling.curve_of(scheduling.read(read_text(path)), points, options.plan_seconds)
    from drystone.compiler import fit

    return fit(path, target=target, points=points, options=options)
