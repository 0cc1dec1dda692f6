"""Random models by NNSmith compile and agree with torch."""

import pytest

from benchmarks import fuzz

SEEDS = range(12)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="session", autouse=True)
def operators() -> list[object]:
    """What NNSmith can use, found out once."""
    return list(fuzz.operators())


def test_models_use_most_of_nnsmiths_operations(operators: list[object]) -> None:
    assert len(operators) >= 60


@pytest.mark.parametrize("seed", SEEDS)
def test_random_model_agrees_with_torch(seed: int) -> None:
    assert fuzz.check(seed) in ("", "not finite in torch")
