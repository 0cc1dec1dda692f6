"""Scalar operations follow MLIR: wrapping integers, unsigned views, predicates, rounding."""

import math as python
from typing import Any

import numpy as np
import pytest

from drystone.errors import InternalError
from drystone.ir.elements import from_bf16, to_bf16, to_element
from drystone.ir.scalars import apply, known, reduce, reduces
from drystone.mlir import arith, math

NAN = np.nan


def i8(*values: int) -> np.ndarray:
    return np.array(values, np.int8)


INTEGERS: list[tuple[str, np.ndarray, np.ndarray, list[int]]] = [
    ("addi", i8(127, -128), i8(1, -1), [-128, 127]),
    ("muli", i8(100, -7), i8(3, 5), [44, -35]),
    ("divsi", i8(-7, 7, -7), i8(2, -2, -2), [-3, -3, 3]),
    ("floordivsi", i8(-7, 7, -7), i8(2, -2, -2), [-4, -4, 3]),
    ("ceildivsi", i8(-7, 7, -7), i8(2, -2, -2), [-3, -3, 4]),
    ("divui", i8(-2, 7), i8(2, 2), [127, 3]),
    ("ceildivui", i8(-1, 7), i8(2, 2), [-128, 4]),
    ("remsi", i8(-7, 7), i8(3, -3), [-1, 1]),
    ("remui", i8(-1, 7), i8(16, 3), [15, 1]),
    ("shli", i8(1, 64), i8(7, 1), [-128, -128]),
    ("shrsi", i8(-128, 64), i8(7, 1), [-1, 32]),
    ("shrui", i8(-128, 64), i8(7, 1), [1, 32]),
    ("maxsi", i8(-1, 1), i8(1, 2), [1, 2]),
    ("maxui", i8(-1, 1), i8(1, 2), [-1, 2]),
    ("minui", i8(-1, 1), i8(1, 2), [1, 1]),
]


@pytest.mark.parametrize(("op", "a", "b", "expected"), INTEGERS, ids=[case[0] for case in INTEGERS])
def test_integers(op: str, a: np.ndarray, b: np.ndarray, expected: list[int]) -> None:
    ours = apply(f"arith.{op}", [a, b], {}, "i8")
    assert ours.dtype == np.int8
    assert ours.tolist() == expected


@pytest.mark.parametrize(
    ("op", "value", "dtype", "expected"),
    [
        ("extsi", np.array([True, False]), "i32", [-1, 0]),
        ("extui", np.array([True, False]), "i32", [1, 0]),
        ("extui", i8(-1), "i32", [255]),
        ("trunci", np.array([300, -1]), "i8", [44, -1]),
        ("trunci", np.array([2, 3]), "i1", [False, True]),
        ("sitofp", np.array([True]), "f32", [-1]),
        ("uitofp", i8(-1), "f32", [255]),
        ("fptosi", np.array([-2.7, 2.7], np.float32), "i64", [-2, 2]),
        ("fptoui", np.array([200.5]), "i8", [-56]),
        ("index_cast", i8(-3), "index", [-3]),
        ("index_castui", i8(-3), "index", [253]),
        ("bitcast", np.array([1.0], np.float32), "i32", [0x3F800000]),
        ("truncf", np.array([1 + 2**-24], np.float64), "f32", [1]),
    ],
)
def test_conversions(op: str, value: np.ndarray, dtype: str, expected: list[Any]) -> None:
    assert apply(f"arith.{op}", [value], {}, dtype).tolist() == expected


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ("ogt", [False, True, False]),
        ("ugt", [False, True, True]),
        ("one", [True, True, False]),
        ("une", [True, True, True]),
        ("ord", [True, True, False]),
        ("uno", [False, False, True]),
        ("true", [True, True, True]),
        ("2", [False, True, False]),
    ],
)
def test_comparisons_of_reals(predicate: str, expected: list[bool]) -> None:
    a, b = np.array([1, 2, NAN]), np.array([2, 1, 1])
    assert apply("arith.cmpf", [a, b], {"predicate": predicate}, "i1").tolist() == expected


def test_comparisons_of_integers_signed_and_not() -> None:
    for predicate, expected in {"slt": True, "ult": False, "sge": False, "uge": True, "ne": True}.items():
        assert apply("arith.cmpi", [i8(-1), i8(1)], {"predicate": predicate}, "i1").tolist() == [expected]


def test_maxima_and_not_a_number() -> None:
    a, b = np.array([NAN, 1.0]), np.array([2.0, 3.0])
    assert np.isnan(apply("arith.maximumf", [a, b], {}, "f64")[0])
    assert apply("arith.maxnumf", [a, b], {}, "f64").tolist() == [2, 3]


def test_functions_are_rounded_once() -> None:
    x = np.linspace(-3, 3, 101, dtype=np.float32)
    for name in ("exp", "tanh", "erf", "sin"):
        exact = [getattr(python, name)(float(value)) for value in x]
        ours = apply(f"math.{name}", [x], {}, "f32")
        np.testing.assert_array_equal(ours, np.array(exact, np.float32))
    halves = np.array([0.5, 1.5, -2.5], np.float32)
    assert apply("math.round", [halves], {}, "f32").tolist() == [1, 2, -3]
    assert apply("math.roundeven", [halves], {}, "f32").tolist() == [0, 2, -2]
    assert apply("math.ctlz", [i8(1, 0, -1)], {}, "i8").tolist() == [7, 8, 0]
    assert apply("math.ipowi", [i8(2, -1, 3), i8(3, -3, -1)], {}, "i8").tolist() == [8, -1, 0]


def test_bf16_computes_on_the_numbers_and_moves_bits() -> None:
    x = to_bf16(np.array([1.5, -2.0]))
    assert from_bf16(apply("arith.addf", [x, x], {}, "bf16")).tolist() == [3, -4]
    assert apply("arith.extf", [x], {}, "f32").tolist() == [1.5, -2]
    chosen = apply("arith.select", [np.array([True, False]), x, x[::-1]], {}, "bf16")
    assert from_bf16(chosen).tolist() == [1.5, 1.5]


def test_reductions_start_from_their_initial_value() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    start = np.array([[10.0], [20.0]], np.float32)
    assert reduce("arith.addf", x, [1], start, "f32").tolist() == [[13], [32]]
    assert reduce("arith.addf", x[:, :0], [1], start, "f32").tolist() == [[10], [20]]
    assert reduce("arith.maxui", i8(-1, 1), [0], i8(5), "i8").tolist() == [-1]
    assert reduces("arith.mulf") and not reduces("arith.subf")


def test_odd_widths_wrap() -> None:
    assert to_element(np.array([7, 8, -9]), "i4").tolist() == [7, -8, 7]


def test_every_scalar_operation_of_the_dialects_is_known() -> None:
    # Several results, vectors, formats without numbers of their own, or constants.
    apart = {
        *("arith.constant", "arith.addui_extended", "arith.subui_extended"),
        *("arith.mulsi_extended", "arith.mului_extended"),
        *("arith.scaling_extf", "arith.scaling_truncf", "math.sincos"),
    }
    declared = {
        value.OPERATION_NAME
        for dialect in (arith, math)
        for value in vars(dialect).values()
        if isinstance(value, type) and hasattr(value, "OPERATION_NAME")
    }
    assert {name for name in declared if not known(name)} <= apart
    with pytest.raises(InternalError, match=r"arith\.nonsense"):
        apply("arith.nonsense", [], {}, "f32")
