"""The attributes of the dialect that state encodings: one for each class that encodings are made of.

An attribute's parameters are the fields of the class, in order: strings, integers (i64), numbers (f64), flags
(i1), lists, other attributes of this kind, and unit for what is not there.
"""

from dataclasses import fields
from types import new_class
from typing import Any

from drystone.errors import InternalError
from drystone.ir import build
from drystone.ir.dialect import Dry
from drystone.ir.encoding import (
    bits,
    codebook,
    entropy,
    flat,
    geometry,
    joined,
    layout,
    moved,
    patterns,
    recent,
    regions,
    scaled,
    sparse,
    stacked,
    terms,
    words,
)
from drystone.mlir import ir

__all__ = ["CLASSES", "Dry", "from_attribute", "to_attribute"]

#: What encodings are made of, by the name of the attribute.
CLASSES: dict[str, type] = {
    "enc": scaled.Codes,
    "scale": scaled.Scale,
    "per": geometry.Per,
    "table": codebook.Table,
    "learned": codebook.Learned,
    "pack": layout.Pack,
    "bundle": layout.Bundle,
    "planes": bits.Planes,
    "split": bits.Split,
    "base3": bits.Base3,
    "interleaved": bits.Interleaved,
    "huffman": entropy.Huffman,
    "words": words.Words,
    "strings": words.Strings,
    "sum": terms.Sum,
    "product": terms.Product,
    "low_rank": terms.LowRank,
    "outlier_columns": regions.OutlierColumns,
    "outlier_elements": regions.OutlierElements,
    "mixed": regions.Mixed,
    "permuted": moved.Permuted,
    "diagonal": moved.Diagonal,
    "rotated": moved.Rotated,
    "recent": recent.Recent,
    "joined": joined.Joined,
    "flat": flat.Flat,
    "sparse": sparse.Sparse,
    "stacked": stacked.Stacked,
    "structured": patterns.Structured,
    "compressed": patterns.Compressed,
    "coordinates": patterns.Coordinates,
    "bitmap": patterns.Bitmap,
    "positions": patterns.Positions,
}


def _declared(name: str, cls: Any) -> Any:
    """The attribute's class of the bindings."""
    annotations: dict[str, Any] = {field.name: Any for field in fields(cls)}
    namespace = {"__annotations__": annotations, "__doc__": cls.__doc__}
    return new_class(cls.__name__, (Dry.Attribute,), {"name": name}, lambda body: body.update(namespace))


_ATTRIBUTES: dict[type, Any] = {cls: _declared(name, cls) for name, cls in CLASSES.items()}
_CLASSES: dict[Any, type] = {attribute: cls for cls, attribute in _ATTRIBUTES.items()}


def to_attribute(value: Any) -> Any:
    """The attribute that states a value of one of the classes, or a field of one."""
    if type(value) in _ATTRIBUTES:
        given = [to_attribute(getattr(value, field.name)) for field in fields(value)]
        return _ATTRIBUTES[type(value)].get(*given)
    match value:
        case None:
            return ir.UnitAttr.get()
        case bool():
            return build.flag(value)
        case int():
            return build.integer(value)
        case float():
            return build.number(value)
        case str():
            return build.string(value)
        case tuple():
            return build.array([to_attribute(item) for item in value])
    raise InternalError(f"no attribute states {value!r}")


def from_attribute(attribute: Any) -> Any:
    """What `to_attribute` made the attribute of."""
    own = attribute.maybe_downcast()
    if type(own) in _CLASSES:
        return _CLASSES[type(own)](*(from_attribute(parameter) for parameter in own.params))
    match own:
        case ir.UnitAttr():
            return None
        case ir.ArrayAttr():
            return tuple(from_attribute(item) for item in own)
        case ir.BoolAttr() | ir.IntegerAttr() | ir.FloatAttr() | ir.StringAttr():
            return own.value
    raise InternalError(f"{attribute} states no part of an encoding")
