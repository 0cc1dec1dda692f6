"""Models by their names: paths of exported programs, and functions that make them."""

import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from drystone.errors import UserError

_FUNCTION = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")
#: What a function may give by name: arguments of `compile`, but for where the results go.
_NOT_GIVEN = ("target", "options", "tune", "budget")


def function_of(text: str) -> tuple[str, str] | None:
    """The module and the name of a function ("module:function"), or None for a path."""
    found = _FUNCTION.fullmatch(text)
    return None if found is None else (found[1], found[2])


def loaded(text: str, root: Path, **asked: Any) -> dict[str, Any]:
    """The arguments of `compile` that a model's name stands for, and those that are asked for (not None).

    text: the path of a .pt2 file, relative to `root`, or "module:function", a function without arguments of a
    module that can be imported from there. It gives the model and a tuple of example inputs, or a mapping
    with "model" and whatever else `compile` takes that says how the model is to be held ("kwargs",
    "dynamic_shapes", "quantize", ..). Raises UserError where there is none, it gives something else, or
    something that is asked for too.
    """
    asked = {name: each for name, each in asked.items() if each is not None}
    if function_of(text) is None:
        return {"model": root / text, **asked}
    given = _given(text, root)
    for key in given.keys() & asked.keys():
        raise UserError(f"{key} is asked for, and {text} gives it too", hint="leave one of the two out")
    return {**given, **asked}


def _given(text: str, root: Path) -> dict[str, Any]:
    """What a function gives, as arguments of `compile`."""
    given = called(text, root)
    if isinstance(given, tuple) and len(given) == 2:
        return {"model": given[0], "example_inputs": given[1]}
    if not isinstance(given, Mapping) or "model" not in given:
        raise UserError(
            f"{text} gives no model with example inputs but this: {given!r:.60}",
            hint='return (model, (x,)), or {"model": model, "example_inputs": (x,), ..}',
        )
    known = _taken()
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), known, 1, 0.0)[0]
            raise UserError(f'{text} gives "{key}", which is no argument of compile', hint=f'say "{near}"')
    return dict(given)


def called(text: str, root: Path) -> Any:
    """What a function, by its name, gives. Raises UserError where there is none."""
    named = function_of(text)
    if named is None:
        raise UserError(f"{text!r} is no function", hint='name one as "module:function"')
    module, name = named
    folder = str(root.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UserError(
            f"there is no module {error.name!r} for {text}", hint=f"modules of {folder}"
        ) from None
    made = getattr(found, name, None)
    if not callable(made):
        known = [key for key, each in vars(found).items() if inspect.isfunction(each)]
        near = get_close_matches(name, known, 1, 0.0)
        hint = f'did you mean "{module}:{near[0]}"?' if near else f"{found.__file__} has no functions"
        raise UserError(f"{module} has no function {name!r}", hint=hint)
    return made()


def _taken() -> list[str]:
    """Arguments of `compile` that a function may give."""
    from drystone.compiler import compile

    return [name for name in inspect.signature(compile).parameters if name not in _NOT_GIVEN]
