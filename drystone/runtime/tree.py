"""Nested arguments and results as JSON values: "*" is the next leaf, see `Signature` for the rest."""

from collections.abc import Iterator
from typing import Any

from drystone.errors import UserError


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
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise UserError(f"{where} takes the names {sorted(inner)}, not {got}")
        parts = [(value[key], child, f"{where}[{key!r}]") for key, child in inner.items()]
    else:
        if not isinstance(value, (list, tuple)) or len(value) != len(inner):
            got = f"{len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
            raise UserError(f"{where} takes {len(inner)} values, not {got}")
        parts = [(v, child, f"{where}[{i}]") for i, (v, child) in enumerate(zip(value, inner, strict=True))]
    return [leaf for v, child, place in parts for leaf in flatten(v, child, place)]


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
