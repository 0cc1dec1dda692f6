"""Writes the reference pages of this folder from the code they describe: python -m docs.generate

architecture.md: the whole on two pages, with stages.svg, what imports what; one_model.md: a model at each
stage; grammar.md, ir.md: the dialect and its encodings; passes.md: what each pass does; tile.md: the
vocabulary of kernels; options.md: all that can be set; errors.md: what users are told; plan.svg: a memory
plan. A test compares them with the code.
"""

from collections.abc import Callable
from pathlib import Path

from docs.pages.architecture import architecture_page
from docs.pages.dialect import grammar_page, ir_page
from docs.pages.errors import errors_page
from docs.pages.journey import journey_page
from docs.pages.options import options_page
from docs.pages.pipeline import passes_page
from docs.pages.structure import stages_picture
from docs.pages.vocabulary import tile_page
from docs.pages.wall import plan_picture

FOLDER = Path(__file__).parent

PAGES: dict[str, Callable[[], str]] = {
    "architecture.md": architecture_page,
    "errors.md": errors_page,
    "grammar.md": grammar_page,
    "ir.md": ir_page,
    "one_model.md": journey_page,
    "options.md": options_page,
    "passes.md": passes_page,
    "plan.svg": plan_picture,
    "stages.svg": stages_picture,
    "tile.md": tile_page,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (FOLDER / page).write_text(make(), encoding="utf-8")
