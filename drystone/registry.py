"""Tables that extensions add to, and what they have added: to be undone, told from other versions, and loaded
where kernels are measured.

What drystone comes with stands in the same tables. Extensions add to them with the functions of
`drystone.extend`, from modules; those that an installed package names in the entry point group
`drystone.extensions` are imported by every process that compiles.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from drystone.errors import UserError

T = TypeVar("T")

#: The group in which installed packages name modules that extend drystone.
GROUP = "drystone.extensions"


class Registry(Mapping[str, T]):
    """Things by name, each name once, in the order they were added. what: what they are called in errors.
    version: another one whenever the table has changed."""

    def __init__(self, what: str, entries: Mapping[str, T] | None = None) -> None:
        self.what, self.version = what, 0
        self._entries: dict[str, T] = dict(entries or {})

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, name: str) -> None:
        """Raises UserError where there is an entry of this name."""
        if name in self._entries:
            raise UserError(f"there is another {self.what} called {name}", hint="give it a name of its own")

    def add(self, name: str, entry: T) -> None:
        """Put an entry behind the others. Raises UserError where there is one of this name."""
        self.check(name)
        self._entries[name] = entry
        self.version += 1

    def replace(self, name: str, entry: T) -> None:
        """Put another entry in the place of the one of this name."""
        assert name in self._entries, name
        self._entries[name] = entry
        self.version += 1

    def drop(self, name: str) -> None:
        """Take an entry out."""
        del self._entries[name]
        self.version += 1


@dataclass(frozen=True)
class Addition:
    """What an extension has added: an "operation" called `name`, for example. module: what added it when it
    was imported. made: what it is made of, whose sources are a part of what kernels are made from
    (`fingerprint`); nothing where no kernel depends on it."""

    what: str
    name: str
    module: str
    made: tuple[object, ...]
    undo: Callable[[], None]


_additions: list[Addition] = []


@contextmanager
def scope() -> Iterator[None]:
    """What is added inside is taken out at the end."""
    before = len(_additions)
    try:
        yield
    finally:
        while len(_additions) > before:
            _additions.pop().undo()


def record(addition: Addition) -> None:
    """Note an addition, which is done."""
    _additions.append(addition)


def put(registry: Registry[T], name: str, entry: T, module: str) -> None:
    """Add what a module extends a registry by, and note how it is taken out. Raises UserError where the name
    is taken."""
    registry.add(name, entry)
    record(Addition(registry.what, name, module, (), lambda: registry.drop(name)))


def additions() -> tuple[Addition, ...]:
    """All additions there are, in order."""
    return tuple(_additions)


def load(modules: Sequence[str]) -> None:
    """Import modules of extensions. Raises UserError for one that there is not, or that fails."""
    for module in modules:
        try:
            import_module(module)
        except UserError:
            raise
        except Exception as error:
            # Whatever the module raises is about the user's own code.
            raise UserError(
                f"the extension {module} cannot be imported: {type(error).__name__}: {error}",
                hint=f'python -c "import {module}" shows more; uninstall the package to do without it',
            ) from error


def installed() -> tuple[str, ...]:
    """The modules that installed packages name."""
    return tuple(sorted({entry.module for entry in entry_points(group=GROUP)}))


def packages() -> tuple[str, ...]:
    """The installed packages that name them."""
    entries = entry_points(group=GROUP)
    return tuple(sorted({entry.dist.name for entry in entries if entry.dist is not None}))


@cache
def load_installed() -> None:
    """Import the extensions that installed packages name. Raises UserError where one fails."""
    load(installed())


def modules() -> tuple[str, ...]:
    """The modules that must be imported where kernels are made from their text, in order. Raises UserError
    for an addition of the script that runs."""
    found = [each for each in _additions if each.made]
    for each in found:
        if each.module == "__main__":
            raise UserError(
                f"{each.what} {each.name} is added by the script that runs, and schedules are measured in "
                "another process",
                hint="add it in a module, and import that in the script",
            )
    return tuple(dict.fromkeys(each.module for each in found))


def fingerprint() -> str:
    """A hash of the additions that kernels depend on and of their sources; "" where there are none."""
    found = [each for each in _additions if each.made]
    digest = hashlib.sha256()
    for each in sorted(found, key=lambda each: (each.what, each.name)):
        digest.update(f"{each.what} {each.name}\0".encode())
        for path in sorted({path for thing in each.made if (path := _source(thing)) is not None}):
            digest.update(path.read_bytes())
    return digest.hexdigest() if found else ""


def _source(thing: object) -> Path | None:
    """The file that a function or class, or that of an object, is written in; None where it is not in one."""
    module = sys.modules.get(getattr(thing, "__module__", None) or type(thing).__module__)
    name = getattr(module, "__file__", None)
    return None if name is None else Path(name)
