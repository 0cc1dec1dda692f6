"""Running a reproducer."""

from dataclasses import dataclass
from pathlib import Path

from drystone import registry
from drystone.errors import UserError
from drystone.reproducer.fault import Fault, fault_of
from drystone.reproducer.files import opened, versions


@dataclass(frozen=True)
class Outcome:
    """What came of running a file again: the fault that it is to show and the one that was met (None: none),
    the error behind that, what the user was told instead, and what is not as it was."""

    wanted: Fault | None
    met: Fault | None
    error: Exception | None
    refused: str
    notes: tuple[str, ...]

    @property
    def code(self) -> int:
        """0: nothing failed, 1: what the file is to show did, 3: something else."""
        if self.met is None:
            return 0
        return 1 if self.wanted is None or self.met.is_like(self.wanted) else 3

    def __str__(self) -> str:
        if self.met is None:
            done = "nothing fails" if self.wanted is None else f"the fault is gone: {self.wanted.what}"
            return f"{done}\n  what is said instead: {self.refused}" if self.refused else done
        if self.code == 3 and self.wanted is not None:
            return f"another fault: {self.met}\n  the file has: {self.wanted}"
        return f"the fault shows: {self.met}"


def reproduce(path: Path) -> Outcome:
    """Run up to a fault again, from the state of a program that the file has. Raises UserError where it holds
    none."""
    registry.load_installed()
    held, stages, now = opened(path), [""], versions()
    others = [(name, old) for name, old in held.versions.items() if now.get(name) != old]
    notes = [f"{name} is {now.get(name, '(not installed)')} here, it was {old}" for name, old in others]
    notes += [f"{each} is left out: the file cannot hold it" for each in held.left_out]
    met, error, refused = None, None, ""
    try:
        held.start.run(stages.append)
    except UserError as told:
        refused = str(told)
    except Exception as raised:
        # As when a model is compiled: whatever a stage raises is a fault.
        met, error = fault_of(raised, stages[-1]), raised
    return Outcome(held.fault, met, error, refused, tuple(notes))
