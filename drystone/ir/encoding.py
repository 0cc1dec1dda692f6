"""Encodings: how a tensor's numbers are held, as plain data and as attributes of its type.

    encoding := #dry.enc<element, scale, layout>          an attribute of the ranked tensor type
    element  := "f32" | "bf16" | "i64" | ...              an element of the IR: the numbers themselves
              | "int2" .. "int16" | "uint1" .. "uint16"   codes of an affine integer encoding
    scale    := unit | #dry.scale<geometry, axis, group, zero_point>
    geometry := "tensor"                                  one scale
              | "axis"                                    one per position along `axis`
              | "group"                                   one per `group` elements along `axis`, ends ragged
    layout   := unit | #dry.pack<[inner_dims], [inner_tiles], [outer_perm]>      as in linalg.pack

A tensor without an encoding holds its own elements in row-major order. An encoded one is held in parts,
arrays named "codes", and "scale" (f32) and "zero_point" (as the codes) where there are any. The layout orders
the codes only; scales stay in the order of the logical dimensions. Codes of less than 8 bits lie several to a
byte along the innermost stored dimension, the first in the lowest bits, every row a whole number of bytes.
`encode` and `decode` are the meaning; kernels decode tiles the same way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir import build, dialect
from drystone.ir.elements import numpy_dtype, to_element, widen
from drystone.ir.layout import Pack, Scale
from drystone.mlir import ints, ir

__all__ = [
    "Encoding",
    "Pack",
    "Scale",
    "choose_scale",
    "decode",
    "encode",
    "encoding_of",
    "part_key",
    "storage_bytes",
    "storage_parts",
    "storage_shape",
    "with_encoding",
]

_CODE = re.compile(r"(u?)int(\d+)")


@dataclass(frozen=True)
class Encoding:
    """An element code, its scales and its layout."""

    element: str
    scale: Scale | None = None
    layout: Pack | None = None

    @property
    def code(self) -> tuple[bool, int] | None:
        """(unsigned, bits) of an affine integer code, None for an element of the IR."""
        match = _CODE.fullmatch(self.element)
        return (bool(match[1]), int(match[2])) if match else None

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest code."""
        unsigned, bits = self.code or (False, 0)
        return (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    @property
    def held_as(self) -> str:
        """The element of the IR that the stored codes are: bytes where several codes share one."""
        if self.code is None:
            return self.element
        unsigned, bits = self.code
        return "ui8" if bits < 8 else f"{'u' if unsigned else ''}i{8 if bits == 8 else 16}"

    def attribute(self) -> Any:
        """The attribute of the dialect."""
        scale = layout = ir.UnitAttr.get()
        if self.scale is not None:
            s = self.scale
            numbers = [build.integer(n) for n in (s.axis, s.group, int(s.zero_point))]
            scale = dialect.Scale.get(build.string(s.geometry), *numbers)
        if self.layout is not None:
            p = self.layout
            layout = dialect.Pack.get(*map(build.integers, (p.inner_dims, p.inner_tiles, p.outer_perm)))
        return dialect.Enc.get(build.string(self.element), scale, layout)

    @staticmethod
    def of_attribute(attribute: Any) -> "Encoding":
        """The encoding that an #dry.enc attribute states."""
        element, scale, layout = dialect.Enc(attribute).params
        return Encoding(ir.StringAttr(element).value, _scale_of(scale), _pack_of(layout))


def _scale_of(attribute: Any) -> Scale | None:
    if isinstance(attribute.maybe_downcast(), ir.UnitAttr):
        return None
    geometry, *rest = dialect.Scale(attribute).params
    axis, group, zero_point = (ir.IntegerAttr(n).value for n in rest)
    return Scale(ir.StringAttr(geometry).value, axis, group, bool(zero_point))


def _pack_of(attribute: Any) -> Pack | None:
    if isinstance(attribute.maybe_downcast(), ir.UnitAttr):
        return None
    return Pack(*(tuple(ints(ir.ArrayAttr(part))) for part in dialect.Pack(attribute).params))


def _held_codes(codes: Array, encoding: Encoding) -> Array:
    """Codes as they are stored: laid out, several to a byte where they are short."""
    laid = codes if encoding.layout is None else encoding.layout.apply(codes)
    if encoding.code is None or encoding.code[1] >= 8:
        return np.ascontiguousarray(laid)
    bits = encoding.code[1]
    rows = laid.reshape(laid.shape or (1,)).astype(np.uint8)
    stream = np.unpackbits(rows[..., None], axis=-1, count=bits, bitorder="little")
    return np.packbits(stream.reshape(*rows.shape[:-1], -1), axis=-1, bitorder="little")


def _codes_of(held: Array, encoding: Encoding, shape: Sequence[int]) -> Array:
    layout = encoding.layout
    stored = tuple(shape) if layout is None else layout.shape(shape)
    if encoding.code is not None and encoding.code[1] < 8:
        unsigned, bits = encoding.code
        row = (stored or (1,))[-1]
        stream = np.unpackbits(held, axis=-1, count=row * bits, bitorder="little")
        powers = (1 << np.arange(bits)).astype(np.int64)
        values = stream.reshape(*held.shape[:-1], row, bits) @ powers
        held = values if unsigned else (values ^ (1 << bits - 1)) - (1 << bits - 1)
        held = held.astype(np.uint8 if unsigned else np.int8).reshape(stored)
    return held if layout is None else layout.undo(held, shape)


def choose_scale(array: Array, encoding: Encoding) -> dict[str, Array]:
    """The smallest scale, and its zero point, that bring every element in range: {"scale", "zero_point"?}.

    With a zero point the range from the smallest to the largest element (zero included) is divided evenly;
    without one the largest magnitude (unsigned codes: the largest element) becomes the largest code.
    """
    scale = _require_scale(encoding)
    low_code, high_code = encoding.limits
    numbers = widen(np.asarray(array)).astype(np.float64)
    low, high = scale.reduce(np.minimum, numbers), scale.reduce(np.maximum, numbers)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    if scale.zero_point:
        exact = (high - low) / (high_code - low_code)
    else:
        exact = (high if low_code == 0 else np.maximum(high, -low)) / high_code
    step = exact.astype(np.float32)
    # Rounded down, the scale would push the largest element out of range.
    step = np.where(step < exact, np.nextafter(step, np.float32(np.inf)), step)
    step = np.where(step == 0, np.float32(1), step).astype(np.float32)
    if not scale.zero_point:
        return {"scale": step}
    zero = np.clip(np.rint(low_code - low / step.astype(np.float64)), low_code, high_code)
    return {"scale": step, "zero_point": zero.astype(_code_dtype(encoding))}


def _code_dtype(encoding: Encoding) -> Any:
    unsigned, bits = encoding.code or (False, 0)
    return np.dtype(f"{'u' if unsigned else ''}int{8 if bits <= 8 else 16}")


def _require_scale(encoding: Encoding) -> Scale:
    if encoding.code is None or encoding.scale is None:
        raise InternalError(f"{encoding} is not an affine integer encoding")
    return encoding.scale


def encode(array: Array, encoding: Encoding, scales: dict[str, Array] | None = None) -> dict[str, Array]:
    """The parts an array (elements as `ir.elements` holds them) is stored in.

    Affine integers: code = clip(round to nearest even(x / scale) + zero_point), with the given parts "scale"
    and "zero_point", or those of `choose_scale`.
    """
    if encoding.code is None:
        held = np.asarray(array)
        if held.dtype != np.dtype(numpy_dtype(encoding.element)):
            held = to_element(widen(held), encoding.element)
        return {"codes": _held_codes(held, encoding)}
    scale = _require_scale(encoding)
    given = choose_scale(array, encoding) if scales is None else scales
    numbers = widen(np.asarray(array)).astype(np.float64)
    codes = np.rint(numbers / scale.spread(given["scale"].astype(np.float64), numbers.shape))
    if scale.zero_point:
        codes = codes + scale.spread(given["zero_point"].astype(np.float64), numbers.shape)
    codes = np.clip(codes, *encoding.limits).astype(_code_dtype(encoding))
    return {"codes": _held_codes(codes, encoding), **given}


def decode(parts: dict[str, Array], encoding: Encoding, shape: Sequence[int], dtype: str) -> Array:
    """The array of logical `shape` and element `dtype` in the parts; computed in float64, rounded once."""
    codes = _codes_of(parts["codes"], encoding, shape)
    if encoding.code is None:
        same = encoding.element == dtype
        return codes.reshape(tuple(shape)) if same else to_element(widen(codes), dtype).reshape(tuple(shape))
    scale = _require_scale(encoding)
    numbers = codes.astype(np.float64)
    if scale.zero_point:
        numbers = numbers - scale.spread(parts["zero_point"].astype(np.float64), shape)
    return to_element(numbers * scale.spread(parts["scale"].astype(np.float64), shape), dtype)


def storage_parts(shape: Sequence[int], encoding: Encoding) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and element of every part that a tensor of logical `shape` is held in."""
    codes = tuple(shape) if encoding.layout is None else encoding.layout.shape(shape)
    if encoding.code is not None and encoding.code[1] < 8:
        codes = codes or (1,)
        codes = (*codes[:-1], -(-codes[-1] * encoding.code[1] // 8))
    parts = {"codes": (codes, encoding.held_as)}
    if encoding.scale is not None:
        scales = encoding.scale.shape(shape)
        parts["scale"] = (scales, "f32")
        if encoding.scale.zero_point:
            parts["zero_point"] = (scales, np.dtype(_code_dtype(encoding)).name.replace("int", "i"))
    return parts


def part_key(key: str, part: str) -> str:
    """The key of the weight store that a part of the weight `key` is under: the codes under its own."""
    return key if part == "codes" else f"{key}.{part}"


def encoding_of(kind: Any) -> Encoding:
    """The encoding of a ranked tensor type; a type without one holds its own elements."""
    tensor = ir.RankedTensorType(kind)
    return (
        Encoding(str(tensor.element_type))
        if tensor.encoding is None
        else (Encoding.of_attribute(tensor.encoding))
    )


def with_encoding(kind: Any, encoding: Encoding | None) -> Any:
    """The type with this encoding; with None, or one that holds its own elements plainly, without any."""
    tensor = ir.RankedTensorType(kind)
    plain = encoding is None or encoding == Encoding(str(tensor.element_type))
    attribute = None if encoding is None or plain else encoding.attribute()
    return ir.RankedTensorType.get(tensor.shape, tensor.element_type, encoding=attribute)


def storage_shape(kind: Any) -> tuple[int, ...]:
    """The shape of the stored codes of a type; a dynamic dimension stays one (it cannot be tiled, and its
    codes take whole bytes)."""
    tensor = ir.RankedTensorType(kind)
    encoding = encoding_of(tensor)
    dynamic = ir.ShapedType.get_dynamic_size()
    tiled = encoding.layout is not None or encoding.code is not None
    if dynamic in tensor.shape and tiled:
        raise InternalError(f"{kind}: only static shapes are stored encoded")
    return storage_parts(tensor.shape, encoding)["codes"][0]


def storage_bytes(kind: Any, extents: Sequence[int] | None = None) -> int:
    """Bytes of all parts of a tensor of this type and of these extents (those of a static type)."""
    tensor = ir.RankedTensorType(kind)
    parts = storage_parts(tensor.shape if extents is None else extents, encoding_of(tensor)).values()
    return sum(prod(shape) * np.dtype(numpy_dtype(dtype)).itemsize for shape, dtype in parts)
