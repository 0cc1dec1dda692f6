"""While a model is compiled: what is known of it, and the file that a fault leaves."""

import hashlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drystone import env, mlir, passes
from drystone.errors import InternalError, UserError
from drystone.ir.program import Program
from drystone.options import Budget, Options
from drystone.passes.patching.patch import Patch
from drystone.reproducer.fault import Fault, fault_of
from drystone.reproducer.files import UNABLE, trailer, versions
from drystone.reproducer.starts import Importing, Passing, Start
from drystone.targets.target import Target

#: How many of the innermost frames are listed.
_FRAMES = 12


@dataclass
class Watched:
    """Call it with each stage's name as the stage begins, and say what the stages work on once it is there.

    source: gives the program of torch's that is imported; program: what stages work on; fused: the same as it
    was before it was outlined.
    """

    begin: Callable[[str], None]
    target: Target
    options: Options
    stage: str = ""
    source: Callable[[], Any] | None = None
    program: Program | None = None
    fused: Program | None = None
    budget: Budget = field(default_factory=Budget)
    schedules: dict[str, Any] = field(default_factory=dict)

    def __call__(self, stage: str) -> None:
        self.stage = stage
        self.begin(stage)

    def passing(self, program: Program, left: Sequence[passes.Pass], to_compile: bool = True) -> Passing:
        """A program with these passes left to do, as `drystone reproduce` runs it."""
        given = self.target, self.options, self.budget, self.schedules
        return Passing(program, tuple(left), *given, to_compile)

    def note(self, program: Program, left: Sequence[passes.Pass]) -> str:
        """What stands behind a dumped program, so that `drystone reproduce` runs it."""
        return trailer(self.passing(program, left), self.target, None)

    def start(self, error: Exception) -> Start | None:
        """From where to run up to an error again; None where nothing was there yet."""
        if isinstance(error, InternalError) and error.program is not None:
            # Passes with others behind them may have looked at the program alone.
            outline = any(each.name == Patch.name for each in error.passes)
            return self.passing(error.program, error.passes, outline)
        if self.fused is not None:
            return self.passing(self.fused, passes.outlining())
        return None if self.source is None else Importing(self.source())


@contextmanager
def watch(target: Target, begin: Callable[[str], None], options: Options) -> Iterator[Watched]:
    """Turns whatever fails inside, but for UserError, into an InternalError that names a file with the IR
    before the failing step, the steps that were left to do, and the versions of everything involved:
    `drystone reproduce` runs it.

    The file is written to the folder DRYSTONE_DUMP, or the current one; its name is made from its content.
    """
    watched = Watched(begin, target, options)
    try:
        yield watched
    except UserError:
        raise
    except Exception as error:
        # Whatever a stage raises is a fault of ours; its kind tells nothing more.
        known = isinstance(error, InternalError)
        if isinstance(error, InternalError) and error.told:  # by a model that was compiled on the way
            raise
        what = str(error) if known else f"{watched.stage} failed: {type(error).__name__}: {error}"
        told = _written(_report(error, what, watched))
        raise InternalError(f"{what}\n  {told}", told=True) from error


def _report(error: Exception, what: str, watched: Watched) -> str:
    """The file's content: comments, then the module, then how it is run. It names no folder of this
    machine."""
    module, behind, why = _start(error, fault_of(error, watched.stage), watched)
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    left = (
        ", ".join(each.name for each in error.passes) or error.left
        if isinstance(error, InternalError)
        else ""
    )
    lines = [
        *what.splitlines(),
        "",
        f"stage: {watched.stage}",
        *([f"left to run: {left}"] if left else []),
        f"target: {watched.target}",
        "versions: " + ", ".join(f"{name} {number}" for name, number in versions().items()),
        why,
        *(f"  {'/'.join(Path(f.filename).parts[-3:])}:{f.lineno} in {f.name}" for f in frames),
    ]
    return "\n".join(f"// {line}".rstrip() for line in lines) + f"\n\n{module.rstrip()}\n\n{behind}"


def _start(error: Exception, fault: Fault, watched: Watched) -> tuple[str, str, str]:
    """The module, what stands behind it, and how it is run or why it cannot be."""
    try:
        start = watched.start(error)
        if start is not None:
            run = "to run it again: drystone reproduce FILE (of weights of more than 1 KB it has a sample)"
            return start.module, trailer(start, watched.target, fault), run
        why = "there was no program yet"
    except Exception as second:
        # The first error is what counts: the second must not take its place.
        why = f"{type(second).__name__}: {second}"
    module = error.ir if isinstance(error, InternalError) else ""
    if not module and watched.program is not None:
        module = mlir.text(watched.program.module, locations=True)
    return module, "", f"{UNABLE}{why}"


def _written(content: str) -> str:
    """Write the file and say so; another file of its name is left alone."""
    name = f"drystone-failure-{hashlib.sha256(content.encode()).hexdigest()[:12]}.mlir"
    path = (env.dump_folder() or Path()) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        return f"this is a fault of drystone; what shows it could not be written to {path}: {error}"
    return (
        f"this is a fault of drystone; {path} shows it: please send it with a report\n"
        f"  drystone reproduce {path} runs up to it again"
    )
