"""Values as JSON: dataclasses of drystone by name and fields, arrays by what they are like.

(1, "a")              [1, "a"]
[1], {2}, {"a": 3}    {"list": [1]}, {"set": [2]}, {"map": [["a", 3]]}
Rounding(..)          {"is": "drystone.passes.quantizing.quantize_weights.Rounding", "encoding": .., ..}
an array              {"array": {..}}: see `arrays`
what has a name       {"the": "target"}
a function            {"function": "drystone.module.name"}
what cannot be held   {"left out": "what it is"}, which is read as None
"""

import dataclasses
import importlib
from collections.abc import Mapping
from types import FunctionType
from typing import Any

import numpy as np

from drystone import registry
from drystone.errors import UserError
from drystone.reproducer import arrays

_PACKAGE = __name__.partition(".")[0]


class Stating:
    """States values. named: those that are held elsewhere; left_out: what could not be held, so far."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self.left_out: list[str] = []

    def state(self, value: Any) -> Any:
        """A value that JSON can hold, from which `read` makes an equal one."""
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            return {"array": arrays.described(value)}
        if isinstance(value, tuple):
            return [self.state(each) for each in value]
        if isinstance(value, list):
            return {"list": [self.state(each) for each in value]}
        if isinstance(value, set | frozenset):
            return {"set": [self.state(each) for each in sorted(value, key=repr)]}
        if isinstance(value, Mapping):
            return {"map": [[self.state(key), self.state(each)] for key, each in value.items()]}
        return self._object(value)

    def _object(self, value: Any) -> Any:
        name = f"{_where(value)}.{getattr(value, '__qualname__', '')}"
        if isinstance(value, FunctionType) and _found(name) is value:
            return {"function": name}
        kind = type(value)
        own = f"{kind.__module__}.{kind.__qualname__}"
        if dataclasses.is_dataclass(kind) and _found(own) is kind:
            held = next((name for name, each in self._named.items() if type(each) is kind), None)
            if held is not None and self._named[held] == value:
                return {"the": held}
            fields = [field.name for field in dataclasses.fields(kind) if field.init]
            parts = {field: self.state(getattr(value, field)) for field in fields}
            return {"is": own, **parts}
        self.left_out.append(f"{_where(value)}.{getattr(value, '__qualname__', kind.__qualname__)}")
        return {"left out": self.left_out[-1]}


def read(data: Any, named: Mapping[str, Any]) -> Any:
    """The value that was stated. Raises UserError where this drystone has nothing of a name."""
    if isinstance(data, list):
        return tuple(read(each, named) for each in data)
    if not isinstance(data, dict):
        return data
    if "is" in data:
        kind = _found(data["is"])
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            raise _unknown(data["is"])
        parts = {field: read(each, named) for field, each in data.items() if field != "is"}
        try:
            return kind(**parts)
        except TypeError as error:
            raise _unknown(data["is"], f": {error}") from error
    ((form, held),) = data.items()
    if form == "function":
        function = _found(held)
        if not isinstance(function, FunctionType):
            raise _unknown(held)
        return function
    return _FORMS[form](held, named)


_FORMS: dict[str, Any] = {
    "list": lambda held, named: [read(each, named) for each in held],
    "set": lambda held, named: frozenset(read(each, named) for each in held),
    "map": lambda held, named: {read(key, named): read(each, named) for key, each in held},
    "array": lambda held, named: arrays.drawn(held),
    "the": lambda held, named: named[held],
    "left out": lambda held, named: None,
}


def _where(value: Any) -> str:
    return str(getattr(value, "__module__", type(value).__module__))


def _ours(module: str) -> bool:
    """Whether a module is drystone's, or that of an extension that is loaded."""
    extensions = {each.module for each in registry.additions()} - {"__main__"}
    return module.split(".")[0] == _PACKAGE or module in extensions


def _found(name: str) -> Any:
    """What drystone and its extensions have under a dotted name, nothing of any other package; None where
    there is nothing."""
    module, _, own = name.rpartition(".")
    if not _ours(module):
        return None
    try:
        return getattr(importlib.import_module(module), own, None)
    except ImportError:
        return None


def _unknown(name: str, why: str = "") -> UserError:
    return UserError(
        f"the file names {name}, which this version of drystone does not have so{why}",
        hint="run it with the version that the file names, and the extensions installed that it was left by",
    )
