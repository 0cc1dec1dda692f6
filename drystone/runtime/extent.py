"""Sizes that depend on the call: integer expressions over the model's symbols."""

import ast
from collections.abc import Callable, Mapping, Sequence

from drystone.errors import UserError

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}


def evaluate(extent: int | str, symbols: Mapping[str, int]) -> int:
    """The value of an extent: an integer, or an expression of names, integers, + - * // % and parentheses.

    Raises UserError for anything else.
    """

    def value(node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int(number)):
                return number
            case ast.Name(id=name) if name in symbols:
                return symbols[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(left), value(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -value(operand)
        raise UserError(
            f"the size {extent!r} is not an expression over {sorted(symbols)}",
            hint="the artifact is not what drystone wrote: compile the model again",
        )

    return extent if isinstance(extent, int) else value(ast.parse(extent, mode="eval").body)


def bind(
    names: Sequence[str],
    declared: Sequence[Sequence[int | str]],
    shapes: Sequence[Sequence[int]],
    bounds: Mapping[str, tuple[int, int]],
) -> dict[str, int]:
    """The symbols' values that make the declared input shapes equal the given ones.

    Raises UserError naming the input and dimension that does not fit.
    """
    symbols: dict[str, int] = {}
    pairs = [
        (name, axis, want, have)
        for name, wanted, given in zip(names, declared, shapes, strict=True)
        for axis, (want, have) in enumerate(zip(wanted, given, strict=True))
    ]
    for name, axis, want, have in pairs:
        if isinstance(want, str) and want.isidentifier():
            low, high = bounds[want]
            if not low <= have <= high:
                raise UserError(
                    f"input {name!r}: dimension {axis} is {have}, declared was {low} <= {want} <= {high}",
                    hint="compile again with other bounds in dynamic_shapes",
                )
            symbols.setdefault(want, have)
    for name, axis, want, have in pairs:
        expected = evaluate(want, symbols)
        if expected != have:
            spelled = f"{want} = {expected}" if isinstance(want, str) else str(want)
            raise UserError(
                f"input {name!r}: dimension {axis} is {have}, the compiled model takes {spelled}",
                hint="compile again with these shapes, or declare the dimension in dynamic_shapes",
            )
    return symbols
