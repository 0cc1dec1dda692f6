"""Generated code, before it is machine code."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KernelCall:
    """One kernel call, or a copy between memory levels, for reports: the kernel's name, its kind (family),
    the model's line, bytes touched and arithmetic operations at the symbols' upper bounds, and the weights
    that it reads."""

    name: str
    kind: str
    where: str
    bytes: int
    flops: int
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Code:
    """A module of the LLVM dialect with the C functions of the pool and everything they need.

    calls: in execution order, the order of profile slots. weights: keys in the order of the call's table,
    with the elements they are stored in; those that only initialize states come last. assertions: what the
    run's result 1 + i means. tiles: whether any kernel uses tile registers.
    """

    module: Any
    calls: tuple[KernelCall, ...]
    weights: tuple[str, ...]
    weight_dtypes: tuple[str, ...]
    assertions: tuple[str, ...]
    tiles: bool
