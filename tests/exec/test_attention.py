"""Attention as machine code against the reference interpreter."""

from typing import Any

import numpy as np
import pytest

from drystone.targets import registry
from tests.exec import dry_cases
from tests.unit.test_families_attention import CASES as TILE_CASES
from tests.unit.test_families_attention import HALVES, PAIRS

#: Besides the cases of the tile programs, those that the machine code has other ways for.
CASES: dict[str, dict[str, Any]] = {
    **{f"tiles: {name}": case for name, case in TILE_CASES.items()},
    "queries": {"queries": 40, "keys": 48, "depth": 32},
    "ragged": {"queries": 37, "keys": 29, "depth": 80, "depth_v": 20},
    "positions before heads": {"layout": "bshd", "depth": 128, "batch": 1},
    "many keys": {"heads": 2, "kv_heads": 1, "keys": 333},
    "causal": {"causal": True, "queries": 70, "keys": 70, "heads": 2, "kv_heads": 1},
    "causal, fewer keys": {"causal": True, "queries": 70, "keys": 20},
    "causal, dynamic": {"causal": True, "queries": 150, "keys": 150, "dynamic": (0, 2), "heads": 2},
    "one query": {"queries": 1, "keys": 700, "layout": "bshd", "kv_heads": 2, "depth": 64},
    "few queries, masked, ragged": {"queries": 3, "mask": (2, 1, 3, 27), "keys": 27, "depth": 20},
}


@pytest.mark.parametrize("name", CASES)
def test_attention_computes_what_the_reference_says(name: str) -> None:
    arguments = {"kv_heads": CASES[name].get("heads", 4), **CASES[name]}
    case = dry_cases.attention(**arguments)
    case.check(case.executed(), 1e-5)


@pytest.mark.parametrize("queries", [2, 20])
def test_a_query_that_may_look_at_nothing_gives_zeros(queries: int) -> None:
    case = dry_cases.attention(queries=queries, mask=(2, 1, queries, 24), mask_is="bool")
    case.inputs[3][:, :, 1] = False
    kept = case.inputs[3][:, 0]
    (result,) = case.executed(singly=True)
    assert (result[:, :, 1] == 0).all() and kept[:, 0].any()
    np.testing.assert_allclose(result[:, :, 0], case.expected[0][:, :, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["ragged", "one query", "tiles: parts, together, window"])
def test_narrower_vectors_compute_the_same(name: str) -> None:
    arguments = {"kv_heads": 4, **CASES[name]}
    case = dry_cases.attention(**arguments)
    case.check(case.executed(registry.resolve("cpu:avx2")), 1e-5)


@pytest.mark.parametrize(("element", "tolerance"), [(np.float64, 1e-12), (np.float16, 2e-3)])
@pytest.mark.parametrize("queries", [2, 20])
def test_other_elements(queries: int, element: Any, tolerance: float) -> None:
    case = dry_cases.attention(queries=queries, element=element, mask=(2, 1, 1, 24))
    case.check(case.executed(), tolerance)


@pytest.mark.parametrize("name", PAIRS)
def test_short_elements_are_multiplied_in_pairs(name: str) -> None:
    case = dry_cases.attention(**PAIRS[name], held="bf16")
    case.check(case.executed(), 2e-2)


CODES: dict[str, dict[str, Any]] = {
    "one query": {"queries": 1, "keys": 700, "kv_heads": 2, "depth": 64, "codes": "kv"},
    "keys alone": {"queries": 1, "keys": 77, "layout": "bshd", "codes": "k"},
    "values alone": {"queries": 2, "keys": 77, "codes": "v"},
    "together": {**TILE_CASES["together, dynamic"], "codes": "kv"},
    "queries, masked": {"queries": 37, "keys": 61, "depth": 20, "mask": (2, 1, 37, 61), "codes": "kv"},
    "queries, causal": {"queries": 70, "keys": 70, "causal": True, "layout": "bshd", "codes": "kv"},
    "window with sinks": {**TILE_CASES["window with sinks, causal"], "codes": "kv"},
    "few, masked": {"queries": 3, "keys": 27, "depth": 20, "mask": (2, 1, 3, 27), "codes": "kv"},
}


@pytest.mark.parametrize("name", CODES)
def test_keys_and_values_in_bytes_are_multiplied_by_their_scales(name: str) -> None:
    arguments = {"kv_heads": CODES[name].get("heads", 4), **CODES[name]}
    case = dry_cases.attention(**arguments)
    case.check(case.executed(), 1e-5)


SEARCHED: dict[str, dict[str, Any]] = {
    "queries": CASES["queries"],
    "ragged, masked": {"queries": 37, "keys": 300, "depth": 20, "mask": (2, 1, 37, 300)},
    "causal": CASES["causal"],
    "window with sinks": TILE_CASES["window with sinks, causal"],
    "blocks": {"queries": 64, "keys": 64, "blocks": HALVES * 4, "tile": (32, 32)},
    "dynamic": TILE_CASES["together, dynamic"],
    "one query": CASES["one query"],
    "parts, together, window": TILE_CASES["parts, together, window"],
    "pairs": {**PAIRS["ragged queries"], "held": "bf16"},
    "pairs, window with sinks": {**PAIRS["window with sinks"], "held": "bf16"},
}


@pytest.mark.parametrize("name", SEARCHED)
def test_every_schedule_computes_the_same(name: str) -> None:
    arguments = {"kv_heads": SEARCHED[name].get("heads", 4), **SEARCHED[name]}
    case = dry_cases.attention(**arguments)
    search = case.search()
    points = list(search.space.points())
    assert search.default in search.space and len(points) > 3
    for point in points[1 :: len(points) // 2]:
        case.check(case.executed(program=search.build(point)), 2e-2 if "held" in arguments else 1e-5)
