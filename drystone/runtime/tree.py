"""Nested arguments and results as JSON values: "*" is the next leaf, see `Signature` for the rest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drystone.errors import UserError

_NEST = "arguments nest as those that the model was compiled with"


def flatten(value: Any, tree: Any, where: str = "the arguments") -> list[Any]:
    """The leaves of `value`, which must nest as `tree` says.

    Raises UserError naming the place where it does not.
    """
    if tree == "*":
        return [value]
    (kind, inner), *_ = tree.items()
    if kind == "value":
        if value != inner:
            raise UserError(
                f"the model was compiled for {where} = {inner!r}, not {value!r}",
                hint="values that are not tensors are fixed when a model is compiled: compile it again",
            )
        return []
    if kind == "dict":
        if not isinstance(value, dict) or set(value) != set(inner):
            got = f"one of {sorted(map(str, value))}" if isinstance(value, dict) else type(value).__name__
            raise UserError(f"{where} must be a dict of {sorted(inner)}, not {got}", hint=_NEST)
        parts = [(value[key], child, f"{where}[{key!r}]") for key, child in inner.items()]
    else:
        if not isinstance(value, (list, tuple)) or len(value) != len(inner):
            got = f"of {len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
            raise UserError(f"{where} must be a {kind} of {len(inner)}, not {got}", hint=_NEST)
        parts = [(v, child, f"{where}[{i}]") for i, (v, child) in enumerate(zip(value, inner, strict=True))]
    return [leaf for v, child, place in parts for leaf in flatten(v, child, place)]


def arguments(args: Sequence[Any], kwargs: Mapping[str, Any], tree: Any, names: Sequence[str]) -> list[Any]:
    """The leaves of a call's arguments; `tree` says how they nest, `names` what the leaves are called.

    Raises UserError naming the argument that is missing, left over or nested differently.
    """
    positional, named = tree["tuple"]
    wanted = positional["tuple"]
    expected = named["dict"]
    if not kwargs and not expected and len(args) == len(wanted) and all(child == "*" for child in wanted):
        return list(args)
    if wrong := _unlike(args, kwargs, wanted, expected):
        raise UserError(wrong, hint=f"it was compiled for {spelled(tree, names)}")
    parts = [
        (value, child, f"argument {i}") for i, (value, child) in enumerate(zip(args, wanted, strict=True))
    ]
    parts += [(kwargs[name], child, f"argument {name!r}") for name, child in expected.items()]
    return [leaf for value, child, where in parts for leaf in flatten(value, child, where)]


def _unlike(
    args: Sequence[Any], kwargs: Mapping[str, Any], wanted: Sequence[Any], expected: Mapping[str, Any]
) -> str | None:
    """What is missing or left over, if anything is."""
    if len(args) != len(wanted):
        takes = f"{len(wanted)} positional argument{'' if len(wanted) == 1 else 's'}"
        return f"the model takes {takes}, not {len(args)}"
    if missing := [name for name in expected if name not in kwargs]:
        return f"the argument {missing[0]!r} is missing"
    if unknown := [name for name in kwargs if name not in expected]:
        return f"the model takes no argument named {unknown[0]!r}"
    return None


def spelled(tree: Any, names: Sequence[str]) -> str:
    """The call that `tree` describes, with the leaves' names: "model(ids, mask=mask)"."""
    leaves = iter(names)

    def say(inner: Any) -> str:
        if inner == "*":
            return next(leaves)
        (kind, children), *_ = inner.items()
        if kind == "value":
            return repr(children)
        if kind == "dict":
            return "{" + ", ".join(f"{key!r}: {say(child)}" for key, child in children.items()) + "}"
        listed = ", ".join(say(child) for child in children)
        return f"[{listed}]" if kind == "list" else f"({listed}{',' if len(children) == 1 else ''})"

    positional, named = tree["tuple"]
    said = [say(child) for child in positional["tuple"]]
    said += [f"{name}={say(child)}" for name, child in named["dict"].items()]
    return f"model({', '.join(said)})"


def unflatten(leaves: Iterator[Any], tree: Any) -> Any:
    """The nested value `tree` describes, its leaves taken in order."""
    if tree == "*":
        return next(leaves)
    (kind, inner), *_ = tree.items()
    if kind == "value":
        return inner
    if kind == "dict":
        return {key: unflatten(leaves, child) for key, child in inner.items()}
    items = [unflatten(leaves, child) for child in inner]
    return tuple(items) if kind == "tuple" else items
