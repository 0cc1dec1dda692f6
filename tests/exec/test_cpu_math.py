"""Functions of the dialect math in machine code, against float64: everywhere, and at the borders."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from drystone.codegen.tile import Index, Tensor, TileBuilder, TileProgram, tile_program
from drystone.ir.scalars import apply
from drystone.targets import registry
from tests.exec.kernels import compiled

BORDERS = np.array(
    [
        *(0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 2, 0.5, 8, 3, -3, 1e-8, 0.625, 0.92773),
        *(1e-45, -1e-45, 1e-38, -1e-38, 3.4e38, -3.4e38, 88.7, 88.8, -87.4, -103.9, -104.5, 1e10),
    ],
    np.float32,
)


def program(op: str, operands: int, **attributes: str) -> TileProgram:
    """out = op(inputs), any number of elements."""
    tensors = [Tensor(f"a{i}", "f32", (None,)) for i in range(operands + 1)]
    out = tensors[-1]

    def body(t: TileBuilder) -> None:
        def step(i: Index) -> None:
            t.store(out, [i], t.apply(op, *[t.load(x, [i], (32,)) for x in tensors[:-1]], **attributes))

        for tensor in tensors[:-1]:
            t.same(tensor.dim(0), out.dim(0))
        t.grid([(out.dim(0), 32)], step)

    return tile_program("map", tensors, body)


def worst(op: str, args: Sequence[Any], target: str) -> float:
    """The greatest error in units of the last place; infinite where a border comes out wrong."""
    out = np.empty_like(args[0])
    compiled(program(op, len(args)), registry.resolve(target))([*args, out])
    with np.errstate(all="ignore"):
        exact = apply(op, [a.astype(np.float64) for a in args], {}, "f64")
        single = exact.astype(np.float32)
        units = np.maximum(np.abs(np.spacing(single)), np.float32(1e-45)).astype(np.float64)
        error = np.abs(out - exact) / units
    finite = np.isfinite(single) & np.isfinite(out)
    agree = (np.isnan(single) & np.isnan(out)) | (single == out)
    return float(np.where(finite, error, np.where(agree, 0, np.inf)).max())


def samples(seed: int = 0) -> Any:
    """Every kind of f32: any bits, the usual range, the borders."""
    rng = np.random.default_rng(seed)
    any_bits = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    usual = [rng.standard_normal(100_000), rng.uniform(-100, 100, 50_001), 1 + rng.uniform(-1e-3, 1e-3, 999)]
    return np.concatenate([any_bits, *(u.astype(np.float32) for u in usual), BORDERS])


@pytest.mark.parametrize("target", ["cpu:avx2", "cpu"])
@pytest.mark.parametrize(
    ("op", "units"),
    [
        ("exp", 1),
        ("exp2", 1),
        ("expm1", 1.5),
        ("log", 1),
        ("log2", 1),
        ("log10", 2),
        ("log1p", 1.5),
        ("tanh", 1.5),
        ("erf", 1.5),
        ("sqrt", 0.5),
        ("rsqrt", 1.5),
    ],
)
def test_functions_of_one_number(op: str, units: float, target: str) -> None:
    assert worst(f"math.{op}", [samples()], target) <= units


@pytest.mark.parametrize("target", ["cpu:avx2", "cpu"])
def test_exponentials_of_negative_numbers(target: str) -> None:
    x = samples()
    x = x[x <= 0]
    out = np.empty_like(x)
    compiled(program("math.exp", 1, domain="negative"), registry.resolve(target))([x, out])
    wanted = np.exp(x.astype(np.float64))
    normal = x > -126 * np.log(2)
    np.testing.assert_allclose(out[normal], wanted[normal], rtol=1.2e-7)
    assert (out[~normal] <= 2.0**-126).all() and (out[x < -88.1] == 0).all()


@pytest.mark.parametrize("target", ["cpu:avx2", "cpu"])
def test_exponentials_of_few_digits(target: str) -> None:
    x = np.concatenate([samples(), np.arange(-160, 160, 0.37, dtype=np.float32)])
    out = np.empty_like(x)
    compiled(program("math.exp2", 1, digits="few"), registry.resolve(target))([x, out])
    with np.errstate(all="ignore"):
        wanted = np.exp2(x.astype(np.float64))
    usual = (x > -125) & (x < 127)
    np.testing.assert_allclose(out[usual], wanted[usual], rtol=2.0**-13)
    assert (out[x <= -125] <= 2.0**-124).all() and (out[x < -150] == 0).all()
    assert (out[x >= 128] == np.inf).all() and np.isnan(out[np.isnan(x)]).all()


@pytest.mark.parametrize("target", ["cpu:avx2", "cpu"])
@pytest.mark.parametrize("op", ["exp", "erf", "tanh"])
def test_functions_of_few_digits(op: str, target: str) -> None:
    x = np.concatenate([samples(), np.arange(-90, 90, 0.013, dtype=np.float32)])
    out = np.empty_like(x)
    compiled(program(f"math.{op}", 1, digits="few"), registry.resolve(target))([x, out])
    wanted = apply(f"math.{op}", [x.astype(np.float64)], {}, "f64")
    finite = np.isfinite(x) & (x < 88)
    error = np.abs(out[finite] - wanted[finite]) / (wanted[finite] + 1e-33 if op == "exp" else 1)
    assert error.max() < 2.0**-12
    assert np.isnan(out[np.isnan(x)]).all()
    ends = {"exp": (0, np.inf), "erf": (-1, 1), "tanh": (-1, 1)}[op]
    np.testing.assert_allclose([out[x == -np.inf].max(), out[x == np.inf].min()], ends, atol=2e-6)


@pytest.mark.parametrize("op", ["sin", "cos"])
def test_waves(op: str) -> None:
    x = samples()
    x = x[~(np.abs(x) > 1e12) | np.isinf(x)]
    assert worst(f"math.{op}", [x], "cpu") <= 2


def test_powers() -> None:
    rng = np.random.default_rng(3)
    x, bases = samples(1), np.repeat(BORDERS, len(BORDERS))
    y = np.where(rng.integers(0, 2, len(x)), rng.uniform(-4, 4, len(x)), rng.integers(-5, 6, len(x)))
    args = [
        np.concatenate([x, bases]),
        np.concatenate([y.astype(np.float32), np.tile(BORDERS, len(BORDERS))]),
    ]
    assert worst("math.powf", args, "cpu") <= 1


def test_powers_known_beforehand() -> None:
    for exponent in (1.0, 2.0, 3.0, -1.0, 0.5, -0.5, 1.7):
        x, out = Tensor("a0", "f32", (40,)), Tensor("a1", "f32", (40,))

        def one(t: TileBuilder, x: Tensor = x, out: Tensor = out, exponent: float = exponent) -> None:
            def step(i: Index) -> None:
                t.store(out, [0], t.apply("math.powf", t.load(x, [0], (40,)), t.full(exponent, (), "f32")))

            t.grid([(1, 1)], step)

        numbers = np.linspace(0.1, 9, 40, dtype=np.float32)
        result = np.empty_like(numbers)
        compiled(tile_program("power", [x, out], one))([numbers, result])
        np.testing.assert_allclose(result, numbers.astype(np.float64) ** exponent, rtol=3e-7)
