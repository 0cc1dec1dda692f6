"""Control flow: dialects scf, cf and func, and weights."""

from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import decode, part_key
from drystone.ir.interpreter.machine import Machine, element_name, fault, handles


@handles("dry.weight")
def _weight(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    kind, key = op.out.type, op.key.value
    encoding = encoding_of(kind)
    parts = {name: machine.weights[part_key(key, name)] for name in encoding.parts(kind.shape)}
    return [decode(parts, encoding, kind.shape, element_name(kind))]


@handles("func.call")
def _call(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    name = op.operation.attributes["callee"].value
    if name not in machine.functions:
        raise fault(op, f"calls @{name}, which the module does not have")
    return machine.call(machine.functions[name], args)


@handles("cf.assert")
def _assert(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    if not np.all(args[0]):
        raise fault(op, f"assertion failed: {op.operation.attributes['msg'].value}")
    return []


@handles("scf.for")
def _for(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    lower, upper, step = (int(bound) for bound in args[:3])
    carried = args[3:]
    for position in range(lower, upper, step):
        carried = machine.region(op, [np.asarray(position), *carried])
    return carried


@handles("scf.if")
def _if(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    condition = np.asarray(args[0])
    has_else = bool(len(op.operation.regions[1].blocks))
    if condition.ndim and condition.min(initial=True) != condition.max(initial=False):
        # Inside a structured operation's region elements part ways: both are computed, each takes its own.
        outer, machine.guarded = machine.guarded, True
        taken, other = machine.region(op, []), machine.region(op, [], 1) if has_else else []
        machine.guarded = outer
        return [np.where(condition, a, b) for a, b in zip(taken, other, strict=True)]
    if bool(condition.all()):
        return machine.region(op, [])
    return machine.region(op, [], 1) if has_else else []


@handles("scf.while")
def _while(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    carried = args
    while True:
        condition, *carried = machine.region(op, carried)
        if not bool(condition):
            return carried
        carried = machine.region(op, carried, 1)


@handles("scf.execute_region")
def _execute(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return machine.region(op, [])


@handles("scf.index_switch")
def _switch(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    cases = list(op.operation.attributes["cases"])
    chosen = int(args[0])
    return machine.region(op, [], cases.index(chosen) + 1 if chosen in cases else 0)
