"""Where the tiles of a program are used: what lazy lowering asks before it enters a loop or a store."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import TypeGuard

from drystone.codegen.statements import Written
from drystone.codegen.tile import (
    Apply,
    Beside,
    Compress,
    Dot,
    Full,
    Gather,
    Grid,
    Index,
    Interleave,
    Iota,
    LaneDot,
    Load,
    Lookup,
    Loop,
    Prefetch,
    Reduce,
    Reshape,
    Scatter,
    Shuffle,
    Split,
    Statement,
    Store,
    Tensor,
    Tile,
    Transpose,
    When,
)

Body = tuple[Statement, ...]


def memory_of(tensor: Tensor) -> str:
    """The name of the memory a tensor or view lies in."""
    return (tensor.base or tensor).name


def _elements(indices: Sequence[Index]) -> set[int]:
    found: set[int] = set()
    for e in indices:
        if e.kind == "element":
            found.add(e.args[0])
        else:
            found |= _elements([arg for arg in e.args if isinstance(arg, Index)])
    return found


def operands(s: Statement) -> set[int]:
    """Numbers of the tiles a statement uses itself (not those its body uses)."""
    match s:
        case Load():
            return _elements(s.at)
        case Store():
            return {s.value.number} | _elements(s.at)
        case Scatter():
            return {s.value.number, s.keep.number} | {t.number for t in s.indices}
        case Compress():
            return {s.value.number, s.keep.number} | _elements([s.at])
        case Prefetch():
            return _elements(s.at)
        case Gather():
            return {t.number for t in s.indices}
        case Lookup():
            return {s.index.number} | ({s.numbers.number} if isinstance(s.numbers, Tile) else set())
        case Shuffle():
            return {s.table.number, s.index.number}
        case Full():
            return _elements([s.value]) if isinstance(s.value, Index) else set()
        case Iota():
            return _elements([s.start])
        case Apply():
            return {t.number for t in s.args}
        case Dot() | LaneDot():
            return {s.acc.number, s.a.number, s.b.number}
        case Reduce() | Transpose() | Interleave() | Split() | Reshape():
            return {s.arg.number}
        case Loop():
            return {t.number for t in (*s.initial, *s.yielded)} | _elements([s.lower, s.upper])
        case When():
            return _elements([s.left, s.right])
        case Grid():
            return _elements(s.extents)
        case Beside():
            return set()


def inner(s: Statement) -> Body:
    """The body of a statement that has one."""
    return s.body if isinstance(s, Loop | When | Grid | Beside) else ()


@cache
def uses(body: Body) -> frozenset[int]:
    """Numbers of the tiles from outside that a body uses, however deep."""
    found: set[int] = set()
    for s in body:
        found |= operands(s) | uses(inner(s))
    return frozenset(found) - made(body)


@cache
def made(body: Body) -> frozenset[int]:
    """Numbers of the tiles made in a body, however deep."""
    found: set[int] = set()
    for s in body:
        if isinstance(s, Loop):
            found |= {t.number for t in (*s.carried, *s.results)}
        elif not isinstance(s, Written | Prefetch | When | Grid | Beside):
            found.add(s.result.number)
        found |= made(inner(s))
    return frozenset(found)


@cache
def stores(body: Body) -> frozenset[str]:
    """Memory that a body writes."""
    found: set[str] = set()
    for s in body:
        found |= {memory_of(s.target)} if isinstance(s, Written) else stores(inner(s))
    return frozenset(found)


class Usage:
    """Users of every tile of a program."""

    def __init__(self, body: Body) -> None:
        self.users: dict[int, list[tuple[Statement, str]]] = defaultdict(list)
        self._alias: dict[int, list[int]] = defaultdict(list)
        self._collect(body)

    def _collect(self, body: Body) -> None:
        for s in body:
            for number in operands(s):
                role = "left" if isinstance(s, Dot) and s.a.number == number else "use"
                if isinstance(s, Dot) and number in (s.b.number, s.acc.number):
                    role = "use"
                self.users[number].append((s, role))
            if isinstance(s, Loop):
                for group in (s.initial, s.yielded):
                    for source, carried, result in zip(group, s.carried, s.results, strict=True):
                        self._alias[source.number] += [carried.number, result.number]
            self._collect(inner(s))

    def only_left(self, number: int) -> bool:
        """Whether a tile is used only as the left operand of dots, perhaps transposed or reshaped first."""
        return all(
            role == "left" or (isinstance(s, Transpose | Reshape) and self.only_left(s.result.number))
            for s, role in self.users[number]
        )

    def rows_unseen(self, load: Load, axis: int, equal: dict[Index, Index]) -> bool:
        """Whether rows of a dot's left operand that lie outside the tensor along dimension `axis` never show:
        every row they spoil is left out by the stores, because it lies outside the stored tensor too."""
        rank = [d for d, size in enumerate(load.sizes) if size is not None]
        if len(rank) != 2 or axis != rank[0] or load.steps[axis] != 1:
            return False
        extent = load.source.dim(axis)
        extent = equal.get(extent, extent)
        seen: set[int] = set()
        pending = [load.result.number]
        first = True
        while pending:
            number = pending.pop()
            if number in seen:
                continue
            seen.add(number)
            pending += self._alias[number]
            for s, role in self.users[number]:
                if first and role != "left":
                    return False
                if isinstance(s, Store):
                    place = [d for d, size in enumerate(s.sizes) if size is not None]
                    if len(place) != 2 or s.steps[place[0]] != 1 or s.at[place[0]] != load.at[axis]:
                        return False
                    limit = s.target.dim(place[0])
                    if equal.get(limit, limit) != extent or s.target.scratch:
                        return False
                elif _keeps_rows(s, number, load.result.shape[:1]):
                    pending.append(s.result.number)
                elif not isinstance(s, Loop):
                    return False
            first = False
        return True


def _keeps_rows(s: Statement, number: int, rows: tuple[int, ...]) -> TypeGuard[Dot | Apply | Reduce]:
    """Whether each row of a statement's result depends on the same row of one of its operands only."""
    match s:
        case Dot():
            return number != s.b.number
        case Apply():
            return s.result.shape[:-1] == rows
        case Reduce():
            return s.axis == 1
    return False
