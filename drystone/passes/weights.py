"""Weights of a program as the passes handle them."""

import re
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir import build
from drystone.ir.dialect import Weight
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import Parts, part_key
from drystone.ir.program import Program
from drystone.ir.values import attribute, producer
from drystone.mlir import walk

#: What passes put behind the name of a weight.
_KINDS = "packed|decoded|bundled|folded|coded|pruned|sparse|scaled|phases|bf16|f16|term"
_MADE = re.compile(rf"(\.({_KINDS})(\.\d+)?)+$")


def weight_key(value: Any) -> str | None:
    """The name of the weight a value is; None for any other value."""
    op = producer(value)
    if op is None or op.operation.name != "dry.weight":
        return None
    return str(op.operation.attributes["key"].value)


def weight_parts(program: Program, value: Any) -> Parts:
    """The arrays that a weight is stored in."""
    key = str(weight_key(value))
    return {
        part: program.weights[part_key(key, part)] for part in encoding_of(value.type).parts(value.type.shape)
    }


def new_weight(program: Program, key: str, array: Array, kind: Any) -> Any:
    """A `dry.weight` of type `kind` at the insertion point, of an array stored under `key` or, where that is
    taken, the next free name after it."""
    return stored_weight(program.weights.add(key, array), kind)


def stored_weight(key: str, kind: Any) -> Any:
    """A `dry.weight` of type `kind` at the insertion point, of the array stored under `key`."""
    return Weight(kind, key=build.string(key)).out


def coded_weight(program: Program, key: str, parts: Parts, kind: Any) -> Any:
    """A `dry.weight` of type `kind`, whose encoding has these parts, at the insertion point; stored as by
    `new_weight`."""
    name = program.weights.free(key, [part for part in parts if part != "codes"])
    for part, array in parts.items():
        program.weights.add(part_key(name, part), np.ascontiguousarray(array).reshape(array.shape))
    return stored_weight(name, kind)


def model_name(key: str) -> str:
    """What the model calls the weight that an array was made from."""
    return _MADE.sub("", key)


def is_made(key: str) -> bool:
    """Whether a pass made the array, rather than the model or its checkpoint having it."""
    return model_name(key) != key


def is_asked(key: str) -> bool:
    """Whether `quantize-weights` made the array, in a format that the user asks for."""
    return ".coded" in key.removeprefix(model_name(key))


def made_of(key: str, other: str) -> bool:
    """Whether the array of a key is that of another one, or what `pack-weights` and the like made of it."""
    return key == other or (key.startswith(f"{other}.") and model_name(key) == model_name(other))


def window_of(program: Program, key: str) -> int | None:
    """For how many calls rows of a weight, or of what it was made from, stay that are not read; None where
    they do not come as they are read."""
    return next((runs for other, runs in program.windows.items() if made_of(key, other)), None)


def model_names(program: Program, key: str) -> tuple[str, ...]:
    """All names that the model has for it: a parameter that several modules share has several."""
    return program.weights.names(model_name(key))


def drop_unused(program: Program) -> None:
    """Drop the arrays of the store that no `dry.weight` has a part in and no state's first value names."""
    named: set[str] = set(program.signature.initial if program.signature is not None else ())
    for op in walk(program.module):
        if op.operation.name == "dry.weight" and attribute(op, "key") is not None:
            kind, key = op.operation.results[0].type, op.operation.attributes["key"].value
            named |= {part_key(key, part) for part in encoding_of(kind).parts(kind.shape)}
    program.weights.keep_only(named)
