"""A tile program while it is recorded: its statements so far, and its memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from drystone.codegen.index import Index, index
from drystone.codegen.operands import Shared, Tensor, Tile
from drystone.codegen.recorded import Rounds
from drystone.codegen.statements import Statement


@dataclass
class Recording:
    """What all methods that record statements share."""

    _scratch: list[Tensor] = field(default_factory=list)
    _bodies: list[list[Statement]] = field(default_factory=lambda: [[]])
    _equal: list[tuple[Index, Index]] = field(default_factory=list)
    _shared: list[Shared] = field(default_factory=list)
    _rounds: Rounds | None = None
    _tiles: int = 0
    _vars: int = 0

    def _tile(self, shape: Sequence[int], dtype: str) -> Tile:
        self._tiles += 1
        return Tile(self._tiles - 1, tuple(shape), dtype)

    def _var(self) -> Index:
        self._vars += 1
        return Index("var", (f"i{self._vars - 1}",))

    def _emit(self, statement: Statement) -> None:
        self._bodies[-1].append(statement)

    @contextmanager
    def _body(self) -> Iterator[list[Statement]]:
        self._bodies.append([])
        yield self._bodies[-1]
        self._bodies.pop()

    def scratch(self, shape: Sequence[int], dtype: str) -> Tensor:
        """Working memory of one grid step."""
        tensor = Tensor(f"s{len(self._scratch)}", dtype, tuple(shape), scratch=True)
        self._scratch.append(tensor)
        return tensor

    def shared(self, shape: Sequence[Index | int], dtype: str) -> Tensor:
        """Working memory of the call; an extent is a number or one of a parameter."""
        extents = tuple(map(index, shape))
        if any(e.kind not in ("const", "dim") for e in extents):
            raise ValueError(f"shared memory of {[str(e) for e in extents]}")
        tensor = Tensor(f"w{len(self._shared)}", dtype, tuple(e.constant for e in extents))
        self._shared.append(Shared(tensor, extents))
        for axis, extent in enumerate(extents):
            self.same(tensor.dim(axis), extent)
        return tensor

    def same(self, a: Index | int, b: Index | int) -> None:
        """Promise that two extents are equal whenever the kernel is called."""
        if index(a) != index(b):
            self._equal.append((index(a), index(b)))
