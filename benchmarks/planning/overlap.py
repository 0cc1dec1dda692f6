"""Networks whose weights come from slow memory while they run: how much of that hides behind computing.

python -m benchmarks.planning.overlap [--time-limit 5] [--output benchmarks/results/overlap.md]

A device of 256 products a nanosecond whose slow memory moves 4 bytes in that time, one byte an element, with
a quarter more fast memory than the largest operation needs. Times are microseconds of the plan's own clock,
which the checker replays. No plan is faster than the longer of computing and of moving what it moves.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.planning.networks import NETWORKS, build
from benchmarks.planning.shapes import shape_graph
from benchmarks.table import show
from drystone.scheduling import check, plan
from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Problem
from drystone.targets import Level

PRODUCTS, BANDWIDTH, ROOM = 256, 4, 1.25
_HEAD = """\
| network | fast memory | moved | computing | moving | one after the other | planned | above the longer | s |
|---|---|---|---|---|---|---|---|---|
"""


def problem(name: str) -> Problem:
    """A network with its weights in slow memory."""
    free = shape_graph(*build(name), weights=True, products=PRODUCTS)
    capacity = int(Graph(free).least() * ROOM)
    return replace(free, levels=(Level("sram", capacity, 1), Level("dram", None, 1, bandwidth=BANDWIDTH)))


def row(name: str, time_limit: float) -> str:
    """A network's line."""
    given = problem(name)
    began = time.perf_counter()
    found = plan(given, time_limit)
    spent = time.perf_counter() - began
    check(given, found)
    sizes = {tensor.name: tensor.size for tensor in given.tensors}
    computing = sum(op.time for op in given.operations)
    moving = sum(-(-sizes[move.tensor] // BANDWIDTH) for move in found.moves)
    longer = max(computing, moving)
    above = f"{100 * (found.time / longer - 1):.1f} %"
    moved = sum(sizes[move.tensor] for move in found.moves)
    capacity = given.levels[0].capacity
    times = " | ".join(f"{each / 1000:,.0f}" for each in (computing, moving, computing + moving, found.time))
    return f"| {name} | {capacity:,} | {moved:,} | {times} | {above} | {spent:.1f} |"


def main() -> None:
    """Print the table and, where asked, write it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--time-limit", type=float, default=5.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    show(_HEAD, (row(name, arguments.time_limit) for name in NETWORKS), arguments.output)


if __name__ == "__main__":
    main()
