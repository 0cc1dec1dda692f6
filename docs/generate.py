"""Writes the reference pages of this folder from the code they describe: python -m docs.generate

ir.md: the dialect and its encodings; passes.md: what each pass does; tile.md: the vocabulary of kernels.
A test compares them with the code.
"""

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from drystone import passes, targets
from drystone.codegen import index, tile
from drystone.ir import attributes, dialect, encoding
from drystone.ir.encoding import code

FOLDER = Path(__file__).parent
_NOTE = "<!-- Written by `python -m docs.generate`; change the docstrings instead. -->"
#: How a field's annotation is read.
_KINDS = {
    "Result[Any]": "result",
    "Sequence[Result[Any]]": "results",
    "Operand[Any]": "operand",
    "Sequence[Operand[Any]]": "operands",
    "ir.StringAttr": "string",
    "ir.IntegerAttr": "integer",
    "ir.FloatAttr": "number",
    "ir.ArrayAttr": "list",
    "Region": "region",
    "Any": "attribute",
}

#: How the annotation of a field of an encoding's class is read.
_FIELDS = {"str": "string", "int": "integer", "tuple": "list", "None": "unit"}


def _doc(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def _body(text: str) -> tuple[str, str]:
    """The first line of a docstring, and the rest."""
    first, _, rest = text.partition("\n")
    return first, rest.strip("\n")


def _fields(source: str, node: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """(name, kind, meaning) of a declared class's fields; the meaning stands behind `#: `."""
    lines = source.splitlines()
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            kind = _KINDS[ast.unparse(item.annotation)]
            meaning = lines[item.lineno - 1].partition("#: ")[2]
            yield (
                item.target.id,
                "flag" if meaning.startswith("flag: ") else kind,
                meaning.removeprefix("flag: "),
            )


def _declared(node: ast.ClassDef) -> str | None:
    """The name an operation of the dialect declares, as the IR spells it."""
    name = next((ast.literal_eval(k.value) for k in node.keywords if k.arg == "name"), None)
    return None if name is None or ast.unparse(node.bases[0]) == "Dialect" else f"dry.{name}"


def ir_page() -> str:
    """The dialect on a page."""
    source = inspect.getsource(dialect)
    first, rest = _body(_doc(dialect))
    lines = ["# The IR", "", _NOTE, "", first, "", rest, "", "## Operations", ""]
    for node in ast.parse(source).body:
        name = _declared(node) if isinstance(node, ast.ClassDef) else None
        if not isinstance(node, ast.ClassDef) or name is None:
            continue
        extended = any(ast.unparse(base) == "WithEpilogue" for base in node.bases)
        lines += [f"### `{name}`", "", inspect.cleandoc(ast.get_docstring(node) or ""), ""]
        lines += _table(_fields(source, node))
        lines += ["| `extras` | operands | what the epilogue reads beside the result |"] * extended
        lines.append("")
    first, rest = _body(_doc(attributes))
    lines += ["## Attributes", "", first, "", rest, ""]
    for name, cls in attributes.CLASSES.items():
        lines += [f"### `#dry.{name}`", "", _doc(cls), "", *_table(_parameters_of(cls)), ""]
    first, rest = _body(_doc(encoding))
    lines += ["## Encodings", "", first, "", *_blocks(rest), "### Element codes", ""]
    first, rest = _body(_doc(code))
    return "\n".join([*lines, first, "", *_blocks(rest)]) + "\n"


def _table(fields: Iterator[tuple[str, str, str]]) -> list[str]:
    rows = [f"| `{field}` | {kind} | {text} |" for field, kind, text in fields]
    return ["| field | kind | meaning |", "| --- | --- | --- |", *rows]


def _parameters_of(cls: type) -> Iterator[tuple[str, str, str]]:
    """(name, kind, meaning) of the fields of a class that an attribute states, inherited ones first."""
    meanings: dict[str, str] = {}
    for base in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        for line in inspect.getsource(base).splitlines():
            if match := re.fullmatch(r"    (\w+): .*?#: (.*)", line):
                meanings[match[1]] = match[2]
    for field in dataclasses.fields(cls):
        kind = str(field.type if isinstance(field.type, str) else getattr(field.type, "__name__", field.type))
        kind = re.sub(r"drystone\.[\w.]*\.", "", kind).replace("|", "or")
        kind = re.sub(r"\b\w+\b", lambda match: _FIELDS.get(match[0], match[0]), kind)
        meaning = meanings[field.name]
        yield field.name, "flag" if kind == "bool" else kind, meaning


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs of a docstring; indented ones, and `Before:`, `After:`, in fences."""
    for paragraph in re.split(r"\n\n+", text):
        if paragraph.startswith(("    ", "Before:")):
            yield from ("```", inspect.cleandoc(paragraph), "```", "")
        else:
            yield from (paragraph, "")


def passes_page() -> str:
    """Every pass, in the order of the pipeline for a CPU."""
    listed = passes.pipeline(targets.resolve("cpu:avx512"))
    order = " -> ".join(f"`{each.name}`" for each in listed)
    lines = ["# Passes", "", _NOTE, "", _doc(passes), "", f"For a CPU: {order}.", ""]
    more = [*passes.integers_only(None), *passes.integers_only({})]
    names = " -> ".join(f"`{each.name}`" for each in passes.integers_only({}))
    lines += [f"With integers only, behind `quantize-convolutions`: {names}.", ""]
    for each in dict.fromkeys(map(type, (*listed, *more))):
        options = [field for field in dataclasses.fields(each) if field.default is not dataclasses.MISSING]
        lines += [f"## `{each.name}`", "", *_blocks(_doc(each))]
        if options:
            lines += ["Options: " + ", ".join(f"`{o.name}` = {o.default}" for o in options) + ".", ""]
    return "\n".join(lines)


def tile_page() -> str:
    """The vocabulary of tile programs."""
    first, rest = _body(_doc(tile))
    lines = ["# Tile programs", "", _NOTE, "", first, "", rest, "", "## What a family calls", ""]
    lines += ["| of `TileBuilder` | |", "| --- | --- |"]
    for name, method in vars(tile.TileBuilder).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            lines.append(f"| `{name}({_parameters(method)})` | {_line(method)} |")
    lines += ["", "| beside it | |", "| --- | --- |"]
    for helper in (tile.tile_program, tile.distinct, tile.broadcast, tile.Tensor.collapse, tile.Tensor.dim):
        lines.append(f"| `{helper.__qualname__}({_parameters(helper)})` | {_line(helper)} |")
    lines += ["", "## What a program is made of", "", "| class | fields | |", "| --- | --- | --- |"]
    classes = [getattr(tile, name) for name in tile.__all__ if inspect.isclass(getattr(tile, name))]
    for each in classes:
        if dataclasses.is_dataclass(each) and each not in (tile.TileBuilder, index.Index):
            fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(each))
            meaning = "" if _doc(each).startswith(f"{each.__name__}(") else _line(each)
            lines.append(f"| `{each.__name__}` | {fields} | {meaning} |")
    return "\n".join([*lines, "", "## Index expressions", "", _doc(index.Index)]) + "\n"


def _parameters(function: Any) -> str:
    given = list(inspect.signature(function).parameters.values())
    return ", ".join(
        f"{'*' if p.kind is p.VAR_POSITIONAL else '**' if p.kind is p.VAR_KEYWORD else ''}{p.name}"
        for p in given
        if p.name != "self"
    )


def _line(thing: Any) -> str:
    return " ".join(_doc(thing).split()).replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {"ir.md": ir_page, "passes.md": passes_page, "tile.md": tile_page}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (FOLDER / page).write_text(make(), encoding="utf-8")
