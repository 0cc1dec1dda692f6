"""The carrier of generated code for one kernel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kernel:
    """A kernel function in MLIR.

    kind: its family, for reports. text: two functions, `@name(tensors.., scalars.., begin, end)`, which does
    units begin..end of the kernel's grid, and `@name_grid(tensors.., scalars..) -> index`, the number of
    units, which may run in any order and at the same time. checks: the messages of assertions inside the
    kernel; where there are any, `@name` returns i32: 0, or 1 + the number of one that failed.
    """

    name: str
    kind: str
    text: str
    checks: tuple[str, ...] = ()
    rounds: bool = False

    @property
    def tiles(self) -> bool:
        """Whether it uses tile registers, which a process must ask for."""
        return '"llvm.x86.ldtilecfg"' in self.text

    @property
    def units(self) -> tuple[str, ...]:
        """The types of what `@name` takes behind tensors and scalars."""
        return ("index",) * (3 if self.rounds else 2)
