"""What a fault is known by, so that it can be told whether another one is the same."""

import re
import traceback
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
#: What calls the stages: compiling a model and running a file again are not the same.
_CALLERS = ("compiler.py", "reproducer")
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Fault:
    """The stage that failed, the kind of the error behind it, the innermost function of drystone that it came
    through, and what was said."""

    stage: str
    kind: str
    at: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.at or 'no place of drystone'}, stage {self.stage}: {self.what}"

    def is_like(self, other: "Fault") -> bool:
        """Whether both are the same but for numbers in what was said: weights may be others."""
        said = [_NUMBER.sub("#", each.what) for each in (self, other)]
        return said[0] == said[1] and (self.stage, self.kind, self.at) == (other.stage, other.kind, other.at)


def fault_of(error: BaseException, stage: str) -> Fault:
    """What an error that a stage raised is known by."""
    cause = error
    while cause.__cause__ not in (None, cause):
        cause = cause.__cause__
    own = [frame for frame in traceback.extract_tb(cause.__traceback__) if _is_own(frame.filename)]
    at = f"{Path(own[-1].filename).relative_to(_PACKAGE).as_posix()} in {own[-1].name}" if own else ""
    return Fault(stage, type(cause).__name__, at, str(error))


def _is_own(file: str) -> bool:
    path = Path(file)
    return path.is_relative_to(_PACKAGE) and path.relative_to(_PACKAGE).parts[0] not in _CALLERS
