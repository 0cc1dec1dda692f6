"""What pages share: docstrings as Markdown."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

NOTE = "<!-- Written by `python -m docs.generate`; change the docstrings instead. -->"


def doc(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def parted(text: str) -> tuple[str, str]:
    """The first line of a docstring, and the rest."""
    first, _, rest = text.partition("\n")
    return first, rest.strip("\n")


def paragraph(thing: Any) -> str:
    """The first paragraph of a docstring as one line of a table."""
    return in_row(doc(thing).split("\n\n")[0])


def line(thing: Any) -> str:
    """A docstring as one line of a table."""
    return in_row(doc(thing))


def in_row(text: str) -> str:
    """Text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def blocks(text: str) -> Iterator[str]:
    """Paragraphs of a docstring; indented ones, and `Before:`, `After:`, in fences."""
    for each in re.split(r"\n\n+", text):
        if each.startswith(("    ", "Before:")):
            yield from ("```", inspect.cleandoc(each), "```", "")
        else:
            yield from (each, "")


def parameters(function: Any) -> str:
    """The names of a function's parameters, as a call has them."""
    given = list(inspect.signature(function).parameters.values())
    return ", ".join(
        f"{'*' if p.kind is p.VAR_POSITIONAL else '**' if p.kind is p.VAR_KEYWORD else ''}{p.name}"
        for p in given
        if p.name != "self"
    )
