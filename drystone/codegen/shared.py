"""Memory that all threads of a kernel share: given to the kernels whose tile programs ask for it."""

from collections.abc import Mapping

from drystone.codegen.families import tile_program_of
from drystone.codegen.search import Point
from drystone.codegen.workspace import give
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import ir
from drystone.targets.target import Target


def add_workspaces(program: Program, target: Target, schedules: Mapping[str, Point] | None = None) -> None:
    """Give the kernels that share memory between their threads that memory, to be planned with the rest.

    schedules: as in `generate`, and the same.
    """
    schedules = schedules or {}
    with program.module.context, ir.Location.unknown():
        for op in list(program.module.body.operations):
            kernel = op.operation
            name = kernel.attributes["sym_name"].value
            if name == "main":
                continue
            tiles = tile_program_of(kernel.opview, target, schedules.get(name))
            if tiles is not None and tiles.shared:
                block = main_block(program)
                calls = [c.operation for c in block.operations if c.operation.name == "func.call"]
                give(kernel, [c for c in calls if c.attributes["callee"].value == name], tiles)
