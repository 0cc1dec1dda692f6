"""`drystone fit`."""

import json
from pathlib import Path
from typing import Any

import click

from drystone.cli.common import ARTIFACT, HTML, PNG, TARGET
from drystone.files import read_text, write_text
from drystone.options import Options
from drystone.png import write_png


@click.command("fit")
@ARTIFACT
@TARGET
@click.option("--points", type=click.IntRange(2), default=8, show_default=True, help="Budgets to plan.")
@click.option("--compute", help='What products are computed in: "f32" (exactly), "bf16" or "fp16".')
@click.option(
    "--plan-seconds", type=float, default=5.0, show_default=True, help="The memory planner's time for each."
)
@click.option(
    "--level", metavar="NAME", help="Of the activations in this memory level, not of all memory with weights."
)
@HTML
@PNG
@click.option("--json", "data", type=click.Path(path_type=Path), help="Also write the points as JSON.")
@click.pass_obj
def fit_command(
    quiet: bool,
    path: Path,
    target: str,
    points: int,
    compute: str | None,
    plan_seconds: float,
    level: str | None,
    html: Path | None,
    png: Path | None,
    data: Path | None,
) -> None:
    """How much memory a model needs, and what needing less costs in work and traffic.

    PATH is an exported program (.pt2) or "module:function", as for `compile`, or a planning
    problem (.json, see docs/planning.md). Each line is what `compile` gives within so much memory.
    """
    from drystone import scheduling

    options = Options(plan_seconds=plan_seconds, progress=not quiet, compute=compute)
    curve = _curve(path, target, points, options, level)
    click.echo(str(curve))
    if html is not None:
        write_text(html, scheduling.curve_page(curve))
    if png is not None:
        write_png(scheduling.curve_svg(curve), png)
    if data is not None:
        write_text(data, json.dumps(curve.data(), indent=1) + "\n")


def _curve(path: Path, target: str, points: int, options: Options, level: str | None) -> Any:
    if path.suffix == ".json":
        from drystone import scheduling

        return scheduling.curve_of(scheduling.read(read_text(path)), points, options.plan_seconds)
    from drystone import models
    from drystone.compiler import fit

    given = models.loaded(str(path), Path())
    given.pop("calibration", None)  # nothing is run
    return fit(**given, target=target, level=level, points=points, options=options)
