"""Weights of a program as the passes handle them."""

from typing import Any

from drystone.dtypes import Array
from drystone.ir import build
from drystone.ir.dialect import Weight
from drystone.ir.program import Program
from drystone.ir.values import attribute, producer
from drystone.mlir import walk


def weight_key(value: Any) -> str | None:
    """The name of the weight a value is; None for any other value."""
    op = producer(value)
    if op is None or op.operation.name != "dry.weight":
        return None
    return str(op.operation.attributes["key"].value)


def new_weight(program: Program, key: str, array: Array, kind: Any) -> Any:
    """A `dry.weight` of type `kind` at the insertion point, of an array stored under `key` or, where that is
    taken, the next free name after it."""
    return stored_weight(program.weights.add(key, array), kind)


def stored_weight(key: str, kind: Any) -> Any:
    """A `dry.weight` of type `kind` at the insertion point, of the array stored under `key`."""
    return Weight(kind, key=build.string(key)).out


def drop_unused(program: Program) -> None:
    """Drop the arrays of the store that neither a `dry.weight` nor a state's first value names."""
    named = {op.operation.attributes["key"].value for op in walk(program.module) if _is_weight(op)}
    parts = {key for key in program.weights if key.rsplit(".", 1)[0] in named and _is_part(key)}
    initial = program.signature.initial if program.signature is not None else ()
    program.weights.keep_only(named | parts | set(initial))


def _is_weight(op: Any) -> bool:
    return op.operation.name == "dry.weight" and attribute(op, "key") is not None


def _is_part(key: str) -> bool:
    return key.rsplit(".", 1)[-1] in ("scale", "zero_point")
