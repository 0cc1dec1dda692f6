"""The choice of one option for each item, and of a format for each weight, beside all choices."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from drystone.choosing import CANDIDATES, Weight, choose
from drystone.errors import UserError
from drystone.ir import formats
from drystone.ir.encoding import encode
from drystone.scheduling import Option, select


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 8))
    items = [
        [Option(int(size), float(cost)) for size, cost in zip(*_random(random), strict=True)]
        for _ in range(count)
    ]
    smallest = sum(min(option.size for option in options) for options in items)
    largest = sum(max(option.size for option in options) for options in items)
    limit = int(random.integers(smallest, largest + 1))
    found = select(items, limit)
    assert found is not None and found.proven
    chosen = [options[number] for options, number in zip(items, found.chosen, strict=True)]
    assert sum(option.size for option in chosen) <= limit
    costs = [
        sum(option.cost for option in choice)
        for choice in product(*items)
        if sum(option.size for option in choice) <= limit
    ]
    assert sum(option.cost for option in chosen) == pytest.approx(min(costs), rel=1e-9)
    assert select(items, smallest - 1) is None


def _random(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sizes, and costs of very different magnitudes, some of them 0."""
    count = int(random.integers(1, 5))
    costs = 10.0 ** random.uniform(-4, 4, count) * (random.random(count) > 0.2)
    return random.integers(1, 10**6, count), costs


def test_of_many_items_no_time_is_needed_for_a_choice() -> None:
    random = np.random.default_rng(0)
    items = [
        [Option(10 * bits, 4.0**-bits * weight) for bits in range(2, 9)] for weight in random.random(500)
    ]
    found = select(items, 500 * 42, seconds=0.0)
    assert found is not None and not found.proven
    better = select(items, 500 * 42)
    assert better is not None

    def cost(chosen: tuple[int, ...]) -> float:
        return sum(options[number].cost for options, number in zip(items, chosen, strict=True))

    assert sum(items[0][number].size for number in found.chosen) <= 500 * 42
    assert cost(better.chosen) <= cost(found.chosen) <= 1.05 * cost(better.chosen)


def test_formats_are_the_best_of_all_choices() -> None:
    """Layers of which some matter more than others, and what every choice would change."""
    random = np.random.default_rng(0)
    matrices = {f"w{n}": random.standard_normal((32, 64)) for n in range(4)}
    matters = {key: 10.0**n for n, key in enumerate(matrices)}

    def effect(key: str, matrix: np.ndarray) -> float:
        return matters[key] * float(np.square(matrix - matrices[key]).sum())

    weights = {
        key: Weight(partial(np.copy, each), (32, 64), None, 4 * each.size) for key, each in matrices.items()
    }
    limit = 4 * 32 * 64 * 5 // 8
    found = choose(weights, effect, limit)
    assert sum(each.bits for each in found) / 4 <= 5
    assert [each.bits for each in found] == sorted(each.bits for each in found)
    encodings = [formats.TABLE[name]() for name in CANDIDATES]
    changes = {
        key: [effect(key, encoding.decode(encode(matrix, encoding), matrix.shape)) for encoding in encodings]
        for key, matrix in matrices.items()
    }
    sizes = [encoding.bytes((32, 64)) for encoding in encodings]
    best = min(
        sum(changes[key][number] for key, number in zip(matrices, choice, strict=True))
        for choice in product(range(len(encodings)), repeat=4)
        if sum(sizes[number] for number in choice) <= limit
    )
    assert sum(each.change for each in found) == pytest.approx(best, rel=1e-6)
    with pytest.raises(UserError, match=r"cannot take 800 bytes, 0.781 bits each") as refused:
        choose(weights, effect, 800)
    assert "2432 bytes in all, 2.375 bits" in str(refused.value)
    with pytest.raises(UserError, match=r"cannot take 0 bytes beside the 900 of others"):
        choose(weights, effect, 800, beside=900)
