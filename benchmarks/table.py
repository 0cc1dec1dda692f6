"""Tables that benchmarks print: line by line as they are made, and into a file if the user asks for it."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path


def show(head: str, lines: Iterable[str], output: Path | None) -> None:
    """Print a table's head and lines, and write them where the user wants them."""
    print(head, end="")
    shown = []
    for line in lines:
        shown.append(line)
        print(line, flush=True)
    if output is not None:
        output.write_text(head + "".join(f"{line}\n" for line in shown), encoding="utf-8")


def run(about: str, pattern: str, head: str, rows: Callable[[Path, float], list[str]]) -> None:
    """The command line of a benchmark whose table is about the files of a folder that the user names."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob(pattern))
    show(head, (line for path in paths for line in rows(path, arguments.time_limit)), arguments.output)
