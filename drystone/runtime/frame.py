"""What a call holds while it runs, and what follows from its inputs' shapes: made once, used by every call
after it. A model leaves little of an interpreter in the caches, so that each of its steps between two calls
takes several times as long as it seems to."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.runtime import extent, memory, native
from drystone.runtime.manifest import Manifest


@dataclass(frozen=True)
class Sizes:
    """What follows from the shapes of inputs: the values of the symbols, in alphabetical order, and of every
    output its shape and its element in numpy."""

    symbols: tuple[int, ...]
    outputs: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]

    @staticmethod
    def of(manifest: Manifest, shapes: Sequence[Sequence[int]]) -> "Sizes":
        """Raises UserError naming the input and dimension that does not fit the compiled model."""
        m = manifest
        names, declared = [spec.name for spec in m.inputs], [spec.shape for spec in m.inputs]
        symbols = extent.bind(names, declared, shapes, m.symbols)
        outputs = tuple(
            (tuple(extent.evaluate(n, symbols) for n in spec.shape), m.numpy_dtype(spec.dtype))
            for spec in m.outputs
        )
        return Sizes(tuple(symbols[name] for name in sorted(m.symbols)), outputs)


class Frame:
    """An arena and the structure that the compiled code reads, with the addresses in it; for one call at a
    time. weights, states: tables of addresses, which the caller keeps alive."""

    def __init__(self, manifest: Manifest, weights: Any, states: Any, *, mapped: bool) -> None:
        inputs, outputs = (ctypes.c_void_p * max(1, len(all)) for all in (manifest.inputs, manifest.outputs))
        self._size = manifest.arena
        self._arena: Array | None = None
        self._inputs, self._outputs = inputs(), outputs()
        self._symbols = native.integers([0] * len(manifest.symbols))
        self.call = native.Call(
            weights, None, self._inputs, self._outputs, states, self._symbols, None, mapped=mapped
        )

    def set(
        self, sizes: Sizes, inputs: Sequence[Array], arena: Array | None, profile: Array | None
    ) -> tuple[list[Array], list[Array]]:
        """Prepare a call: with inputs of such sizes, an arena of the caller's or its own, and an array
        for the times of kernels. Gives the arrays that the code reads, which must stay until it has run, and
        those it writes, which are new."""
        if arena is None:
            if self._arena is None:
                self._arena = memory.empty([self._size], np.uint8)
            arena = self._arena
        self.call.arena = arena.ctypes.data
        self.call.profile = None if profile is None else native.counters(profile)
        if sizes.symbols:
            self._symbols[:] = sizes.symbols
        ready = []
        for i, array in enumerate(inputs):
            held, self._inputs[i] = memory.readable(array)
            ready.append(held)
        outputs = []
        for i, (shape, dtype) in enumerate(sizes.outputs):
            made, self._outputs[i] = memory.placed(shape, dtype)
            outputs.append(made)
        return ready, outputs
