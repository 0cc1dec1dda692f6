"""How tensors are held: one scale and zero point each, the same where nothing is computed between two."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.program import Program
from drystone.ir.values import (
    constant_number,
    constant_value,
    is_tensor,
    main_block,
    number_of,
    producer_name,
    splat,
)
from drystone.mlir import ints, ir
from drystone.passes.generic import body, is_parallel, moved_input
from drystone.passes.quantizing.ranges import HUGE, Range
from drystone.passes.rewriting import ops
from drystone.passes.weights import weight_key

#: What a masked score is less than the least other one: e^-30 is nothing.
_MASKED = 30.0
#: Operations whose result has the codes of an operand, without computation.
MOVES = frozenset(
    "tensor." + name
    for name in ("expand_shape", "collapse_shape", "cast", "extract_slice", "insert_slice", "concat", "pad")
)


@dataclass(frozen=True)
class Held:
    """real = unit * (code - zero), codes of so many bits."""

    unit: float
    zero: int
    bits: int

    @staticmethod
    def of(seen: Range, bits: int, centred: bool) -> "Held":
        """Codes for what was seen of a tensor: around 0 where `centred`, as those of 16 bits always are."""
        low, high = (seen.low, seen.high) if bits == 16 else seen.ends
        low, high = min(low, 0.0), max(high, 0.0)
        if centred:
            low -= _MASKED if seen.masked else 0
            return Held(max(-low, high, 1e-20) / (2 ** (bits - 1) - 1), 0, bits)
        unit = max(high - low, 1e-20) / 255
        return Held(unit, int(np.clip(round(-128 - low / unit), -128, 127)), 8)

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the largest code; without a zero point they are symmetric."""
        most = 2 ** (self.bits - 1) - 1
        return (-most if self.zero == 0 else -most - 1), most

    def encoded(self, array: Array) -> Array:
        """The codes of numbers."""
        codes = np.floor(np.asarray(array, np.float64) / self.unit + self.zero + 0.5)
        return np.clip(codes, *self.limits).astype(f"i{self.bits // 8}")


def is_real_tensor(value: Any) -> bool:
    """Whether a value is a tensor of floats."""
    return is_tensor(value) and isinstance(value.type.element_type, ir.FloatType)


def named_values(program: Program) -> Iterator[tuple[str, Any]]:
    """The tensors of floats that a program is given or computes, apart from weights and parts and views of
    others, and their names: numbers in order, which are the same in every compilation of a model up to this
    point."""
    block = main_block(program)
    for number, argument in enumerate(block.arguments):
        if is_real_tensor(argument):
            yield f"argument {number}", argument
    for number, op in enumerate(ops(block)):
        if op.operation.name in ("dry.weight", "tensor.empty", "linalg.fill", "arith.constant", *MOVES):
            continue
        for at, value in enumerate(op.operation.results):
            if is_real_tensor(value):
                yield f"{number}.{at} {op.operation.name}", value


def is_copy(op: Any) -> bool:
    """Whether a linalg.generic only moves or repeats a tensor."""
    if op.operation.name != "linalg.generic" or len(op.operation.results) != 1:
        return False
    if moved_input(op) is not None:
        return True
    block = body(op)
    inputs = len(op.operation.operands) - 1
    only = list(block.operations)
    return (
        len(only) == 1
        and is_parallel(op)
        and inputs == 1
        and only[0].operation.operands[0] == block.arguments[0]
    )


@dataclass
class Holding:
    """How each tensor is held. `of` gives the codes that are made, `bytes_of` those that products read."""

    program: Program
    seen: Mapping[Any, Range]
    parents: dict[Any, Any] = field(default_factory=dict)
    merged: dict[Any, Range] = field(default_factory=dict)
    multiplied: set[Any] = field(default_factory=set)
    centred: set[Any] = field(default_factory=set)
    wide: set[Any] = field(default_factory=set)

    def __post_init__(self) -> None:
        block = main_block(self.program)
        for op in ops(block):
            self._tie(op)
        known = [each for op in ops(block) for each in self._known(op)]
        for value, seen in (*self.seen.items(), *known):
            root = self.root(value)
            self.merged[root] = self.merged[root] | seen if root in self.merged else seen
        for op in ops(block):
            self._demand(op)
        changed = True
        while changed:
            changed = any(self._widen(op) for op in reversed(ops(block)))

    def root(self, value: Any) -> Any:
        """What stands for all tensors of the same codes."""
        while value in self.parents:
            value = self.parents[value]
        return value

    def of(self, value: Any) -> Held:
        """How the tensor is made."""
        root = self.root(value)
        return self._held(root, 8 if root in self.multiplied and root not in self.wide else 16)

    def bytes_of(self, value: Any) -> Held:
        """How products read the tensor."""
        return self._held(self.root(value), 8)

    def is_masked(self, value: Any) -> bool:
        """Whether the least code stands for an infinity."""
        seen = self.merged.get(self.root(value))
        return seen is not None and seen.masked

    def _held(self, root: Any, bits: int) -> Held:
        seen = self.merged.get(root) or Range(0, 0)
        return Held.of(seen, bits, centred=bits == 16 or root in self.centred)

    def _join(self, one: Any, other: Any) -> None:
        one, other = self.root(one), self.root(other)
        if one != other:
            self.parents[other] = one

    def _tie(self, op: Any) -> None:
        """Join what has the same codes."""
        name, operation = op.operation.name, op.operation
        reals = [value for value in operation.operands if is_real_tensor(value)]
        result = operation.results[0] if len(operation.results) else None
        if result is None or not is_real_tensor(result) or not reals:
            return
        maximum = name == "dry.pool" and operation.attributes["kind"].value == "max"
        if name in MOVES or maximum or is_copy(op) or is_order(op):
            moved = reals if name in ("tensor.concat", "tensor.insert_slice") else reals[:1]
            for value in moved:
                if producer_name(value) != "tensor.empty":
                    self._join(result, value)

    def _known(self, op: Any) -> Iterator[tuple[Any, Range]]:
        """Tensors whose numbers are known, and their ranges."""
        for value in op.operation.results:
            key, number = weight_key(value), filled(value)
            if key is not None and is_real_tensor(value):
                array = np.asarray(self.program.weights[key], np.float64)
                yield value, Range(float(array.min(initial=0)), float(array.max(initial=0)))
            elif number is not None and abs(number) < HUGE and is_real_tensor(value):
                yield value, Range(number, number)

    def _demand(self, op: Any) -> None:
        """Note what products read, and what codes of 0 must stand for 0 in."""
        operation = op.operation
        operands = list(operation.operands)
        if operation.name in ("dry.conv", "dry.matmul"):
            own = has_own_scales(op)
            self.multiplied |= {self.root(value) for value in operands[: 1 if own else 2]}
            if operation.name == "dry.matmul" and not own:
                self.centred |= {self.root(value) for value in operands[:2]}
            if operation.name == "dry.conv" and any(ints(operation.attributes["padding"])):
                self.centred.add(self.root(operands[0]))
        if operation.name == "dry.pool":
            self.multiplied.add(self.root(operands[0]))
            if any(ints(operation.attributes["padding"])):
                self.centred.add(self.root(operands[0]))
        if operation.name == "tensor.pad":
            self.centred.add(self.root(operands[0]))
        if operation.name in ("dry.norm", "dry.softmax", "func.return"):
            self.wide |= {self.root(value) for value in operands if is_real_tensor(value)}

    def _widen(self, op: Any) -> bool:
        """Let terms of sums that are held in 16 bits be held so too."""
        operation = op.operation
        if operation.name not in ("dry.conv", "dry.matmul", "linalg.generic") or is_copy(op):
            return False
        results = [value for value in operation.results if is_real_tensor(value)]
        if not any(self.of(value).bits == 16 for value in results) or not is_loop_free(op):
            return False
        terms = list(operation.operands)[0 if operation.name == "linalg.generic" else 2 :]
        found = {
            self.root(value)
            for value in terms
            if is_real_tensor(value) and weight_key(value) is None and value.type.rank == results[0].type.rank
        }
        fresh = found - self.wide
        self.wide |= found
        return bool(fresh)


def is_loop_free(op: Any) -> bool:
    """Whether each element of a result is computed by itself."""
    return op.operation.name != "linalg.generic" or is_parallel(op)


#: Operations on real numbers that only ask how they compare.
_ORDER = frozenset(
    "arith." + name for name in ("maximumf", "minimumf", "maxnumf", "minnumf", "cmpf", "select")
)


def is_order(op: Any) -> bool:
    """Whether an operation picks the largest or least number of a tensor along dimensions, or its place."""
    if op.operation.name != "linalg.generic" or is_parallel(op):
        return False
    inner = [each.operation for each in list(body(op).operations)[:-1]]
    reals = [value for value in op.operation.operands if is_real_tensor(value)]
    computed = [
        each
        for each in inner
        if any(isinstance(value.type, ir.FloatType) for value in (*each.operands, *each.results))
    ]
    return (
        len(reals) == 1 + sum(map(is_real_tensor, op.operation.results))
        and len(op.operation.operands) == 1 + len(op.operation.results)
        and all(each.name in _ORDER for each in computed)
    )


def filled(value: Any) -> float | None:
    """The number that all elements of a tensor are, where that is known."""
    if producer_name(value) == "linalg.fill":
        number = constant_number(value.owner.operation.operands[0])
        return None if number is None else float(number)
    constant = constant_value(value)
    one = None if constant is None else splat(constant)
    number = None if one is None else number_of(one)
    return None if number is None else float(number)


def has_own_scales(op: Any) -> bool:
    """Whether the second operand of a product or convolution is a weight with a scale for every output."""
    weight = op.operation.operands[1]
    matrix = op.operation.name == "dry.conv" or weight.type.rank == 2
    return weight_key(weight) is not None and matrix
