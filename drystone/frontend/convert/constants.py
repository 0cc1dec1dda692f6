"""Tensors of one value.

Torch-mlir folds what it knows about them, and some of it wrongly: a comparison of floating-point elements
with a whole number, and with it the sign and the remainder of a constant. It does not look into a fill.
"""

from collections.abc import Sequence
from typing import Any

from drystone.frontend.importer import Converter
from drystone.frontend.shapes import fixed
from drystone.frontend.types import Site
from drystone.mlir import arith, ir, linalg, tensor


def _constant(at: Site, value: Any) -> Sequence[Any] | None:
    meta = at.node.meta["val"]
    if not isinstance(value, bool | int | float) or not fixed(*meta.shape) or meta.is_complex():
        return None
    kind = at.out()
    element = kind.element_type
    if isinstance(element, ir.IntegerType):
        held = int(bool(value)) if element.width == 1 else int(value)
        # As the signless integer of the same bits.
        low = held & ((1 << element.width) - 1)
        signed = low - (1 << element.width) if element.width > 1 and low >> (element.width - 1) else low
        attribute: Any = ir.IntegerAttr.get(element, signed)
    else:
        attribute = ir.FloatAttr.get(element, float(value))
    scalar = arith.ConstantOp(element, attribute).result
    return [linalg.fill(scalar, outs=[tensor.empty(kind.shape, element)])]


def _full(at: Site, size: Any, fill_value: Any, **options: Any) -> Sequence[Any] | None:
    return _constant(at, fill_value)


def _full_like(at: Site, self: Any, fill_value: Any, **options: Any) -> Sequence[Any] | None:
    return _constant(at, fill_value)


def _new_full(at: Site, self: Any, size: Any, fill_value: Any, **options: Any) -> Sequence[Any] | None:
    return _constant(at, fill_value)


def _scalar_tensor(at: Site, s: Any, **options: Any) -> Sequence[Any] | None:
    return _constant(at, s)


def _zeros(at: Site, **options: Any) -> Sequence[Any] | None:
    return _constant(at, 0)


def _ones(at: Site, **options: Any) -> Sequence[Any] | None:
    return _constant(at, 1)


CONVERTERS: dict[str, Converter] = {
    "aten.full.default": _full,
    "aten.full_like.default": _full_like,
    "aten.new_full.default": _new_full,
    "aten.scalar_tensor.default": _scalar_tensor,
    **{f"aten.{name}.default": _zeros for name in ("zeros", "zeros_like", "new_zeros")},
    **{f"aten.{name}.default": _ones for name in ("ones", "ones_like", "new_ones")},
}
