"""Tables of lifetimes placed within their capacities, checked, and at their least height.

python -m benchmarks.planning.placement FOLDER [--time-limit 10] [--output benchmarks/results/placement.md]

FOLDER holds tables NAME.CAPACITY.csv, such as the challenging suite of github.com/google/minimalloc. Seconds
are those of one core, for the search alone; the judge that checks shares nothing with it.
"""

import argparse
import math
import time
from pathlib import Path

from drystone.scheduling.graph import load
from drystone.scheduling.greedy import best_fit, height
from drystone.scheduling.lifetimes import read_lifetimes
from drystone.scheduling.overlap import check_offsets
from drystone.scheduling.placement import Placement, minimize, place

_HEAD = """\
| instance | buffers | capacity | load | best fit | within the capacity | s | least height | s |
|---|---|---|---|---|---|---|---|---|
"""


def row(path: Path, time_limit: float) -> str:
    """The line of one table; every placement is checked."""
    name, capacity = path.name.split(".")[0], int(path.name.split(".")[1])
    blocks = read_lifetimes(path).blocks
    cells = [name, str(len(blocks)), f"{capacity:,}", f"{load(blocks):,}"]
    cells.append(f"{height(blocks, best_fit(blocks)):,}")
    began = time.perf_counter()
    found = place(blocks, capacity, effort=math.inf, time_limit=time_limit)
    between = time.perf_counter()
    least = minimize(blocks, effort=math.inf, time_limit=time_limit)
    ended = time.perf_counter()
    for placement, limit in ((found, capacity), (least, None)):
        if placement.status == "placed":
            check_offsets(blocks, placement.offsets, limit)
    cells += [_said(found), f"{between - began:.2f}"]
    proof = "proved" if least.height == least.bound else f"at least {least.bound:,}"
    return " | ".join(["", *cells, f"{least.height:,} ({proof})", f"{ended - between:.2f}", ""]).strip()


def _said(found: Placement) -> str:
    return f"{found.height:,}, checked" if found.status == "placed" else found.status


def main() -> None:
    """Print the table and, if asked to, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    print(_HEAD, end="")
    lines = []
    for path in sorted(arguments.folder.glob("*.*.csv")):
        lines.append(row(path, arguments.time_limit))
        print(lines[-1], flush=True)
    if arguments.output is not None:
        arguments.output.write_text(_HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
