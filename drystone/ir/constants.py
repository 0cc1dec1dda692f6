"""The numbers of a constant operation as a numpy array."""

import re
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.elements import numpy_dtype, to_element
from drystone.mlir import ir

_TEXT = re.compile(r"(dense|dense_resource)<(.*)> : ")
_NUMBER = re.compile(r"0x[0-9A-Fa-f]+|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")


def constant_array(op: Any) -> Array:
    """What `arith.constant` or `complex.constant` holds, shaped as the result (rank 0 for a scalar)."""
    operation = op.operation
    kind = operation.results[0].type
    if not isinstance(kind, ir.ShapedType):
        return _scalar(operation.attributes["value"].maybe_downcast(), str(kind))
    element, shape = str(kind.element_type), tuple(kind.shape)
    stated = _TEXT.search(str(operation))
    if stated is not None and stated[1] == "dense_resource":
        return _resource(operation, stated[2], element).reshape(shape)
    if stated is not None and (element == "bf16" or element.startswith("complex")):
        # The bindings give no buffer of these.
        return _listed(stated[2], element, shape)
    attribute = operation.attributes["value"].maybe_downcast()
    if attribute.is_splat:
        return np.full(shape, _scalar(attribute.get_splat_value(), element))
    return to_element(np.array(attribute), element).reshape(shape)


def _scalar(attribute: Any, element: str) -> Array:
    if isinstance(attribute, ir.ArrayAttr):
        real, imaginary = (part.value for part in attribute)
        return to_element(np.asarray(complex(real, imaginary)), element)
    return to_element(np.asarray(attribute.value), element)


def _listed(text: str, element: str, shape: tuple[int, ...]) -> Array:
    """The numbers of a dense attribute, from its text: one (a splat), all in order, or all bytes."""
    held = np.dtype(numpy_dtype(element))
    whole = re.fullmatch(r'"0x([0-9A-Fa-f]*)"', text)
    if whole:
        return np.frombuffer(bytes.fromhex(whole[1]), held).reshape(shape)
    part = {"complex<f32>": "f32", "complex<f64>": "f64"}.get(element, element)
    numbers = np.array([_number(token, part) for token in _NUMBER.findall(text)], numpy_dtype(part))
    values = numbers.view(held)
    return np.full(shape, values[0]) if values.size == 1 else values.reshape(shape)


def _number(token: str, element: str) -> Any:
    """One real number: decimal, or its bits."""
    held = np.dtype(numpy_dtype(element))
    if token.startswith("0x"):
        return np.array(int(token, 16), f"u{held.itemsize}").view(held)
    return to_element(np.asarray(float(token)), element)


def _resource(operation: Any, name: str, element: str) -> Array:
    """The numbers of a dense_resource attribute: the bindings hand them out in the module's text only."""
    root = operation
    while root.parent is not None:
        root = root.parent
    blob = re.search(rf'\b{re.escape(name)}: "0x([0-9A-Fa-f]*)"', str(root))
    if not blob:
        raise InternalError(f"the module does not hold the numbers of dense_resource<{name}>")
    # Four bytes of alignment come first.
    return np.frombuffer(bytes.fromhex(blob[1])[4:], numpy_dtype(element))
