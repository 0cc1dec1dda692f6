"""C, for the targets whose tools take it: elements, scalar operations and sizes as expressions, and kernels
that no family takes as functions, and what calls kernels."""

from drystone.codegen.c.driver import driver
from drystone.codegen.c.loops import Functions, functions_of
from drystone.codegen.c.scalars import (
    constant,
    expression,
    held,
    identifier,
    loaded,
    prelude,
    rounded,
    size,
    stored,
    valued,
)

__all__ = [
    "Functions",
    "constant",
    "driver",
    "expression",
    "functions_of",
    "held",
    "identifier",
    "loaded",
    "prelude",
    "rounded",
    "size",
    "stored",
    "valued",
]
