"""What is asked of `compile` in words, as the command line and drystone.toml have them."""

from collections.abc import Callable, Sequence
from typing import Any

from drystone.caches import Held
from drystone.errors import UserError
from drystone.options import Format, Quantize, Skip, Skipped, Sparsify, Zeroed


def formats(
    given: Sequence[str],
    method: str | None = None,
    group: int | None = None,
    static: bool | None = None,
    ranges: str | None = None,
) -> Format | None:
    """The format for all weights, or those of weights by names."""
    if not given:
        _refuse("--method, --group, --static and --ranges", "--quantize w4", method, group, static, ranges)
        return None
    ends = "minmax" if ranges is None else number(ranges)

    def format_of(name: str) -> Format | None:
        if name == "none":
            return None
        if name == "int8" and (static is not None or ranges is not None):
            return Quantize(name, dynamic=None if static is None else not static, ranges=ends)
        # Products in bytes have a method of their own: with others beside them, these are meant.
        plain = (method is None and group is None) or (name == "int8" and len(given) > 1)
        return name if plain else Quantize(name, method, group)

    return by_names(given, format_of)


def zeros(given: Sequence[str], level: float | None = None, method: str | None = None) -> Zeroed | None:
    """How all weights are pruned, or weights by names."""
    if not given:
        _refuse("--level and --pruning", "--sparsify 2:4", level, method)
        return None

    def zeros_of(name: str) -> Zeroed | None:
        if name == "none":
            return None
        own = number(name)
        if isinstance(own, float):
            return Sparsify(None, own, method)
        return Sparsify(name, None if ":" in name else level, method)

    return by_names(given, zeros_of)


def skips(
    given: Sequence[str], at: str | None = None, per: str | None = None, core: float | None = None
) -> Skipped | None:
    """What is left out of what all weights are multiplied with, or weights by names."""
    if not given:
        _refuse("--skip-at, --skip-per and --skip-core", "--skip 0.7", at, per, core)
        return None

    def skip_of(text: str) -> Skipped | None:
        if text == "none":
            return None
        level = number(text)
        return Skip(level, at, per or "row", core) if isinstance(level, float) else level

    return by_names(given, skip_of)


def caches(given: Sequence[str]) -> Held | dict[str, Held | None] | None:
    """What all caches are held in, or those of states by names."""
    return by_names(given, lambda name: None if name == "none" else name) if given else None


def _refuse(flags: str, example: str, *given: Any) -> None:
    """Raise UserError where flags say more of something that is not there."""
    if any(each is not None for each in given):
        what = example.split()[0]
        raise UserError(f"{flags} say more of {what}", hint=f"give it, such as {example}")


def by_names(given: Sequence[str], meant: Callable[[str], Any]) -> Any:
    """What a text means, or those behind regular expressions and = by these."""
    if len(given) == 1 and "=" not in given[0]:
        return meant(given[0])
    return dict(named(each, meant) for each in given)


def named(text: str, meant: Callable[[str], Any]) -> tuple[str, Any]:
    """The regular expression before =, of all names where there is none, and what the rest means."""
    names, _, rest = text.rpartition("=")
    return names or ".*", meant(rest)


def number(text: str) -> str | float:
    """A number where the text is one."""
    return float(text) if text.replace(".", "", 1).isdigit() else text


def limits(ram: str | None) -> str | dict[str, str] | None:
    """One limit, or several by the names of memory levels ("sram=256KB,dram=8MB")."""
    if ram is None or "=" not in ram:
        return ram
    pairs = (part.partition("=") for part in ram.split(","))
    return {name.strip(): limit for name, _, limit in pairs}
