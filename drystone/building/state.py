"""What is remembered of artifacts that were built, in a file beside them."""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Of the file's layout: what another one holds is forgotten.
_FORMAT = 1
_NAME = ".drystone-build.json"


@dataclass
class Made:
    """An artifact: what it was made of (`content.ingredients`), which files were read to make its model, the
    artifact's own hash, what was measured of it, and the error if it could not be built. Of nothing, where it
    was never built."""

    ingredients: Mapping[str, str] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    digest: str = ""
    measured: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass
class State:
    """files: the hashes that are known (`content.Files`). made: artifacts, by their paths from the folder of
    the project."""

    files: Mapping[str, Any] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)


def read(folder: Path) -> State:
    """What is remembered; nothing where there is no file, or one of another drystone."""
    try:
        data = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        if data["format"] != _FORMAT:
            return State()
        return State(data["files"], {path: Made(**each) for path, each in data["made"].items()})
    except (OSError, ValueError, KeyError, TypeError):
        # It only saves work: without it all is built.
        return State()


def write(folder: Path, state: State) -> None:
    """Remember; the file is there whole."""
    made = {path: vars(each) for path, each in sorted(state.made.items())}
    replace(
        folder / _NAME, json.dumps({"format": _FORMAT, "made": made, "files": state.files}, indent=1) + "\n"
    )


def replace(path: Path, text: str) -> None:
    """Write a file that is there whole, or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process builds in this folder, and keep others waiting."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".drystone-build.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
