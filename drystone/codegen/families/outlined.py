"""A kernel function as the families read it: its one main operation, and what each of its operands is."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drystone.codegen.families.region import ELEMENTS, apply_region, dtype_of, supported
from drystone.codegen.tile import Index, Scalar, Tensor, Tile, TileBuilder, index
from drystone.ir.encoded import codes_of
from drystone.ir.values import (
    constant_number,
    constant_value,
    is_tensor,
    number_of,
    producer_name,
    shape_of,
    splat,
    uncast,
)
from drystone.ir.values import tensors as tensor_values
from drystone.mlir import ir

_ARITHMETIC: dict[str, Callable[[Index, Index], Index]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.maxsi": Index.max,
    "arith.minsi": Index.min,
}
#: The kinds of operations that a kernel of several ones has.
_TOGETHER = (frozenset({"dry.matmul", "dry.row_stats"}), frozenset({"dry.norm", "dry.round_rows"}))
_AROUND = ("linalg.fill", "linalg.copy", "tensor.empty", "tensor.cast", "tensor.dim", "func.return")


@dataclass
class Outlined:
    """The function's main operation; its tensors in call order, the `inputs` among them and one of the
    `inits` for each result of the main operation, its scalars, and what every value of the body stands
    for."""

    main: Any
    tensors: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    inits: tuple[Tensor, ...]
    scalars: tuple[Scalar, ...]
    _tensors: dict[Any, Tensor] = field(default_factory=dict)
    _scalars: dict[Any, Scalar] = field(default_factory=dict)

    def tensor(self, value: Any) -> Tensor | None:
        """The parameter a value of the body is (through casts), if it is one."""
        while value not in self._tensors and producer_name(value) == "tensor.cast":
            value = value.owner.operands[0]
        return self._tensors.get(value)

    def start(self, value: Any) -> Any:
        """Where the first content of a destination comes from: a scalar value (of a fill), the copied
        Tensor, or None where it has none."""
        value = uncast(value)
        if producer_name(value) == "linalg.fill":
            return value.owner.operands[0]
        if producer_name(value) == "linalg.copy":
            return self.tensor(value.owner.operands[0])
        found = self.tensor(value)
        return found if found in self.inputs else None

    def known(self, value: Any) -> bool:
        """Whether `tile` can give a scalar value of the body."""
        if value in self._scalars or number(value) is not None:
            return True
        owner = producer_name(value)
        if owner == "tensor.dim":
            operands = value.owner.operands
            return self.tensor(operands[0]) is not None and constant_number(operands[1]) is not None
        if owner.startswith(("arith.", "math.")) and len(value.owner.results) == 1:
            return all(self.known(operand) for operand in value.owner.operands)
        return False

    def index(self, value: Any) -> Index | None:
        """A scalar integer value of the body as an index expression."""
        found = number(value)
        if found is not None:
            return index(int(found))
        if value in self._scalars:
            return Index("scalar", (self._scalars[value].name,))
        owner = producer_name(value)
        if owner == "tensor.dim":
            tensor, axis = (value.owner.operands[i] for i in range(2))
            place, of = number(axis), self.tensor(tensor)
            return None if place is None or of is None else of.dim(int(place))
        if owner in _ARITHMETIC:
            a, b = (self.index(operand) for operand in value.owner.operands)
            return None if a is None or b is None else _ARITHMETIC[owner](a, b)
        return self.index(value.owner.operands[0]) if owner == "arith.index_cast" else None

    def tile(self, t: TileBuilder, value: Any) -> Tile:
        """The (1,) tile of a scalar value of the body (see `known`)."""
        found = number(value)
        if found is not None:
            return t.full(found, (1,), dtype_of(_element(value.type)))
        if value in self._scalars:
            return t.full(self._scalars[value], (1,), dtype_of(value.type))
        owner = value.owner
        if owner.name == "tensor.dim":
            tensor, axis = self.tensor(owner.operands[0]), constant_number(owner.operands[1])
            assert tensor is not None and axis is not None
            return t.full(tensor.dim(int(axis)), (1,), "i64")
        captured = {operand: self.tile(t, operand) for operand in owner.operands}
        return apply_region(t, _Only(owner), (), captured=captured)[0]

    def captures(self, t: TileBuilder, block: Any) -> dict[Any, Tile]:
        """Tiles of the scalar values from outside that a region uses."""
        return {value: self.tile(t, value) for value in free(block) if number(value) is None}

    def region(self, block: Any, *, gathers: bool = False) -> bool:
        """Whether the region can become tiles: its operations and what it takes from outside are known."""
        if not supported(block, gathers=gathers):
            return False
        return all(self.known(v) or (gathers and self.tensor(v) is not None) for v in free(block))


class _Only:
    """A block of one operation that yields its result."""

    def __init__(self, operation: Any) -> None:
        self.arguments: tuple[Any, ...] = ()
        self.operations = [operation, _Yield(operation.results)]


class _Yield:
    def __init__(self, operands: Any) -> None:
        self.operation = self
        self.name, self.operands = "linalg.yield", operands


def _element(kind: Any) -> Any:
    return kind.element_type if isinstance(kind, ir.RankedTensorType) else kind


def number(value: Any) -> float | int | None:
    """The number a scalar constant is, or every element of a constant tensor of one value."""
    found = constant_value(value)
    return number_of(splat(found) if is_tensor(value) else found)


def free(block: Any) -> list[Any]:
    """The values from outside that a block's operations use, in order of first use, no tensors of gathers."""
    own = set(block.arguments)
    found: dict[Any, None] = {}
    for op in block.operations:
        operands: Iterable[Any] = op.operation.operands
        for operand in operands:
            if operand not in own and not is_tensor(operand):
                found[operand] = None
        own.update(op.operation.results)
    return list(found)


def tensor_of(name: str, kind: Any) -> Tensor | None:
    """The parameter a tensor type makes; None where it is scaled, packed or of elements no register holds."""
    encoding, element = codes_of(kind), str(kind.element_type)
    if encoding.layout is not None or encoding.coded or element not in ELEMENTS:
        return None
    held = encoding.held_as
    return Tensor(name, element, tuple(shape_of(kind)), code="" if held == element else held)


def outlined(kernel: Any) -> Outlined | None:
    """Read a kernel function; None where it is not one main operation between plain tensors."""
    (block,) = kernel.regions[0].blocks
    tensors: list[Tensor] = []
    scalars: list[Scalar] = []
    by_value: dict[Any, Tensor] = {}
    scalar_of: dict[Any, Scalar] = {}
    for argument in block.arguments:
        if is_tensor(argument):
            tensor = tensor_of(f"a{len(tensors)}", argument.type)
            if tensor is None:
                return None
            tensors.append(tensor)
            by_value[argument] = tensor
        else:
            scalars.append(Scalar(f"n{len(scalars)}", dtype_of(argument.type)))
            scalar_of[argument] = scalars[-1]
    main = main_operation(kernel)
    results = list(block.operations)[-1].operation.operands
    if main is None or len(results) != len(main.operation.results):
        return None
    first = len(tensors) - len(results)
    order = _destinations(main, results)
    if order is None:
        return None
    inits = tuple(tensors[first + place] for place in order)
    return Outlined(main, tuple(tensors), tuple(tensors[:first]), inits, tuple(scalars), by_value, scalar_of)


def main_operation(kernel: Any) -> Any:
    """The one operation a kernel function is about, the last one of several products; None where that is not
    clear."""
    rest = main_operations(kernel)
    return rest[-1] if rest else None


def main_operations(kernel: Any) -> list[Any]:
    """The operations a kernel function is about: several ones are products, or one and the statistics of its
    rows, or a normalization and the rounding of its rows; none where that is not clear."""
    rest = []
    around = []
    for op in kernel.regions[0].blocks[0].operations:
        name = op.operation.name
        if name in _AROUND:
            around.append(op)
        elif not name.startswith(("arith.", "math.", "affine.")) or _makes_tensor(op):
            rest.append(op)
    if not rest:  # a kernel that only fills or copies
        rest = [op for op in around if op.operation.name in ("linalg.fill", "linalg.copy")]
    names = {op.operation.name for op in rest}
    alone = len(rest) == 1 or any(names <= kinds for kinds in _TOGETHER)
    return rest if alone else []


def _makes_tensor(op: Any) -> bool:
    return op.operation.name != "arith.constant" and bool(tensor_values(op.operation.results))


def _destinations(main: Any, results: Iterable[Any]) -> list[int] | None:
    """For each result of the main operation, which result of the function it is."""
    place: Mapping[Any, int] = {uncast(value): i for i, value in enumerate(results)}
    order = [place.get(value) for value in main.operation.results]
    return None if None in order else [i for i in order if i is not None]
