"""The reference pages say what the code says."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

from docs import generate
from docs.pages.dialect import ir_page
from drystone import passes, targets
from drystone.codegen import tile


@pytest.mark.parametrize("page", generate.PAGES)
def test_pages_are_up_to_date(page: str) -> None:
    written = (generate.FOLDER / page).read_text(encoding="utf-8")
    assert written == generate.PAGES[page](), "run python -m docs.generate"


def test_every_field_of_the_dialect_has_a_meaning() -> None:
    rows = [line.split(" | ") for line in ir_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row for row in rows if not row[-1].strip(" |")] == []


def test_every_pass_says_before_and_after() -> None:
    for each in passes.pipeline(targets.resolve("cpu:avx512")):
        text = inspect.getdoc(type(each)) or ""
        assert "Before:" in text and "After:" in text, each.name


def test_every_statement_of_a_tile_program_has_a_meaning() -> None:
    classes = [getattr(tile, name) for name in tile.__all__]
    for each in classes:
        if inspect.isclass(each) and dataclasses.is_dataclass(each):
            assert not (each.__doc__ or "").startswith(f"{each.__name__}("), each.__name__


ROOT = Path(__file__).parents[2]


def _rows(page: Path) -> list[list[str]]:
    """The cells of a page's tables."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]


def test_figures_of_the_readme_are_those_of_the_benchmark() -> None:
    measured = [row[:6] for row in _rows(ROOT / "benchmarks/results/peers-amx.md") if len(row) > 6]
    shown = [row for row in _rows(ROOT / "README.md") if re.fullmatch(r"[\d.]+", row[-1])]
    assert len(shown) > 9
    assert [row for row in shown if row not in measured] == []


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *generate.FOLDER.glob("*.md")]), ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
