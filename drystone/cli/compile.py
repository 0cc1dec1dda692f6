"""`drystone compile`."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from drystone.cli.common import ARTIFACT, CHECKPOINT, TARGET, save
from drystone.errors import UserError
from drystone.options import Budget, Format, Options, Quantize, Sparsify, Zeroed


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
@click.option("--caches", help='What caches of keys and values are held in: "int8", "kivi2", ..')
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
    budget = Budget(ram=_limits(ram), weights=weights, error=error, bits=bits)
    fitted = compile(
        path,
        target=target,
        checkpoint=checkpoint,
        budget=budget,
        quantize=_formats(quantize, method, group, static, ranges),
        calibration=calibration,
        caches=caches,
        sparsify=_zeros(sparsify, level, pruning),
        skip=_by_names(skip, lambda text: None if text == "none" else _number(text)) if skip else None,
        options=options,
    )
    save(fitted, output, quiet, began)


def _formats(
    given: Sequence[str], method: str | None, group: int | None, static: bool | None, ranges: str | None
) -> Format | None:
    """The format for all weights, or those of weights by names."""
    if not given:
        if any(each is not None for each in (method, group, static, ranges)):
            raise UserError(
                "--method, --group, --static and --ranges say more of --quantize",
                hint="give it, such as --quantize w4",
            )
        return None
    ends = "minmax" if ranges is None else _number(ranges)

    def format_of(name: str) -> Format | None:
        if name == "none":
            return None
        if name == "int8" and (static is not None or ranges is not None):
            return Quantize(name, dynamic=None if static is None else not static, ranges=ends)
        # Products in bytes have a method of their own: with others beside them, these are meant.
        plain = (method is None and group is None) or (name == "int8" and len(given) > 1)
        return name if plain else Quantize(name, method, group)

    return _by_names(given, format_of)


def _zeros(given: Sequence[str], level: float | None, method: str | None) -> Zeroed | None:
    """How all weights are pruned, or weights by names."""
    if not given:
        if level is not None or method is not None:
            raise UserError(
                "--level and --pruning say more of --sparsify", hint="give it, such as --sparsify 2:4"
            )
        return None

    def zeros_of(name: str) -> Zeroed | None:
        if name == "none":
            return None
        own = _number(name)
        if isinstance(own, float):
            return Sparsify(None, own, method)
        return Sparsify(name, None if ":" in name else level, method)

    return _by_names(given, zeros_of)


def _by_names(given: Sequence[str], meant: Callable[[str], Any]) -> Any:
    """What a text means, or those behind regular expressions and = by these."""
    if len(given) == 1 and "=" not in given[0]:
        return meant(given[0])
    pairs = (each.rpartition("=") for each in given)
    return {names or ".*": meant(text) for names, _, text in pairs}


def _number(text: str) -> str | float:
    """A number where the text is one."""
    return float(text) if text.replace(".", "", 1).isdigit() else text


def _limits(ram: str | None) -> str | dict[str, str] | None:
    """One limit, or several by the names of memory levels ("sram=256KB,dram=8MB")."""
    if ram is None or "=" not in ram:
        return ram
    pairs = (part.partition("=") for part in ram.split(","))
    return {name.strip(): limit for name, _, limit in pairs}
