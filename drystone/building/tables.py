"""Tables of TOML as dataclasses: every key known, every value of its field's type."""

import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from drystone.errors import UserError

_Kind = TypeVar("_Kind")
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def read(kind: type[_Kind], table: Any, where: str) -> _Kind:
    """The dataclass that a table holds. where: the file and the key path, for errors. Raises UserError for
    keys that are no fields, values of another type, and fields without a default that are not there."""
    found = values(kind, table, where)
    for each in fields(cast(Any, kind)):
        if each.name not in found and each.default is MISSING and each.default_factory is MISSING:
            raise UserError(f"{each.name} is missing", where=where, hint=f"say {each.name} = ..")
    hints = keys(kind)
    made = {key: _made(hints[key], value, f"{where}.{key}") for key, value in found.items()}
    with placed(where):
        return kind(**made)


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Says of errors inside where they are, where they do not say it themselves."""
    try:
        yield
    except UserError as error:
        raise UserError(error.what, where=error.where or where, hint=error.hint) from error


def values(kind: type, table: Any, where: str) -> dict[str, Any]:
    """A table whose keys are fields of a dataclass, some of them, with values of their types."""
    if not isinstance(table, dict):
        raise UserError(f"{table!r} is no table", where=where, hint=f"say [{where.partition(': ')[2]}]")
    hints = keys(kind)
    for key, value in table.items():
        known(key, hints, where)
        check(value, hints[key], f"{where}.{key}")
    return table


def known(key: str, names: Iterable[str], where: str, what: str = "key") -> None:
    """Raise UserError where a key is none of these names, and say which is nearest."""
    names = [*names]
    if key not in names:
        near = nearest(key, names)
        hint = f'did you mean "{near}"?' if near else f"there are {', '.join(names)}"
        raise UserError(f'there is no {what} "{key}"', where=where, hint=hint)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of these names that may have been meant."""
    return next(iter(get_close_matches(name, [*names], 1, 0.5)), None)


def check(value: Any, hint: Any, where: str) -> None:
    """Raise UserError where a value of TOML is not of a type."""
    kinds = _alternatives(hint)
    if not any(_fits(value, each, where) for each in kinds):
        raise UserError(f"{value!r} is not {_spoken(kinds)}", where=where)


def _fits(value: Any, hint: Any, where: str) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is tuple:
        if isinstance(value, list):
            for number, each in enumerate(value):
                check(each, inner[0], f"{where}[{number}]")
        return isinstance(value, list)
    if origin is not None:
        if isinstance(value, dict):
            for key, each in value.items():
                check(each, inner[1], f"{where}.{key}")
        return isinstance(value, dict)
    if isinstance(hint, type) and is_dataclass(hint):
        return isinstance(value, dict) and values(hint, value, where) is value
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _made(hint: Any, value: Any, where: str) -> Any:
    """A value of TOML as its field holds it: lists as tuples, tables as dataclasses."""
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        for each in _alternatives(hint):
            if isinstance(each, type) and is_dataclass(each):
                return read(each, value, where)
    return value


def keys(kind: type) -> dict[str, Any]:
    """The fields of a dataclass that a table can hold, and their types."""
    return {name: hint for name, hint in get_type_hints(kind).items() if _alternatives(hint)}


def _alternatives(hint: Any) -> list[Any]:
    """Those of a field's types that a value of TOML can have: it has no null and no functions."""
    union = get_origin(hint) in (Union, types.UnionType)
    return [each for each in (get_args(hint) if union else [hint]) if _is_told(each)]


def _is_told(kind: Any) -> bool:
    origin = get_origin(kind)
    table = origin is tuple or (isinstance(origin, type) and issubclass(origin, Mapping))
    return kind is Any or kind in _NAMES or table or is_dataclass(kind)


def _spoken(kinds: Iterable[Any]) -> str:
    """Types in words."""
    words = []
    for each in kinds:
        origin = get_origin(each)
        word = "a list" if origin is tuple else "a table" if origin or is_dataclass(each) else _NAMES[each]
        words.append(word)
    return " or ".join(dict.fromkeys(words))
