"""The schedules of one task's kernel: which there are, and what models are told of each."""

from dataclasses import replace
from functools import cached_property
from typing import Any

from drystone.autotune.analytical import Features
from drystone.autotune.features import describe
from drystone.autotune.measurements import point_text
from drystone.autotune.standalone import standalone_program
from drystone.autotune.task import KERNEL, Task
from drystone.codegen.families import search_of
from drystone.codegen.search import Point
from drystone.errors import InternalError
from drystone.ir.context import new_context
from drystone.ir.values import function
from drystone.mlir import ir


class Schedules:
    """The points, the family's own choice, and what models are told of them. Raises InternalError where the
    kernel has one schedule only."""

    def __init__(self, task: Task, ctx: Any = None) -> None:
        self.task = task
        self.target = replace(task.target, threads=task.threads)
        self._context = ctx or new_context()
        # The search reads the program's operations: it lives as long as this does.
        self._program = standalone_program(task, self._context)
        with self._context, ir.Location.unknown():
            search = search_of(function(self._program, KERNEL).opview, task.target)
        if search is None:
            raise InternalError(f"{task.label} has no schedules to choose from")
        self._search = search
        self._described: dict[str, dict[str, float]] = {}
        self.default: Point = search.default

    @cached_property
    def points(self) -> list[Point]:
        """All there are."""
        return list(self._search.space.points())

    def sizes(self, point: Point) -> Features:
        """What the analytical model predicts from: the problem's sizes and the point, by name, and whether
        weights come from memory."""
        return {**self._search.features, **point, "cold": float(self.task.cold)}

    def describe(self, point: Point) -> dict[str, float]:
        """What a learned model predicts from."""
        key = point_text(point)
        if key not in self._described:
            with self._context, ir.Location.unknown():
                program = self._search.build(point)
            found = describe(self._search, point, program, self.task.extents, self.target)
            self._described[key] = found
        return self._described[key]
