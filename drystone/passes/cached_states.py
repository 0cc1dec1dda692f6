"""States of keys and values as codes: what is written to them, and what attention reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from drystone import caches
from drystone.caches import Held
from drystone.errors import UserError
from drystone.ir.build import integer, scatter
from drystone.ir.dialect import WriteRows
from drystone.ir.encoding import (
    Codes,
    Encoding,
    Joined,
    Pack,
    Per,
    Recent,
    Scale,
    Strings,
    encode,
    part_key,
    storage_element,
    storage_shape,
    with_encoding,
)
from drystone.ir.formats import int8_row
from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import operand_groups
from drystone.mlir import ir
from drystone.passes.quantize_products import rounded_rows
from drystone.passes.read_caches import KEYS, Cache, State, renewed, reread, settle
from drystone.passes.rewriting import tensor_type

#: Places that are tried for each end of a block's numbers, where they are searched for.
_TRIES = 5
#: Peaks of keys among the groups of attention's operands.
_PEAKS = 6
#: The largest code of a byte.
_LARGEST = np.float32(127)


def hold(program: Program, chosen: Mapping[int, tuple[Cache, Held]]) -> None:
    """Hold the chosen states, by number, as codes."""
    reads: dict[Any, dict[int, list[Any]]] = {}

    def make(number: int, argument: Any) -> list[State] | None:
        if number not in chosen:
            return None
        cache, held = chosen[number]
        made = (_in_bytes if isinstance(held, str) else _as_codes)(program, cache, held, argument)
        for op, operand in cache.reads:
            reads.setdefault(op, {})[operand] = [state.value for state in made]
        return made

    states = renewed(program, make)
    for op, values in reads.items():
        groups = operand_groups(op)
        for operand, (codes, *peaks) in values.items():
            groups[operand], groups[_PEAKS + operand - KEYS] = [codes], peaks
        reread(op, groups)
    settle(program, states, [cache.write for cache, _ in chosen.values()])


def _in_bytes(program: Program, cache: Cache, held: Held, argument: Any) -> list[State]:
    """The codes and the peaks of rows of bytes."""
    spec, key, op, block = cache.spec, cache.key, cache.write, argument.owner
    rows, at = list(op.operands)[:2]
    shape, kinds = tuple(argument.type.shape), (ir.IntegerType.get_signless(8), ir.F32Type.get())
    own = [
        block.add_argument(tensor_type(extents, kind), argument.location)
        for extents, kind in zip((shape, shape[:-1]), kinds, strict=True)
    ]
    parts = encode(program.weights[key], int8_row(3))
    codes = program.weights.add(f"{key}.int8", parts["codes"])
    peaks = program.weights.add(f"{key}.peak", _LARGEST * parts["scale"])
    with ir.InsertionPoint(op), op.location:
        made = rounded_rows(rows)
        written = [
            scatter(before, new, at, cache.dims)
            for before, new in zip(own, (made.codes, made.peak), strict=True)
        ]
    return [
        State(TensorSpec(spec.name, "i8", spec.shape), codes, written[0]),
        State(TensorSpec(part_key(spec.name, "peak"), "f32", spec.shape[:-1]), peaks, written[1]),
    ]


def _as_codes(program: Program, cache: Cache, held: Held, argument: Any) -> list[State]:
    """The one state of a `Cache`. Raises UserError for states that cannot be one."""
    assert isinstance(held, caches.Cache)
    spec, key, axis = cache.spec, cache.key, cache.axis
    encoding = Joined(_encoding(held, cache))
    kind = with_encoding(argument.type, encoding)
    own = argument.owner.add_argument(kind, argument.location)
    initial = encode(program.weights[key], encoding)["codes"]
    rows, at = list(cache.write.operands)[:2]
    with ir.InsertionPoint(cache.write), cache.write.location:
        tries = integer(_TRIES if held.searched else 1)
        written = WriteRows(kind, own, rows, at, axis=integer(axis), tries=tries).out
    stored = TensorSpec(spec.name, storage_element(kind), storage_shape(kind))
    return [State(stored, program.weights.add(f"{key}.codes", initial), written)]


def _encoding(held: caches.Cache, cache: Cache) -> Encoding:
    """The encoding of a state."""
    spec, shape, axis = cache.spec, cache.by_position(), cache.axis
    by_position = held.block(keys=cache.is_keys) == 1
    if not by_position and shape[axis] % held.group:
        raise UserError(
            f"caches: {spec.name} has {shape[axis]} positions, no whole groups of {held.group}",
            hint=f"make room for {-(-shape[axis] // held.group) * held.group}, or give another group",
        )
    width = max(n for n in range(1, min(held.group, shape[-1]) + 1) if shape[-1] % n == 0)
    per = Per.group(3, width) if by_position else Per.group(axis, held.group)
    # Factors of positions lie along these, so that those of neighbours are read together.
    half = Codes("f16", None, Pack(outer_perm=(0, 3 - axis, 3, axis)) if by_position else None)
    codes = Codes(f"uint{held.bits}", Scale(per, half, minimum=half), Strings(axis))
    return Recent(codes, axis, held.window, Codes(held.held)) if held.window else codes
