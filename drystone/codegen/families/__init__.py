"""Kernel families: what makes a tile program of an outlined kernel function.

A family answers None where the kernel is not of a form it knows; the next one is asked, and where none is
left the kernel is lowered by upstream passes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
from drystone.codegen.families.attention.kernel import attention
from drystone.codegen.families.attention.kernel import search as search_attention
from drystone.codegen.families.conv import kernel as convolution
from drystone.codegen.families.matmul import kernel as product
from drystone.codegen.families.outlined import main_operation
from drystone.codegen.families.pool import pool
from drystone.codegen.families.recurrent.kernel import recurrent
from drystone.codegen.families.recurrent.kernel import search as search_recurrent
from drystone.codegen.search import Search
from drystone.codegen.tile import TileProgram
from drystone.errors import InternalError
from drystone.registry import Registry
from drystone.targets.target import Target

Builder = Callable[[Any, Target], TileProgram | None]
Finder = Callable[[Any, Target], Search | None]


@dataclass(frozen=True)
class Family:
    """Makes tile programs of kernel functions, or None of those that are not of a form it knows. build: with
    the family's own choice of a schedule; search: the schedules there are, where there are several."""

    build: Builder
    search: Finder | None = None


_MAP, _REDUCE, _NORM = Family(elementwise.build), Family(reduce.build), Family(norm.build)
#: The families for each kind of main operation, in the order they are asked.
FAMILIES: Registry[tuple[Family, ...]] = Registry(
    "operation",
    {
        "dry.attention": (Family(attention, search_attention),),
        "dry.matmul": (Family(product.matmul, product.search),),
        "dry.conv": (Family(convolution.conv, convolution.search),),
        "dry.pool": (Family(pool),),
        "dry.recurrent": (Family(recurrent, search_recurrent),),
        "dry.norm": (_NORM,),
        "dry.softmax": (Family(softmax.build),),
        "dry.logsumexp": (Family(logsumexp.build),),
        "dry.round_rows": (Family(round_rows.build), _NORM),
        "dry.write_rows": (Family(write_rows.build),),
        "dry.row_stats": (Family(row_stats.build, row_stats.search),),
        "dry.embedding": (Family(embedding.build),),
        "dry.scan": (Family(scan.build),),
        "dry.linear_scan": (Family(scan.build_linear),),
        "dry.selective_scan": (Family(selective_scan.build),),
        "tm_tensor.scatter": (Family(scatter.build),),
        "tensor.extract_slice": (Family(move.extract_slice),),
        "tensor.insert_slice": (Family(move.insert_slice),),
        "tensor.pad": (Family(move.pad),),
        "tensor.concat": (Family(move.concat),),
        "linalg.generic": (_MAP, _REDUCE),
        "linalg.reduce": (_REDUCE,),
        "linalg.map": (_MAP,),
        "linalg.fill": (_MAP,),
        "linalg.copy": (_MAP,),
        "linalg.transpose": (_MAP,),
        "linalg.broadcast": (_MAP,),
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
    for family in _asked(kernel):
        program = family.build(kernel, target)
        if program is not None:
            return program
    return None


def search_of(kernel: Any, target: Target) -> Search | None:
    """The schedules an outlined kernel function can have; None where its family has one only."""
    asked = _asked(kernel)
    for place, family in enumerate(asked):
        search = None if family.search is None else family.search(kernel, target)
        if search is not None:
            return search
        # One that takes the kernel leaves nothing to those behind it.
        others = any(each.search is not None for each in asked[place + 1 :])
        if others and family.build(kernel, target) is not None:
            return None
    return None


def _asked(kernel: Any) -> tuple[Family, ...]:
    """The families that are asked for a kernel function."""
    main = main_operation(kernel)
    return () if main is None else FAMILIES.get(main.operation.name, ())
