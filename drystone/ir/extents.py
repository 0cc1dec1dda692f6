"""What states the extents of tensors in the outlined `@main`."""

from abc import ABC, abstractmethod
from functools import reduce
from typing import Any, Generic, TypeVar

from drystone.errors import InternalError
from drystone.ir.values import producer_name, shape, tensors
from drystone.mlir import ints

Extent = TypeVar("Extent")


def destination(value: Any) -> Any:
    """The destination that the kernel call making `value` is given for it."""
    call = value.owner
    given = tensors(call.operands)
    return given[len(given) - len(call.results) + value.result_number]


class Extents(ABC, Generic[Extent]):
    """The extents of the tensors of `@main`, in whatever terms a subclass has for numbers."""

    @abstractmethod
    def number(self, value: int) -> Extent:
        """A known number."""

    @abstractmethod
    def argument(self, number: int, axis: int) -> Extent:
        """A dynamic dimension of an argument."""

    @abstractmethod
    def scalar(self, value: Any) -> Extent:
        """An index value of `@main`."""

    @abstractmethod
    def product(self, a: Extent, b: Extent) -> Extent:
        """Of two extents."""

    def extent(self, value: Any, axis: int) -> Extent:
        """One extent of a tensor value. Raises InternalError for what the outlined form does not have."""
        extents = shape(value)
        known = extents[axis]
        if known is not None:
            return self.number(known)
        name, op, dynamic = producer_name(value), value.owner, extents[:axis].count(None)
        match name:
            case "":
                return self.argument(value.arg_number, axis)
            case "tensor.empty":
                return self.scalar(op.operands[dynamic])
            case "tensor.expand_shape":
                return self.scalar(op.operands[1 + dynamic])
            case "tensor.extract_slice":
                groups = op.attributes["operandSegmentSizes"]
                return self.scalar(op.operands[groups[0] + groups[1] + dynamic])
            case "tensor.cast":
                return self.extent(op.operands[0], axis)
            case "func.call":
                return self.extent(destination(value), axis)
            case "tensor.collapse_shape":
                joined = ints(op.attributes["reassociation"][axis])
                return reduce(self.product, (self.extent(op.operands[0], d) for d in joined))
        raise InternalError(f"@main holds {name}, whose extents have no rule")
