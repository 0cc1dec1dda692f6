"""The page of operators is true: an even spread of those it lists as passing is compiled and compared."""

import re
from pathlib import Path

import pytest

from benchmarks import coverage

COUNT = 20


def _passing() -> list[str]:
    section = coverage.PAGE.read_text(encoding="utf-8").split("## Pass\n")[1].split("## Do not\n")[0]
    return re.findall(r"`([^`]+)`", section)


def _spread(names: list[str]) -> list[str]:
    return [names[i * len(names) // COUNT] for i in range(COUNT)]


def test_page_lists_each_operator_once() -> None:
    text = Path(coverage.PAGE).read_text(encoding="utf-8")
    refused = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    passing = _passing()
    assert len(set(passing) | set(refused)) == len(passing) + len(refused)
    assert f"**{len(passing)} of {len(passing) + len(refused)} pass.**" in text
    assert set(passing) | set(refused) == set(coverage.ops_cache())


@pytest.mark.parametrize("name", _spread(_passing()))
def test_operator_agrees_with_torch(name: str) -> None:
    assert coverage.check(name) == ""
