"""Tile programs of attention against the reference interpreter, in numpy."""

from typing import Any

import numpy as np
import pytest

from drystone.targets import registry
from tests.exec import dry_cases


def window(queries: int, before: int, after: int = 1) -> list[list[list[int]]]:
    """The span in which every query sees the `before` keys up to itself, and `after - 1` more."""
    at = np.arange(queries)
    return [[np.maximum(at - before + 1, 0).tolist()], [(at + after).tolist()]]


HALVES = [[[True, False, True, False], [False, True, False, True], [True, True, False, False]]]
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
    "window": {"queries": 70, "keys": 70, "span": window(70, 9)},
    "window, dynamic": {"queries": 70, "keys": 70, "span": window(70, 9), "dynamic": (0, 2), "causal": True},
    "window, many keys": {
        "batch": 1,
        "heads": 1,
        "kv_heads": 1,
        "queries": 33,
        "keys": 300,
        "span": window(33, 3, 140),
    },
    "window with sinks": {"queries": 70, "keys": 70, "span": window(70, 5), "sinks": 3},
    "window with sinks, causal": {
        "queries": 70,
        "keys": 70,
        "span": window(70, 5, 9),
        "sinks": 11,
        "causal": True,
    },
    "lengths": {"span": [[[0], [3]], [[5], [24]]]},
    "lengths, none": {"span": [[[0], [3]], [[5], [3]]]},
    "lengths of dynamic keys": {"span": [[[0], [0]], [[5], [24]]], "dynamic": (0, 2), "mask": (1, 1, 1, 24)},
    "segments": {"batch": 1, "span": [[[0] * 7 + [7] * 13], [[7] * 7 + [24] * 13]]},
    "blocks": {"queries": 48, "keys": 64, "blocks": HALVES, "tile": (16, 16)},
    "blocks of heads, with a span": {
        "queries": 40,
        "keys": 60,
        "blocks": HALVES * 4,
        "tile": (16, 16),
        "span": window(40, 21, 8),
    },
    "few queries, window with sinks": {"queries": 3, "span": [[[4, 9, 20]], [[6, 20, 24]]], "sinks": 3},
    "few queries, blocks": {"queries": 2, "keys": 64, "blocks": [HALVES[0][:1]], "tile": (16, 16)},
    "together": {"heads": 8, "kv_heads": 1, "queries": 1, "keys": 70},
    "together, more than one query": {"heads": 12, "kv_heads": 2, "queries": 3, "keys": 20, "causal": True},
    "together, window": {
        "heads": 6,
        "kv_heads": 1,
        "queries": 2,
        "keys": 70,
        "span": [[[4, 20]], [[30, 66]]],
        "sinks": 2,
    },
    "together, masks of heads": {"heads": 8, "kv_heads": 1, "queries": 1, "mask": (2, 8, 1, 24)},
    "together, masked": {"heads": 8, "kv_heads": 1, "queries": 2, "mask": (2, 1, 1, 24), "mask_is": "bool"},
    "together, dynamic": {"heads": 6, "kv_heads": 1, "queries": 2, "dynamic": (0, 2), "causal": True},
    "together, wide": {"batch": 1, "heads": 40, "kv_heads": 1, "queries": 1, "keys": 40},
    "parts": {"batch": 1, "heads": 1, "kv_heads": 1, "queries": 1, "keys": 1200},
    "parts, together": {"batch": 1, "heads": 5, "kv_heads": 1, "queries": 1, "keys": 1030},
    "parts, two queries, window": {
        "batch": 1,
        "heads": 2,
        "kv_heads": 1,
        "queries": 2,
        "keys": 1200,
        "span": [[[4, 100]], [[700, 1101]]],
        "sinks": 9,
    },
    "parts, together, window": {
        "batch": 1,
        "heads": 3,
        "kv_heads": 1,
        "queries": 2,
        "keys": 1200,
        "span": [[[4, 100]], [[700, 1101]]],
        "sinks": 3,
    },
    "parts, few keys": {
        "batch": 1,
        "heads": 1,
        "kv_heads": 1,
        "queries": 1,
        "keys": 1200,
        "span": [[[7]], [[11]]],
    },
    "few queries, dynamic": {"queries": 2, "dynamic": (0, 2), "mask": (2, 1, 2, 24), "mask_is": "bool"},
}


@pytest.mark.parametrize("name", CASES)
def test_attention_means_what_the_reference_says(name: str) -> None:
    case = dry_cases.attention(**CASES[name])
    _, results = case.interpreted()
    case.check(results, 1e-5)


#: Held in bf16, what a unit multiplies in pairs.
PAIRS: dict[str, dict[str, Any]] = {
    "even": {"queries": 64, "keys": 64},
    "ragged queries": {"queries": 75, "keys": 160, "kv_heads": 2, "layout": "bshd", "depth_v": 32},
    "causal": {"queries": 96, "keys": 96, "causal": True},
    "window with sinks": {"queries": 80, "keys": 80, "span": window(80, 21), "sinks": 8, "causal": True},
    "masked": {"queries": 70, "keys": 64, "mask": (2, 1, 70, 64)},
    "blocks": {"queries": 96, "keys": 64, "blocks": HALVES * 4, "tile": (32, 16)},
}


@pytest.mark.parametrize("name", PAIRS)
def test_short_elements_are_multiplied_in_pairs(name: str) -> None:
    case = dry_cases.attention(**{"batch": 2, "heads": 4, **PAIRS[name]}, held="bf16")
    _, results = case.interpreted(registry.resolve("cpu:zen4"))
    case.check(results, 2e-2)


def test_blocks_stay_in_the_first_cache_and_single_rows_are_shared_out() -> None:
    narrow = dry_cases.attention(queries=128, keys=512, depth=64, kv_heads=4).search().default
    wide = dry_cases.attention(queries=128, keys=512, depth=16, kv_heads=4).search().default
    assert narrow["width"] <= wide["width"] and narrow["block"] * narrow["width"] * 4 < 32 << 10
    one = dry_cases.attention(queries=1, keys=2048, kv_heads=4).search().default
    assert one["width"] == 0 and one["parts"] > 1
