"""Recurrent layers, by the meaning of their tile program and as machine code, against the reference."""

from typing import Any

import pytest
import torch

import drystone
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
    "lstm, by units": {"pack": 32, "hidden": 96, "batch": 1},
    "lstm, reverse, groups of rows": {"pack": 32, "hidden": 128, "batch": 5, "reverse": True},
    "gru, by units, half blocks": {"cell": "gru", "pack": 16, "hidden": 112, "batch": 2},
    "tanh, by units, no bias": {"cell": "tanh", "pack": 32, "hidden": 192, "batch": 1, "bias": False},
    "lstm, by units, dynamic": {"pack": 32, "hidden": 96, "dynamic": (0, 1), "batch": 4},
    "lstm, by units, one step": {"pack": 32, "hidden": 96, "batch": 1, "steps": 1},
}


@pytest.mark.parametrize("name", CASES)
def test_recurrence_computes_what_the_reference_says(name: str) -> None:
    case = dry_cases.recurrent(**CASES[name])
    _, meant = case.interpreted()
    case.check(meant, 1e-5)
    case.check(case.executed(singly=True), 1e-5)


@pytest.mark.parametrize("name", ["lstm, reverse, groups of rows", "gru, packed", "dynamic"])
def test_every_schedule_computes_the_same(name: str) -> None:
    case = dry_cases.recurrent(**CASES[name])
    search = case.search()
    assert search.default in search.space
    for point in search.space.points():
        case.check(case.executed(program=search.build(point)), 1e-5)


@pytest.mark.parametrize("cell", [torch.nn.LSTM, torch.nn.GRU])
def test_layers_on_several_threads_agree_in_every_bit(cell: Any) -> None:
    torch.manual_seed(0)
    model, x = cell(64, 128, 2, bidirectional=True).eval(), torch.randn(17, 1, 64)
    fitted = drystone.compile(model, (x,))
    alone = fitted.call((x,), threads=1)
    with torch.no_grad():
        torch.testing.assert_close(alone, model(x))
    for threads in (2, 3, 5):
        for a, b in zip(tree(alone), tree(fitted.call((x,), threads=threads)), strict=True):
            assert torch.equal(a, b)


def tree(result: Any) -> list[torch.Tensor]:
    """The tensors of nested results."""
    return [result] if isinstance(result, torch.Tensor) else [t for part in result for t in tree(part)]
