"""Kernel families: functions that make a tile program of an outlined kernel function.

A builder answers None where the kernel is not of a form it knows; the next one is asked, and where none is
left the kernel is lowered by upstream passes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from drystone.codegen.families import conv as convolution
from drystone.codegen.families import (
    embedding,
    logsumexp,
    move,
    norm,
    reduce,
    round_rows,
    row_stats,
    scan,
    scatter,
    selective_scan,
    softmax,
    write_rows,
)
from drystone.codegen.families import map as elementwise
from drystone.codegen.families import matmul as product
from drystone.codegen.families.attention import attention
from drystone.codegen.families.attention import search as search_attention
from drystone.codegen.families.outlined import main_operation
from drystone.codegen.families.pool import pool
from drystone.codegen.families.recurrent import recurrent
from drystone.codegen.families.recurrent import search as search_recurrent
from drystone.codegen.search import Search
from drystone.codegen.tile import TileProgram
from drystone.errors import InternalError
from drystone.registry import Registry
from drystone.targets.target import Target

Builder = Callable[[Any, Target], TileProgram | None]
Finder = Callable[[Any, Target], Search | None]

#: The builders for each kind of main operation, in the order they are asked.
BUILDERS: Registry[tuple[Builder, ...]] = Registry(
    "operation",
    {
        "dry.attention": (attention,),
        "dry.matmul": (product.matmul,),
        "dry.conv": (convolution.conv,),
        "dry.pool": (pool,),
        "dry.recurrent": (recurrent,),
        "dry.norm": (norm.build,),
        "dry.softmax": (softmax.build,),
        "dry.logsumexp": (logsumexp.build,),
        "dry.round_rows": (round_rows.build, norm.build),
        "dry.write_rows": (write_rows.build,),
        "dry.row_stats": (row_stats.build,),
        "dry.embedding": (embedding.build,),
        "dry.scan": (scan.build,),
        "dry.linear_scan": (scan.build_linear,),
        "dry.selective_scan": (selective_scan.build,),
        "tm_tensor.scatter": (scatter.build,),
        "tensor.extract_slice": (move.extract_slice,),
        "tensor.insert_slice": (move.insert_slice,),
        "tensor.pad": (move.pad,),
        "tensor.concat": (move.concat,),
        "linalg.generic": (elementwise.build, reduce.build),
        "linalg.reduce": (reduce.build,),
        "linalg.map": (elementwise.build,),
        "linalg.fill": (elementwise.build,),
        "linalg.copy": (elementwise.build,),
        "linalg.transpose": (elementwise.build,),
        "linalg.broadcast": (elementwise.build,),
    },
)

#: The families whose schedule can be chosen, by main operation.
SEARCHES: Registry[Finder] = Registry(
    "operation",
    {
        "dry.attention": search_attention,
        "dry.matmul": product.search,
        "dry.conv": convolution.search,
        "dry.row_stats": row_stats.search,
        "dry.recurrent": search_recurrent,
    },
)


def tile_program_of(
    kernel: Any, target: Target, point: Mapping[str, int] | None = None
) -> TileProgram | None:
    """The tile program of an outlined kernel function, or None where no family knows its form.

    point: its schedule, one of `search_of`'s; without it, the family's own choice. Raises InternalError for a
    point that is none of them.
    """
    if point is not None:
        search = search_of(kernel, target)
        if search is None or point not in search.space:
            raise InternalError(f"the kernel has no schedule {dict(point)}")
        return search.build(dict(point))
    main = main_operation(kernel)
    for build in BUILDERS.get(main.operation.name, ()) if main is not None else ():
        program = build(kernel, target)
        if program is not None:
            return program
    return None


def search_of(kernel: Any, target: Target) -> Search | None:
    """The schedules an outlined kernel function can have; None where its family has one only."""
    main = main_operation(kernel)
    find = SEARCHES.get(main.operation.name) if main is not None else None
    return None if find is None else find(kernel, target)
