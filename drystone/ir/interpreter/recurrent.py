"""Recurrent cells, step by step."""

from collections.abc import Callable
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element
from drystone.ir.interpreter.machine import Machine, element_name, handles
from drystone.ir.interpreter.neural import wide

#: (projected input of the step, hidden projection, state) -> new state.
_Cell = Callable[[Array, Array, list[Array]], list[Array]]


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (np.tanh(0.5 * x) + 1))


def _lstm(entering: Array, hidden: Array, state: list[Array]) -> list[Array]:
    i, f, g, o = np.split(entering + hidden, 4, axis=-1)
    c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
    return [_sigmoid(o) * np.tanh(c), c]


def _gru(entering: Array, hidden: Array, state: list[Array]) -> list[Array]:
    (xr, xz, xn), (hr, hz, hn) = np.split(entering, 3, axis=-1), np.split(hidden, 3, axis=-1)
    z = _sigmoid(xz + hz)
    n = np.tanh(xn + _sigmoid(xr + hr) * hn)
    return [(1 - z) * n + z * state[0]]


_CELLS: dict[str, _Cell] = {
    "lstm": _lstm,
    "gru": _gru,
    "tanh": lambda entering, hidden, state: [np.tanh(entering + hidden)],
    "relu": lambda entering, hidden, state: [np.maximum(entering + hidden, 0)],
}


@handles("dry.recurrent")
def _recurrent(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    projected, weight, *rest = (wide(array) for array in args)
    bias, state = rest[: len(op.bias)], rest[len(op.bias) :]
    cell = _CELLS[op.cell.value]
    every = np.zeros((*projected.shape[:2], weight.shape[1]))
    steps = range(projected.shape[0])
    for step in reversed(steps) if op.reverse.value else steps:
        hidden = state[0] @ weight.T
        for shift in bias:
            hidden = hidden + shift
        state = cell(projected[step], hidden, state)
        every[step] = state[0]
    outs = zip([every, *state], op.operation.results, strict=True)
    return [to_element(value, element_name(result.type)) for value, result in outs]
