"""Element codes over all their patterns, against other implementations where there are some."""

import ml_dtypes
import numpy as np
import pytest

from drystone.errors import InternalError, UserError
from drystone.ir.encoding.code import code_of

INTEGERS = [f"int{n}" for n in range(2, 17)] + [f"uint{n}" for n in range(1, 17)]
NUMBERS = [
    *(f"bip{n}" for n in range(1, 9)),
    *(f"pot{n}" for n in range(2, 9)),
    *("e2m1", "e2m3", "e3m2", "e3m4", "e4m3", "e5m2", "e8m0", "ue4m3", "ue3m4", "e1m2", "ternary"),
]
THEIRS = {
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}


def patterns(name: str) -> np.ndarray:
    return np.arange(2 ** code_of(name).bits).astype(np.uint8)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_their_codes(name: str) -> None:
    code = code_of(name)
    every = np.arange(code.low, code.high + 1)
    assert len(every) == 2**code.bits
    np.testing.assert_array_equal(code.decode(code.encode(every)), every)
    np.testing.assert_array_equal(code.encode(np.array([-1e9, 1e9])), [code.low, code.high])
    halves = np.array([0.5, 1.5]) if code.high > 1 else np.array([0.5])
    np.testing.assert_array_equal(code.encode(halves), np.minimum([0, 2], code.high)[: len(halves)])


@pytest.mark.parametrize("name", NUMBERS)
def test_every_pattern_encodes_to_itself(name: str) -> None:
    code = code_of(name)
    every = patterns(name)
    numbers = code.decode(every)
    known = ~np.isnan(numbers)
    np.testing.assert_array_equal(code.encode(numbers[known]), every[known])


@pytest.mark.parametrize("name", NUMBERS)
def test_the_nearest_number_is_taken(name: str) -> None:
    code = code_of(name)
    table = code.decode(patterns(name))
    table = np.unique(table[np.isfinite(table)])
    assert (code.low, code.high) == (table[0], table[-1])
    random = np.random.default_rng(0)
    pick = random.integers(0, len(table) - 1, 2000)
    numbers = table[pick] + random.random(2000) * (table[pick + 1] - table[pick])
    taken = code.decode(code.encode(numbers))
    nearest = np.minimum(numbers - table[pick], table[pick + 1] - numbers)
    np.testing.assert_allclose(np.abs(taken - numbers), nearest, rtol=1e-9)
    np.testing.assert_array_equal(
        code.decode(code.encode(np.array([code.low - 1, code.high * 2]))), [table[0], table[-1]]
    )


@pytest.mark.parametrize("name", THEIRS)
def test_floats_are_those_of_ml_dtypes(name: str) -> None:
    code, every, theirs = code_of(name), patterns(name), THEIRS[name]
    np.testing.assert_array_equal(code.decode(every), every.view(theirs).astype(np.float64))
    table = np.unique(code.decode(every)[np.isfinite(code.decode(every))])
    middle = ((table[1:] + table[:-1]) / 2).astype(np.float32)  # theirs rounds to single precision first
    beside = [np.nextafter(middle, np.float32(to)) for to in (-np.inf, np.inf)]
    numbers = np.concatenate([table.astype(np.float32), middle, *beside])
    if name == "e8m0":  # theirs rounds in the exponent
        numbers = table
    np.testing.assert_array_equal(
        code.decode(code.encode(numbers)), numbers.astype(theirs).astype(np.float64)
    )


def test_special_numbers() -> None:
    assert code_of("e5m2").encode(np.array([np.inf, -np.inf])).tolist() == [0x7C, 0xFC]
    assert np.isnan(code_of("e4m3").decode(code_of("e4m3").encode(np.array([np.nan, -np.nan])))).all()
    assert code_of("e4m3").decode(code_of("e4m3").encode(np.array([np.inf])))[0] == 448
    assert code_of("e2m1").encode(np.array([-0.0, -0.1, 0.0])).tolist() == [8, 8, 0]
    assert code_of("e8m0").powers and not code_of("e4m3").powers
    assert code_of("ternary").mean and code_of("bip1").mean and not code_of("pot2").mean
    for name in ("int4", "uint16", "e2m1", "ternary", "pot3", "bip2"):
        with pytest.raises(UserError, match=f"held as {name} has elements that are not numbers"):
            code_of(name).encode(np.array([1, np.nan]))


def test_a_bipolar_number_is_a_sum_of_signs() -> None:
    for bits in range(1, 9):
        every = np.arange(2**bits)
        signs = 2 * (every[:, None] >> np.arange(bits) & 1) - 1
        np.testing.assert_array_equal(code_of(f"bip{bits}").decode(every), signs @ 2 ** np.arange(bits))


@pytest.mark.parametrize("name", ["int1", "int17", "uint0", "bip9", "e5m5", "e0m3", "pot1", "e8m8", "nibble"])
def test_other_names_are_no_codes(name: str) -> None:
    with pytest.raises(InternalError, match=name):
        code_of(name)
