"""What a fault of the compiler leaves behind: one file that shows it to whoever mends it."""

import hashlib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drystone import env
from drystone.errors import InternalError, UserError

_PACKAGES = ("drystone", "torch", "torch-mlir", "numpy", "ortools")
#: How many of the innermost frames are listed.
_FRAMES = 12


@dataclass
class Watched:
    """Call it with each stage's name as the stage begins; `program` is what the stages work on, once it is
    there."""

    begin: Callable[[str], None]
    stage: str = ""
    program: Any = None

    def __call__(self, stage: str) -> None:
        self.stage = stage
        self.begin(stage)


@contextmanager
def watch(target: object, begin: Callable[[str], None]) -> Iterator[Watched]:
    """Turns whatever fails inside, but for UserError, into an InternalError that names a file with the IR
    before the failing step, the steps that were left to do, and the versions of everything involved.

    The file is written to the folder DRYSTONE_DUMP, or the current one; its name is made from its content.
    """
    watched = Watched(begin)
    try:
        yield watched
    except UserError:
        raise
    except Exception as error:
        # Whatever a stage raises is a fault of ours; its kind tells nothing more.
        known = isinstance(error, InternalError)
        what = str(error) if known else f"{watched.stage} failed: {type(error).__name__}: {error}"
        told = _written(_report(error, what, watched, target))
        raise InternalError(f"{what}\n  {told}") from error


def _report(error: Exception, what: str, watched: Watched, target: object) -> str:
    """The file's content: comments, then the module. It names no folder of this machine."""
    ir, left = (error.ir, error.left) if isinstance(error, InternalError) else ("", "")
    if not ir and watched.program is not None:
        from drystone.mlir import text

        ir = text(watched.program.module, locations=True)
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    lines = [
        *what.splitlines(),
        "",
        f"stage: {watched.stage}",
        *([f"left to run: {left}"] if left else []),
        f"target: {target}",
        "versions: " + ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        *(f"  {'/'.join(Path(f.filename).parts[-3:])}:{f.lineno} in {f.name}" for f in frames),
    ]
    return "\n".join(f"// {line}".rstrip() for line in lines) + "\n\n" + ir


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


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
    return f"this is a fault of drystone; {path} shows it: please send it with a report"
