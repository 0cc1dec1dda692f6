"""Tables of lifetimes placed within their capacities, checked, and at their least height.

python -m benchmarks.planning.placement FOLDER [--time-limit 10] [--output benchmarks/results/placement.md]

FOLDER holds tables NAME.CAPACITY.csv, such as the challenging suite of github.com/google/minimalloc. Seconds
are those of one core, for the search alone; the judge that checks shares nothing with it.
"""

import math
import time
from pathlib import Path

from benchmarks.table import run
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import load
from drystone.scheduling.order.greedy import best_fit, height
from drystone.scheduling.placement.lifetimes import read_lifetimes
from drystone.scheduling.placement.overlap import check_offsets
from drystone.scheduling.placement.place import Placement, minimize, place

_HEAD = """\
| instance | buffers | capacity | load | best fit | within the capacity | s | least height | s |
|---|---|---|---|---|---|---|---|---|
"""


def rows(path: Path, time_limit: float) -> list[str]:
    """The line of one table; every placement is checked."""
    name, capacity = path.name.split(".")[0], int(path.name.split(".")[1])
    blocks = read_lifetimes(path).blocks
    cells = [name, str(len(blocks)), f"{capacity:,}", f"{load(blocks):,}"]
    cells.append(f"{height(blocks, best_fit(blocks)):,}")
    began = time.perf_counter()
    found = place(blocks, capacity, effort=Effort(math.inf, time_limit))
    between = time.perf_counter()
    least = minimize(blocks, effort=Effort(math.inf, time_limit))
    ended = time.perf_counter()
    for placement, limit in ((found, capacity), (least, None)):
        if placement.status == "placed":
            check_offsets(blocks, placement.offsets, limit)
    cells += [_said(found), f"{between - began:.2f}"]
    proof = "proved" if least.height == least.bound else f"at least {least.bound:,}"
    cells += [f"{least.height:,} ({proof})", f"{ended - between:.2f}"]
    return [f"| {' | '.join(cells)} |"]


def _said(found: Placement) -> str:
    return f"{found.height:,}, checked" if found.status == "placed" else found.status


if __name__ == "__main__":
    run(__doc__ or "", "*.*.csv", _HEAD, rows)
