"""What a call holds while it runs, and what follows from its inputs' shapes: made once, used by every call
after it. A model leaves little of an interpreter in the caches, so that each of its steps between two calls
takes several times as long as it seems to."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.runtime import extent, memory, native
from drystone.runtime.manifest import Manifest


@dataclass(frozen=True)
class Sizes:
    """What follows from the shapes of inputs: the values of the symbols, in alphabetical order, and the shape
    of every output."""

    symbols: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(manifest: Manifest, shapes: Sequence[Sequence[int]]) -> "Sizes":
        """Raises UserError naming the input and dimension that does not fit the compiled model."""
        m = manifest
        for spec, shape in zip(m.inputs, shapes, strict=True):
            if len(shape) != len(spec.shape):
                wanted = ", ".join(map(str, spec.shape))
                raise UserError(
                    f"input {spec.name!r} has the shape {list(shape)}, the model takes [{wanted}]",
                    hint="reshape it before the call, or compile the model for such inputs",
                )
        names, declared = [spec.name for spec in m.inputs], [spec.shape for spec in m.inputs]
        symbols = extent.bind(names, declared, shapes, m.symbols)
        outputs = tuple(tuple(extent.evaluate(n, symbols) for n in spec.shape) for spec in m.outputs)
        return Sizes(tuple(symbols[name] for name in sorted(m.symbols)), outputs)


class Frame:
    """An arena and the structure that the compiled code reads, with the addresses in it; for one call at a
    time. weights, states: tables of addresses, which the caller keeps alive."""

    def __init__(self, manifest: Manifest, weights: Any, states: Any, *, mapped: bool) -> None:
        inputs, outputs = (ctypes.c_void_p * max(1, len(all)) for all in (manifest.inputs, manifest.outputs))
        self._size = manifest.arena
        self._arena: Array | None = None
        self._own = 0
        self._inputs, self._outputs = inputs(), outputs()
        self._symbols = native.integers([0] * len(manifest.symbols))
        self.call = native.Call(
            weights, None, self._inputs, self._outputs, states, self._symbols, None, mapped=mapped
        )

    def set(
        self,
        sizes: Sizes,
        inputs: Sequence[int],
        outputs: Sequence[int],
        arena: Array | None,
        profile: Array | None,
    ) -> None:
        """Prepare a call: inputs of such sizes and outputs at these addresses, an arena of the caller's or
        its own, and an array for the times of kernels."""
        if arena is None and self._arena is None:
            self._arena, self._own = memory.placed([self._size], np.uint8)
        self.call.arena = self._own if arena is None else arena.ctypes.data
        self.call.profile = None if profile is None else native.counters(profile)
        if sizes.symbols:
            self._symbols[:] = sizes.symbols
        for i, at in enumerate(inputs):
            self._inputs[i] = at
        for i, at in enumerate(outputs):
            self._outputs[i] = at
