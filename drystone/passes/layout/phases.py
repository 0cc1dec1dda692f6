"""The pass `phases`: transposed convolutions become ordinary ones whose results lie between each other."""

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import flag, integers
from drystone.ir.program import Program
from drystone.ir.values import dims_of, main_block, shape
from drystone.mlir import ints, ir
from drystone.passes.dims import extent
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import collapse, expand
from drystone.passes.layout.moves import cut, move
from drystone.passes.quantizing.quantize_products import Formats, holds_bytes
from drystone.passes.rewriting import erase_dead, ops, replace, tensor_type
from drystone.passes.weights import drop_unused, new_weight, weight_key

#: Taps of zeros, as a part of the others, for which the ordinary convolution is still faster.
_ZEROS = 0.5


@dataclass(frozen=True)
class Phases:
    """A transposed convolution of one group is an ordinary one with a result for every phase of the stride,
    which is then put in between (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional
    layer?").

    Before:  %y = "dry.conv"(%x, %w) {transposed, strides = [2, 2]} : (tensor<1x8x8x64xf32>,
             tensor<64x32x4x4xf32>) -> tensor<1x16x16x32xf32>
    After:   %p = "dry.conv"(%x, %w.phases) {strides = [1, 1]} : (tensor<1x8x8x64xf32>,
             tensor<128x64x2x2xf32>) -> tensor<1x9x9x128xf32>
             %y = slice(move(%p as 1x9x9x2x2x32)) : tensor<1x16x16x32xf32>

    - Images and results are channels last, of known extents; the weight is a plain constant, without
      dilation. Phases that have fewer taps than others get zeros: up to half as many again as there are taps,
      or any number for weights that `formats` ask to be bytes, whose transposed convolutions have no kernel.
    - What the epilogue reads has a number for each channel, or for none.
    """

    formats: Formats = ()
    name: ClassVar[str] = "phases"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        for op in ops(main_block(program), "dry.conv"):
            found = _Transposed.of(op)
            if found is None:
                continue
            if found.zeros <= _ZEROS or holds_bytes(program, self.formats, found.key):
                found.rewrite(program)
        erase_dead(main_block(program))
        drop_unused(program)


@dataclass(frozen=True)
class _Transposed:
    """A transposed convolution; of each spatial dimension the stride, the taps of a phase, the first window
    of the ordinary one and how many there are, and the result's first position in what they give."""

    op: Any
    key: str
    strides: tuple[int, ...]
    taps: tuple[int, ...]
    padding: tuple[int, ...]  #: before and after, two for each dimension
    windows: tuple[int, ...]
    first: tuple[int, ...]

    @staticmethod
    def of(op: Any) -> "_Transposed | None":
        """The convolution; None where it is none, or stays as it is."""
        operation = op.operation
        x, weight, result = *list(operation.operands)[:2], operation.results[0]
        attributes, key = operation.attributes, weight_key(weight)
        plain = attributes["layout"].value == "nhwc" and attributes["groups"].value == 1
        if not attributes["transposed"].value or not plain or key is None or weight.type.encoding is not None:
            return None
        inputs, outputs, kernel = shape(x)[1:-1], shape(result)[1:-1], list(weight.type.shape)[2:]
        strides, before = ints(attributes["strides"]), ints(attributes["padding"])[::2]
        if None in (*inputs, *outputs) or set(ints(attributes["dilation"])) != {1}:
            return None
        if not all(_by_channel(value, map_) for value, map_ in extras_of(op)):
            return None
        taps = tuple(-(-k // s) for k, s in zip(kernel, strides, strict=True))
        start = [p // s for p, s in zip(before, strides, strict=True)]
        last = [(p + (n or 0) - 1) // s for p, n, s in zip(before, outputs, strides, strict=True)]
        ends = [(t - 1 - f, e - (n or 0) + 1) for t, f, e, n in zip(taps, start, last, inputs, strict=True)]
        if min(min(pair) for pair in ends) < 0:
            return None
        return _Transposed(
            op,
            key,
            tuple(strides),
            taps,
            tuple(n for pair in ends for n in pair),
            tuple(e - f + 1 for e, f in zip(last, start, strict=True)),
            tuple(p % s for p, s in zip(before, strides, strict=True)),
        )

    @property
    def phases(self) -> int:
        """How many results a window has for each channel."""
        return prod(self.strides)

    @property
    def zeros(self) -> float:
        """How many taps are added, as a part of those there are."""
        taps = prod(list(self.op.operation.operands[1].type.shape)[2:])
        return float(prod(self.taps) * self.phases / taps - 1)

    def rewrite(self, program: Program) -> None:
        """Put the ordinary convolution there."""
        operation = self.op.operation
        result, x = operation.results[0], operation.operands[0]
        element, weight = result.type.element_type, operation.operands[1]
        with ir.InsertionPoint(self.op), operation.location:
            array = self._weight(np.asarray(program.weights[self.key]))
            kind = tensor_type(array.shape, weight.type.element_type)
            made = new_weight(program, f"{self.key}.phases", array, kind)
            extras = [(self._spread(program, value), map_) for value, map_ in extras_of(self.op)]
            wide = tensor_type(
                [shape(result)[0], *self.windows, self.phases * (shape(result)[-1] or 0)], element
            )
            named = {
                "transposed": flag(False),
                "strides": integers([1] * len(self.strides)),
                "padding": integers(self.padding),
                "output_padding": integers([0] * len(self.strides)),
            }
            op, _ = remade(self.op, [x, made], extras, wide, named)
            between = self._between(op.operation.results[0])
        replace(result, between)
        take_epilogue(self.op, op)

    def _weight(self, array: Array) -> Array:
        """[phases x O, C, *taps] of a weight [C, O, *K]: tap t of phase r is number s (T - 1 - t) + r."""
        rank, whole = len(self.strides), [t * s for t, s in zip(self.taps, self.strides, strict=True)]
        missing = [(0, n - k) for n, k in zip(whole, array.shape[2:], strict=True)]
        padded = np.pad(array, [(0, 0), (0, 0), *missing])
        split = [n for pair in zip(self.taps, self.strides, strict=True) for n in pair]
        parts = np.flip(padded.reshape(*array.shape[:2], *split), tuple(range(2, 2 + 2 * rank, 2)))
        order = (*range(3, 3 + 2 * rank, 2), 1, 0, *range(2, 2 + 2 * rank, 2))
        turned = parts.transpose(order)
        return np.ascontiguousarray(turned).reshape(-1, array.shape[0], *self.taps)

    def _spread(self, program: Program, value: Any) -> Any:
        """What an epilogue reads, for the channels of all phases."""
        if value.type.rank == 0 or prod(value.type.shape) == 1:
            return value
        key = str(weight_key(value))
        array = np.asarray(program.weights[key])
        axis = int(np.argmax(array.shape))
        several = np.tile(array, [self.phases if d == axis else 1 for d in range(array.ndim)])
        return new_weight(
            program, f"{key}.phases", several, tensor_type(several.shape, value.type.element_type)
        )

    def _between(self, value: Any) -> Any:
        """The phases [N, *windows, phases x O] in between: [N, *outputs, O]."""
        rank, result = len(self.strides), self.op.operation.results[0]
        if self.phases > 1:
            batch, channels = extent(value, 0), shape(result)[-1]
            groups = [*([d] for d in range(rank + 1)), list(range(rank + 1, 2 * rank + 2))]
            value = expand(value, groups, [batch, *self.windows, *self.strides, channels])
            pairs = [(1 + n, 1 + rank + n) for n in range(rank)]
            value = move(value, (0, *(d for pair in pairs for d in pair), 2 * rank + 1))
            value = collapse(value, [[0], *([1 + 2 * n, 2 + 2 * n] for n in range(rank)), [2 * rank + 1]])
        if shape(value) == shape(result):
            return value
        sizes = [extent(value, 0), *shape(result)[1:]]
        return cut(value, [0, *self.first, 0], sizes, [1] * len(sizes))


def _by_channel(value: Any, map_: Any) -> bool:
    """Whether an epilogue reads a constant with a number for each channel, or one for all."""
    last, used = map_.n_dims - 1, {d for d in dims_of(map_) if d is not None}
    one = None not in shape(value) and prod(value.type.shape) == 1
    return one or (used == {last} and weight_key(value) is not None and value.type.encoding is None)
