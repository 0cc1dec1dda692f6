"""The reference interpreter: the meaning of the IR, in numpy, slowly and obviously.

It runs every module drystone makes, at any stage: what the frontend imports, what each pass leaves, and the
outlined form whose kernels it calls as functions. Passes are tested by running a module before and after,
kernels against it. Operations of the dialect dry are computed in float64 and rounded to the element once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.interpreter import (
    caches,
    control,
    neural,
    recurrent,
    scalar,
    structured,
    tensors,
    tm,
    window,
)
from drystone.ir.interpreter.machine import Machine
from drystone.ir.program import Program

#: The modules that register the handlers of the operations.
_DIALECTS = (caches, control, neural, recurrent, scalar, structured, tensors, tm, window)


def evaluate(
    function: Any,
    args: Sequence[Array],
    weights: Mapping[str, Array] | Any,
    functions: Mapping[str, Any],
) -> list[Array]:
    """The results of a func.func on arrays and numpy scalars. weights: a store for its `dry.weight`;
    functions: the func.func operations it may call, by name."""
    return Machine(weights, functions).call(function, [np.asarray(arg) for arg in args])


def functions_of(module: Any) -> dict[str, Any]:
    """The functions of a module by name."""
    found = (op for op in module.body.operations if op.operation.name == "func.func")
    return {op.operation.attributes["sym_name"].value: op for op in found}


def run(program: Program, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of `@main` for its inputs (states after them, as the signature says), all arrays.

    Raises InternalError where an operation is not known or an assertion of the module fails.
    """
    functions = functions_of(program.module)
    main = functions["main"]
    expected = len(main.regions[0].blocks[0].arguments)
    if len(inputs) != expected:
        raise InternalError(f"@main takes {expected} arrays, {len(inputs)} were given")
    return evaluate(main, inputs, program.weights, functions)
