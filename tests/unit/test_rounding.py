"""Methods of rounding on random weights and inputs: against their definitions, and against each other."""

from itertools import product

import numpy as np
import pytest

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir import formats
from drystone.ir.encoding import BY_RANGE, SEARCHED, Codes, encode
from drystone.ir.encoding.settled import Settled
from drystone.passes.rounding import Member, Method, Seen, output_error, scaled
from drystone.passes.rounding.descent import descended, refitted
from drystone.passes.rounding.feedback import rounded

#: Codes with a scale, with a zero point, with a minimum, with scales of scales, of floats and of tables.
ENCODINGS = {
    name: formats.TABLE[name]()
    for name in (
        *("w4", "w3", "q4_0", "q4_1", "q4_k", "nvfp4", "mxfp4", "nf4", "bitmod3", "int8_row"),
        "palettized",
    )
} | {"ternary": formats.ternary(32)}


def case(n: int = 24, k: int = 96, rows: int = 400) -> tuple[Array, Seen]:
    """A weight, and inputs that depend on each other and differ in size."""
    random = np.random.default_rng(n + k)
    mixed = random.standard_normal((k, k)) / 8 + np.diag(np.exp(random.standard_normal(k)))
    return random.standard_normal((n, k)), Seen.of(random.standard_normal((rows, k)) @ mixed)


def error(encoding: Codes, parts: dict[str, Array], weight: Array, seen: Seen) -> float:
    return output_error(encoding.decode(parts, weight.shape) - weight, seen.moment)


@pytest.mark.parametrize("name", ENCODINGS)
def test_nearest_of_settled_codes_is_what_encode_chooses(name: str) -> None:
    weight, encoding = case()[0], ENCODINGS[name]
    parts = encode(weight, encoding, search=SEARCHED)
    settled = Settled.of(encoding, parts, weight.shape)
    wanted = encoding.decode(parts, weight.shape)
    np.testing.assert_allclose(settled.nearest(weight), wanted, rtol=1e-12)
    for column in (0, 37, 95):
        np.testing.assert_allclose(
            settled.turned().nearest(weight[:, column], column), wanted[:, column], rtol=1e-12
        )


@pytest.mark.parametrize("name", ENCODINGS)
def test_each_method_is_better_than_the_nearest(name: str) -> None:
    (weight, seen), encoding = case(), ENCODINGS[name]
    found = {
        method: error(encoding, Method.of(method).parts(weight, encoding, seen), weight, seen)
        for method in ("nearest", "gptq", "rounding", "gptq+rounding")
    }
    assert found["gptq"] < 0.8 * found["nearest"]
    assert found["rounding"] < 0.8 * found["nearest"]
    assert found["gptq+rounding"] < found["gptq"]


def test_feedback_is_what_its_definition_says() -> None:
    """One column at a time, the inverse of what is left computed anew: Frantar et al. 2022, (2) and (3)."""
    (weight, seen), encoding = case(8, 32), formats.integers(3, 8)
    moment = seen.hessian.matrix
    settled = Settled.of(encoding, encode(weight, encoding), weight.shape)
    left, wanted = list(np.argsort(-np.diag(moment), kind="stable")), weight.copy()
    while left:
        inverse, i = np.linalg.inv(moment[np.ix_(left, left)]), left[0]
        column = settled.turned().nearest(wanted[:, i], i)
        wanted[:, left[1:]] -= np.outer(wanted[:, i] - column, inverse[0, 1:] / inverse[0, 0])
        wanted[:, i] = column
        left = left[1:]
    np.testing.assert_allclose(rounded(weight, settled, seen.hessian), wanted, rtol=1e-9)


def test_descent_ends_where_no_single_code_is_better() -> None:
    (weight, seen), encoding = case(4, 16), formats.integers(2, 16)
    settled = Settled.of(encoding, encode(weight, encoding), weight.shape)
    start = settled.nearest(weight)
    found = descended(weight, start, settled.turned().nearest, seen.moment, sweeps=50)
    least = output_error(found - weight, seen.moment)
    assert least < output_error(start - weight, seen.moment)
    for n, k in product(range(4), range(16)):
        for code in range(4):
            other = found.copy()
            other[n, k] = code * settled.factor[n, k] - settled.shift[n, k]
            assert output_error(other - weight, seen.moment) >= least - 1e-9


@pytest.mark.parametrize("name", ["w4", "q4_1", "q4_k", "int8_row", "nf4"])
def test_scales_fitted_anew_are_no_worse_for_any_row(name: str) -> None:
    (weight, seen), encoding = case(), ENCODINGS[name]
    parts = encode(weight, encoding, search=BY_RANGE)
    again = refitted(encoding, parts, weight, seen.moment)
    assert np.array_equal(again["codes"], parts["codes"])
    rows = [
        [output_error(row[None], seen.moment) for row in encoding.decode(each, weight.shape) - weight]
        for each in (parts, again)
    ]
    assert (np.array(rows[1]) <= np.array(rows[0]) * (1 + 1e-12)).all()
    assert sum(rows[1]) < 0.99 * sum(rows[0])


def test_scaling_finds_what_was_planted() -> None:
    """Columns that are 30 times smaller, of inputs 30 times larger, lose little when they are scaled."""
    random = np.random.default_rng(0)
    weight, x = random.standard_normal((64, 128)), random.standard_normal((500, 128))
    large = np.where(np.arange(128) % 32 == 0, 30.0, 1.0)
    encoding, seen = formats.w4(), Seen.of(x * large)
    plain = error(encoding, encode(weight / large, encoding), weight / large, seen)
    factors = scaled([Member(weight / large, encoding, Method.of("awq"))], seen)
    assert factors is not None
    held = encoding.decode(encode(weight / large * factors, encoding), weight.shape) / factors
    assert output_error(held - weight / large, seen.moment) < 0.3 * plain


@pytest.mark.parametrize("method", ["awq", "gptq+awq", "gptq+awq+bias"])
@pytest.mark.parametrize("name", ["w3", "q4_0", "nf4", "int8_row"])
def test_scaling_is_no_worse_than_none_for_the_method_that_rounds(method: str, name: str) -> None:
    """Two weights that read one x, of sizes that differ."""
    encoding, made = ENCODINGS[name], Method.of(method)
    members = [Member(case(n)[0], encoding, made) for n in (24, 40)]
    mixed = np.exp(np.random.default_rng(1).standard_normal((96, 96)))
    seen = Seen.of(np.random.default_rng(2).standard_normal((300, 96)) @ mixed)
    factors = scaled(members, seen)
    if factors is not None:
        known = seen.divided(factors)
        found = sum(each.times(factors).error(known) for each in members)
        assert found < sum(each.error(seen) for each in members)


def test_factors_that_feedback_makes_worse_are_left_out() -> None:
    """Numbers at their nearest gain by factors, and lose where feedback makes up for more without them."""
    random = np.random.default_rng(0)
    weight, sizes = random.standard_normal((64, 96)), np.exp(random.standard_normal(96))
    common = random.standard_normal((800, 6)) @ random.standard_normal((6, 96))
    seen = Seen.of((common + 0.05 * random.standard_normal((800, 96))) * sizes)
    plain, fed = (Member(weight, formats.w3(), Method.of(each)) for each in ("awq", "gptq+awq"))
    factors = scaled([plain], seen)
    assert factors is not None and plain.times(factors).error(seen.divided(factors)) < 0.9 * plain.error(seen)
    assert fed.times(factors).error(seen.divided(factors)) > fed.error(seen)
    chosen = scaled([fed], seen)
    assert chosen is None or fed.times(chosen).error(seen.divided(chosen)) <= fed.error(seen)


@pytest.mark.parametrize("corrected", [False, True])
def test_an_error_costs_the_same_for_any_factors(corrected: bool) -> None:
    (weight, seen), factors = case(), np.exp(np.random.default_rng(3).standard_normal(96))
    small = seen.divided(factors)
    seen, small = (seen.centred, small.centred) if corrected else (seen, small)
    np.testing.assert_allclose(
        output_error(weight * factors, small.damped), output_error(weight, seen.damped)
    )
    np.testing.assert_allclose(
        output_error(weight * factors, small.moment), output_error(weight, seen.moment)
    )
    np.testing.assert_allclose(small.mean_error(weight * factors), seen.mean_error(weight))


def test_few_rows_are_trusted_less() -> None:
    """What is added to the diagonal grows as columns by rows, from a hundredth on; columns that are large or
    never used say nothing of it."""
    x = np.random.default_rng(0).standard_normal((64, 32)) * np.where(np.arange(32) < 4, 100, 1)
    x[:, 8] = 0
    for times, share in ((1, 0.25), (2, 0.125), (100, 0.01)):
        seen = Seen.of(np.tile(x, (times, 1)))
        typical = np.median(np.delete(np.diag(seen.moment), 8))
        np.testing.assert_allclose(seen.damped, seen.moment + share * typical * np.eye(32))


def test_what_feedback_needs_of_divided_inputs_comes_from_the_inputs() -> None:
    """In the order of the inputs as they were, and damped as they were."""
    _, seen = case(8, 32)
    factors = np.exp(np.random.default_rng(3).standard_normal(32))
    hessian, wanted = seen.hessian.divided(factors), seen.damped / np.outer(factors, factors)
    order, factor = seen.hessian.order, hessian.factor
    np.testing.assert_allclose(hessian.matrix, wanted)
    assert np.array_equal(hessian.order, order)
    assert np.array_equal(np.triu(factor), factor) and (np.diag(factor) == 1).all()
    inverse = np.linalg.inv(factor)
    diagonal = inverse @ wanted[np.ix_(order, order)] @ inverse.T
    np.testing.assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=1e-12 * np.abs(diagonal).max())


@pytest.mark.parametrize("method", ["nearest", "gptq", "gptq+rounding"])
def test_a_bias_takes_the_mean_error(method: str) -> None:
    """Inputs that are not around 0: the rest of the error is lower where the mean is left to the bias."""
    random, encoding = np.random.default_rng(0), formats.w3(32)
    weight = random.standard_normal((24, 96))
    x = np.maximum(random.standard_normal((500, 96)) @ random.standard_normal((96, 96)) / 10 + 0.5, 0)
    seen, errors = Seen.of(x), {}
    for corrected in (False, True):
        words = [] if method == "nearest" else [method]
        made = Method.of("+".join([*words, "bias"]) if corrected else method)
        parts = made.parts(weight, encoding, seen)
        left = encoding.decode(parts, weight.shape) - weight
        outputs = x @ left.T - (seen.mean_error(left) if corrected else 0)
        errors[corrected] = np.square(outputs).sum()
        if corrected:
            np.testing.assert_allclose(outputs.mean(0), 0, atol=1e-9)
            np.testing.assert_allclose(np.square(outputs).sum(), output_error(left, seen.centred.moment))
    assert errors[True] < 0.95 * errors[False]


def test_what_nothing_was_seen_of_is_rounded_to_the_nearest() -> None:
    weight, encoding = case()[0], formats.w4()
    seen = Seen.of(np.zeros((5, 96)))
    parts = Method.of("gptq").parts(weight, encoding, seen)
    wanted = encode(weight, encoding, search=SEARCHED)
    assert all(np.array_equal(parts[name], wanted[name]) for name in wanted)
    assert scaled([Member(weight, encoding, Method.of("awq"))], seen) is None


def test_one_row_has_nothing_beside_its_mean() -> None:
    """Sums of f32 that cancel leave rounding, which says nothing: all inputs count the same."""
    weight = case()[0]
    x = np.random.default_rng(0).standard_normal((1, 96)).astype(np.float32)
    moment = (x.T @ x).astype(np.float64)
    noise = np.random.default_rng(1).standard_normal((96, 96)) * np.abs(moment) * 1e-7
    seen = Seen(1, x[0].astype(np.float64), moment + noise + noise.T)
    assert not seen.centred.moment.any()
    np.testing.assert_array_equal(seen.centred.damped, seen.centred.damped[0, 0] * np.eye(96))
    parts = Method.of("gptq+bias").parts(weight, formats.w4(), seen)
    left = formats.w4().decode(parts, weight.shape) - weight
    assert np.linalg.norm(left) < 0.15 * np.linalg.norm(weight)


def test_names_of_methods() -> None:
    assert Method.of("gptq+awq") == Method(scaled=True, fed_back=True)
    assert not Method.of("nearest").calibrated
    with pytest.raises(UserError, match="no method is called 'adaround'"):
        Method.of("gptq+adaround")
