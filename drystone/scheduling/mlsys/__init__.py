"""Graphs of the MLSys 2026 graph-scheduling contest: groups of operations run by tiles in one fast memory."""

from drystone.scheduling.mlsys.format import (
    Problem,
    Step,
    read_problem,
    read_solution,
    write_solution,
)
from drystone.scheduling.mlsys.judge import Invalid, evaluate, total
from drystone.scheduling.mlsys.solve import Solved, solve

__all__ = [
    "Invalid",
    "Problem",
    "Solved",
    "Step",
    "evaluate",
    "read_problem",
    "read_solution",
    "solve",
    "total",
    "write_solution",
]
