"""Codebooks: the numbers that codes stand for, listed or learned."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Listed, listed
from drystone.ir.encoding.geometry import Per
from drystone.ir.encoding.parts import BY_RANGE, Encoding, Held, Parts, inside, put, take

#: Rounds of Lloyd's algorithm at most.
_ROUNDS = 60


@dataclass(frozen=True)
class Table:
    """Fixed numbers, by code. Of several tables of one length each scale's block has the one that its part
    "selector" names."""

    tables: tuple[tuple[float, ...], ...]  #: the numbers of codes 0, 1, ..

    def codes(self) -> list[Listed]:
        """The code that each table is."""
        return [listed(table) for table in self.tables]

    def problems(self) -> Iterator[str]:
        """What cannot be."""
        if len({len(table) for table in self.tables}) != 1 or not 2 <= len(self.tables[0]) <= 256:
            yield f"tables of {[len(table) for table in self.tables]} numbers"


@dataclass(frozen=True)
class Learned:
    """2^bits numbers for every block, chosen for it by least squares (k-means in one dimension: Lloyd 1982)
    and held in the part "table"."""

    bits: int  #: of a code
    held: Encoding  #: of the tables: an array [.., 2^bits], one table for each block
    per: Per = field(default_factory=Per)  #: which elements share a table

    def code(self) -> Listed:
        """A code as it is stored, whatever its number."""
        return listed(tuple(float(n) for n in range(2**self.bits)))

    def _shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*self.per.shape(shape), 2**self.bits)

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """The tables."""
        return inside("table", self.held.parts(self._shape(shape)))

    def _labels(self, shape: Sequence[int]) -> Array:
        """The number of each element's block."""
        blocks = self.per.shape(shape)
        numbers = np.arange(int(np.prod(blocks, dtype=np.int64))).reshape(blocks)
        return np.broadcast_to(self.per.spread(numbers, shape), tuple(shape))

    def encode(self, numbers: Array, given: Parts) -> tuple[Parts, Array]:
        """The tables, and the code of every number."""
        flat, labels = numbers.ravel(), self._labels(numbers.shape).ravel()
        order = np.lexsort((flat, labels))
        ends = np.searchsorted(labels[order], np.arange(labels.max(initial=-1) + 2))
        runs = [order[first:end] for first, end in pairwise(ends)]
        parts = {name: part for name, part in given.items() if name.split(".")[0] == "table"}
        if not parts:
            found = np.array([lloyd(flat[run], 2**self.bits) for run in runs])
            parts = put("table", self.held.encode(found.reshape(self._shape(numbers.shape)), {}, BY_RANGE))
        tables = self._tables(parts, numbers.shape)
        codes = np.empty(flat.shape, np.uint8)
        for run, table in zip(runs, tables, strict=True):
            codes[run] = listed(tuple(table)).encode(flat[run])
        return parts, codes.reshape(numbers.shape)

    def _tables(self, parts: Parts, shape: Sequence[int]) -> Array:
        decoded = self.held.decode(take("table", parts), self._shape(shape))
        return decoded.reshape(-1, 2**self.bits)

    def settled(self, parts: Parts, shape: Sequence[int]) -> tuple[list[Listed], Array | None]:
        """The code that each block's table is, and that of every element; None where all have one."""
        tables = [listed(tuple(table.tolist())) for table in self._tables(parts, shape)]
        return tables, None if len(tables) == 1 else self._labels(shape)

    def decode(self, parts: Parts, codes: Array) -> Array:
        """The numbers of codes."""
        return self._tables(parts, codes.shape)[self._labels(codes.shape), codes]

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not 1 <= self.bits <= 8:
            yield f"a codebook of {self.bits} bits"
            return
        found = list(self.per.problems(len(shape)))
        yield from found or (f"tables: {problem}" for problem in self.held.problems(self._shape(shape)))


def lloyd(ordered: Array, count: int) -> Array:
    """The `count` numbers in order that least squares asks for, of numbers in order; from their quantiles."""
    if not len(ordered):
        return np.zeros(count)
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    centres = np.quantile(ordered, (np.arange(count) + 0.5) / count)
    cuts = np.empty(0)
    for _ in range(_ROUNDS):
        new = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        if np.array_equal(new, cuts):
            break
        cuts = new
        ends = np.concatenate(([0], cuts, [len(ordered)]))
        members = np.diff(ends)
        centres = np.where(members > 0, np.diff(sums[ends]) / np.maximum(members, 1), centres)
    return centres
