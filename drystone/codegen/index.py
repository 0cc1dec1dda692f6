"""Index expressions of tile programs: integers known when a kernel runs, folded where known before."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Index:
    """An integer expression. Leaves: const (args[0]), var (name), dim (tensor name, axis), scalar (name),
    element (a tile of one integer element, by its number, and the least and the largest that it is
    promised to be), distinct (two tensors' names: 1 where they do not
    start at the same memory, else 0). Inner nodes: add, sub, mul, floordiv, ceildiv, mod, min, max."""

    kind: str
    args: tuple[Any, ...]
    #: Expressions are looked up far more often than made, and are deep.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.kind, self.args)))

    def __hash__(self) -> int:
        return self._hash

    def _with(self, kind: str, other: "Index | int") -> "Index":
        return _fold(kind, self, index(other))

    def __add__(self, other: "Index | int") -> "Index":
        return self._with("add", other)

    def __radd__(self, other: int) -> "Index":
        return index(other) + self

    def __sub__(self, other: "Index | int") -> "Index":
        return self._with("sub", other)

    def __rsub__(self, other: int) -> "Index":
        return index(other) - self

    def __mul__(self, other: "Index | int") -> "Index":
        return self._with("mul", other)

    def __rmul__(self, other: int) -> "Index":
        return index(other) * self

    def __floordiv__(self, other: "Index | int") -> "Index":
        return self._with("floordiv", other)

    def __mod__(self, other: "Index | int") -> "Index":
        return self._with("mod", other)

    def ceildiv(self, other: "Index | int") -> "Index":
        """This divided by `other`, rounded up."""
        return self._with("ceildiv", other)

    def min(self, other: "Index | int") -> "Index":
        """The smaller of the two."""
        return self._with("min", other)

    def max(self, other: "Index | int") -> "Index":
        """The larger of the two."""
        return self._with("max", other)

    @property
    def constant(self) -> int | None:
        """The value where it is known when the kernel is built."""
        return self.args[0] if self.kind == "const" else None

    def __str__(self) -> str:
        if self.kind in ("const", "var", "scalar"):
            return str(self.args[0])
        if self.kind == "dim":
            return f"dim({self.args[0]}, {self.args[1]})"
        if self.kind == "element":
            return f"element(%{self.args[0]})"
        return f"{self.kind}({', '.join(str(arg) for arg in self.args)})"


_FOLD: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b,
    "ceildiv": lambda a, b: -(-a // b),
    "mod": lambda a, b: a % b,
    "min": min,
    "max": max,
}


def folded(kind: str, a: int, b: int) -> int:
    """The value of an inner node whose arguments have these values."""
    return _FOLD[kind](a, b)


def index(value: "Index | int") -> Index:
    """An Index from an Index or an int."""
    return value if isinstance(value, Index) else Index("const", (int(value),))


def _fold(kind: str, a: Index, b: Index) -> Index:
    if a.constant is not None and b.constant is not None:
        return index(folded(kind, a.constant, b.constant))
    if (kind in ("add", "sub") and b.constant == 0) or (
        kind in ("mul", "floordiv", "ceildiv") and b.constant == 1
    ):
        return a
    if (kind == "add" and a.constant == 0) or (kind == "mul" and a.constant == 1):
        return b
    if kind == "mul" and 0 in (a.constant, b.constant):
        return index(0)
    return Index(kind, (a, b))
