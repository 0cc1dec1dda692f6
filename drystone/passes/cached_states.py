"""States of keys and values as codes: what is written to them, and what attention reads."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from drystone.ir.values import main_block, operand_groups
from drystone.mlir import func, ir
from drystone.passes import kept_positions
from drystone.passes.kept_positions import Kept
from drystone.passes.quantize_products import rounded_rows
from drystone.passes.results import declare
from drystone.passes.rewriting import ops, tensor_type

#: Positions of keys and values among the operands of attention, and of their peaks among its groups.
KEYS, VALUES, _PEAKS = 1, 2, 6
#: The largest code of a byte.
_LARGEST = np.float32(127)


@dataclass(frozen=True)
class Cache:
    """A state that can be held as codes: its number, the operation that writes rows to it, and what reads it
    afterwards: operations and the number of the operand."""

    number: int
    write: Any
    reads: tuple[tuple[Any, int], ...]

    @property
    def dims(self) -> list[int]:
        """The dimensions that rows are found by."""
        return list(ir.DenseI64ArrayAttr(self.write.attributes["dimension_map"]))


@dataclass(frozen=True)
class _State:
    """A state as it becomes: how it is called and what it first holds, its argument and its new value."""

    spec: TensorSpec
    key: str
    value: Any


def hold(program: Program, chosen: Mapping[int, tuple[Cache, Held]]) -> None:
    """Hold the chosen states, by number, as codes."""
    signature, block = program.signature, main_block(program)
    (last,) = ops(block, "func.return")
    results = list(last.operation.operands)[len(signature.outputs) :]
    states: list[_State] = []
    reads: dict[Any, dict[int, list[Any]]] = {}
    kept: dict[Any, dict[int, Kept]] = {}
    for number, (spec, key, result) in enumerate(
        zip(signature.states, signature.initial, results, strict=True)
    ):
        argument = block.arguments[len(signature.inputs) + number]
        if number not in chosen:
            argument.replace_all_uses_with(block.add_argument(argument.type, argument.location))
            states.append(_State(spec, key, result))
            continue
        cache, held = chosen[number]
        if isinstance(held, caches.Keep):
            made, rows = _as_kept(program, cache, held, argument)
            for op, operand in cache.reads:
                kept.setdefault(op, {})[operand] = rows
        else:
            made = (_in_bytes if isinstance(held, str) else _as_codes)(program, cache, held, argument)
            for op, operand in cache.reads:
                reads.setdefault(op, {})[operand] = [state.value for state in made]
        states += made
    for op, values in reads.items():
        if op not in kept:
            _read(op, values)
    for op, some in kept.items():
        kept_positions.read(op, some)
    with ir.InsertionPoint(last), last.operation.location:
        outputs = list(last.operation.operands)[: len(signature.outputs)]
        func.ReturnOp([*outputs, *(state.value for state in states)])
    last.operation.erase()
    for cache, _ in chosen.values():
        cache.write.erase()
    _retype(program, states)


def _in_bytes(program: Program, cache: Cache, held: Held, argument: Any) -> list[_State]:
    """The codes and the peaks of rows of bytes."""
    spec, key = program.signature.states[cache.number], program.signature.initial[cache.number]
    op, block = cache.write, argument.owner
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
        _State(TensorSpec(spec.name, "i8", spec.shape), codes, written[0]),
        _State(TensorSpec(part_key(spec.name, "peak"), "f32", spec.shape[:-1]), peaks, written[1]),
    ]


def _as_codes(program: Program, cache: Cache, held: Held, argument: Any) -> list[_State]:
    """The one state of a `Cache`. Raises UserError for states that cannot be one."""
    assert isinstance(held, caches.Cache)
    spec, key = program.signature.states[cache.number], program.signature.initial[cache.number]
    axis, operand = _axis(cache), cache.reads[0][1]
    encoding = Joined(_encoding(held, spec, cache.dims, axis, keys=operand == KEYS))
    kind = with_encoding(argument.type, encoding)
    own = argument.owner.add_argument(kind, argument.location)
    initial = encode(program.weights[key], encoding)["codes"]
    rows, at = list(cache.write.operands)[:2]
    with ir.InsertionPoint(cache.write), cache.write.location:
        written = WriteRows(kind, own, rows, at, axis=integer(axis)).out
    stored = TensorSpec(spec.name, storage_element(kind), storage_shape(kind))
    return [_State(stored, program.weights.add(f"{key}.codes", initial), written)]


def _as_kept(program: Program, cache: Cache, keep: caches.Keep, argument: Any) -> tuple[list[_State], Kept]:
    """The state of the rows that are kept and, of keys, the one that says whose they are. Raises UserError
    for states that cannot be kept so."""
    spec, key = program.signature.states[cache.number], program.signature.initial[cache.number]
    axis = _axis(cache)
    extents = _by_position(spec, cache.dims, axis)
    if np.any(program.weights[key]):
        raise UserError(
            f"caches: {spec.name} starts with rows, of which {keep} cannot tell the newest",
            hint="start from zeros",
        )
    positions, block = extents[axis], argument.owner
    room = kept_positions.room_of(program, keep, spec.name, cache.write, positions)
    shape = tuple(room if d == axis else n for d, n in enumerate(extents))
    own = block.add_argument(tensor_type(shape, argument.type.element_type), argument.location)
    first = program.weights.add(f"{key}.kept", np.zeros(shape, np.float32))
    places = None
    if any(operand == KEYS for _, operand in cache.reads):
        places = block.add_argument(tensor_type((room,), ir.IntegerType.get_signless(64)), argument.location)
    with ir.InsertionPoint(cache.write), cache.write.location:
        rows = kept_positions.written(keep, cache.write, own, places, positions)
    states = [_State(TensorSpec(spec.name, spec.dtype, shape), first, rows.rows)]
    if places is not None:
        whose, none = kept_positions.places_of(spec.name, room)
        states.append(_State(whose, program.weights.add(f"{key}.places", none), rows.places))
    return states, rows


def _axis(cache: Cache) -> int:
    """The axis of positions of a state."""
    op, _ = cache.reads[0]
    return 2 if ir.StringAttr(op.attributes["layout"]).value == "bhsd" else 1


def _by_position(spec: TensorSpec, dims: list[int], axis: int) -> tuple[int, ...]:
    """The shape of a state. Raises UserError where rows are not found by their position alone."""
    shape = tuple(n for n in spec.shape if isinstance(n, int))
    if len(shape) < 4 or dims != [axis]:
        raise UserError(
            f"caches: rows of {spec.name} {list(spec.shape)} are not found by their position alone, or there "
            "are not always as many",
            hint='hold it in "int8", or as it is (None)',
        )
    return shape


def _encoding(held: caches.Cache, spec: TensorSpec, dims: list[int], axis: int, *, keys: bool) -> Encoding:
    """The encoding of a state whose positions are along `axis`."""
    shape = _by_position(spec, dims, axis)
    by_position = (held.keys if keys else held.values) == "token"
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


def _retype(program: Program, states: list[_State]) -> None:
    """Drop the arguments of the old states, and say what the new ones are."""
    signature, block = program.signature, main_block(program)
    for _ in signature.states:
        block.erase_argument(len(signature.inputs))
    declare(program)
    specs, keys = tuple(state.spec for state in states), tuple(state.key for state in states)
    program.signature = replace(signature, states=specs, initial=keys)


def _read(op: Any, values: dict[int, list[Any]]) -> None:
    """Let attention read codes, of bytes with their peaks, as keys, values or both."""
    operation, groups = op.operation, operand_groups(op)
    for operand, (codes, *peaks) in values.items():
        groups[operand], groups[_PEAKS + operand - KEYS] = [codes], peaks
    named = {name: operation.attributes[name] for name in operation.attributes}
    named["operandSegmentSizes"] = ir.DenseI32ArrayAttr.get([len(group) for group in groups])
    operands = [value for group in groups for value in group]
    with ir.InsertionPoint(op), operation.location:
        made = ir.Operation.create(operation.name, [operation.results[0].type], operands, named)
    operation.results[0].replace_all_uses_with(made.results[0])
    operation.erase()
