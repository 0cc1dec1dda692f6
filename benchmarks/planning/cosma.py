"""Bytes moved by ten networks in the least fast memory their operations need, beside the given order with
Belady's replacement.

python -m benchmarks.planning.cosma [--weights] [--time-limit 10] [--output benchmarks/results/cosma.md]
python -m benchmarks.planning.cosma --bounds [--time-limit 10] [--output benchmarks/results/bounds.md]

As COSMA counts (Li et al., "Combined Scheduling, Memory Allocation and Tensor Replacement for Minimizing
Off-Chip Data Accesses of DNN Accelerators"): M_R is what the largest operation reads and writes; creating a
tensor and the first fetch of the network's input are free; weights are counted in the second setting only,
then with a free first fetch; one byte an element. The order given is that of the model's program, as in
TFLite. Belady's choices are made in three ways: with addresses found on the way, by best fit or by first
fit (where no gap is left, all leave and the operation's tensors are laid out anew); and by bytes alone,
with addresses found afterwards as TFLite does, the largest tensors first.

With --bounds: how far plans are above what is proven, beside the one setting with two more. "Again": every
operation may run again, at the price of the bytes that move while it computes, on a device that makes 64
products for each byte it moves. "Three levels": between the two a level of the size of the fast one, to which
a byte costs 1, while to the last one it costs 4. Costs are those of whole plans, the first fetch of the input
included.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.planning.networks import NETWORKS, build
from benchmarks.planning.shapes import shape_graph
from benchmarks.planning.traffic import within
from benchmarks.table import show
from drystone.scheduling import check, plan
from drystone.scheduling.graph import Block, Graph
from drystone.scheduling.order import greedy
from drystone.scheduling.problem import Problem, plan_gap
from drystone.scheduling.residency import belady
from drystone.targets import Level

_HEAD = """\
| network | operations | M_R | best fit | first fit | by bytes, then by size | planned | at least | less | s |
|---|---|---|---|---|---|---|---|---|---|
"""


_BOUNDS_HEAD = """\
| network | setting | cost | at least | gap | from homes once | s |
|---|---|---|---|---|---|---|
"""
#: Products that the device makes while it moves one byte, and what a byte of the last of three levels costs.
_PRODUCTS, _FAR = 64, 4


def first_gap(taken: Sequence[tuple[int, int]], block: Block) -> int:
    """The lowest offset for a block outside the open ranges `taken` (in order)."""
    bottom = 0
    for low, high in taken:
        if low >= bottom:
            return bottom
        bottom = max(bottom, high)
    return bottom


def bytes_taken(taken: Sequence[tuple[int, int]], block: Block) -> int:
    """What all others take together: no address, but tells whether the block's bytes are free."""
    return sum(high - low - block.size for low, high in taken)


def row(name: str, time_limit: float, weights: bool = False) -> tuple[str, int, int]:
    """A network's line; the bytes that Belady moves at addresses found by best fit, and the plan."""
    free = shape_graph(*build(name), weights=weights)
    problem = within(free, Graph(free).least())
    graph = Graph(problem)
    compulsory = graph.compulsory
    began = time.perf_counter()
    found = plan(problem, time_limit)
    spent = time.perf_counter() - began
    check(problem, found)
    best, first = (_moved(graph, fit) - compulsory for fit in (greedy.tightest_gap, first_gap))
    planned, bound = found.cost - compulsory, found.cost_bound - compulsory
    cells = [name, str(len(problem.operations)), f"{problem.levels[0].capacity:,}", f"{best:,}", f"{first:,}"]
    cells += [_by_size(graph, problem, compulsory), f"{planned:,}"]
    cells += ["proved" if planned == bound else f"{bound:,}"]
    cells += [f"{100 * (best - planned) / best:.0f} %" if best else "—", f"{spent:.2f}"]
    return f"| {' | '.join(cells)} |", best, planned


def _replaced(graph: Graph, fit: belady.Fit) -> belady.Replaced:
    found = belady.replace(graph, range(len(graph.before)), fit)
    assert found is not None, "the slow level has no end and the fast one holds every operation"
    return found


def _moved(graph: Graph, fit: belady.Fit) -> int:
    return sum(graph.size[move.tensor] for move in _replaced(graph, fit).moves)


def _by_size(graph: Graph, problem: Problem, compulsory: int) -> str:
    """Bytes moved by choices that look at bytes alone; whether the largest tensor first can be placed."""
    homes = [home for home in _replaced(graph, bytes_taken).homes if home.level == problem.levels[0].name]
    blocks = [Block((home.tensor,), graph.size[home.tensor], home.start, home.end) for home in homes]
    blocks.sort(key=lambda block: (-block.size, block.start))
    height = greedy.height(blocks, greedy.place_in_order(blocks, range(len(blocks))))
    if height > (problem.levels[0].capacity or 0):
        return f"not placed ({height:,} needed)"
    return f"{_moved(graph, bytes_taken) - compulsory:,}"


def settings(name: str) -> dict[str, Problem]:
    """A network in its least fast memory: as it is, with operations that may run again, and with a level
    between the two."""
    free = shape_graph(*build(name))
    fast = Level("sram", Graph(free).least(), 1)
    timed = shape_graph(*build(name), weights=True, products=_PRODUCTS)
    work = {op.name: op.time for op in timed.operations}
    again = tuple(replace(op, work=work[op.name]) for op in free.operations)
    two, three = (
        (fast, Level("dram", None, 1)),
        (
            fast,
            Level("near", fast.capacity, 1),
            Level("dram", None, 1, cost=_FAR),
        ),
    )
    return {
        "two levels": replace(free, levels=two),
        "two levels, again": replace(free, levels=two, operations=again),
        "three levels": replace(free, levels=three),
        "three levels, again": replace(free, levels=three, operations=again),
    }


def bounds(name: str, time_limit: float) -> list[str]:
    """A network's lines about what is proven."""
    lines = []
    for setting, problem in settings(name).items():
        began = time.perf_counter()
        found = plan(problem, time_limit)
        spent = time.perf_counter() - began
        check(problem, found)
        gap = f"{100 * plan_gap(found):.0f} %" if found.cost > found.cost_bound else "0, proved"
        cells = [name, setting, f"{found.cost:,}", f"{found.cost_bound:,}", gap]
        lines.append(" | ".join(["", *cells, f"{Graph(problem).compulsory:,}", f"{spent:.2f}", ""]).strip())
    return lines


def summary(pairs: Sequence[tuple[int, int]]) -> str:
    """The mean reduction over the networks where Belady moves anything, over all, and of the sum."""
    parts = [(best - planned) / best if best else 0.0 for best, planned in pairs]
    moving = [part for part, (best, _) in zip(parts, pairs, strict=True) if best]
    before, after = (sum(pair[side] for pair in pairs) for side in (0, 1))
    mean, all_ = sum(moving) / len(moving), sum(parts) / len(parts)
    return (
        f"\nLess than Belady at addresses found by best fit: {100 * mean:.1f} % on average of the "
        f"{len(moving)} networks where it moves anything, {100 * all_:.1f} % with the others as none, "
        f"{100 * (before - after) / before:.1f} % of the sum of all bytes.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", action="store_true", help="count weights too, as COSMA's second setting")
    parser.add_argument("--time-limit", type=float, default=10.0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--bounds", action="store_true", help="what is proven in other settings")
    parser.add_argument("--only", default="", help="networks whose name has this")
    options = parser.parse_args()
    names = [name for name in NETWORKS if options.only in name]
    if options.bounds:
        lines = (line for name in names for line in bounds(name, options.time_limit))
        show(_BOUNDS_HEAD, lines, options.output)
        return
    print(_HEAD, end="")
    shown, pairs = [], []
    for name in names:
        line, *pair = row(name, options.time_limit, options.weights)
        print(line, flush=True)
        shown.append(f"{line}\n")
        pairs.append((pair[0], pair[1]))
    print(summary(pairs), end="")
    if options.output is not None:
        options.output.write_text(_HEAD + "".join(shown) + summary(pairs), encoding="utf-8")


if __name__ == "__main__":
    main()
