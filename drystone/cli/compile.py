"""`drystone compile`."""

import time
from pathlib import Path

import click

from drystone.asking import words as asking
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
@click.option(
    "--quantize",
    multiple=True,
    metavar="[NAMES=]FORMAT",
    help='What weights are held in: "w4" or another format, "auto", or "int8" for products in bytes. With a '
    "regular expression and = before it, for the weights of these names (none: as they are); the first of "
    "several that matches counts.",
)
@click.option("--method", help='How numbers are rounded: "nearest", or such as "gptq+awq".')
@click.option("--group", type=click.IntRange(1), help="Inputs that share a scale, for formats with groups.")
@click.option(
    "--static/--dynamic",
    "static",
    default=None,
    help='Of "int8": scales of activations are fixed by calibration, or found for every row when the model '
    "runs. By default the faster where it is not less exact.",
)
@click.option("--ranges", help='Ends of static scales: "minmax", "mse" or a percentile such as 99.99.')
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="An .npz with an array for every input, by its name, that has calls along its first axis.",
)
@click.option("--bits", type=float, help='Mean bits of a weight whose format is "auto".')
@click.option(
    "--sparsify",
    multiple=True,
    metavar="[NAMES=]ZEROS",
    help='How weights are pruned: "2:4", a level such as 0.9, blocks ("16x16") or "auto"; by names too.',
)
@click.option("--level", type=float, help="The part of blocks that become zeros, such as 0.8.")
@click.option(
    "--pruning", help='Which numbers become zeros: "magnitude", "layer-magnitude", "wanda" or "sparsegpt".'
)
@click.option(
    "--skip",
    multiple=True,
    metavar="[NAMES=]LEVEL",
    help="The part of what weights are multiplied with that becomes 0 when the model runs, such as 0.7 (0: "
    "only what is 0), so that products of few rows leave out what meets it; by names too.",
)
@click.option(
    "--skip-at",
    help='What becomes 0: "gate", a gate\'s numbers, or "inputs", what is multiplied with the weight itself. '
    "By default the gate's where there is one.",
)
@click.option(
    "--skip-per",
    help='Who leaves out what: every "row" its own (the default), or a "prompt" of many rows fixes what '
    "calls of one row leave out, which needs no calibration.",
)
@click.option(
    "--skip-core",
    type=float,
    help="Of a prompt: what is left out is chosen by how many rows have it among this part of their positive "
    "numbers, such as 0.4, not by its squares.",
)
@click.option(
    "--caches",
    multiple=True,
    metavar="[NAMES=]FORMAT",
    help='What caches of keys and values are held in: "int8", "kivi2", ..; by names of states too.',
)
@click.option("--compute", help='What products are computed in: "f32" (exactly), "bf16" or "fp16".')
@click.option(
    "--error",
    type=float,
    help='Relative L2 error that a shorter precision, or formats of "auto", may cost, such as 0.01.',
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
    quantize: tuple[str, ...],
    method: str | None,
    group: int | None,
    static: bool | None,
    ranges: str | None,
    calibration: Path | None,
    bits: float | None,
    sparsify: tuple[str, ...],
    level: float | None,
    pruning: str | None,
    skip: tuple[str, ...],
    skip_at: str | None,
    skip_per: str | None,
    skip_core: float | None,
    caches: tuple[str, ...],
    compute: str | None,
    error: float | None,
    plan_seconds: float,
    database: str | None,
) -> None:
    """Compile a model into an artifact.

    PATH is an exported program (.pt2, from torch.export.save), or "module:function": a function, of a module
    that can be imported from this folder, that gives the model and a tuple of example inputs.
    """
    from drystone import models
    from drystone.compiler import compile

    began = time.monotonic()
    options = Options(plan_seconds=plan_seconds, progress=not quiet, database=database, compute=compute)
    budget = Budget(ram=asking.limits(ram), weights=weights, error=error, bits=bits)
    given = models.loaded(
        str(path),
        Path(),
        checkpoint=checkpoint,
        quantize=asking.formats(quantize, method, group, static, ranges),
        calibration=calibration,
        caches=asking.caches(caches),
        sparsify=asking.zeros(sparsify, level, pruning),
        skip=asking.skips(skip, skip_at, skip_per, skip_core),
    )
    save(compile(**given, target=target, budget=budget, options=options), output, quiet, began)
