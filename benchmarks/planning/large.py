"""Plans of large graphs: the least peak, and bytes moved at budgets below it, beside Belady's replacement.

python -m benchmarks.planning.large [--time-limit 5] [--output benchmarks/results/large.md]

Wired: each operation reads one to three of the eight tensors before it. RandWire: stages of 32 operations, a
ring of which three in four edges are wired anew (Watts and Strogatz), with one tensor between stages, each
stage wired in its own way or all in one. DARTS: cells that read the results of the two cells before them.
Llama: layers of seven operations at 512 tokens. M_R is what the largest operation needs, M_P the least peak
found, M_H half way.
"""

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.table import show
from drystone.scheduling import check, plan
from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Operation, Plan, Problem, Tensor
from drystone.scheduling.residency.traffic import quick
from drystone.targets import Level

_HEAD = """\
| graph | operations | budget | bytes | given order, Belady | planned | at least | less | s |
|---|---|---|---|---|---|---|---|---|
"""


class Net:
    """A graph under construction."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.tensors = [Tensor("x", 4096)]

    def add(self, name: str, inputs: list[str], size: int, over: str = "") -> str:
        """One more operation and its result, which may be written over an input."""
        pairs = ((name, over),) if over else ()
        self.operations.append(Operation(f"make {name}", tuple(inputs), (name,), in_place=pairs))
        self.tensors.append(Tensor(name, size))
        return name

    def problem(self) -> Problem:
        """What was built; the last result is kept."""
        levels = (Level("sram"), Level("dram"))
        return Problem(tuple(self.operations), tuple(self.tensors), levels, (self.tensors[-1].name,))


def wired(count: int) -> Problem:
    """Operations that read of the eight tensors before them."""
    rng, net = random.Random(1), Net()
    for number in range(count):
        recent = [tensor.name for tensor in net.tensors[-8:]]
        inputs = rng.sample(recent, min(len(recent), rng.choice((1, 2, 2, 3))))
        net.add(f"t{number}", inputs, rng.randrange(10, 200) * 64)
    return net.problem()


def randwire(stages: int, equal: bool, count: int = 32) -> Problem:
    """Stages of randomly wired operations."""
    net, last = Net(), "x"
    for stage in range(stages):
        rng = random.Random(0 if equal else stage)
        edges = set()
        for one in range(count):
            for step in (1, 2):
                other = (one + step) % count
                if rng.random() < 0.75:
                    other = rng.choice([node for node in range(count) if node != one])
                edges.add((min(one, other), max(one, other)))
        read = {one for one, _ in edges}
        for node in range(count):
            inputs = [f"s{stage}.{one}" for one, other in sorted(edges) if other == node] or [last]
            net.add(f"s{stage}.{node}", inputs, 4096)
        ends = [f"s{stage}.{node}" for node in range(count) if node not in read]
        last = net.add(f"s{stage}", ends, 4096)
    return net.problem()


def darts(cells: int) -> Problem:
    """Cells of four states, each the sum of two operations on earlier ones; a cell's result joins them."""
    net, size = Net(), 4096
    older, old = net.add("stem0", ["x"], 4 * size), net.add("stem1", ["x"], 4 * size)
    for cell in range(cells):
        rng = random.Random(0)
        states = [net.add(f"c{cell}.a", [older], size), net.add(f"c{cell}.b", [old], size)]
        for state in range(4):
            halves = []
            for half, source in enumerate(rng.sample(states, 2)):
                wide = net.add(f"c{cell}.{state}{half}wide", [source], 2 * size)
                halves.append(net.add(f"c{cell}.{state}{half}", [wide], size))
            states.append(net.add(f"c{cell}.{state}", halves, size, halves[0]))
        older, old = old, net.add(f"c{cell}", states[2:], 4 * size)
    return net.problem()


def llama(layers: int, tokens: int = 512) -> Problem:
    """Layers of a decoder of 4096 features and 11008 inner ones, two bytes each."""
    net, last, wide = Net(), "x", 4096 * tokens * 2
    net.tensors = [Tensor("x", wide)]
    for layer in range(layers):
        attended = net.add(f"{layer}.norm", [last], wide)
        attended = net.add(f"{layer}.qkv", [attended], 3 * wide)
        attended = net.add(f"{layer}.attention", [attended], wide)
        last = net.add(f"{layer}.mixed", [attended, last], wide, last)
        inner = net.add(f"{layer}.inner", [net.add(f"{layer}.norm2", [last], wide)], 11008 * tokens * 2)
        last = net.add(f"{layer}.out", [inner, last], wide, last)
    return net.problem()


GRAPHS: dict[str, Callable[[], Problem]] = {
    "wired, 200": lambda: wired(200),
    "wired, 500": lambda: wired(500),
    "wired, 1000": lambda: wired(1000),
    "RandWire, 3 stages": lambda: randwire(3, False),
    "RandWire, 30 stages": lambda: randwire(30, False),
    "RandWire, 30 equal stages": lambda: randwire(30, True),
    "RandWire, 30 equal stages of 16": lambda: randwire(30, True, 16),
    "DARTS, 20 cells": lambda: darts(20),
    "Llama, 32 layers": lambda: llama(32),
}


def _timed(problem: Problem, time_limit: float) -> tuple[Plan, float]:
    began = time.perf_counter()
    found = plan(problem, time_limit)
    spent = time.perf_counter() - began
    check(problem, found)
    return found, spent


def rows(name: str, time_limit: float) -> list[str]:
    """The lines of one graph."""
    problem = GRAPHS[name]()
    count = len(problem.operations)
    low, spent = _timed(replace(problem, levels=problem.levels[:1]), time_limit)
    peak = low.peaks["sram"]
    bound = "proved" if peak == low.bound else f"{low.bound:,}"
    found = [f"| {name} | {count} | none | — | | {peak:,} | {bound} | | {spent:.1f} |"]
    least = Graph(problem).least()
    for budget, capacity in (("M_R", least), ("M_H", (least + peak) // 128 * 64)):
        within = replace(problem, levels=(Level("sram", capacity), problem.levels[1]))
        planned, spent = _timed(within, time_limit)
        belady = quick(Graph(within), range(count))
        assert belady is not None
        check(within, belady)
        bound = "proved" if planned.cost == planned.cost_bound else f"{planned.cost_bound:,}"
        less = f"{100 * (1 - planned.cost / belady.cost):.0f} %" if belady.cost else "—"
        cells = f"{capacity:,} | {belady.cost:,} | {planned.cost:,} | {bound} | {less} | {spent:.1f}"
        found.append(f"| {name} | {count} | {budget} | {cells} |")
    return found


def main() -> None:
    """Print the table and, where asked, write it."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--time-limit", type=float, default=5.0)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    names = [name for name in GRAPHS if arguments.only in name]
    show(_HEAD, (line for name in names for line in rows(name, arguments.time_limit)), arguments.output)


if __name__ == "__main__":
    main()
