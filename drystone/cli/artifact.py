"""What is done with an artifact: `drystone run`, `bench`, `report`, `unpack`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import numpy as np

from drystone.cli.common import ARTIFACT, HTML, PNG, THREADS
from drystone.files import read_arrays, writing
from drystone.runtime import artifact, timing
from drystone.runtime import embed as embedding
from drystone.runtime.explain import explain
from drystone.runtime.fitted import Fitted, load


def _inputs(fitted: Fitted, source: Path | None) -> list[Any]:
    """Arrays for the model's inputs: from an .npz by name (or arr_0, arr_1, ...), or seeded random ones."""
    if source is None:
        return timing.examples(fitted)
    return read_arrays(source, [spec.name for spec in fitted.manifest.inputs])


@click.command("run")
@ARTIFACT
@click.argument("inputs", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the outputs as an .npz.")
@THREADS
@click.pass_obj
def run_command(
    quiet: bool, path: Path, inputs: Path | None, output: Path | None, threads: int | None
) -> None:
    """Run an artifact on the arrays of an .npz (by input name), or on seeded random inputs."""
    fitted = load(path)
    outputs = fitted.execute(_inputs(fitted, inputs), threads=threads or fitted.threads)
    named = dict(zip([leaf.name for leaf in fitted.manifest.outputs], outputs, strict=True))
    if output is not None:
        with writing(output), output.open("wb") as file:
            np.savez(file, allow_pickle=False, **named)
    if not quiet:
        for name, array in named.items():
            click.echo(f"{name}: {array.dtype} {list(array.shape)}")


@click.command("bench")
@ARTIFACT
@click.option("--runs", type=click.IntRange(3), default=50, show_default=True, help="Calls that are timed.")
@THREADS
@click.pass_obj
def bench_command(quiet: bool, path: Path, runs: int, threads: int | None) -> None:
    """Time an artifact: median, fastest and spread over many calls."""
    fitted = load(path)
    calls = timing.times(fitted, _inputs(fitted, None), runs, threads)
    times = np.array([*_progress(calls, runs, "bench", quiet)]) * 1e3
    low, middle, high = np.percentile(times, [25, 50, 75])
    click.echo(f"median {middle:.3f} ms, fastest {times.min():.3f} ms, quartiles {low:.3f} {high:.3f} ms")


def _progress(items: Iterable[Any], count: int, label: str, quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, label, count, console=Console(stderr=True), transient=True)


@click.command("report")
@ARTIFACT
@HTML
@PNG
@THREADS
@click.pass_obj
def report_command(quiet: bool, path: Path, html: Path | None, png: Path | None, threads: int | None) -> None:
    """Per kernel: what it is, where it came from, bytes, flops, time, share of peak."""
    report = load(path).report(threads=threads)
    click.echo(str(report))
    for target, write in ((html, report.to_html), (png, report.to_png)):
        if target is not None:
            write(target)
            if not quiet:
                click.echo(f"wrote {target}")


@click.command("explain")
@ARTIFACT
@click.argument("name", default="")
def explain_command(path: Path, name: str) -> None:
    """Why a layer (or all) is as it is: its kernels, its weights' formats, its places in memory."""
    click.echo(explain(load(path).manifest, name))


@click.command("unpack")
@ARTIFACT
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--embed",
    metavar="NAME",
    help="Write C source that has the model inside, and its header: NAME.c, NAME.h.",
)
@click.pass_obj
def unpack_command(quiet: bool, path: Path, folder: Path, embed: str | None) -> None:
    """Write an artifact's parts as files: model.so, model.h, weights.safetensors, manifest.json."""
    if embed is None:
        files = artifact.unpack(path, folder)
    else:
        files = embedding.embed(path, folder, embed)
    for written in files:
        if not quiet:
            click.echo(str(written))
