"""The text of a reproducer: comments for a person, the module, and behind it what running it takes.

// pass fuse-concat failed: list index out of range
// ..
module { .. }
//! {
//!  "fault": {"stage": "optimize", ..},
//!  "weights": {
//!   "0.weight": {"array": {"dtype": "<f4", "shape": [4, 3], "held": "whole", ..}}}}
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drystone import registry
from drystone.errors import UserError
from drystone.files import read_text
from drystone.reproducer.fault import Fault
from drystone.reproducer.starts import KINDS, Start
from drystone.reproducer.stated import Stating, read
from drystone.targets.target import Target

_MARK = "//! "
#: What a file says of itself that has no start, before why.
UNABLE = "it cannot be run again: "
_PACKAGES = ("drystone", "torch", "torch-mlir", "numpy", "ortools")
#: Parts of the data of which each is written on a line of its own.
_DEPTH = 2


@dataclass(frozen=True)
class Reproducer:
    """What a file holds: where to start, the fault that is to show (None: whatever does), the versions it was
    seen with and what of its options could not be held."""

    start: Start
    fault: Fault | None
    versions: Mapping[str, str]
    left_out: tuple[str, ...]


def versions() -> dict[str, str]:
    """Those of everything involved, by the name of the package."""
    return {name: _version(name) for name in (*_PACKAGES, *registry.packages())}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def trailer(start: Start, target: Target, fault: Fault | None) -> str:
    """What stands behind the module."""
    stated = Stating({}).state(target)
    stating = Stating({"target": target})
    data = start.data(stating)
    head = {"fault": None if fault is None else asdict(fault), "versions": versions()}
    whole = {**head, "target": stated, "left out": stating.left_out, **data}
    return "".join(f"{_MARK}{line}\n" for line in _laid_out(whole, _DEPTH).splitlines())


def _laid_out(data: Any, depth: int) -> str:
    if not depth or not data or not isinstance(data, dict | list):
        return json.dumps(data)
    pad = " " * (_DEPTH - depth + 1)
    if isinstance(data, dict):
        parts = [f"{json.dumps(key)}: {_laid_out(each, depth - 1)}" for key, each in data.items()]
    else:
        parts = [_laid_out(each, depth - 1) for each in data]
    opened, closed = "{}" if isinstance(data, dict) else "[]"
    inside = f",\n{pad}".join(parts)
    return f"{opened}\n{pad}{inside}{closed}"


def opened(path: Path) -> Reproducer:
    """A file that the compiler left, or a dump. Raises UserError where it holds nothing to run."""
    lines = read_text(path).splitlines()
    marked = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
    unable = next((line for line in lines if line.startswith(f"// {UNABLE}")), None)
    if unable is not None:
        raise UserError(
            f"{path} says of itself: {unable.removeprefix('// ')}",
            hint="what it shows is in its comments: the error, the stage, the lines that it came through",
        )
    if not marked:
        raise UserError(
            f"{path} holds nothing that can be run",
            hint="give a drystone-failure-*.mlir that a fault of drystone left, or a file that DRYSTONE_DUMP "
            "had written while a model was compiled",
        )
    module = "\n".join(line for line in lines if not line.startswith(_MARK))
    try:
        data = json.loads("\n".join(marked))
        named = {"target": read(data["target"], {})}
        kind = next(kind for part, kind in KINDS.items() if part in data)
        start = kind.read(data, module, named)
        fault = None if data["fault"] is None else Fault(**data["fault"])
        return Reproducer(start, fault, data["versions"], tuple(data["left out"]))
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise UserError(
            f"{path} is damaged, or another version of drystone wrote it: {type(error).__name__}: {error}",
            hint="get the file anew, whole: its last lines, which begin with //!, say how it is run",
        ) from error
