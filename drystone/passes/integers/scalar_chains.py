"""Chains of maps of one tensor, read backwards as one scalar expression: integers that numbers are rounded
to, and the numbers that integers stand for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.ir.values import constant_number, producer
from drystone.mlir import ir
from drystone.passes.generic import body, is_identity, maps_of
from drystone.passes.quantizing.byte_arithmetic import clamped

#: Conversions of integers of 8 bits, and whether these have no sign.
_FROM_BYTES = {"arith.sitofp": False, "arith.uitofp": True}
_TO_BYTES = ("arith.fptosi", "arith.fptoui")


@dataclass(frozen=True)
class Dequantized:
    """(codes - zero) * scale, the codes integers of 8 bits with or without a sign."""

    codes: Any
    scale: float
    zero: int
    unsigned: bool


@dataclass(frozen=True)
class Rounded:
    """min(max(round(source * factor) + zero, low), high), as an integer of 8 bits."""

    source: Any
    factor: float
    zero: int
    low: int
    high: int


@dataclass(frozen=True)
class _Scalar:
    """A value in the body of a map: a linalg.generic that makes each element of that of its one input."""

    op: Any
    value: Any

    @property
    def tensor(self) -> Any | None:
        """The input, where the value is its element."""
        return self.op.operation.operands[0] if self.value == body(self.op).arguments[0] else None

    def settled(self) -> "_Scalar":
        """The same, where the value is an element of the input that a map makes, in the body of that."""
        made = None if self.tensor is None else _element(self.tensor)
        return self if made is None else made.settled()

    def made(self, *names: str) -> list["_Scalar"]:
        """The operands of the operation of one of these names that makes the value; none where none does."""
        settled = self.settled()
        op = producer(settled.value)
        if op is None or op.operation.name not in names:
            return []
        return [_Scalar(settled.op, value) for value in op.operation.operands]

    @property
    def number(self) -> float | None:
        """The number it is, as f32 holds it."""
        op = producer(self.value)
        if op is not None and op.operation.name == "arith.truncf":
            return _Scalar(self.op, op.operation.operands[0]).number
        found = constant_number(self.value)
        return None if found is None else float(np.float32(found))


def _element(value: Any) -> _Scalar | None:
    """What a map yields for an element of a tensor that it makes."""
    op = producer(value)
    if op is None or op.operation.name != "linalg.generic" or len(op.operation.operands) != 2:
        return None
    if not all(map(is_identity, maps_of(op))):
        return None
    (yielded,) = list(body(op).operations)[-1].operation.operands
    return None if isinstance(yielded.owner, ir.Block) else _Scalar(op, yielded)


def _with_number(scalar: _Scalar, *names: str) -> tuple[_Scalar, float] | None:
    """(x, number) of a scalar that one of these operations makes of both."""
    operands = scalar.made(*names)
    if not operands:
        return None
    (x, other) = operands
    return None if other.number is None else (x, other.number)


def dequantized(value: Any) -> Dequantized | None:
    """What a tensor of f32 is, where maps dequantize it with one scale."""
    scalar = _element(value)
    scaled = None if scalar is None else _with_number(scalar, "arith.mulf")
    if scaled is None:
        return None
    centred, scale = scaled
    x, zero = _with_number(centred, "arith.subf") or (centred, 0.0)
    made = x.made(*_FROM_BYTES)
    if not made or made[0].tensor is None or zero != int(zero):
        return None
    codes = made[0].tensor
    unsigned = _FROM_BYTES[producer(x.settled().value).operation.name]
    return Dequantized(codes, scale, int(zero), unsigned) if _is_byte(codes) else None


def rounded(value: Any) -> Rounded | None:
    """How a tensor of integers of 8 bits is made, where maps round a tensor of f32 with one scale."""
    scalar = _element(value)
    made = [] if scalar is None or not _is_byte(value) else scalar.made(*_TO_BYTES)
    if not made:
        return None
    low, high, scalar = float("-inf"), float("inf"), made[0]
    while (found := clamped((settled := scalar.settled()).value)) is not None:
        inner, bound, above = found
        scalar = _Scalar(settled.op, inner)
        low, high = (max(low, bound), high) if above else (low, min(high, bound))
    moved, zero = _with_number(scalar, "arith.addf") or (scalar, 0.0)
    whole = moved.made("math.roundeven")
    scaled = _with_number(whole[0], "arith.mulf") if whole else None
    if scaled is None or scaled[0].tensor is None or not (-128 <= low <= high <= 255):
        return None
    return Rounded(scaled[0].tensor, scaled[1], int(zero), int(low), int(high))


def limits(value: Any) -> tuple[Any, float, bool] | None:
    """(x, bound, whether it is a lower one) of a tensor that a map makes of x by this bound alone."""
    scalar = _element(value)
    found = None if scalar is None else clamped(scalar.value)
    if scalar is None or found is None:
        return None
    behind = _Scalar(scalar.op, found[0])
    return None if behind.tensor is None else (behind.tensor, found[1], found[2])


def _is_byte(value: Any) -> bool:
    return str(value.type.element_type) == "i8"
