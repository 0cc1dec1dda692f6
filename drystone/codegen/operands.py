"""What the statements of a tile program are about: memory, numbers given with a call, and tiles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from drystone.codegen.index import Index, index


@dataclass(frozen=True)
class Tensor:
    """A parameter of the kernel, or scratch: element (as the IR spells it) and extents, None where
    dynamic; or a view of one (`base`) that joins each of `groups` of neighbouring dimensions into one, or
    of the bytes of one from `offset` on.
    code: the element it is held as in memory where that is another one."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scratch: bool = False
    base: "Tensor | None" = None
    groups: tuple[tuple[int, ...], ...] = ()
    code: str = ""
    offset: int | None = None

    @property
    def held(self) -> str:
        """The element in memory."""
        return self.code or self.dtype

    def collapse(self, groups: Sequence[Sequence[int]]) -> "Tensor":
        """The same memory with the dimensions of each group joined; the groups name all, in order."""
        if self.offset is not None:
            return self.reshaped([math.prod(self.shape[g] or 0 for g in group) for group in groups])
        base = self
        if self.base is not None:
            base, groups = self.base, [sum((self.groups[g] for g in group), ()) for group in groups]
        if sum((tuple(group) for group in groups), ()) != tuple(range(len(base.shape))):
            raise ValueError(f"{groups} do not name the dimensions of {base}")
        if all(len(group) == 1 for group in groups):
            return base
        shape: list[int | None] = []
        for group in groups:
            known = [base.shape[g] for g in group]
            shape.append(None if None in known else math.prod(n or 0 for n in known))
        name = f"{base.name}.{'_'.join(''.join(map(str, group)) for group in groups)}"
        joined = tuple(tuple(g) for g in groups)
        return Tensor(name, base.dtype, tuple(shape), base.scratch, base, joined, base.code)

    def part(self, offset: int, shape: Sequence[int], dtype: str, code: str = "") -> "Tensor":
        """A tensor that lies in these bytes, from `offset` on; its element as in a tensor of its own."""
        if self.held != "i8" or len(self.shape) != 1:
            raise ValueError(f"a part of {self}, which are no bytes")
        name = f"{self.name}.{'x'.join(map(str, (offset, *shape)))}{code or dtype}"
        return Tensor(name, dtype, tuple(shape), self.scratch, self, code=code, offset=offset)

    def reshaped(self, shape: Sequence[int]) -> "Tensor":
        """The bytes of a part with other extents."""
        if self.base is None or self.offset is None:
            raise ValueError(f"{self} is no part of another tensor")
        return self.base.part(self.offset, shape, self.dtype, self.code)

    def dim(self, axis: int) -> Index:
        """The extent of one dimension."""
        extent = self.shape[axis]
        if extent is None and self.base is not None:
            extents = [self.base.dim(g) for g in self.groups[axis]]
            return reduce(lambda a, b: a * b, extents, index(1))
        return Index("dim", (self.name, axis)) if extent is None else index(extent)

    def __str__(self) -> str:
        extents = "x".join("?" if n is None else str(n) for n in self.shape) or "()"
        return f"{self.name}: {extents} {self.dtype}" + (f" as {self.code}" if self.code else "")


def distinct(a: Tensor, b: Tensor) -> Index:
    """1 where two parameters do not start at the same memory, else 0: where a result may have taken over the
    memory of an input, nothing needs to be copied."""
    return Index("distinct", ((a.base or a).name, (b.base or b).name))


@dataclass(frozen=True)
class Scalar:
    """A scalar parameter of the kernel."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Tile:
    """A value of fixed shape; made by exactly one statement of the program."""

    number: int
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"%{self.number}"


@dataclass(frozen=True)
class Shared:
    """Working memory of a call: the tensor, and its extents by those of parameters."""

    tensor: Tensor
    extents: tuple[Index, ...]


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape tiles of these shapes broadcast to, as in numpy."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    full = tuple(max(extents) for extents in zip(*padded, strict=True))
    if any(n not in (1, m) for shape in padded for n, m in zip(shape, full, strict=True)):
        raise ValueError(f"tiles that do not broadcast: {list(shapes)}")
    return full
