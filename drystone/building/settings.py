"""What drystone.toml may say of a model, and what `compile` is asked for with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drystone import models
from drystone.asking import words as asking
from drystone.building import tables
from drystone.caches import Cache, Keep
from drystone.errors import UserError
from drystone.options import Budget, Checkpoint, Options, Quantize, Skip, Sparsify, Tune, byte_count


@dataclass(frozen=True)
class Limits:
    """What an artifact may take: those of `drystone.Budget`, and `latency`, the median time of a call on this
    machine, in seconds or as text ("2ms"); it is measured when nothing else is built."""

    ram: int | str | Mapping[str, int | str] | None = None
    weights: int | str | None = None
    bits: float | None = None
    error: float | None = None
    latency: float | str | None = None


@dataclass(frozen=True)
class Settings:
    """A model's table. Paths are relative to the file's folder.

    source: a .pt2 file, or "module:function" (`drystone.models.loaded`). depends: more files, or patterns of
    them, that the artifact is made of, where Python does not read them itself. targets: one, or several.
    output: the artifact's path, in which {model}, {variant} and {target} stand for these. quantize, sparsify,
    skip and caches: as on the command line, or tables with the fields of `Quantize`, `Sparsify`, `Skip`, and
    `Cache` or `Keep`; with `names`, a regular expression, in a list of them. calibration: an .npz, or
    "module:function" that gives calls. tolerance: the largest difference of an output from the model's
    (`runtime.accuracy.distance`); by default 1e-3 where nothing is asked for that costs precision, else none.
    memory: what building it takes, where the estimate is wrong. variants: tables that say some of all this
    differently, each an artifact.
    """

    source: str
    depends: str | tuple[str, ...] = ()
    targets: str | tuple[str, ...] = "cpu"
    output: str | None = None
    quantize: Any = None
    sparsify: Any = None
    skip: Any = None
    caches: Any = None
    calibration: str | None = None
    checkpoint: str | Checkpoint | None = None
    compute: str | None = None
    threads: int | None = None
    pin: bool = False
    plan_seconds: float = 5.0
    database: str | None = None
    tune: bool | Tune | None = None
    budget: Limits = field(default_factory=Limits)
    tolerance: float | None = None
    memory: int | str | None = None
    variants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def allowed(self) -> float | None:
        """The largest difference of an output; None: any."""
        lossy = (self.quantize, self.sparsify, self.skip, self.caches, self.compute, self.budget.error)
        exact = all(each is None for each in lossy)
        return 1e-3 if self.tolerance is None and exact else self.tolerance

    @property
    def held(self) -> Checkpoint | None:
        """The checkpoint, if there is one."""
        return Checkpoint(self.checkpoint) if isinstance(self.checkpoint, str) else self.checkpoint


def arguments(settings: Settings, root: Path, where: str) -> dict[str, Any]:
    """What `compile` takes beside the model and the target. Calibration that a function gives is not there
    yet. Raises UserError for what there is not."""
    limits, options = settings.budget, settings
    budget = Budget(limits.ram, limits.weights, limits.error, limits.bits)
    found: dict[str, Any] = {
        "budget": budget,
        "quantize": _asked(settings.quantize, Quantize, lambda t: asking.formats([t]), f"{where}.quantize"),
        "sparsify": _asked(settings.sparsify, Sparsify, lambda t: asking.zeros([t]), f"{where}.sparsify"),
        "skip": _asked(settings.skip, Skip, lambda t: asking.skips([t]), f"{where}.skip"),
        "caches": _asked(settings.caches, Cache, lambda t: asking.caches([t]), f"{where}.caches"),
        "tune": _tune(settings.tune),
        "options": Options(
            options.threads, options.plan_seconds, False, options.compute, options.pin, options.database
        ),
    }
    if settings.held is not None:
        found["checkpoint"] = replace(settings.held, path=root / settings.held.path)
    if settings.calibration is not None and models.function_of(settings.calibration) is None:
        found["calibration"] = root / settings.calibration
    return found


def _asked(given: Any, kind: type, meant: Callable[[str], Any], where: str) -> Any:
    """What is given for all weights, or for those of several names, the first that match."""
    if given is None:
        return None
    found: dict[str, Any] = {}
    for number, each in enumerate(given if isinstance(given, list | tuple) else [given]):
        place = f"{where}[{number}]" if isinstance(given, list | tuple) else where
        if isinstance(each, str | int | float) and not isinstance(each, bool):
            text = meant(str(each))
            pairs = text if isinstance(text, dict) else {".*": text}
        elif isinstance(each, dict):
            tables.check(each.get("names", ""), str, f"{place}.names")
            pairs = {each.get("names", ".*"): _table(kind, each, place)}
        else:
            raise UserError(f"{each!r} is neither text nor a table", where=place)
        for names, one in pairs.items():
            found.setdefault(names, one)
    return found[".*"] if [*found] == [".*"] else found


def _table(kind: type, given: dict[str, Any], where: str) -> Any:
    rest = {key: each for key, each in given.items() if key != "names"}
    if kind is Cache and not {"keys", "values"} & rest.keys():
        kind = Keep
    return tables.read(kind, rest, where)


def _tune(given: bool | Tune | None) -> Tune | bool | None:
    """A search that has a number of trials alone ends with these, as on the command line."""
    if isinstance(given, Tune) and given.trials is not None and given.minutes == Tune.minutes:
        return replace(given, minutes=None)
    return given


def seconds(value: float | str) -> float:
    """Seconds from a number or from text such as "2ms". Raises UserError for anything else."""
    given = value
    if isinstance(value, str):
        units = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
        unit = next((unit for unit in units if value.endswith(unit)), "")
        amount = asking.number(value.removesuffix(unit).strip())
        value = amount * units[unit] if unit and isinstance(amount, float) else -1.0
    if not value > 0:
        raise UserError(f"{given!r} is no time", hint='write it as 0.002, "2ms" or "150us"')
    return value


def check(settings: Settings, root: Path, where: str) -> None:
    """Raise UserError for what can be seen to be wrong before anything is built."""
    arguments(settings, root, where)
    limits = settings.budget
    rams = limits.ram.values() if isinstance(limits.ram, Mapping) else [limits.ram]
    sizes = [(f"{where}.budget.ram", each) for each in rams]
    for place, size in (
        *sizes,
        (f"{where}.budget.weights", limits.weights),
        (f"{where}.memory", settings.memory),
    ):
        if size is not None:
            with tables.placed(place):
                byte_count(size)
    if limits.latency is not None:
        with tables.placed(f"{where}.budget.latency"):
            seconds(limits.latency)
    for key, text in (("source", settings.source), ("calibration", settings.calibration)):
        if text is not None and models.function_of(text) is None:
            _there(root / text, f"{where}.{key}")
    if settings.held is not None:
        _there(root / settings.held.path, f"{where}.checkpoint")


def _there(path: Path, where: str) -> None:
    if not path.exists():
        near = tables.nearest(path.name, (each.name for each in _beside(path)))
        hint = f'did you mean "{near}"?' if near else f"paths are relative to {path.parent}"
        raise UserError(f"there is no file {path}", where=where, hint=hint)


def _beside(path: Path) -> list[Path]:
    return sorted(path.parent.iterdir()) if path.parent.is_dir() else []
