"""The carrier of generated code for one kernel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kernel:
    """A kernel function in MLIR.

    kind: its family, for reports. text: two functions, `@name(tensors.., scalars.., begin, end)`, which does
    units begin..end of the kernel's grid, and `@name_grid(tensors.., scalars..) -> index`, the number of
    units, which may run in any order and at the same time.
    """

    name: str
    kind: str
    text: str
