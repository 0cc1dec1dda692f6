"""The target that docs/adding_a_target.md adds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from drystone import registry
from tests import tutorials


@contextmanager
def scratchpad() -> Iterator[str]:
    """Its name, while it is there; so is its backend, "scalar-c"."""
    page = (tutorials.FOLDER / "adding_a_target.md").read_text(encoding="utf-8")
    blocks = [step.code for step in tutorials.steps(page)]
    first = next(number for number, code in enumerate(blocks) if "class Ladder" in code)
    with registry.scope():
        names: dict[str, Any] = {"__name__": __name__}
        for code in blocks[:first]:
            exec(compile(code, "adding_a_target.md", "exec"), names)
        yield "scratchpad"
