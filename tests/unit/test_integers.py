"""Fixed-point numbers: the codes of sums, and what `check-integers` finds."""

from fractions import Fraction
from math import floor, isqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drystone import mlir
from drystone.errors import InternalError
from drystone.ir.interpreter import run as interpret
from drystone.mlir import ir
from drystone.passes.integers.check_integers import CheckIntegers
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import Larger, Leaf, Product, Quotient, Root, Sum
from drystone.passes.integers.held import Held
from tests.passes.pass_cases import program_of
from tests.unit.ir_cases import CONTEXT


def evaluated(make: Any, *numbers: int) -> int:
    """What the code that `make` gives computes of integers."""
    with CONTEXT, ir.Location.unknown():
        look = Code()
        make(look)
        assert all(array.size == 1 for array in look.arrays)
        names = [f"%a{n}" for n in range(len(numbers))]
        maps = ", ".join(["affine_map<() -> ()>"] * (len(numbers) + 1))
        module = mlir.parse(
            f"func.func @main({', '.join(f'{name}: tensor<i64>' for name in names)}) -> tensor<i64> {{"
            " %e = tensor.empty() : tensor<i64>"
            f" %r = linalg.generic {{indexing_maps = [{maps}], iterator_types = []}}"
            f" ins({', '.join(names)} : {', '.join(['tensor<i64>'] * len(numbers))})"
            " outs(%e : tensor<i64>) {"
            f" ^bb0({', '.join(f'%x{n}: i64' for n in range(len(numbers)))}, %o: i64):"
            " linalg.yield %x0 : i64 } -> tensor<i64>"
            " return %r : tensor<i64> }",
            CONTEXT,
        )
        (body,) = [op for op in mlir.walk(module) if op.operation.name == "linalg.yield"]
        block = body.operation.block
        with ir.InsertionPoint(body):
            body.operation.operands[0] = make(Code(list(block.arguments)))
        program = program_of(mlir.text(module))
    return int(interpret(program, [np.asarray(n, np.int64) for n in numbers])[0])


factors = st.floats(1e-6, 1e6)


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**31), 2**31 - 1), st.integers(-128, 127), factors, factors, st.floats(-1e3, 1e3))
def test_a_sum_is_rounded_once(one: int, other: int, first: float, second: float, constant: float) -> None:
    low, high = -(2.0**31), 2.0**31
    total = Sum.term(Leaf(0, low, high), first) + Sum.term(Leaf(1, -128, 127), second) + Sum.of(constant)
    unit = max(abs(n) for n in total.bounds) / 2**15
    got = evaluated(lambda code: total.rounded(code, unit), one, other)
    # Multipliers and the constant are off by half a unit of the last place, and by the digits of f64.
    almost = Fraction(abs(one) + abs(other) + 1024, 2 ** (total.shift(unit) + 1))
    exact = (Fraction(first) * one + Fraction(second) * other + Fraction(constant)) / Fraction(unit)
    assert floor(exact + Fraction(1, 2) - almost) <= got <= floor(exact + Fraction(1, 2) + almost)


def test_halves_are_rounded_up() -> None:
    total = Sum.term(Leaf(0, -1000, 1000), 0.5)
    got = [evaluated(lambda code: total.rounded(code, 1.0), n) for n in range(-5, 6)]
    assert got == [floor(n / 2 + 0.5) for n in range(-5, 6)]


@settings(max_examples=40, deadline=None)
@given(st.integers(-30000, 30000), st.integers(1, 30000))
def test_products_quotients_roots_and_maxima(one: int, other: int) -> None:
    a = Sum.term(Leaf(0, -32767, 32767), 0.01) + Sum.of(3.5)
    b = Sum.term(Leaf(1, 0, 32767), 0.25)
    x, y = one * 0.01 + 3.5, other * 0.25
    made = Product(a, b)
    cases = [
        (Sum.term(made, made.unit), x * y, 1e-2),
        (Sum.term(Quotient(a, b)), x / y, 1e-4 * abs(x / y) + 1e-4),
        (Sum.term(root := Root(b), root.unit), y**0.5, 1e-4),
        (Sum.term(Larger(a, b), -2.0), -2 * max(x, y), 1e-3),
    ]
    for total, wanted, error in cases:
        got = evaluated(lambda code, total=total: total.rounded(code, 1e-4), one, other) * 1e-4
        assert abs(got - wanted) <= error + 1e-4


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.integers(0, 2**60), st.integers(0, 300), st.sampled_from([2**60, 2**59 + 1, 3, 2, 1, 0])))
def test_roots_are_whole(n: int) -> None:
    root = Root(Sum.term(Leaf(0, 0, 2.0**60)))
    assert abs(evaluated(lambda code: root.compute(code), n) - isqrt(n)) <= 1


def test_codes_of_numbers() -> None:
    held = Held(0.5, -3, 8)
    assert held.limits == (-128, 127)
    np.testing.assert_array_equal(held.encoded(np.array([0, 0.25, -0.3, 100, -100])), [-3, -2, -4, 127, -128])
    assert Held(0.5, 0, 8).limits == (-127, 127)


REAL = """
#m = affine_map<(d) -> (d)>
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %i = tensor.empty() : tensor<4xi8>
  %q = linalg.generic {indexing_maps = [#m, #m], iterator_types = ["parallel"]}
    ins(%x : tensor<4xf32>) outs(%i : tensor<4xi8>) {
  ^bb0(%a: f32, %o: i8):
    %c = arith.fptosi %a : f32 to i8
    linalg.yield %c : i8
  } -> tensor<4xi8>
  %y = linalg.generic {indexing_maps = [#m, #m], iterator_types = ["parallel"]}
    ins(%q : tensor<4xi8>) outs(%e : tensor<4xf32>) {
  ^bb0(%a: i8, %o: f32):
    %c = arith.sitofp %a : i8 to f32
    linalg.yield %c : f32
  } -> tensor<4xf32>
  RETURN
}
"""


def test_real_numbers_are_found() -> None:
    program = program_of(REAL.replace("RETURN", "return %y : tensor<4xf32>"))
    CheckIntegers().run(program)
    more = "%z = math.exp %y : tensor<4xf32>\n  return %z : tensor<4xf32>"
    with pytest.raises(InternalError, match="computes with real numbers"):
        CheckIntegers().run(program_of(REAL.replace("RETURN", more)))
