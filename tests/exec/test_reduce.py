"""Reductions along and beside the vectors, held against numpy in float64."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from tests.exec.families import check, generic, program_of

RNG = np.random.default_rng(11)
CUBE = "(d0, d1, d2) -> (d0, d1, d2)"


def reduction(shape: str, axes: tuple[int, ...], combine: str, start: str, element: str = "f32") -> str:
    """The sum (or the like) of squares of a tensor of rank 3 over some axes."""
    extents = shape.split("x")
    kept = [d for d in range(3) if d not in axes]
    out = "x".join([*(extents[d] for d in kept), element])
    to = f"(d0, d1, d2) -> ({', '.join(f'd{d}' for d in kept)})"
    multiply = "arith.mulf" if element.startswith("f") else "arith.muli"
    body = f"""
    %1 = {multiply} %x0, %x0 : {element}
    %2 = arith.{combine} %1, %o0 : {element}
    linalg.yield %2 : {element}"""
    iterators = "".join("r" if d in axes else "p" for d in range(3))
    return generic([f"{shape}x{element}"], [out], [CUBE, to], iterators, body, fills=[start])


@pytest.mark.parametrize("axes", [axes for n in (1, 2, 3) for axes in combinations(range(3), n)])
def test_every_set_of_axes(axes: tuple[int, ...]) -> None:
    x = RNG.standard_normal((4, 6, 50)).astype(np.float32)
    total = np.asarray((x.astype(np.float64) ** 2).sum(axes) + 1).astype(np.float32)
    for shape in ("4x6x50", "?x6x?"):
        check(reduction(shape, axes, "addf", "1.0"), [x], [total])


@pytest.mark.parametrize("extent", [1, 3, 16, 31, 64, 200])
def test_rows_of_every_length(extent: int) -> None:
    x = RNG.standard_normal((2, 3, extent)).astype(np.float32)
    top = (x**2).max(2)
    check(reduction(f"2x3x{extent}", (2,), "maximumf", "0xFF800000"), [x], [top])
    check(reduction("?x?x?", (2,), "maximumf", "0xFF800000"), [x], [top])


def test_integers_flags_and_products() -> None:
    x = RNG.integers(-9, 9, (3, 5, 21))
    check(reduction("3x5x21", (1,), "addi", "0", "i64"), [x], [(x**2).sum(1)])
    check(reduction("3x5x21", (2,), "minsi", "100", "i64"), [x], [(x**2).min(2)])
    y = RNG.uniform(0.5, 1.5, (3, 5, 21))
    check(reduction("3x5x21", (2,), "mulf", "1.0", "f64"), [y], [(y**2).prod(2)], tolerance=1e-13)
    body = "    %1 = arith.ori %x0, %o0 : i1\n    linalg.yield %1 : i1"
    maps = ["(d0, d1) -> (d0, d1)", "(d0, d1) -> (d0)"]
    flags = RNG.random((9, 33)) < 0.03
    check(generic(["9x33xi1"], ["9xi1"], maps, "pr", body, fills=["0"]), [flags], [flags.any(1)])


def test_reduction_of_one_element_is_a_map() -> None:
    x = RNG.standard_normal((4, 6, 1)).astype(np.float32)
    text = reduction("4x6x1", (2,), "addf", "1.0")
    check(text, [x], [(x[:, :, 0] ** 2 + 1)])
    assert str(program_of(text)).startswith("map")


def argmax(axis: int, beats: str = "ogt") -> str:
    body = f"""
    %i = linalg.index {axis} : index
    %p = arith.index_cast %i : index to i64
    %1 = arith.maximumf %x0, %o0 : f32
    %2 = arith.cmpf {beats}, %x0, %o0 : f32
    %3 = arith.select %2, %p, %o1 : i64
    linalg.yield %1, %3 : f32, i64"""
    kept = 1 - axis
    to = f"(d0, d1) -> (d{kept})"
    size = (8, 40)[kept]
    return generic(
        ["8x40xf32"],
        [f"{size}xf32", f"{size}xi64"],
        ["(d0, d1) -> (d0, d1)", to, to],
        "rp" if axis == 0 else "pr",
        body,
        fills=["0xFF800000", "0"],
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_the_first_of_equal_maxima_wins(axis: int) -> None:
    x = RNG.integers(0, 4, (8, 40)).astype(np.float32)
    check(argmax(axis), [x], [x.max(axis), x.argmax(axis)])
    nothing: Any = np.full((8, 40), -np.inf, np.float32)
    check(argmax(axis), [nothing], [nothing.max(axis), nothing.argmax(axis)])


def test_a_last_of_equals_or_a_difference_is_left_to_others() -> None:
    assert program_of(argmax(1, "oge")) is None
    body = "    %1 = arith.subf %o0, %x0 : f32\n    linalg.yield %1 : f32"
    maps = ["(d0, d1) -> (d0, d1)", "(d0, d1) -> (d0)"]
    assert program_of(generic(["8x40xf32"], ["8xf32"], maps, "pr", body, fills=["0.0"])) is None
