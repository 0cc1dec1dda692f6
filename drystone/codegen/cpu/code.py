"""Generated code, before it is machine code."""

from dataclasses import dataclass
from typing import Any

from drystone.codegen.calls import KernelCall


@dataclass(frozen=True)
class Code:
    """A module of the LLVM dialect with the C functions of the pool and everything they need.

    calls: in execution order, the order of profile slots. weights: keys in the order of the call's table,
    with the elements they are stored in; those that only initialize states come last. assertions: what the
    run's result 1 + i means. required: the features, in /proc/cpuinfo, of machines that can run it.
    """

    module: Any
    calls: tuple[KernelCall, ...]
    weights: tuple[str, ...]
    weight_dtypes: tuple[str, ...]
    assertions: tuple[str, ...]
    required: tuple[str, ...]
