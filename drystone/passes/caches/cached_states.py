"""States of keys and values as codes: what is written to them, and what attention reads."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from drystone import caches
from drystone.caches import Held
from drystone.errors import UserError
from drystone.ir.build import integer, scatter
from drystone.ir.dialect import WriteRows
from drystone.ir.encoded import storage_element, storage_shape, with_encoding
from drystone.ir.encoding import Codes, Encoding, Joined, Pack, Per, Recent, Scale, Strings, encode
from drystone.ir.formats import int8_row
from drystone.ir.program import Program, TensorSpec
from drystone.ir.values import operand_groups
from drystone.mlir import ir
from drystone.passes.caches.read_caches import KEYS, Cache, State, part_of, renewed, reread, settle
from drystone.passes.quantizing.quantize_products import rounded_rows

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
    rows, at = list(cache.write.operands)[:2]
    parts = encode(program.weights[cache.key], int8_row(3))
    own = [
        part_of(program, cache, argument, part, element, first)
        for part, element, first in (
            ("codes", "i8", parts["codes"]),
            ("peak", "f32", _LARGEST * parts["scale"]),
        )
    ]
    with ir.InsertionPoint(cache.write), cache.write.location:
        made = rounded_rows(rows)
        return [
            replace(state, value=scatter(state.value, new, at, cache.dims))
            for state, new in zip(own, (made.codes, made.peak), strict=True)
        ]


def _as_codes(program: Program, cache: Cache, held: Held, argument: Any) -> list[State]:
    """The one state of a `Cache`. Raises UserError for states that cannot be one."""
    assert isinstance(held, caches.Cache)
    spec, key, axis = cache.spec, cache.key, cache.axis
    coded = held.keys if cache.is_keys else held.values
    encoding = Joined(_encoding(held, coded, cache))
    kind = with_encoding(argument.type, encoding)
    own = argument.owner.add_argument(kind, argument.location)
    initial = encode(program.weights[key], encoding)["codes"]
    rows, at = list(cache.write.operands)[:2]
    with ir.InsertionPoint(cache.write), cache.write.location:
        tries = integer(_TRIES if coded.searched else 1)
        written = WriteRows(kind, own, rows, at, axis=integer(axis), tries=tries).out
    stored = TensorSpec(spec.name, storage_element(kind), storage_shape(kind))
    return [State(stored, program.weights.add(f"{key}.codes", initial), written)]


def _encoding(held: caches.Cache, coded: caches.Coded, cache: Cache) -> Encoding:
    """The encoding of a state whose numbers are coded so."""
    spec, shape, axis, block = cache.spec, cache.by_position(), cache.axis, coded.block
    if shape[axis] % block:
        raise UserError(
            f"caches: {spec.name} has {shape[axis]} positions, no whole groups of {block}",
            hint=f"make room for {-(-shape[axis] // block) * block}, or give another group",
        )
    width = max(n for n in range(1, min(coded.group, shape[-1]) + 1) if shape[-1] % n == 0)
    per = Per.group(3, width) if block == 1 else Per.group(axis, block)
    # Factors of positions lie along these, so that those of neighbours are read together.
    half = Codes("f16", None, Pack(outer_perm=(0, 3 - axis, 3, axis)) if block == 1 else None)
    codes = Codes(f"uint{coded.bits}", Scale(per, half, minimum=half), Strings(axis))
    return Recent(codes, axis, held.window, Codes(held.held)) if held.window else codes
