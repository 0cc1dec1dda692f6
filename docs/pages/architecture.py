"""architecture.md: the whole on two pages; its text is a template beside this module."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import jinja2

from docs.pages.structure import imports
from docs.pages.text import NOTE


def architecture_page() -> str:
    """The text, with what each stage exports."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    source = Path(__file__).with_suffix(".md.j2").read_text(encoding="utf-8")
    note = NOTE.replace("docstrings", "template in docs/pages")
    return environment.from_string(source).render(note=note, doors=list(_doors()))


def _doors() -> Iterator[tuple[str, str]]:
    """Folders of the package and the names they export."""
    for part in sorted(imports()):
        names = getattr(import_module(f"drystone.{part}"), "__all__", ())
        if names:
            yield part, ", ".join(f"`{name}`" for name in names)
