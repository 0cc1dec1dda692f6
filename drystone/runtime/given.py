"""A call's memory as arrays, for code that runs elsewhere: an emulator, a child process, a device."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.runtime.extent import evaluate
from drystone.runtime.manifest import Leaf, Manifest
from drystone.runtime.native import Call


@dataclass(frozen=True)
class Given:
    """What a run reads and writes, in place: tensors in the manifest's order and in this call's shapes, the
    arena's bytes, and the values of the symbols, in alphabetical order. Outputs are to be written, states to
    be updated; an emulator copies the rest to where its machine has it."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    states: tuple[Array, ...]
    weights: tuple[Array, ...]
    arena: Array
    symbols: tuple[int, ...]

    @staticmethod
    def of(manifest: Manifest, call: Call) -> "Given":
        """The memory of a call of a model with this manifest; it is there until the call has ended."""
        names = sorted(manifest.symbols)
        values = tuple(call.symbols[number] for number in range(len(names)))
        bound = dict(zip(names, values, strict=True))

        def arrays(leaves: Sequence[Leaf], table: Any) -> tuple[Array, ...]:
            return tuple(_array(leaf, table[slot], bound) for slot, leaf in enumerate(leaves))

        return Given(
            arrays(manifest.inputs, call.inputs),
            arrays(manifest.outputs, call.outputs),
            arrays(manifest.states, call.states),
            arrays(manifest.weights, call.weights),
            _bytes(call.arena, manifest.arena),
            values,
        )


def _array(leaf: Leaf, address: int | None, bound: dict[str, int]) -> Array:
    shape = [evaluate(n, bound) for n in leaf.shape]
    dtype = np.dtype(Manifest.numpy_dtype(leaf.dtype))
    array: Array = _bytes(address, math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
    return array


def _bytes(address: int | None, size: int) -> Array:
    if not address or not size:
        return np.empty(0, np.uint8)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
