"""architecture.md: the whole on two pages; its text is a template beside this module."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import jinja2

from docs.pages.structure import PACKAGE, imports, said_of
from docs.pages.text import NOTE


def architecture_page() -> str:
    """The text, with the folders of each stage and what it exports."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    source = Path(__file__).with_suffix(".md.j2").read_text(encoding="utf-8")
    note = NOTE.replace("docstrings", "template in docs/pages")
    return environment.from_string(source).render(note=note, folders=list(_folders()), doors=list(_doors()))


def _folders() -> Iterator[tuple[str, str]]:
    """Folders of folders of the package, and what each says of itself."""
    for file in sorted(PACKAGE.glob("*/**/__init__.py")):
        folder = file.parent.relative_to(PACKAGE)
        if len(folder.parts) > 1:
            yield str(folder), " ".join(said_of(file).split())


def _doors() -> Iterator[tuple[str, str]]:
    """Folders of the package and the names they export."""
    for part in sorted(imports()):
        names = getattr(import_module(f"drystone.{part}"), "__all__", ())
        if names:
            yield part, ", ".join(f"`{name}`" for name in names)
