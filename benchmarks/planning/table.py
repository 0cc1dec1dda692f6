"""The command line of a benchmark that prints a table about the files of a folder."""

import argparse
from collections.abc import Callable
from pathlib import Path


def run(about: str, pattern: str, head: str, rows: Callable[[Path, float], list[str]]) -> None:
    """Print the lines for every file of the folder that the user names, and write them if asked to."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    print(head, end="")
    lines = []
    for path in sorted(arguments.folder.glob(pattern)):
        for line in rows(path, arguments.time_limit):
            lines.append(line)
            print(line, flush=True)
    if arguments.output is not None:
        arguments.output.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
