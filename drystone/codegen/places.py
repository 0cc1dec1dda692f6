"""Where the tensors of the outlined `@main` are, in whatever terms a kind of code has for sizes."""

import ast
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from drystone.errors import InternalError
from drystone.ir.buffers import VIEWS, Buffer, Buffers
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoded import encoding_of, storage_element, storage_shape
from drystone.ir.encoding import Codes
from drystone.ir.extents import Extent, Extents
from drystone.ir.program import Program
from drystone.ir.values import producer_name
from drystone.mlir import ir

#: How expressions over symbols are written: + - * // %.
_OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "floordiv", ast.Mod: "mod"}


@dataclass(frozen=True)
class View(Generic[Extent]):
    """Where a tensor is: the memory it lies in, an offset in bytes, its extents as stored, its element."""

    base: str
    offset: Extent
    extents: tuple[Extent, ...]
    element: str


class Places(Extents[Extent]):
    """The views of tensors, and the sizes that they are made of."""

    def __init__(self, program: Program, found: Buffers) -> None:
        self._signature, self._found = program.signature, found
        self._offsets: dict[str, int] = {}
        self._views: dict[Any, View[Extent]] = {}

    @abstractmethod
    def symbol(self, name: str) -> Extent:
        """A dynamic size of the call."""

    @abstractmethod
    def memory(self, buffer: Buffer) -> str:
        """What a buffer lies in."""

    @abstractmethod
    def calculated(self, op: str, a: Extent, b: Extent) -> Extent:
        """add, sub, mul, floordiv or mod of two sizes."""

    @abstractmethod
    def sum(self, a: Extent, b: Extent) -> Extent:
        """Of two sizes."""

    def move_to(self, places: Mapping[str, int]) -> None:
        """From here on arena buffers start at these offsets, and others where they started before."""
        if any(self._offsets.get(name, offset) != offset for name, offset in places.items()):
            self._views.clear()
        self._offsets |= places

    def base(self, name: str) -> tuple[str, int]:
        """What a buffer lies in, and where it starts in that."""
        buffer = self._found.buffers[name]
        if buffer.kind != "arena":
            return self.memory(buffer), 0
        if name not in self._offsets:
            raise InternalError(f"the plan gives {name} no home")
        return self.memory(buffer), self._offsets[name]

    def view(self, value: Any) -> View[Extent]:
        """Where a tensor value of `@main` is."""
        if value not in self._views:
            self._views[value] = self._make_view(value)
        return self._views[value]

    def argument(self, number: int, axis: int) -> Extent:
        """A dimension that the signature names."""
        specs = (*self._signature.inputs, *self._signature.states)
        return self._expression(specs[number].shape[axis])

    def extents(self, value: Any) -> tuple[Extent, ...]:
        """A tensor's extents as it is stored."""
        encoding = encoding_of(value.type)
        if not isinstance(encoding, Codes) or encoding.layout is not None:
            return tuple(self.number(n) for n in storage_shape(value.type))
        return tuple(self.extent(value, axis) for axis in range(value.type.rank))

    def _make_view(self, value: Any) -> View[Extent]:
        element, owner = storage_element(value.type), value.owner
        if producer_name(value) in VIEWS:
            source = self.view(owner.operands[0])
            offset = source.offset
            if owner.name == "tensor.extract_slice":
                offset = self.sum(offset, self._slice_offset(owner, source))
            extents = tuple(self.extent(value, axis) for axis in range(value.type.rank))
            return View(source.base, offset, extents, element)
        base, start = self.base(self._found.of[value])
        return View(base, self.number(start), self.extents(value), element)

    def _slice_offset(self, op: Any, source: View[Extent]) -> Extent:
        """Bytes from the start of a slice's source to the slice."""
        dynamic = ir.ShapedType.get_dynamic_size()
        given = iter(op.operands[1 : 1 + op.attributes["operandSegmentSizes"][1]])
        total = self.number(0)
        stride = self.number(np.dtype(numpy_dtype(source.element)).itemsize)
        starts = [next(given) if n == dynamic else n for n in op.attributes["static_offsets"]]
        for start, extent in reversed(list(zip(starts, source.extents, strict=True))):
            place = self.number(start) if isinstance(start, int) else self.scalar(start)
            total = self.sum(total, self.product(place, stride))
            stride = self.product(stride, extent)
        return total

    def _expression(self, extent: int | str) -> Extent:
        """An extent of the signature."""
        if isinstance(extent, int):
            return self.number(extent)

        def value(node: ast.expr) -> Extent:
            match node:
                case ast.Constant(value=int(number)):
                    return self.number(number)
                case ast.Name(id=name) if name in self._signature.symbols:
                    return self.symbol(name)
                case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                    return self.calculated(_OPERATORS[type(op)], value(left), value(right))
                case ast.UnaryOp(op=ast.USub(), operand=operand):
                    return self.calculated("sub", self.number(0), value(operand))
            raise InternalError(f"the size {extent!r} is not an expression over symbols")

        return value(ast.parse(extent, mode="eval").body)
