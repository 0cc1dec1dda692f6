"""Recurrent layers, by the meaning of their tile program and as machine code, against the reference."""

from typing import Any

import pytest

from tests.exec import dry_cases

CASES: dict[str, dict[str, Any]] = {
    "lstm": {},
    "lstm, packed": {"pack": 32, "hidden": 32},
    "lstm, packed, ragged": {"pack": 32, "hidden": 20, "batch": 1},
    "lstm, reverse, no bias": {"reverse": True, "bias": False},
    "gru": {"cell": "gru", "batch": 11},
    "gru, packed": {"cell": "gru", "pack": 32, "hidden": 40, "batch": 1, "steps": 4},
    "tanh, reverse": {"cell": "tanh", "reverse": True},
    "relu, packed, one step": {"cell": "relu", "pack": 16, "steps": 1},
    "dynamic": {"dynamic": (0, 1), "batch": 6, "pack": 32},
    "gru, dynamic": {"cell": "gru", "dynamic": (0, 1), "batch": 1},
}


@pytest.mark.parametrize("name", CASES)
def test_recurrence_computes_what_the_reference_says(name: str) -> None:
    case = dry_cases.recurrent(**CASES[name])
    _, meant = case.interpreted()
    case.check(meant, 1e-5)
    case.check(case.executed(singly=True), 1e-5)
