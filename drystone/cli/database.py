"""`drystone database`: what tuning measured."""

from collections.abc import Sequence
from typing import Any

import click

from drystone.cli.common import DATABASE


@click.group("database")
def database_group() -> None:
    """The measurements that tuning keeps: show, export, import, merge."""


def _opened(where: str | None) -> Any:
    from drystone.autotune.database import Database

    return Database(where)


@database_group.command("show")
@DATABASE
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
@DATABASE
def database_export(file: Any, database: str | None) -> None:
    """Write all measurements as lines of JSON ("-": to stdout)."""
    count = _opened(database).export(file)
    click.echo(f"{count} measurements written to {file.name}", err=True)


@database_group.command("import")
@click.argument("files", type=click.File("r", encoding="utf-8"), nargs=-1, required=True)
@DATABASE
def database_import(files: Sequence[Any], database: str | None) -> None:
    """Add the measurements of exported files; those that are there already are left alone."""
    held = _opened(database)
    for file in files:
        click.echo(f"{file.name}: {held.load(file, file.name)} new measurements")


@database_group.command("merge")
@click.argument("others", nargs=-1, required=True)
@DATABASE
def database_merge(others: Sequence[str], database: str | None) -> None:
    """Add the measurements of other databases (files or URLs)."""
    held = _opened(database)
    for other in others:
        click.echo(f"{other}: {held.merge(_opened(other))} new measurements")
