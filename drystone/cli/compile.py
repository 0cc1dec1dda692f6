"""`drystone compile`."""

import time
from pathlib import Path

import click

from drystone.cli.common import ARTIFACT, CHECKPOINT, TARGET, save
from drystone.options import Budget, Options


@click.command("compile")
@ARTIFACT
@TARGET
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The artifact to write.")
@CHECKPOINT
@click.option(
    "--ram",
    help='Limit on all memory of the running model, such as "1GB"; or on that of activations, by the name of '
    'the memory level: "ram=256KB".',
)
@click.option("--weights", help='Limit on the weights as they are stored, such as "40MB".')
@click.option("--quantize", help='What products with weights are computed in: "int8".')
@click.option("--caches", help='What caches of keys and values are held in: "int8", "kivi2", ..')
@click.option("--compute", help='What products are computed in: "f32" (exactly), "bf16" or "fp16".')
@click.option(
    "--error", type=float, help="Relative L2 error that a shorter precision may cost, such as 0.01."
)
@click.option("--plan-seconds", type=float, default=5.0, show_default=True, help="The memory planner's time.")
@click.option("--database", help="Take the best schedules known to these measurements (see `tune`).")
@click.pass_obj
def compile_command(
    quiet: bool,
    path: Path,
    target: str,
    output: Path,
    checkpoint: Path | None,
    ram: str | None,
    weights: str | None,
    quantize: str | None,
    caches: str | None,
    compute: str | None,
    error: float | None,
    plan_seconds: float,
    database: str | None,
) -> None:
    """Compile an exported program (.pt2, from torch.export.save) into an artifact."""
    from drystone.compiler import compile

    began = time.monotonic()
    options = Options(plan_seconds=plan_seconds, progress=not quiet, database=database, compute=compute)
    budget = Budget(ram=_limits(ram), weights=weights, error=error)
    fitted = compile(
        path,
        target=target,
        checkpoint=checkpoint,
        budget=budget,
        quantize=quantize,
        caches=caches,
        options=options,
    )
    save(fitted, output, quiet, began)


def _limits(ram: str | None) -> str | dict[str, str] | None:
    """One limit, or several by the names of memory levels ("sram=256KB,dram=8MB")."""
    if ram is None or "=" not in ram:
        return ram
    pairs = (part.partition("=") for part in ram.split(","))
    return {name.strip(): limit for name, _, limit in pairs}
