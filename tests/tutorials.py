"""Tutorials: pages whose code runs, in order, in a process of its own.

A block ```python is run; a block ```text or ```mlir right behind it is all that it prints, in which `...`
stands for anything. `python -m tests.tutorials docs/adding_a_pass.md` writes anew what blocks print; then
read the difference.
"""

import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs"
PAGES = [*sorted(FOLDER.glob("adding_a*.md")), FOLDER / "mistakes.md"]
#: What a block that shows output says behind its fence.
_SHOWN = ("text", "mlir")
#: Stands between the outputs of blocks.
_END = "\x1e"
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A block of code, and the block that shows what it prints.

    line: of the page, from 1, that the code's first line stands in. place: where what is shown starts and
    ends in the page, both where it would start if nothing is shown yet.
    """

    line: int
    code: str
    shown: str | None
    place: tuple[int, int]


def steps(page: str) -> Iterator[Step]:
    """The blocks of code of a page."""
    blocks = list(_FENCED.finditer(page))
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] != "python":
            continue
        line = page.count("\n", 0, block.start(2)) + 1
        near = after is not None and page[block.end() : after.start()].isspace()
        if after is not None and near and after[1] in _SHOWN:
            yield Step(line, block[2], after[2], after.span(2))
        else:
            yield Step(line, block[2], None, (block.end(), block.end()))


def outputs(page: str, name: str, folder: Path) -> list[str]:
    """What each block prints when all are run as the script `name` in this folder, whose lines have the
    numbers that they have in the page. Raises AssertionError with what was printed where it fails."""
    lines = [""] * (page.count("\n") + 1)
    found = list(steps(page))
    for step in found:
        code = step.code.splitlines()
        lines[step.line - 1 : step.line - 1 + len(code)] = code
        lines[step.line - 1 + len(code)] = f"print({_END!r}, flush=True)"
    script = folder / f"{name}.py"
    script.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{name} failed\n{done.stdout}\n{done.stderr}"
    return done.stdout.split(f"{_END}\n")[:-1]


def differences(page: str, printed: list[str]) -> list[str]:
    """What is wrong with what a page shows, by blocks."""
    found = []
    for step, got in zip(steps(page), printed, strict=True):
        if not _matches(step.shown or "", got):
            found.append(f"the block at line {step.line} prints\n{got}\nnot\n{step.shown or 'nothing'}")
    return found


def _matches(shown: str, printed: str) -> bool:
    plain = "\n".join(line.rstrip() for line in printed.splitlines())
    return doctest.OutputChecker().check_output(shown.strip("\n"), plain.strip("\n"), doctest.ELLIPSIS)


def written(page: str, printed: list[str]) -> str:
    """The page with what its blocks print."""
    for step, got in reversed(list(zip(steps(page), printed, strict=True))):
        if _matches(step.shown or "", got):
            continue
        text = "\n".join(line.rstrip() for line in got.strip("\n").splitlines()) + "\n"
        start, end = step.place
        page = page[:start] + (text if step.shown is not None else f"\n\n```text\n{text}```") + page[end:]
    return page


def main() -> None:
    """Write the outputs of these pages, or of all, anew."""
    import tempfile

    for path in [Path(name) for name in sys.argv[1:]] or PAGES:
        page = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(written(page, outputs(page, path.stem, Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
