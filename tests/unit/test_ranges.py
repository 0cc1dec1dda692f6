"""Proofs of bounds on index expressions."""

import pytest

from drystone.codegen.ranges import Facts, equalities, grid_facts, loop_facts
from drystone.codegen.tile import Grid, Index, Loop, Tensor, index

X = Tensor("x", "f32", (None, 30))
M = X.dim(0)
P, K = Index("var", ("i",)), Index("var", ("k",))


def loop(lower: Index | int, upper: Index | int, step: int) -> Loop:
    """A loop over k."""
    return Loop(K, index(lower), index(upper), step, (), (), (), (), ())


def proven(facts: Facts, e: Index) -> bool:
    """Whether e >= 0 is proven."""
    return facts.nonnegative(facts.linear(e))


def test_whole_steps_lie_inside() -> None:
    inside = grid_facts(Facts(), Grid((P,), (M,), (4,), ()), full=True)
    anywhere = grid_facts(Facts(), Grid((P,), (M,), (4,), ()))
    assert proven(inside, M - (P + 3) - 1)
    assert not proven(anywhere, M - (P + 3) - 1)
    assert proven(anywhere, M - P - 1) and not proven(inside, M - (P + 4) - 1)


@pytest.mark.parametrize(("upper", "step", "last"), [(12, 4, 8), (13, 4, 12), (1, 4, 0)])
def test_loops_of_known_length(upper: int, step: int, last: int) -> None:
    facts = loop_facts(Facts(), loop(0, upper, step))
    assert proven(facts, last - K) and not proven(facts, last - 1 - K)


def test_a_loop_cut_short_by_the_smaller_bound() -> None:
    facts = grid_facts(Facts(), Grid((P,), (M,), (32,), ()))
    facts = loop_facts(facts, loop(0, (M - P).min(32), 4))
    assert proven(facts, 28 - K) and proven(facts, M - P - K - 1)
    assert not proven(facts, M - P - K - 4)


def test_a_loop_that_starts_at_another_ones_step() -> None:
    facts = loop_facts(Facts(), Loop(P, index(0), index(40), 8, (), (), (), (), ()))
    facts = loop_facts(facts, loop(P, (P + 8).min(40), 4))
    assert proven(facts, 40 - (K + 4))


def test_quotients_remainders_and_limits() -> None:
    facts = grid_facts(Facts(), Grid((P,), (index(100),), (1,), ()))
    assert proven(facts, 9 - P // 11) and not proven(facts, 8 - P // 11)
    assert proven(facts, 6 - P % 7) and proven(facts, P % 7) and not proven(facts, 5 - P % 7)
    assert proven(facts, (P - 5).max(0)) and not proven(facts, P - 5)
    assert proven(facts, 10 - (P - 5).min(10)) and proven(facts, P.ceildiv(3) * 3 - P)


def test_equal_extents() -> None:
    y = Tensor("y", "f32", (None,))
    facts = Facts({}, equalities([(M, y.dim(0))]))
    assert proven(facts, M - y.dim(0)) and not proven(Facts(), M - y.dim(0))
    assert equalities([(M, y.dim(0)), (y.dim(0), index(5))]) == {M: index(5), y.dim(0): index(5)}
