"""The command `drystone`.

Exit codes: 0 done, 1 a comparison or check failed, 2 wrong use or input, 3 a fault of drystone.
"""

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np

from drystone.errors import InternalError, UserError
from drystone.options import Budget, Options, Tune
from drystone.runtime import artifact
from drystone.runtime.fitted import Fitted, load


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


_ARTIFACT = click.argument("path", type=click.Path(path_type=Path))
_THREADS = click.option("--threads", type=click.IntRange(1), help="Threads; by default the artifact's own.")


_TARGET = click.option(
    "--target", default="cpu", show_default=True, help="What to compile for; see `drystone targets`."
)
_DATABASE = click.option(
    "--database",
    help="Measurements: a file or an SQLAlchemy URL; by default tuning.db in drystone's cache folder.",
)


@main.command("compile")
@_ARTIFACT
@_TARGET
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The artifact to write.")
@click.option("--ram", help='Limit on activation memory, such as "256KB".')
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
    ram: str | None,
    compute: str | None,
    error: float | None,
    plan_seconds: float,
    database: str | None,
) -> None:
    """Compile an exported program (.pt2, from torch.export.save) into an artifact."""
    from drystone.compiler import compile

    began = time.monotonic()
    options = Options(plan_seconds=plan_seconds, progress=not quiet, database=database, compute=compute)
    fitted = compile(path, target=target, budget=Budget(ram=ram, error=error), options=options)
    _save(fitted, output, quiet, began)


def _save(fitted: Fitted, output: Path, quiet: bool, began: float) -> None:
    """Write an artifact and say what it is."""
    fitted.save(output)
    if not quiet:
        m = fitted.memory
        click.echo(
            f"{output}: {len(fitted.manifest.kernels)} kernels, arena {m.arena} bytes "
            f"(at least {m.plan['bound']}), weights {m.weights} bytes, {time.monotonic() - began:.1f} s"
        )


@main.command("tune")
@_ARTIFACT
@_TARGET
@click.option("--trials", type=click.IntRange(1), help="Schedules to measure.  [default: 500]")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so many minutes.")
@_DATABASE
@click.option("--cluster", help="Measure on the workers of this dask scheduler.")
@_THREADS
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
    """Find the fastest schedules of an exported program's kernels by measuring them.

    Every measurement is kept: stop at any time, and the same command goes on from there.
    """
    from drystone.compiler import compile

    if trials is None and minutes is None:
        trials = 500
    began = time.monotonic()
    tune = Tune(minutes, trials, database, cluster, report=lambda found: _tuned(found, quiet))
    options = Options(threads=threads, progress=not quiet)
    try:
        fitted = compile(path, target=target, tune=tune, options=options)
    except KeyboardInterrupt:
        click.echo("stopped; what was measured is kept: the same command goes on from there", err=True)
        sys.exit(130)
    if output is not None:
        _save(fitted, output, quiet, began)


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


@main.group("database")
def database_group() -> None:
    """The measurements that tuning keeps: show, export, import, merge."""


def _opened(where: str | None) -> Any:
    from drystone.autotune.database import Database

    return Database(where)


@database_group.command("show")
@_DATABASE
def database_show(database: str | None) -> None:
    """Every kernel with its trials and its best schedule."""
    held = _opened(database)
    rows = held.summary()
    for _, label, trials, best in rows:
        known = "no trial succeeded" if best is None else f"{best.speedup:.2f}x, {best.seconds * 1e3:.3f} ms"
        click.echo(f"{label}: {trials} trials, {known}")
    click.echo(f"{held.where}: {sum(row[2] for row in rows)} measurements of {len(rows)} kernels")


@database_group.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"))
@_DATABASE
def database_export(file: Any, database: str | None) -> None:
    """Write all measurements as lines of JSON ("-": to stdout)."""
    count = _opened(database).export(file)
    click.echo(f"{count} measurements written to {file.name}", err=True)


@database_group.command("import")
@click.argument("files", type=click.File("r", encoding="utf-8"), nargs=-1, required=True)
@_DATABASE
def database_import(files: Sequence[Any], database: str | None) -> None:
    """Add the measurements of exported files; those that are there already are left alone."""
    held = _opened(database)
    for file in files:
        click.echo(f"{file.name}: {held.load(file, file.name)} new measurements")


@database_group.command("merge")
@click.argument("others", nargs=-1, required=True)
@_DATABASE
def database_merge(others: Sequence[str], database: str | None) -> None:
    """Add the measurements of other databases (files or URLs)."""
    held = _opened(database)
    for other in others:
        click.echo(f"{other}: {held.merge(_opened(other))} new measurements")


def _inputs(fitted: Fitted, source: Path | None) -> list[Any]:
    """Arrays for the model's inputs: from an .npz by name (or arr_0, arr_1, ...), or seeded random ones."""
    specs = fitted.manifest.inputs
    if source is None:
        rng = np.random.default_rng(0)
        arrays: list[Any] = []
        for spec in specs:
            shape = fitted.manifest.largest(spec)
            dtype = fitted.manifest.numpy_dtype(spec.dtype)
            floating = np.issubdtype(dtype, np.floating)
            arrays.append((rng.standard_normal(shape) if floating else np.zeros(shape)).astype(dtype))
        return arrays
    try:
        held = np.load(source, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{source} is not an .npz of arrays: {error}") from error
    if not isinstance(held, np.lib.npyio.NpzFile):
        raise UserError(f"{source} is not an .npz of arrays", hint="write it with numpy.savez, by input name")
    names = [s.name if s.name in held else f"arr_{i}" for i, s in enumerate(specs)]
    missing = [s.name for s, name in zip(specs, names, strict=True) if name not in held]
    if missing:
        raise UserError(f"{source} lacks the inputs {missing}", hint=f"it holds {sorted(held)}")
    return [held[name] for name in names]


@main.command("run")
@_ARTIFACT
@click.argument("inputs", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the outputs as an .npz.")
@_THREADS
@click.pass_obj
def run_command(
    quiet: bool, path: Path, inputs: Path | None, output: Path | None, threads: int | None
) -> None:
    """Run an artifact on the arrays of an .npz (by input name), or on seeded random inputs."""
    fitted = load(path)
    outputs = fitted.execute(_inputs(fitted, inputs), threads=threads or fitted.threads)
    named = dict(zip([leaf.name for leaf in fitted.manifest.outputs], outputs, strict=True))
    if output is not None:
        with output.open("wb") as file:
            np.savez(file, allow_pickle=False, **named)
    if not quiet:
        for name, array in named.items():
            click.echo(f"{name}: {array.dtype} {list(array.shape)}")


@main.command("bench")
@_ARTIFACT
@click.option("--runs", type=click.IntRange(3), default=50, show_default=True)
@_THREADS
@click.pass_obj
def bench_command(quiet: bool, path: Path, runs: int, threads: int | None) -> None:
    """Time an artifact: median, fastest and spread over many calls."""
    fitted = load(path)
    arrays = _inputs(fitted, None)
    times = []
    for _ in _progress(range(runs + 3), "bench", quiet):
        began = time.perf_counter()
        fitted.execute(arrays, threads=threads or fitted.threads)
        times.append(time.perf_counter() - began)
    low, middle, high = np.percentile(np.array(times[3:]) * 1e3, [25, 50, 75])
    click.echo(
        f"median {middle:.3f} ms, fastest {min(times[3:]) * 1e3:.3f} ms, quartiles {low:.3f} {high:.3f} ms"
    )


def _progress(items: Sequence[Any], label: str, quiet: bool) -> Any:
    if quiet or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, label, console=Console(stderr=True), transient=True)


@main.command("report")
@_ARTIFACT
@click.option("--html", type=click.Path(path_type=Path), help="Also write a page with the memory picture.")
@_THREADS
@click.pass_obj
def report_command(quiet: bool, path: Path, html: Path | None, threads: int | None) -> None:
    """Per kernel: what it is, where it came from, bytes, flops, time, share of peak."""
    report = load(path).report(threads=threads)
    click.echo(str(report))
    if html is not None:
        report.to_html(html)
        if not quiet:
            click.echo(f"wrote {html}")


@main.command("unpack")
@_ARTIFACT
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_obj
def unpack_command(quiet: bool, path: Path, folder: Path) -> None:
    """Write an artifact's parts as files: model.so, model.h, weights.safetensors, manifest.json."""
    for written in artifact.unpack(path, folder):
        if not quiet:
            click.echo(str(written))


@main.command("plan")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the plan here, not to stdout.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write a page with the memory picture.")
@click.option(
    "--time-limit", type=click.FloatRange(0), default=5.0, show_default=True, help="In seconds; 0: greedy."
)
@click.pass_obj
def plan_command(quiet: bool, path: Path, output: Path | None, html: Path | None, time_limit: float) -> None:
    """Plan a graph's memory: a .json of operations, tensors and levels (see docs/planning.md)."""
    from drystone import scheduling

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from None
    problem = scheduling.read(text)
    began = time.monotonic()
    found = scheduling.plan(problem, time_limit=time_limit)
    scheduling.check(problem, found)
    spent = time.monotonic() - began
    data = json.dumps(scheduling.as_data(found), indent=1)
    if output is None:
        click.echo(data)
    else:
        output.write_text(data + "\n", encoding="utf-8")
    if html is not None:
        html.write_text(scheduling.page(problem, found), encoding="utf-8")
    if not quiet:
        peaks = ", ".join(f"{name} {size} bytes" for name, size in found.peaks.items())
        proven = (
            f"cost {found.cost} (at least {found.cost_bound})" if found.cost else f"at least {found.bound}"
        )
        click.echo(f"{len(found.order)} steps, {peaks}; {proven}; {found.status}, {spent:.2f} s", err=True)


@main.command("mlsys")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the solution here.")
@click.option(
    "--time-limit", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Seconds."
)
@click.option("--evaluate", "given", type=click.Path(path_type=Path), help="Judge this solution instead.")
@click.pass_obj
def mlsys_command(
    quiet: bool, path: Path, output: Path | None, time_limit: float, given: Path | None
) -> None:
    """Schedule a graph of the MLSys 2026 contest, or judge a solution (exit code 1: invalid)."""
    from drystone.scheduling import mlsys

    problem = mlsys.read_problem(path)
    if given is None:
        solved = mlsys.solve(problem, time_limit)
        steps = solved.steps
    else:
        try:
            steps = mlsys.evaluate(problem, mlsys.read_solution(given))
        except mlsys.Invalid as error:
            click.echo(f"{given} is invalid: {error}", err=True)
            sys.exit(1)
    if output is not None:
        output.write_text(mlsys.write_solution(steps), encoding="utf-8")
    if not quiet and given is not None:
        for number, step in enumerate(steps):
            click.echo(f"step {number}: {step.latency:.1f}")
    bound = "" if given is not None else f" (at least {solved.bound:.1f})"
    click.echo(f"{len(steps)} steps, latency {mlsys.total(steps):.1f}{bound}")


@main.command("place")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--capacity", help='Bytes of memory, such as 1048576 or "1MB".')
@click.option("--minimize", is_flag=True, help="Find the lowest placement (within the capacity, if given).")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write the offsets here, not to stdout."
)
@click.option("--time-limit", type=click.FloatRange(0), default=60.0, show_default=True, help="In seconds.")
@click.pass_obj
def place_command(
    quiet: bool, path: Path, capacity: str | None, minimize: bool, output: Path | None, time_limit: float
) -> None:
    """Place buffers of known lifetimes in one memory: a .csv of id,lower,upper,size, as MiniMalloc's.

    Exit code 0: placed; 2: proven impossible; 3: not found in time.
    """
    from drystone.options import byte_count
    from drystone.scheduling import lifetimes, overlap, placement

    if capacity is None and not minimize:
        raise UserError("the memory has no capacity", hint="give --capacity BYTES, --minimize or both")
    limit = None if capacity is None else byte_count(capacity)
    table = lifetimes.read_lifetimes(path)
    blocks, known, began = table.blocks, table.hints, time.monotonic()
    if limit is not None and not minimize:
        found = placement.place(blocks, limit, effort=math.inf, time_limit=time_limit, known=known)
    else:
        found = placement.minimize(
            blocks, capacity=limit, effort=math.inf, time_limit=time_limit, known=known
        )
    if found.status != "placed":
        _no_placement(found, blocks, limit or 0)
    overlap.check_offsets(blocks, found.offsets, limit)
    text = lifetimes.write_offsets(table, found.offsets)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    if not quiet:
        proof = "proved least" if found.height == found.bound else f"at least {found.bound}"
        spent = time.monotonic() - began
        click.echo(f"{len(blocks)} buffers placed in {found.height} bytes ({proof}), {spent:.2f} s", err=True)


def _no_placement(found: Any, blocks: Sequence[Any], capacity: int) -> NoReturn:
    """Say why there is no placement and exit."""
    if found.status == "unknown":
        click.echo(f"not found in time; every placement needs at least {found.bound} bytes", err=True)
        sys.exit(3)
    from drystone.scheduling.conflict import cannot_share

    click.echo(f"impossible: every placement needs at least {found.bound} bytes, not {capacity}", err=True)
    conflict = cannot_share(blocks, capacity)
    if conflict is not None:
        left_out = "any left out, the others can" if conflict.irreducible else "perhaps not all are needed"
        names = ", ".join(block.tensors[0] for block in conflict.blocks)
        click.echo(f"cannot share it ({left_out}): {names}", err=True)
    sys.exit(2)


@main.command("targets")
def targets_command() -> None:
    """The machines drystone compiles for."""
    from drystone import targets

    for name in targets.known():
        machine = targets.resolve(name)
        click.echo(
            f"{name:12} {machine.llvm_cpu}, {machine.vector_bits}-bit vectors, {machine.registers} registers"
        )


@main.command("doctor")
def doctor_command() -> None:
    """What works on this machine and what is missing."""
    from drystone import doctor

    findings = doctor.examine()
    for finding in findings:
        click.echo(f"{'ok     ' if finding.ok else 'MISSING'}  {finding.what:24} {finding.detail}")
    sys.exit(0 if all(finding.ok or not finding.needed for finding in findings) else 1)


@main.command("selftest")
@click.option("--target", default="cpu", show_default=True)
@click.pass_obj
def selftest_command(quiet: bool, target: str) -> None:
    """Compile a fixed set of small models, run them and compare with the interpreter."""
    from drystone import selftest

    failed = 0
    for result in selftest.run(target):
        failed += not result.ok
        if not quiet or not result.ok:
            click.echo(str(result))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
