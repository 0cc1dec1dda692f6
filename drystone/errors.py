"""The two kinds of failure: what the user can mend, and what we must."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where in the user's model something is: the layer's qualified name ("" for the model itself, and where
    there is none) and a line of source (file "" where it is not known)."""

    file: str = ""
    line: int = 0
    layer: str = ""

    def __str__(self) -> str:
        source = f"{self.file}:{self.line}" if self.file else ""
        return f"{self.layer} ({source})" if self.layer and source else self.layer or source


class DrystoneError(Exception):
    """Base of every error drystone raises on purpose."""


class UserError(DrystoneError):
    """Something the user can change: what is wrong, where in the user's model, and what to do about it."""

    def __init__(self, what: str, *, where: str | Place | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        lines = [what]
        if where is not None:
            lines.append(f"  at {where}")
        if hint is not None:
            lines.append(f"  {hint}")
        super().__init__("\n".join(lines))


class InternalError(DrystoneError):
    """A fault of drystone itself: a pass broke the IR, a plan failed its check, a kernel did not lower.

    What is known of what the step that failed was given: ir and left: a module's text and the upstream passes
    that were to be run on it; program and passes: a program and the passes from that one on. told: a file
    that shows the fault was written, and the text says so.
    """

    def __init__(
        self,
        what: str,
        *,
        ir: str = "",
        left: str = "",
        program: Any = None,
        passes: Sequence[Any] = (),
        told: bool = False,
    ) -> None:
        self.ir, self.left, self.told = ir, left, told
        self.program, self.passes = program, passes
        super().__init__(what)


def meant(word: object, known: Iterable[str]) -> str:
    """What a hint begins with where a word is nearly one of the known ones: which; "" elsewhere."""
    near = get_close_matches(str(word), list(known), 1)
    return f'did you mean "{near[0]}"? ' if near else ""
