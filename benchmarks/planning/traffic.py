"""Bytes moved between a fast and a slow memory: the planner beside the given order with Belady's replacement.

python -m benchmarks.planning.traffic FOLDER [--time-limit 10] [--output benchmarks/results/traffic.md]

FOLDER holds graphs NAME.json: {"sizes": {tensor: bytes}, "ops": [{"out": tensor, "ins": [tensor, ...]}]}, in
the order in which they are given to a device. Bytes are those beyond the first fetch of the network's input.
The budgets are COSMA's: M_R, what the largest operation needs; M_P, the least with which nothing moves; and
M_H, half way between.
"""

import json
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.table import run
from drystone.scheduling import check, plan
from drystone.scheduling.graph import Graph
from drystone.scheduling.problem import Operation, Plan, Problem, Tensor
from drystone.scheduling.residency.traffic import quick
from drystone.targets import Level

_HEAD = """\
| network | operations | budget | bytes | given order, Belady | planned | at least | less | s |
|---|---|---|---|---|---|---|---|---|
"""


def problem_of(path: Path) -> Problem:
    """The graph of a file; what nothing makes lies in the slow level. One byte is the unit of addresses."""
    data = json.loads(path.read_text())
    sizes = data["sizes"]
    operations = tuple(
        Operation(op["out"], tuple(name for name in op["ins"] if name in sizes), (op["out"],))
        for op in data["ops"]
    )
    made = {op.name for op in operations}
    tensors = tuple(Tensor(n, size, home="" if n in made else "dram") for n, size in sizes.items())
    return Problem(operations, tensors, (Level("sram", None, 1), Level("dram", None, 1)))


def within(problem: Problem, capacity: int) -> Problem:
    """The problem with a fast level of this capacity."""
    return replace(problem, levels=(Level("sram", capacity, 1), problem.levels[1]))


def rows(path: Path, time_limit: float) -> list[str]:
    """The lines of one network."""
    problem = problem_of(path)
    graph = Graph(problem)
    compulsory = sum(size for name, size in graph.size.items() if graph.home[name] and graph.readers[name])
    # Without a slow level: what everything needs that stays where it is made.
    everything = replace(problem, tensors=tuple(replace(tensor, home="") for tensor in problem.tensors))
    most = plan(replace(everything, levels=problem.levels[:1]), time_limit).peaks["sram"]
    least = graph.least()
    found = []
    budgets = {"M_R": least, "M_H": (least + most) // 2, "M_P": most}
    if least == most:
        budgets = {"M_R = M_P": least}
    for name, capacity in budgets.items():
        limited = within(problem, capacity)
        began = time.perf_counter()
        planned = plan(limited, time_limit)
        spent = time.perf_counter() - began
        check(limited, planned)
        belady = quick(Graph(limited), range(len(problem.operations)))
        assert belady is not None
        check(limited, belady)
        found.append(_line(path.stem, name, limited, planned, belady.cost, compulsory, spent))
    return found


def _line(
    network: str, budget: str, problem: Problem, planned: Plan, belady: int, compulsory: int, spent: float
) -> str:
    moved, before = planned.cost - compulsory, belady - compulsory
    less = f"{100 * (before - moved) / before:.0f} %" if before else "—"
    bound = "proved" if planned.cost == planned.cost_bound else f"{planned.cost_bound - compulsory:,}"
    capacity = problem.levels[0].capacity
    cells = [network, str(len(problem.operations)), budget, f"{capacity:,}", f"{before:,}", f"{moved:,}"]
    return " | ".join(["", *cells, bound, less, f"{spent:.2f}", ""]).strip()


if __name__ == "__main__":
    run(__doc__ or "", "*.json", _HEAD, rows)
