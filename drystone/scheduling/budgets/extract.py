"""From an outlined program to a planning problem."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from drystone.errors import UserError
from drystone.ir.buffers import Buffer, Buffers, Call, buffers
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir, ir_place
from drystone.options import byte_count
from drystone.scheduling.problem import Operation, Problem, Tensor
from drystone.targets.target import Level, Target


def problem_of(
    program: Program,
    target: Target,
    limits: Mapping[str, int | str] | None = None,
    work: Mapping[str, int] | None = None,
    found: Buffers | None = None,
) -> Problem:
    """The planning problem of an outlined program on a target: the kernel calls over the arena's buffers.

    Inputs, outputs, states and weights have memory of their own, so that they only order the calls. `limits`
    are capacities by the name of a level (bytes, or text such as "256KB"). `work` says what running each call
    again costs, in bytes moved; those may that write the arena alone and read nothing that changes. `found`:
    the program's buffers where they are known.

    Raises UserError where a limit is no amount of memory or of no level of the target, and where a size
    depends on the model's data.
    """
    found = found or buffers(program)
    arena = {buffer.name: buffer for buffer in found.buffers.values() if buffer.kind == "arena"}
    kept = _read_at_the_end(program, found)
    levels = _limited(target, limits or {})
    return Problem(
        tuple(
            _operation(call, found, arena, writers, (work or {}).get(call.name))
            for call, writers in _with_writers(found)
        ),
        tuple(Tensor(buffer.name, buffer.size, buffer.where) for buffer in arena.values()),
        levels,
        tuple(name for name in arena if name in kept),
    )


def _limited(target: Target, limits: Mapping[str, int | str]) -> tuple[Level, ...]:
    """The target's levels, none larger than its limit."""
    names = [level.name for level in target.levels]
    for name in limits:
        if name not in names:
            raise UserError(
                f"the budget limits {name!r}, but {target.name} has no such memory level",
                hint=f"its levels are {', '.join(names)}",
            )
    return tuple(
        replace(level, capacity=min(byte_count(limits[level.name]), level.capacity or 1 << 62))
        if level.name in limits
        else level
        for level in target.levels
    )


def _with_writers(found: Buffers) -> list[tuple[Call, dict[str, str]]]:
    """Each call with the last call before it that wrote each buffer it reads."""
    writers: dict[str, str] = {}
    pairs = []
    for call in found.calls:
        pairs.append((call, {name: writers[name] for name in call.inputs if name in writers}))
        writers |= dict.fromkeys(call.outputs, call.name)
    return pairs


def _operation(
    call: Call, found: Buffers, arena: Mapping[str, Buffer], writers: dict[str, str], work: int | None
) -> Operation:
    outside = [writers[name] for name in call.inputs if name not in arena and name in writers]
    return Operation(
        call.name,
        tuple(name for name in call.inputs if name in arena),
        tuple(name for name in call.outputs if name in arena),
        in_place=call.in_place,
        after=tuple(dict.fromkeys(outside)),
        where=str(ir_place(call.op) or ""),
        work=work if _repeatable(call, found, arena) else None,
    )


def _repeatable(call: Call, found: Buffers, arena: Mapping[str, Buffer]) -> bool:
    """Whether a call gives the same whenever it runs, and changes nothing outside the arena."""
    constant = all(found.buffers[name].kind in ("input", "weight", "arena") for name in call.inputs)
    return constant and arena.keys() >= set(call.outputs)


def _read_at_the_end(program: Program, found: Buffers) -> set[str]:
    """Buffers that something other than a kernel reads: states copied back at the end, and what assertions
    look at, which stand at no step."""
    pending = [
        value
        for op in main_block(program).operations
        if op.operation.name in ("func.return", "cf.assert")
        for value in op.operation.operands
    ]
    read: set[str] = set()
    seen: set[Any] = set()
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in found.of:
            read.add(found.of[value])
        if not isinstance(value.owner, ir.Block) and value.owner.name != "func.call":
            pending.extend(value.owner.operands)
    return read
