"""drystone.toml: every model, for every variant and target, as an artifact to build."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from drystone import targets
from drystone.building import settings, tables
from drystone.building.settings import Settings
from drystone.errors import UserError
from drystone.files import read_text
from drystone.options import byte_count


@dataclass(frozen=True)
class Build:
    """The table [build]: cores and memory, what may be used at once (by default all that is there); output,
    the folder of artifacts; results, the file that says what came of each (by default results.json in that
    folder); path, the folders that modules are imported from."""

    cores: int | None = None
    memory: int | str | None = None
    output: str = "build"
    results: str | None = None
    path: str | tuple[str, ...] = "."


@dataclass(frozen=True)
class Entry:
    """One artifact: `table` is what the file says of it, `where` the place that says it."""

    model: str
    variant: str
    target: str
    name: str
    output: Path
    settings: Settings
    table: Mapping[str, Any]
    where: str


@dataclass(frozen=True)
class Project:
    """What a file asks for; `root` is its folder."""

    file: Path
    root: Path
    build: Build
    entries: tuple[Entry, ...]

    @property
    def folder(self) -> Path:
        """Where artifacts are, unless they have paths of their own."""
        return self.root / self.build.output

    @property
    def results(self) -> Path:
        """The file that says what came of each artifact."""
        return self.root / self.build.results if self.build.results else self.folder / "results.json"

    @property
    def path(self) -> list[Path]:
        """The folders that modules are imported from."""
        return [self.root / each for each in listed(self.build.path)]

    def only(self, names: Sequence[str]) -> tuple[Entry, ...]:
        """Entries by names, models or paths of artifacts, or patterns of them; all where there are none.
        Raises UserError for a name of nothing."""
        chosen: set[str] = set()
        for name in names:
            found = [each.name for each in self.entries if _is_called(each, name)]
            if not found:
                words = [word for each in self.entries for word in (each.model, each.name)]
                tables.known(name, dict.fromkeys(words), str(self.file), "model")
            chosen.update(found)
        return tuple(each for each in self.entries if not names or each.name in chosen)


def _is_called(entry: Entry, name: str) -> bool:
    return (
        any(fnmatchcase(word, name) for word in (entry.model, entry.name))
        or entry.output == Path(name).absolute()
    )


def listed(value: str | Sequence[str]) -> list[str]:
    """One text, or several."""
    return [value] if isinstance(value, str) else [*value]


def read(file: Path) -> Project:
    """What a file asks for. Raises UserError, with the line or the keys, for what it cannot."""
    try:
        data = tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file} is no TOML: {error}") from None
    for key, each in data.items():
        tables.known(key, ("build", "defaults", "model"), str(file), "table")
        tables.check(each, Mapping[str, Any], f"{file}: {key}")
    if not data.get("model"):
        raise UserError(f"{file} names no models", hint='say [model.NAME] and source = "model.pt2"')
    root, build = file.absolute().parent, tables.read(Build, data.get("build", {}), f"{file}: build")
    defaults = tables.values(Settings, data.get("defaults", {}), f"{file}: defaults")
    for key in ("cores", "memory"):
        if (size := getattr(build, key)) is not None:
            with tables.placed(f"{file}: build.{key}"):
                _refuse_none(byte_count(size))
    entries = [
        each
        for name, table in data["model"].items()
        for each in _entries(name, table, defaults, build, root, f"{file}: model.{name}")
    ]
    _refuse_common_paths(entries)
    return Project(file, root, build, tuple(entries))


def _refuse_none(value: int) -> None:
    if value < 1:
        raise UserError(f"{value} builds nothing", hint="give 1 or more, or leave it out")


def _entries(
    name: str, table: Any, defaults: Mapping[str, Any], build: Build, root: Path, where: str
) -> Iterator[Entry]:
    """A model's artifacts: for each of its variants, for each of its targets."""
    if not re.fullmatch(r"[\w.-]+", name):
        raise UserError(f"{name!r} is no name of a file", where=where, hint="use letters, digits, . - and _")
    plain = {key: each for key, each in tables.values(Settings, table, where).items() if key != "variants"}
    variants = table.get("variants") or {"": {}}
    for variant, own in variants.items():
        place = f"{where}.variants.{variant}" if variant else where
        tables.values(Settings, own, place)
        if "variants" in own:
            raise UserError("variants have no variants", where=place)
        merged = _merged(defaults, plain, own)
        made = tables.read(Settings, merged, place)
        settings.check(made, root, place)
        for target in listed(made.targets):
            with tables.placed(f"{place}.targets"):
                targets.resolve(target)
            several = len(listed(made.targets)) > 1
            words = {"model": name, "variant": variant, "target": re.sub(r"[^\w.-]", "-", target)}
            yield Entry(
                model=name,
                variant=variant,
                target=target,
                name=name + (f"/{variant}" if variant else "") + (f"@{target}" if several else ""),
                output=root / _output(made.output, words, several, build.output, place),
                settings=made,
                table=merged,
                where=place,
            )


def _merged(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Tables one over the other; of budgets each limit by itself."""
    found: dict[str, Any] = {}
    for level in levels:
        budget = {**found.get("budget", {}), **level.get("budget", {})}
        found.update(level)
        if budget:
            found["budget"] = budget
    return found


def _output(given: str | None, words: Mapping[str, str], several: bool, folder: str, where: str) -> Path:
    """Where an artifact goes."""
    if given is None:
        parts = [words["model"], words["variant"], words["target"] if several else ""]
        return Path(folder, "-".join(filter(None, parts)) + ".dry")
    try:
        return Path(given.format(**words))
    except (KeyError, IndexError, ValueError):
        hint = "in braces it names {model}, {variant} and {target} only"
        raise UserError(f"{given!r} is no path", where=f"{where}.output", hint=hint) from None


def _refuse_common_paths(entries: Sequence[Entry]) -> None:
    seen: dict[Path, Entry] = {}
    for each in entries:
        other = seen.setdefault(each.output.resolve(), each)
        if other is not each:
            raise UserError(
                f"{other.name} and {each.name} would both be {each.output}",
                where=each.where,
                hint='give output = "{model}-{variant}-{target}.dry", or another name',
            )
