"""A tile program: what a kernel family records."""

from dataclasses import dataclass

from drystone.codegen.index import Index
from drystone.codegen.operands import Scalar, Shared, Tensor
from drystone.codegen.printing import statements
from drystone.codegen.statements import Grid


@dataclass(frozen=True)
class Rounds:
    """The number of the round, and how many there are; the grid's extents do not depend on it."""

    var: Index
    extent: Index


@dataclass(frozen=True)
class TileProgram:
    """A recorded kernel: its family's name, parameters in call order, scratch, one top-level grid, the pairs
    of extents promised to be equal, the rounds of the grid if there are any, and shared memory."""

    family: str
    tensors: tuple[Tensor, ...]
    scalars: tuple[Scalar, ...]
    scratch: tuple[Tensor, ...]
    grid: Grid
    equal: tuple[tuple[Index, Index], ...] = ()
    rounds: Rounds | None = None
    shared: tuple[Shared, ...] = ()

    @property
    def memory(self) -> tuple[Tensor, ...]:
        """What the kernel is given: its tensors, then those of its shared memory."""
        return (*self.tensors, *(s.tensor for s in self.shared))

    def __str__(self) -> str:
        head = ", ".join([str(t) for t in self.tensors] + [f"{s.name}: {s.dtype}" for s in self.scalars])
        lines = [f"{self.family}({head})", *(f"  scratch {t}" for t in self.scratch)]
        lines += [f"  shared {s.tensor}" for s in self.shared]
        lines += [f"  same {a} = {b}" for a, b in self.equal]
        if self.rounds is not None:
            lines.append(f"  rounds {self.rounds.var} to {self.rounds.extent}")
        statements((self.grid,), 1, lines)
        return "\n".join(lines) + "\n"
