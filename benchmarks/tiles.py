"""How long loads and products of tile registers (AMX) take on this machine, alone and beside each other.

python -m benchmarks.tiles [--threads 2] [--seconds 10] [--output benchmarks/results/tiles.md]

Kinds of loops written in C (tiles.c) take turns in rounds of ten microseconds or more, on every thread: a
machine whose cores others use too shows two states in their percentiles, and no compiler is involved.
"""

import argparse
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import machine
from benchmarks.table import show
from drystone.errors import UserError

_KINDS = {
    "products": "products of registers",
    "loads": "loads from the first cache",
    "far_loads": "loads from the second cache",
    "apart": "a load beside each product, of other registers",
    "blocks": "four loads, then the four products of what they read",
    "spread": "the same, each load right before its first product",
    "far_blocks": "four loads from the second cache, then four products",
    "few_loads": "a load for every four products",
}
_PERCENTS = (5, 25, 50, 75, 95)
#: What the program returns where there are none.
_NO_TILES = 2


def measured(threads: int, seconds: float) -> dict[str, list[float]]:
    """For each kind the ns per product (per load, where there are no products) of every round.

    Raises UserError where there is no C compiler, where there are no tile registers, or for a number of
    threads that cannot be.
    """
    with machine.built(Path(__file__).with_suffix(".c")) as program:
        if program is None:
            raise UserError("there is no C compiler (cc)", hint="install one, such as gcc")
        words = [str(program), str(threads), str(seconds)]
        ran = subprocess.run(words, check=False, capture_output=True, text=True)
    if ran.returncode == _NO_TILES:
        raise UserError("this machine gives no tile registers", hint="measure on one with AMX")
    if ran.returncode:
        raise UserError(f"{threads} threads cannot be measured", hint="give --threads 1 to 256")
    times = defaultdict(list)
    for kind, ns in map(str.split, ran.stdout.splitlines()):
        times[kind].append(float(ns))
    return times


def rows(times: dict[str, list[float]]) -> Iterator[str]:
    """A line of percentiles for each kind."""
    for kind, told in _KINDS.items():
        cuts = statistics.quantiles(times[kind], n=100)
        yield f"| {told} | " + " | ".join(f"{cuts[percent - 1]:.1f}" for percent in _PERCENTS) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    times = measured(arguments.threads, arguments.seconds)
    head = f"{machine.description()}; {arguments.threads} threads. ns a product (a load), percentiles.\n\n"
    columns = " | ".join(f"{percent} %" for percent in _PERCENTS)
    head += f"| what | {columns} |\n|---|{'---|' * len(_PERCENTS)}\n"
    show(head, rows(times), arguments.output)


if __name__ == "__main__":
    main()
