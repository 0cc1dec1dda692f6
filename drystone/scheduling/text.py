"""Planning problems read from JSON: the planner's input without the compiler."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_args, get_origin

from drystone.errors import InternalError, UserError
from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.targets.target import Level

_KINDS: tuple[tuple[str, Any], ...] = (("operations", Operation), ("tensors", Tensor), ("levels", Level))


def read(text: str) -> Problem:
    """A problem from JSON: an object with "operations", "tensors", "levels" (fast to slow) and "kept", whose
    items are objects with the fields of `Operation`, `Tensor` and `Level`; those with a default may be left
    out.

    Raises UserError for text that is no problem, and for a problem that contradicts itself.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error}", hint="docs/planning.md shows a problem") from None
    hint = 'it is an object with the lists "operations", "tensors" and "levels", and may have "kept"'
    if not isinstance(data, dict) or set(data) - {"operations", "tensors", "levels", "kept"}:
        raise UserError(f"no planning problem: {str(data)[:80]}", hint=hint)
    parts: dict[str, Any] = {}
    for name, kind in _KINDS:
        if not isinstance(data.get(name), list) or not (data[name] or name != "levels"):
            raise UserError(f'a planning problem without "{name}"', hint=hint)
        parts[name] = tuple(_record(kind, each, f"{name}[{n}]") for n, each in enumerate(data[name]))
    problem = Problem(**parts, kept=_tuples(data.get("kept", [])))
    known = {tensor.name for tensor in problem.tensors}
    levels = {level.name for level in problem.levels}
    for name in problem.kept:
        if name not in known:
            raise UserError(f'"kept" names {name}, which is no tensor', hint='name one of "tensors"')
    for tensor in problem.tensors:
        if tensor.home and tensor.home not in levels - {problem.levels[0].name}:
            raise UserError(
                f"{tensor.name} has its home in {tensor.home}, which is no slower level",
                hint='name one of "levels" behind the first, or leave the home out',
            )
    try:
        Graph(problem)
    except InternalError as error:
        raise UserError(
            f"the problem contradicts itself: {error}", hint="docs/planning.md says what holds of a problem"
        ) from None
    return problem


def _record(kind: Any, data: Any, place: str) -> Any:
    """One object of the JSON as a dataclass, its lists as tuples."""
    known = {field.name: field for field in fields(kind)}
    needed = [name for name, field in known.items() if field.default is MISSING]
    further = sorted(set(known) - set(needed))
    hint = f"it is an object with {', '.join(needed)} and may have {', '.join(further)}"
    if not isinstance(data, Mapping) or set(data) - set(known) or any(name not in data for name in needed):
        raise UserError(f"{place} is no {kind.__name__.lower()}: {json.dumps(data)[:80]}", hint=hint)
    values = {name: _tuples(value) for name, value in data.items()}
    for name, value in values.items():
        if not _fits(value, known[name].type):
            raise UserError(f"{place} has {name} = {json.dumps(data[name])[:80]}", hint=hint)
    return kind(**values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a field's type; numbers are bytes and costs, which are not negative."""
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if not isinstance(value, tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(_fits(each, inner[0]) for each in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if get_args(kind):
        return any(_fits(value, each) for each in get_args(kind))
    return isinstance(value, kind) and (isinstance(value, bool) or not isinstance(value, int) or value >= 0)
