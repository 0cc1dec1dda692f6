"""The two kinds of failure: what the user can mend, and what we must."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where in the user's model something is: a source line, or the name of an input or a layer."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


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
    """A fault of drystone itself: a pass broke the IR, a plan failed its check, a kernel did not lower."""
