"""What artifacts are made of, as hashes: what has changed since they were built."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

import drystone
from drystone import models, targets
from drystone.building.project import Entry, Project, listed
from drystone.errors import UserError

#: Packages of which the compiled program depends.
_PACKAGES = ("drystone", "torch", "torch-mlir", "numpy", "ortools", "xgboost-cpu", "safetensors")
#: Nanoseconds for which a file's time may stay as it is though the file is written again.
_RACY = 2_000_000_000
#: Settings that say what becomes of an artifact, not what it is.
_NOT_MADE_OF = ("source", "targets", "output", "variants", "tolerance", "memory", "depends")


class Files:
    """The hashes of files; of those whose size and time are as they were, those that are known."""

    def __init__(self, known: Mapping[str, Sequence[Any]]) -> None:
        self._known = {path: (*each,) for path, each in known.items()}
        self._asked: dict[str, str] = {}

    def digest(self, path: Path) -> str:
        """A file's hash, or that of all files of a folder; "" where there is none."""
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file())
            return _of([f"{each.relative_to(path)} {self.digest(each)}" for each in inside])
        key = str(path)
        if key not in self._asked:
            self._asked[key] = self._found(path, key)
        return self._asked[key]

    def forget(self, path: Path) -> None:
        """The file was written."""
        self._asked.pop(str(path), None)

    def known(self) -> dict[str, Sequence[Any]]:
        """What is to be remembered of the files that were asked for."""
        return {key: self._known[key] for key in sorted(self._asked) if key in self._known}

    def _found(self, path: Path, key: str) -> str:
        if not path.is_file():
            self._known.pop(key, None)
            return ""
        status = path.stat()
        now = (status.st_size, status.st_mtime_ns)
        known = self._known.get(key)
        if known is not None and known[:2] == now:
            return str(known[2])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time_ns() - status.st_mtime_ns > _RACY:
            self._known[key] = (*now, digest)
        else:
            self._known.pop(key, None)
        return digest


def _of(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def compiler() -> str:
    """What compiles: drystone's own files, and the versions of what it is built upon and of installed
    packages that extend it."""
    folder = Path(drystone.__file__).parent
    own = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".mlir"))
    return _of(
        [
            *(f"{name} {_version(name)}" for name in (*_PACKAGES, *sorted(_extensions()))),
            *(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in own),
        ]
    )


def _extensions() -> set[str]:
    """Installed packages that register something with drystone."""
    known = entry_points()
    groups = (group for group in known.groups if group.startswith("drystone."))
    found = (each.dist for group in groups for each in known.select(group=group))
    return {each.name for each in found if each is not None}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def ingredients(
    entry: Entry, project: Project, read: Iterable[str], files: Files, made_by: str
) -> dict[str, str]:
    """Everything an artifact is made of, and its hash. read: the files that were read when it was built last;
    made_by: `compiler()`. Raises UserError for patterns of files that there are none of."""
    options = {key: each for key, each in entry.table.items() if key not in _NOT_MADE_OF}
    limits = {key: each for key, each in options.pop("budget", {}).items() if key != "latency"}
    options |= {f"budget.{key}": each for key, each in limits.items()}
    found = {
        "drystone": made_by,
        f"the target {entry.target}": _of([repr(dataclasses.asdict(targets.resolve(entry.target)))]),
        "source": entry.settings.source,
        **{key: json.dumps(each, sort_keys=True) for key, each in options.items()},
    }
    for path in dict.fromkeys([*named(entry, project), *(project.root / each for each in read)]):
        found[relative(path, project.root)] = files.digest(path)
    return found


def relative(path: Path, root: Path) -> str:
    """A path as seen from the project's folder, where it is in there."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def named(entry: Entry, project: Project) -> Iterator[Path]:
    """The files that the settings name."""
    settings, root = entry.settings, project.root
    for text in (settings.source, settings.calibration):
        if text is not None and models.function_of(text) is None:
            yield root / text
    if settings.held is not None:
        yield root / settings.held.path
    if settings.database is not None and not settings.tune and "://" not in settings.database:
        yield root / settings.database
    for pattern in listed(settings.depends):
        found = sorted(root.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not found:
            raise UserError(f"no file is called {pattern}", where=f"{entry.where}.depends")
        yield from found


def size(paths: Iterable[Path]) -> int:
    """Bytes of files, and of all files in folders."""
    files = [each for path in paths for each in (path.rglob("*") if path.is_dir() else [path])]
    return sum(each.stat().st_size for each in files if each.is_file())


def changed_since(path: Path, began: int) -> bool:
    """Whether a file was written after a time, in ns."""
    return path.is_file() and path.stat().st_mtime_ns >= began


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs, in words."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        if name not in before:
            found.append(f"{name} is new")
        elif name not in now or now[name] == "":
            found.append(f"{name} is gone")
        elif before[name] != now[name]:
            found.append(f"{name} changed")
    return found
