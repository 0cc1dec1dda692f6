"""options.md: everything that a user may set: arguments, options, commands and environment variables."""

import ast
import dataclasses
import inspect
import json
from collections.abc import Iterator
from typing import Any

import click

import drystone
from docs.pages.text import NOTE, doc, in_row
from drystone import cli, env
from drystone.building import project, settings, tables

_FUNCTIONS = ("compile", "fit", "load")
#: The tables of drystone.toml.
_TABLES = {"build": project.Build, "model.NAME": settings.Settings, "model.NAME.budget": settings.Limits}


def options_page() -> str:
    """Functions and options of `drystone`, commands of its command line, environment variables."""
    lines = ["# Everything that can be set", "", NOTE, ""]
    for name in _FUNCTIONS:
        lines += [f"## `drystone.{name}`", "", *_call(getattr(drystone, name)), ""]
    for name in drystone.__all__:
        given = getattr(drystone, name)
        if dataclasses.is_dataclass(given) and isinstance(given, type):
            lines += [f"## `drystone.{name}`", "", *_call(given), ""]
    lines += [
        "## Command line",
        "",
        f"`drystone [-q] COMMAND ..`. {' '.join(doc(cli).split(chr(10))[2:])}",
        "",
    ]
    lines += [row for name, command in sorted(cli.main.commands.items()) for row in _command(name, command)]
    lines += ["## drystone.toml", "", "What `drystone build` builds (docs/pipelines.md).", ""]
    for name, table in _TABLES.items():
        lines += [f"### `[{name}]`", "", doc(table), "", *_keys(table), ""]
    lines += ["## Environment variables", "", "| variable | |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| `{name}` | {text} |" for name, text in _variables())]) + "\n"


def _call(function: Any) -> list[str]:
    """How it is called, with what is taken unless something is given, and its docstring."""
    given = [
        p.name if p.default is p.empty else f"{p.name}={p.default!r}"
        for p in inspect.signature(function).parameters.values()
    ]
    return [f"`{function.__name__}({', '.join(given)})`", "", doc(function)]


def _keys(table: Any) -> Iterator[str]:
    """The keys of a table, and what holds where one is not there."""
    yield from ("| key | unless given |", "| --- | --- |")
    given = tables.keys(table)
    for each in dataclasses.fields(table):
        if each.name in given:
            plain = each.default not in (dataclasses.MISSING, None, ())
            yield f"| `{each.name}` | {f'`{json.dumps(each.default)}`' if plain else ''} |"


def _command(name: str, command: click.Command) -> Iterator[str]:
    """A command and its options; those of the commands of a group behind it."""
    usage = " ".join(p.make_metavar(click.Context(command)) for p in command.params if _is_argument(p))
    yield from (
        f"### `drystone {name} {usage}".rstrip() + "`",
        "",
        " ".join((command.help or "").split()),
        "",
    )
    rows = [p for p in command.params if not _is_argument(p)]
    if rows:
        yield from ("| option | unless given | |", "| --- | --- | --- |", *map(_option, rows), "")
    if isinstance(command, click.Group):
        for each, part in sorted(command.commands.items()):
            yield from _command(f"{name} {each}", part)


def _is_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


def _option(parameter: click.Parameter) -> str:
    told = parameter.to_info_dict()
    default = "" if told["default"] in (None, False) or told["multiple"] else f"`{told['default']}`"
    return f"| `{'`, `'.join(parameter.opts)}` | {default} | {in_row(told.get('help') or '')} |"


def _variables() -> Iterator[tuple[str, str]]:
    """Every environment variable that is read, and what the function that reads it says."""
    for node in ast.parse(inspect.getsource(env)).body:
        if isinstance(node, ast.FunctionDef):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "os.environ.get":
                    name = ast.literal_eval(call.args[0])
                    yield name, in_row(ast.get_docstring(node) or "").removeprefix(f"{name}: ")
