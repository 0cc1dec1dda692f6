"""Running kernels given as MLIR text: through the tile program's meaning, and lowered to machine code."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from drystone.codegen import families, interpret
from drystone.codegen.tile import TileProgram
from drystone.mlir import context, ir, parse
from drystone.targets.cpu import NAMED

TARGET = next(target for target in NAMED if target.name == "cpu:avx512")
NUMPY = {"f16": np.float16, "f32": np.float32, "f64": np.float64, "i1": np.bool_} | {
    f"i{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)
}


@cache
def shared_context() -> ir.Context:
    """One context for all tests of a file."""
    return context()


def program_of(text: str, target: Any = TARGET) -> TileProgram | None:
    """The tile program the families make of the only function in `text`."""
    module = parse(text, shared_context())
    (kernel,) = module.body.operations
    return families.tile_program_of(kernel, target)


def interpreted(
    text: str, inputs: Sequence[Any], outputs: Sequence[tuple[tuple[int, ...], str]], scalars: Sequence[Any] = ()
) -> list[Any]:
    """The results of the kernel by the meaning of its tile program; outputs start as garbage."""
    program = program_of(text)
    assert program is not None, "no family takes this kernel"
    results = [np.full(shape, 77, NUMPY[dtype]) for shape, dtype in outputs]
    interpret.run(program, [*inputs, *results], scalars)
    return results
