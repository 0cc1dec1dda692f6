"""Ranked tensor types and the encodings that they state."""

from collections.abc import Sequence
from typing import Any

from drystone.errors import InternalError
from drystone.ir.attributes import from_attribute, to_attribute
from drystone.ir.encoding import Bundle, Codes, Encoding, Joined, Pack, Words
from drystone.ir.encoding.parts import Held
from drystone.mlir import ir


def encoding_of(kind: Any) -> Encoding:
    """The encoding of a ranked tensor type; a type without one holds its own elements."""
    tensor = ir.RankedTensorType(kind)
    if tensor.encoding is None:
        return Codes(str(tensor.element_type))
    found: Encoding = from_attribute(tensor.encoding)
    return found


def codes_of(kind: Any) -> Codes:
    """The encoding of a ranked tensor type whose numbers are one code each. Raises InternalError for others:
    sums, outliers, mixtures and the like, which no kernel reads."""
    found = encoding_of(kind)
    if not isinstance(found, Codes):
        raise InternalError(f"no kernel or pass reads {kind}")
    return found


def with_encoding(kind: Any, encoding: Encoding | None) -> Any:
    """The type with this encoding; with None, or one that holds its own elements plainly, without any."""
    tensor = ir.RankedTensorType(kind)
    plain = encoding is None or encoding == Codes(str(tensor.element_type))
    attribute = None if encoding is None or plain else to_attribute(encoding)
    return ir.RankedTensorType.get(tensor.shape, tensor.element_type, encoding=attribute)


def is_coded(kind: Any) -> bool:
    """Whether a tensor type holds codes, not the numbers themselves."""
    encoding = encoding_of(kind)
    return not isinstance(encoding, Codes) or encoding.coded


def pack_of(kind: Any) -> Pack | None:
    """The blocked layout that a tensor type's elements lie in; None where they lie in rows, or are coded."""
    return None if is_coded(kind) else codes_of(kind).pack


def panel_width(kind: Any) -> int:
    """How many columns or channels lie side by side in the panels that a matrix is stored in, of numbers or
    of codes; 0 where it is not."""
    encoding = encoding_of(kind)
    if isinstance(encoding, Joined):
        layout = encoding.base.layout if isinstance(encoding.base, Codes) else None
        return layout.width if isinstance(layout, Words) else 0
    pack = pack_of(kind)
    return 0 if pack is None or not pack.inner_tiles else pack.inner_tiles[0]


def storage_shape(kind: Any) -> tuple[int, ...]:
    """The shape of the one array that a tensor of a type is stored in; a dynamic dimension stays one (it
    cannot be tiled, and its codes take whole bytes). Raises InternalError where there are several arrays."""
    return _storage(kind)[0]


def storage_element(kind: Any) -> str:
    """The element of the one array that a tensor of a type is stored in. Raises InternalError where there are
    several arrays."""
    return _storage(kind)[1]


def _storage(kind: Any) -> Held:
    tensor = ir.RankedTensorType(kind)
    encoding = encoding_of(tensor)
    if ir.ShapedType.get_dynamic_size() in tensor.shape and (
        not isinstance(encoding, Codes) or encoding.layout is not None or encoding.coded
    ):
        raise InternalError(f"{kind}: only static shapes are stored encoded")
    parts = encoding.parts(tensor.shape)
    if len(parts) > 1:
        raise InternalError(f"{kind} is held in several arrays: {', '.join(parts)}")
    (held,) = parts.values()
    return held


def storage_bytes(kind: Any, extents: Sequence[int] | None = None) -> int:
    """Bytes of all parts of a tensor of this type and of these extents (those of a static type)."""
    tensor = ir.RankedTensorType(kind)
    return encoding_of(tensor).bytes(tensor.shape if extents is None else extents)


def own_bytes(kind: Any, extents: Sequence[int] | None = None) -> int:
    """The same without those of other tensors whose rows lie beside this one's."""
    encoding = encoding_of(kind)
    layout = encoding.layout if isinstance(encoding, Codes) else None
    return storage_bytes(kind, extents) // (layout.count if isinstance(layout, Bundle) else 1)
