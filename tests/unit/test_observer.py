"""What calibration shows of tensors, and the ends of codes that are found from it."""

from typing import Any

import numpy as np
import pytest

import drystone
from drystone.dtypes import Array
from drystone.ir.interpreter import run as interpret
from drystone.passes import QuantizeProducts, run
from drystone.passes.integers.held import Held
from drystone.passes.quantizing.observe_ranges import ObserveRanges
from drystone.passes.quantizing.ranges import Extremes, Observer, Range, Tails, extremes_of, tails_of
from tests.passes import pass_cases

KEY = "w"


def observed(calls: list[Array], observer: Observer, seen: dict[str, Extremes]) -> list[dict[str, Array]]:
    """What the program of the static product's case, observed, gives of calls [4, 8]."""
    ((_, text, _),) = pass_cases.cases("quantize-products-static")
    program = pass_cases.program_of(text)
    run(program, (ObserveRanges(QuantizeProducts(((".*", "int8"),), seen), observer, seen),))
    names = [each.name for each in program.signature.outputs]
    return [dict(zip(names, interpret(program, [call]), strict=True)) for call in calls]


def both(calls: list[Array], observer: Observer) -> tuple[Extremes, Tails, Array]:
    """The extremes, the tails, and what columns are multiplied with before they are rounded."""
    seen = extremes_of(observed(calls, observer, {}))
    ((_, text, _),) = pass_cases.cases("quantize-products-static")
    point = QuantizeProducts(((".*", "int8"),), seen).points(pass_cases.program_of(text))[KEY]
    assert point.factors is not None
    return seen[KEY], tails_of(observed(calls, observer, seen))[KEY], point.factors


def test_extremes_and_tails_are_those_of_all_calls() -> None:
    rng = np.random.default_rng(0)
    calls = [rng.standard_normal((4, 8)).astype(np.float32) * scale for scale in (1, 3)]
    calls[0][1, 2] = -np.inf
    seen, tails, factors = both(calls, Observer("mse"))
    whole = np.concatenate(calls)
    finite = np.where(np.isinf(whole), np.nan, whole)
    np.testing.assert_array_equal(seen.high, np.nanmax(finite, 0))
    np.testing.assert_array_equal(seen.low, np.nanmin(finite, 0))
    assert seen.masked
    rows = finite * factors
    range_ = Extremes(seen.low * factors, seen.high * factors).range
    tried = Observer("mse").tried(range_)
    assert tried[0] == np.float32(np.nanmax(np.abs(rows))) and tried[-1] == 0
    for number in (0, 7, 30, len(tried) - 1):
        over, under = rows - tried[number], -rows - tried[number]
        assert tails.above[number] == (over > 0).sum()
        assert tails.below[number] == (under > 0).sum()
        np.testing.assert_allclose(tails.excess[number], np.square(over[over > 0]).sum(), rtol=1e-5)
        np.testing.assert_allclose(tails.shortfall[number], np.square(under[under > 0]).sum(), rtol=1e-5)
    assert tails.count == whole.size


def tails(x: Array, observer: Observer) -> tuple[Range, Tails]:
    """Of numbers, in numpy."""
    range_ = Range(float(x.min()), float(x.max()))
    over, under = (sign * x[:, None] - observer.tried(range_) for sign in (1, -1))
    sums = [np.sum(each > 0, 0, np.float64) for each in (over, under)]
    squares = [np.square(np.maximum(each, 0)).sum(0) for each in (over, under)]
    return range_, Tails(sums[0], squares[0], sums[1], squares[1], float(x.size))


def error(x: Array, range_: Range, centred: bool) -> float:
    held = Held.of(range_, 8, centred)
    codes = held.encoded(x).astype(np.float64)
    return float(np.square(held.unit * (codes - held.zero) - x).sum())


@pytest.mark.parametrize("centred", [False, True])
def test_ends_of_the_least_error_leave_outliers_out(centred: bool) -> None:
    x = np.random.default_rng(0).standard_normal(100_000)
    x[0] = 40
    mse = Observer.of("mse")
    range_, seen = tails(x, mse)
    assert mse.error(Observer().range(range_), seen) == pytest.approx(mse.error(range_, seen))
    found = mse.range(range_, seen, centred)
    assert error(x, found, centred) < 0.9 * error(x, range_, centred)
    around = [
        Range(range_.low, range_.high, bytes=(f * found.ends[0], f * found.ends[1])) for f in (0.8, 1.25)
    ]
    assert all(error(x, found, centred) <= error(x, each, centred) for each in around)
    if not centred:
        assert mse.error(range_, seen) == pytest.approx(error(x, found, centred), rel=0.02)


def test_a_percentile_of_each_end() -> None:
    x = np.random.default_rng(0).exponential(size=100_000)
    found = Observer.of(99).range(*tails(x, Observer.of(99)))
    assert found.ends[0] == 0
    assert np.mean(x > found.ends[1]) <= 0.01 < np.mean(x > 0.9 * found.ends[1])
    assert Observer.of("percentile").ends == 99.99


def test_ends_of_calls_are_joined() -> None:
    one, other = Range(-1, 2, bytes=(-0.5, 1)), Range(-3, 1, masked=True)
    assert (one | other) == Range(-3, 2, True, (-3, 1))


@pytest.mark.parametrize("ranges", ["entropy", 0.5, True, None])
def test_what_is_no_way_to_find_ends(ranges: Any) -> None:
    with pytest.raises(drystone.UserError, match="is no way to find the ends"):
        Observer.of(ranges)
