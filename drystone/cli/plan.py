"""Memory planning by itself: `drystone plan`, `place`, `mlsys`."""

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from drystone.cli.common import HTML, PNG
from drystone.errors import UserError
from drystone.files import read_text, write_text
from drystone.png import write_png


@click.command("plan")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the plan here, not to stdout.")
@HTML
@PNG
@click.option(
    "--time-limit", type=click.FloatRange(0), default=5.0, show_default=True, help="In seconds; 0: greedy."
)
@click.pass_obj
def plan_command(
    quiet: bool, path: Path, output: Path | None, html: Path | None, png: Path | None, time_limit: float
) -> None:
    """Plan a graph's memory: a .json of operations, tensors and levels (see docs/planning.md)."""
    from drystone import scheduling

    problem = scheduling.read(read_text(path))
    began = time.monotonic()
    found = scheduling.plan(problem, time_limit=time_limit)
    scheduling.check(problem, found)
    spent = time.monotonic() - began
    data = json.dumps(scheduling.as_data(found), indent=1)
    if output is None:
        click.echo(data)
    else:
        write_text(output, data + "\n")
    if html is not None:
        write_text(html, scheduling.page(problem, found))
    if png is not None:
        write_png(scheduling.svg(problem, found), png)
    if not quiet:
        peaks = ", ".join(f"{name} {size} bytes" for name, size in found.peaks.items())
        proven = (
            f"cost {found.cost} (at least {found.cost_bound})" if found.cost else f"at least {found.bound}"
        )
        lasts = f"; time {found.time}" if found.time else ""
        click.echo(
            f"{len(found.order)} steps, {peaks}; {proven}{lasts}; {found.status}, {spent:.2f} s", err=True
        )


@click.command("mlsys")
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
        write_text(output, mlsys.write_solution(steps))
    if not quiet and given is not None:
        for number, step in enumerate(steps):
            click.echo(f"step {number}: {step.latency:.1f}")
    bound = "" if given is not None else f" (at least {solved.bound:.1f})"
    click.echo(f"{len(steps)} steps, latency {mlsys.total(steps):.1f}{bound}")


@click.command("place")
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
    from drystone.scheduling.effort import Effort
    from drystone.scheduling.placement import lifetimes, overlap, place

    if capacity is None and not minimize:
        raise UserError("the memory has no capacity", hint="give --capacity BYTES, --minimize or both")
    limit = None if capacity is None else byte_count(capacity)
    table = lifetimes.read_lifetimes(path)
    blocks, known, began = table.blocks, table.hints, time.monotonic()
    effort = Effort(math.inf, time_limit)
    if limit is not None and not minimize:
        found = place.place(blocks, limit, effort=effort, known=known)
    else:
        found = place.minimize(blocks, capacity=limit, effort=effort, known=known)
    if found.status != "placed":
        _no_placement(found, blocks, limit or 0)
    overlap.check_offsets(blocks, found.offsets, limit)
    text = lifetimes.write_offsets(table, found.offsets)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
    if not quiet:
        proof = "proved least" if found.height == found.bound else f"at least {found.bound}"
        spent = time.monotonic() - began
        click.echo(f"{len(blocks)} buffers placed in {found.height} bytes ({proof}), {spent:.2f} s", err=True)


def _no_placement(found: Any, blocks: Sequence[Any], capacity: int) -> NoReturn:
    """Say why there is no placement and exit."""
    if found.status == "unknown":
        click.echo(f"not found in time; every placement needs at least {found.bound} bytes", err=True)
        sys.exit(3)
    from drystone.scheduling.placement.conflict import cannot_share

    click.echo(f"impossible: every placement needs at least {found.bound} bytes, not {capacity}", err=True)
    conflict = cannot_share(blocks, capacity)
    if conflict is not None:
        left_out = "any left out, the others can" if conflict.irreducible else "perhaps not all are needed"
        names = ", ".join(block.tensors[0] for block in conflict.blocks)
        click.echo(f"cannot share it ({left_out}): {names}", err=True)
    sys.exit(2)
