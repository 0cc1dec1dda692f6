"""Methods of pruning on random weights and inputs: the zeros that are asked for, and what they cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.encoding import Codes, Sparse, decode, encode
from drystone.passes.pruning import METHODS, Blocks, Groups, Pruning, Zeros
from drystone.passes.pruning.methods import refitted
from drystone.passes.rounding import Seen, output_error

WAYS = [*METHODS, *(f"{method}+refit" for method in METHODS)]
ZEROS: dict[str, Zeros] = {
    "anywhere": Blocks(0.5),
    "mostly": Blocks(0.7),
    "2:4": Groups(2, 4),
    "1:8": Groups(1, 8),
    "blocks": Blocks(0.5, (4, 8)),
}


def case(n: int, k: int, rows: int = 300, seed: int = 0) -> tuple[Array, Seen]:
    """A weight, and inputs that depend on each other and differ in size."""
    random = np.random.default_rng([n, k, seed])
    mixed = random.standard_normal((k, k)) / 8 + np.diag(np.exp(random.standard_normal(k)))
    return random.standard_normal((n, k)), Seen.of(random.standard_normal((rows, k)) @ mixed)


def error(name: str, method: str, size: tuple[int, int] = (32, 96)) -> float:
    weight, seen = case(*size)
    found = Pruning.of(ZEROS[name], method).pruned(weight, seen)
    return output_error(found - weight, seen.moment)


@pytest.mark.parametrize("name", ZEROS)
def test_what_is_known_of_inputs_costs_outputs_less(name: str) -> None:
    errors = {way: error(name, way) for way in WAYS}
    assert errors["sparsegpt"] < 0.95 * errors["wanda"]
    assert errors["wanda"] < 0.9 * errors["magnitude"]
    for method in METHODS:
        assert errors[f"{method}+refit"] < 0.95 * errors[method]


@pytest.mark.parametrize("inputs", [40, 130, 300])
@pytest.mark.parametrize("name", ZEROS)
def test_updates_are_what_their_definition_says(name: str, inputs: int) -> None:
    """One input at a time, the inverse of what is left computed anew: Frantar and Alistarh 2023, (3) and
    section 3.2."""
    weight, seen = case(6, inputs)
    found = Pruning.of(ZEROS[name], "sparsegpt").pruned(weight, seen)
    left, wanted, moment = found != 0, weight.copy(), seen.damped
    for k in range(inputs):
        inverse = np.linalg.inv(moment[k:, k:])
        column = np.where(left[:, k], wanted[:, k], 0)
        wanted[:, k + 1 :] -= np.outer(wanted[:, k] - column, inverse[0, 1:] / inverse[0, 0])
        wanted[:, k] = column
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)


def test_groups_are_decided_on_when_what_is_before_them_is_settled() -> None:
    """The first group loses the numbers that cost least by the inverse of H; the second those of what the
    first made of it."""
    weight, seen = case(5, 8)
    found = Pruning.of(Groups(2, 4), "sparsegpt").pruned(weight, seen)
    moment = seen.damped
    costs = np.array([1 / np.linalg.inv(moment[k:, k:])[0, 0] for k in range(8)])
    wanted = weight.copy()
    for first in (0, 4):
        group = slice(first, first + 4)
        least = np.argsort(np.square(wanted[:, group]) * costs[group], axis=1)[:, :2]
        assert all(set(least[n]) == set(np.flatnonzero(found[n, group] == 0)) for n in range(5))
        own = found[:, group] - weight[:, group]
        rest = np.linalg.solve(moment[4:, 4:], moment[4:, :4] @ own.T)
        wanted[:, 4:] = weight[:, 4:] - rest.T


def test_refitting_ends_at_the_least_squares_solution() -> None:
    weight, seen = case(3, 12)
    found, moment = Pruning.of(Blocks(0.5), "wanda").pruned(weight, seen), seen.damped
    for _ in range(60):
        found = refitted(weight, found, seen)
    for row, wanted in zip(found, weight, strict=True):
        kept = np.flatnonzero(row)
        best = np.linalg.solve(moment[np.ix_(kept, kept)], moment[kept] @ wanted)
        np.testing.assert_allclose(row[kept], best, rtol=1e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 20),
    st.integers(1, 40),
    st.sampled_from(WAYS),
    st.one_of(
        st.builds(lambda of, left: Groups(min(left, of - 1), of), st.integers(2, 9), st.integers(1, 8)),
        st.builds(Blocks, st.floats(0.05, 0.95), st.tuples(st.integers(1, 5), st.integers(1, 5))),
    ),
    st.booleans(),
)
def test_zeros_are_where_they_should_be(n: int, k: int, way: str, zeros: Zeros, empty: bool) -> None:
    """As many as are asked for, to the number; whatever the shape, and with outputs and inputs of zeros."""
    weight, seen = case(n, k, rows=8)
    if empty:
        weight[n // 2] = 0
        seen = Seen.of(np.random.default_rng(1).standard_normal((8, k)) * (np.arange(k) > k // 2))
    if zeros.problem(n, k) or zeros.holds_all(n, k):
        return
    found = Pruning.of(zeros, way).pruned(weight, seen)
    assert np.isfinite(found).all()
    if isinstance(zeros, Groups):
        ragged = np.pad(found != 0, [(0, 0), (0, -k % zeros.of)]).reshape(n, -1, zeros.of)
        assert ragged.sum(2).max() <= zeros.kept_of
        whole = ragged[:, : k // zeros.of].sum(2)
        assert empty or (whole == zeros.kept_of).all()
    else:
        assert isinstance(zeros, Blocks)
        high, wide = zeros.block
        blocks = np.pad(found != 0, [(0, -n % high), (0, -k % wide)])
        some = blocks.reshape(-(-n // high), high, -(-k // wide), wide).any((1, 3))
        wanted = some.size - round(zeros.level * some.size)
        assert some.sum() <= wanted if empty else some.sum() == wanted
        per_row = some.sum(1)
        assert empty or way.startswith("layer-") or per_row.max() - per_row.min() <= 1
    encoding = Sparse(zeros.pattern(n, k), Codes("f64"))
    assert np.array_equal(decode(encode(found, encoding), encoding, (n, k), "f64"), found)


def test_methods_by_name() -> None:
    assert Pruning.of(Blocks(0.5), "sparsegpt+refit") == Pruning(Blocks(0.5), "sparsegpt", True)
    calibrated = {way for way in WAYS if Pruning.of(Blocks(0.5), way).calibrated}
    assert calibrated == set(WAYS) - {"magnitude", "layer-magnitude"}
    for name in ("obd", "refit", "wanda+gptq", "wanda+refit+refit"):
        with pytest.raises(UserError, match=r"no method is called"):
            Pruning.of(Blocks(0.5), name)


@pytest.mark.parametrize("known", [False, True])
def test_magnitudes_are_compared_within_an_output_or_within_the_weight(known: bool) -> None:
    weight, seen = case(8, 16)
    weight[:4] /= 100
    within, whole = (
        Pruning.of(Blocks(0.5), method).pruned(weight, seen if known else None)
        for method in ("magnitude", "layer-magnitude")
    )
    assert ((within != 0).sum(1) == 8).all()
    assert np.array_equal(whole, np.where(np.arange(8)[:, None] < 4, 0, weight))
    groups = [Pruning.of(Groups(2, 4), m).pruned(weight, None) for m in ("magnitude", "layer-magnitude")]
    assert np.array_equal(*groups)


def test_without_calibration_magnitudes_count() -> None:
    weight, seen = case(8, 16)
    for zeros in ZEROS.values():
        own = Pruning.of(zeros, "magnitude").pruned(weight, None)
        assert np.array_equal(own, Pruning(zeros).pruned(weight, None))
        assert np.array_equal(
            Pruning(zeros).pruned(weight, seen), Pruning.of(zeros, "wanda").pruned(weight, seen)
        )
