"""The choice of one option for each item, and of a format for each weight, beside all choices."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from drystone import choosing, scheduling
from drystone.choosing import CANDIDATES, Option, Weight, cheapest, choose, options_of
from drystone.ir import formats
from drystone.ir.encoding import encode
from drystone.scheduling import select


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 8))
    items = [
        [scheduling.Option(int(size), float(cost)) for size, cost in zip(*_random(random), strict=True)]
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
        [scheduling.Option(10 * bits, 4.0**-bits * weight) for bits in range(2, 9)]
        for weight in random.random(500)
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
    options = options_of(weights, effect)
    found = choose(options, limit)
    assert found is not None and sum(each.size for each in found) <= limit
    assert [each.size for each in found] == sorted(each.size for each in found)
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
    assert choose(options, 800) is None
    refused = str(choosing.too_small(weights, options, 800))
    assert "cannot take 800 bytes, 0.781 bits each" in refused and "2432 bytes in all, 2.375 bits" in refused
    refused = str(choosing.too_small(weights, options, 800, beside=900))
    assert "cannot take 0 bytes beside the 900 of others" in refused
    for error in (0.01, 1.0, 30.0):
        cheap = cheapest(options, error)
        assert sum(each.change for each in cheap) <= error**2
        smallest = min(
            sum(option.size for option in choice)
            for choice in product(*options.values())
            if sum(option.change for option in choice) <= error**2
        )
        assert sum(each.size for each in cheap) == smallest


def test_formats_that_are_slower_than_better_ones_are_for_small_budgets() -> None:
    """In a target's order of times: w3 is worse and slower than w4, and taken where w4 is too large."""
    options = {
        f"w{n}": [
            Option("w3", 300, 9.0, 2.0),
            Option("w4", 400, 1.0, 1.0),
            Option("q8_0", 800, 0.1, 1.5),
            Option("", 3200, 0.0, 4.0),
        ]
        for n in range(3)
    }
    for limit, wanted in (
        (1200, ["w4", "w4", "w4"]),
        (1550, ["w4", "w4", "w4"]),
        (1100, ["w3", "w4", "w4"]),
        (900, ["w3", "w3", "w3"]),
    ):
        found = choose(options, limit)
        assert found is not None and sorted(each.format for each in found) == wanted
