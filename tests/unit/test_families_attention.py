"""Tile programs of attention against the reference interpreter, in numpy."""

from typing import Any

import pytest

from tests.exec import dry_cases

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ragged": {"queries": 37, "keys": 29, "depth": 20, "depth_v": 12},
    "positions before heads": {"layout": "bshd", "depth": 32},
    "grouped": {"kv_heads": 2, "layout": "bshd"},
    "several blocks": {"batch": 1, "heads": 1, "kv_heads": 1, "keys": 300},
    "even blocks": {"batch": 1, "heads": 1, "kv_heads": 1, "queries": 32, "keys": 512, "depth": 8},
    "causal": {"causal": True, "queries": 40, "keys": 40},
    "causal, more keys": {"causal": True, "queries": 33, "keys": 150, "batch": 1},
    "causal, dynamic": {"causal": True, "queries": 35, "keys": 35, "dynamic": (0, 2)},
    "added mask": {"mask": (2, 1, 20, 24)},
    "added row mask": {"mask": (2, 1, 1, 24)},
    "kept mask": {"mask": (1, 4, 20, 24), "mask_is": "bool"},
    "kept column mask": {"mask": (2, 1, 20, 1), "mask_is": "float"},
    "dynamic": {"dynamic": (0, 2), "mask": (2, 1, 1, 24), "mask_is": "bool"},
    "one query": {"queries": 1, "keys": 29, "layout": "bshd", "kv_heads": 2},
    "one query, many keys": {"batch": 1, "heads": 1, "kv_heads": 1, "queries": 1, "keys": 700},
    "few queries, masked": {"queries": 3, "mask": (2, 1, 3, 24)},
    "few queries, mask of one": {"queries": 3, "mask": (2, 1, 1, 1)},
    "few queries, causal": {"queries": 4, "causal": True, "keys": 4, "depth": 24},
    "few queries, dynamic": {"queries": 2, "dynamic": (0, 2), "mask": (2, 1, 2, 24), "mask_is": "bool"},
}


@pytest.mark.parametrize("name", CASES)
def test_attention_means_what_the_reference_says(name: str) -> None:
    case = dry_cases.attention(**CASES[name])
    _, results = case.interpreted()
    case.check(results, 1e-5)
