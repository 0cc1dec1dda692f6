"""How large the scalars of `@main` and the extents of its tensors can get, by the symbols' bounds."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drystone.errors import InternalError, UserError
from drystone.ir.extents import Extents
from drystone.ir.program import Program
from drystone.mlir import ir, ir_place

#: Inclusive bounds of an integer.
Interval = tuple[int, int]


def _hull(values: Sequence[int]) -> Interval:
    return min(values), max(values)


def _corners(combine: Callable[[int, int], int]) -> Callable[[Interval, Interval], Interval]:
    """Interval version of an operation that is monotonic in each operand."""
    return lambda a, b: _hull([combine(x, y) for x in a for y in b])


def _division(divide: Callable[[int, int], int]) -> Callable[[Interval, Interval], Interval]:
    def apply(a: Interval, b: Interval) -> Interval:
        # Division by zero is not defined; a divisor that can be 0 is taken to be at least 1 in magnitude.
        divisors = [y for y in (*b, 1, -1) if y != 0 and b[0] <= y <= b[1]]
        return _hull([divide(x, y) for x in a for y in divisors or [1]])

    return apply


def _remainder(a: Interval, b: Interval) -> Interval:
    most = max(abs(b[0]), abs(b[1]), 1) - 1
    if a[0] >= 0:
        return (a[0], a[1]) if a[1] <= most and b[0] == b[1] else (0, min(a[1], most))
    return -most, most


def _truncate(x: int, y: int) -> int:
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


_ADD, _SUB, _MUL = _corners(lambda a, b: a + b), _corners(lambda a, b: a - b), _corners(lambda a, b: a * b)
_FLOOR, _CEIL = _division(lambda a, b: a // b), _division(lambda a, b: -(-a // b))
_MIN, _MAX = _corners(min), _corners(max)

_BINARY: dict[str, Callable[[Interval, Interval], Interval]] = {
    "arith.addi": _ADD,
    "arith.subi": _SUB,
    "arith.muli": _MUL,
    "arith.divsi": _division(_truncate),
    "arith.divui": _FLOOR,
    "arith.floordivsi": _FLOOR,
    "arith.ceildivsi": _CEIL,
    "arith.ceildivui": _CEIL,
    "arith.remsi": _remainder,
    "arith.remui": _remainder,
    "arith.minsi": _MIN,
    "arith.minui": _MIN,
    "arith.maxsi": _MAX,
    "arith.maxui": _MAX,
}
_SAME = frozenset({"arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui", "arith.trunci"})
_EXPRESSIONS: dict[type[ast.operator], Callable[[Interval, Interval], Interval]] = {
    ast.Add: _ADD,
    ast.Sub: _SUB,
    ast.Mult: _MUL,
    ast.FloorDiv: _FLOOR,
    ast.Mod: _remainder,
}
_AFFINE: tuple[tuple[Any, Callable[[Interval, Interval], Interval]], ...] = (
    (ir.AffineAddExpr, _ADD),
    (ir.AffineMulExpr, _MUL),
    (ir.AffineFloorDivExpr, _FLOOR),
    (ir.AffineCeilDivExpr, _CEIL),
    (ir.AffineModExpr, _remainder),
)


def of_expression(expression: int | str, symbols: Mapping[str, Interval]) -> Interval:
    """The bounds of an extent of a signature: an integer or an expression over symbols."""

    def bounds(node: ast.expr) -> Interval:
        match node:
            case ast.Constant(value=int(number)):
                return number, number
            case ast.Name(id=name) if name in symbols:
                return symbols[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _EXPRESSIONS:
                return _EXPRESSIONS[type(op)](bounds(left), bounds(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                low, high = bounds(operand)
                return -high, -low
        raise InternalError(f"the size {expression!r} is not an expression over {sorted(symbols)}")

    return bounds(ast.parse(str(expression), mode="eval").body)


class Bounds(Extents[Interval]):
    """Bounds of the integers `@main` computes. Data the model loads has none: asking for the extent of a
    tensor that depends on it raises UserError."""

    def __init__(self, program: Program) -> None:
        signature = program.signature
        self._symbols = signature.symbols
        self._shapes = [spec.shape for spec in (*signature.inputs, *signature.states)]
        self._known: dict[Any, Interval] = {}

    def of(self, value: Any) -> Interval:
        """The bounds of an integer value of `@main`."""
        if value not in self._known:
            self._known[value] = self._compute(value)
        return self._known[value]

    def extents(self, value: Any) -> tuple[int, ...]:
        """The largest extents of a tensor value of `@main`."""
        return tuple(self.extent(value, axis)[1] for axis in range(value.type.rank))

    def number(self, value: int) -> Interval:
        """Of a known number."""
        return value, value

    def argument(self, number: int, axis: int) -> Interval:
        """Of a dimension that the signature names."""
        return of_expression(self._shapes[number][axis], self._symbols)

    def scalar(self, value: Any) -> Interval:
        """See `of`."""
        return self.of(value)

    def product(self, a: Interval, b: Interval) -> Interval:
        """Of two extents multiplied."""
        return _MUL(a, b)

    def _compute(self, value: Any) -> Interval:
        if isinstance(value.owner, ir.Block):
            raise InternalError("@main takes a scalar")
        op = value.owner
        name, operands = op.name, list(op.operands)
        if name == "arith.constant":
            number = int(op.attributes["value"].value)
            return number, number
        if name == "tensor.dim":
            return self.extent(operands[0], self.of(operands[1])[0])
        if name in _BINARY:
            return _BINARY[name](self.of(operands[0]), self.of(operands[1]))
        if name in _SAME:
            return self.of(operands[0])
        if name == "arith.select":
            return _hull([*self.of(operands[1]), *self.of(operands[2])])
        if name == "arith.cmpi":
            return 0, 1
        if name.startswith("affine."):
            affine_map = ir.AffineMapAttr(op.attributes["map"]).value
            found = [self._affine(expr, operands, affine_map.n_dims) for expr in affine_map.results]
            lows, highs = zip(*found, strict=True)
            pick = {"affine.apply": min, "affine.min": min, "affine.max": max}[name]
            return pick(lows), pick(highs)
        raise UserError(
            "the size of a tensor depends on the data the model computes",
            where=ir_place(op),
            hint="memory is planned before the call: make the size an input's dimension, or fixed",
        )

    def _affine(self, expression: Any, operands: Sequence[Any], dims: int) -> Interval:
        expression = expression.maybe_downcast()
        if isinstance(expression, ir.AffineConstantExpr):
            return expression.value, expression.value
        if isinstance(expression, ir.AffineDimExpr):
            return self.of(operands[expression.position])
        if isinstance(expression, ir.AffineSymbolExpr):
            return self.of(operands[dims + expression.position])
        for kind, combine in _AFFINE:
            if isinstance(expression, kind):
                return combine(
                    self._affine(expression.lhs, operands, dims), self._affine(expression.rhs, operands, dims)
                )
        raise InternalError(f"affine expression {expression} has no bounds")
