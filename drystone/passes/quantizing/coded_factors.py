"""Weights of codes with a scale for each output, as products that multiply the codes take them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.dialect import MAX_EXTRAS
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import Codes, decode
from drystone.ir.program import Program
from drystone.ir.shapes import layouts
from drystone.ir.values import producer
from drystone.passes.fusing.epilogues import extras_of
from drystone.passes.generic import is_identity, moved_input
from drystone.passes.layout.unfolded import fills_lanes, is_depthwise
from drystone.passes.weights import weight_key, weight_parts
from drystone.targets.target import Target

#: Operands of the epilogue of a product of codes: what zero points add to sums, and scales.
_EXTRAS = 2
#: Integers up to which sums in f32 are exact, and the largest magnitudes of two codes.
_EXACT, _LARGEST = 1 << 24, 255 * 128


@dataclass(frozen=True)
class Factors:
    """The weight of a convolution or product: codes, int8 in its shape, for every output their sum and the
    scale; the axis of the outputs in the result; whether every channel is a group."""

    key: str
    codes: Array
    sums: Array
    scales: Array
    axis: int
    depthwise: bool

    @staticmethod
    def of(program: Program, op: Any, target: Target) -> "Factors | None":
        """Those of an operation that can multiply codes on a target; None for any other."""
        weight, depthwise, result = _held(op.operation.operands[1]), False, op.operation.results[0].type
        if len(extras_of(op)) + _EXTRAS > MAX_EXTRAS or str(result.element_type) != "f32":
            return None
        attributes, rank = op.operation.attributes, result.rank
        if op.operation.name == "dry.conv":
            depthwise = is_depthwise(op) and _sums_exactly(weight.type.shape[2:])
            if attributes["transposed"].value or not (depthwise or fills_lanes(op, target)):
                return None
            outputs, axis = 0, 1 if layouts(attributes["layout"].value)[1] == "nchw" else rank - 1
        else:
            outputs, axis = 0 if attributes["transpose_b"].value else 1, rank - 1
            shape = weight.type.shape
            if len(shape) != 2 or shape[1 - outputs] % target.neighbours("i8", "i8"):
                return None
        found = _numbers(program, weight, outputs)
        if found is None:
            return None
        codes, scales = found
        sums = np.moveaxis(codes, outputs, 0).reshape(len(scales), -1).sum(1, dtype=np.int64)
        return Factors(str(weight_key(weight)), codes, sums, scales, axis, depthwise)


def _held(value: Any) -> Any:
    """The value that a copy is one of."""
    made = producer(value)
    map_ = moved_input(made) if made is not None and made.operation.name == "linalg.generic" else None
    return value if map_ is None or not is_identity(map_) else made.operation.operands[0]


def _sums_exactly(kernel: Sequence[int]) -> bool:
    """Whether sums over taps are exact in f32."""
    return _LARGEST * int(np.prod(kernel)) < _EXACT


def _numbers(program: Program, weight: Any, outputs: int) -> tuple[Array, Array] | None:
    """The codes of a weight, int8, and the scale of each output, f64; None where it is held otherwise."""
    key, encoding, shape = weight_key(weight), encoding_of(weight.type), tuple(weight.type.shape)
    if key is None or not isinstance(encoding, Codes) or encoding.scale is None:
        return None
    scale, element = encoding.scale, encoding.element
    blocks = scale.per.shape(shape)
    own = all(n == 1 or (d == outputs and n == shape[d]) for d, n in enumerate(blocks))
    whole = isinstance(element, str) and element.startswith(("int", "uint"))
    if not own or not whole or scale.zero_point is not None or scale.minimum is not None:
        return None
    parts = weight_parts(program, weight)
    codes = decode({"codes": parts["codes"]}, Codes(element, None, encoding.layout), shape, "f32")
    if codes.size == 0 or codes.min() < -128 or codes.max() > 127:
        return None
    scales = np.moveaxis(scale.values("scale", parts, shape), outputs, 0).reshape(shape[outputs], -1)[:, 0]
    return codes.astype(np.int8), scales.astype(np.float64)
