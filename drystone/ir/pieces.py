"""Which part of which tensor is made when a run of operations is computed piece by piece: plain data.

Tensors of a run are divided along one or two *axes* (the rows and columns of images, the rows of a matrix),
or along their features (see `ir.features`). What each position of a result reads of an operand along an axis
is a `Window`. Going backwards from a piece of the run's result, windows give the part of every tensor that
the piece needs (interval arithmetic, with padding on one side at the edges), as in MCUNetV2 (Lin et al.
2021). What two pieces need in common is made twice, or is kept from one piece for the next one (as in
StreamNet, Zheng et al. 2023, and msf-CNN, 2025).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
#: Positions first <= i < end along an axis.
Interval = tuple[int, int]
#: One interval for each axis.
Region = tuple[Interval, ...]


@dataclass(frozen=True)
class Window:
    """Position i of a result reads `reach` positions of an operand from i * stride - before on; those outside
    the operand's `extent` are padding."""

    extent: int
    reach: int = 1
    stride: int = 1
    before: int = 0

    def needed(self, part: Interval) -> Interval:
        """The positions of the operand that a part of the result reads."""
        first, end = self._read(part)
        return max(0, first), min(self.extent, end)

    def padding(self, part: Interval) -> tuple[int, int]:
        """How many positions before and after the operand a part of the result reads."""
        first, end = self._read(part)
        return max(0, -first), max(0, end - self.extent)

    def _read(self, part: Interval) -> Interval:
        first, end = part
        return first * self.stride - self.before, (end - 1) * self.stride - self.before + self.reach


@dataclass(frozen=True)
class Read:
    """A tensor that an operation of a run reads, and how, along each axis."""

    value: str
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Step:
    """An operation of a run: the tensor it makes, the extents of that along the axes, and what it reads
    piece by piece. A run that ends here is divided where a multiple of `unit` positions ends, which divides
    the extents."""

    result: str
    extents: tuple[int, ...]
    reads: tuple[Read, ...]
    unit: int = 1


@dataclass(frozen=True)
class Part:
    """What a piece has of a tensor along an axis: `held` is there once it is made, of which `fresh` (its end)
    is new and the rest comes from the piece before."""

    held: Interval
    fresh: Interval


@dataclass(frozen=True)
class Grid:
    """How a run's result is divided: `counts` pieces along each axis, as equal as can be; whether what pieces
    need in common along the first axis is kept. Pieces that differ along the first axis only come one after
    the other."""

    counts: tuple[int, ...]
    kept: bool = False


@dataclass(frozen=True)
class Span:
    """A run of operations to be computed piece by piece: the numbers of its first and last operation among
    those that compute, and the grid. summed: the last one averages whole images, or multiplies by a weight,
    and sums over the pieces of what it reads. features: pieces are some of the features each."""

    first: int
    last: int
    grid: Grid
    summed: bool = False
    features: bool = False


def divided(extent: int, count: int, unit: int = 1) -> list[Interval]:
    """`count` parts of an axis, each a multiple of `unit`, the first ones longer by one unit where they
    cannot be equal."""
    size, more = divmod(extent // unit, count)
    ends = [0]
    for number in range(count):
        ends.append(ends[-1] + (size + (number < more)) * unit)
    return list(pairwise(ends))


def parts(steps: Sequence[Step], axis: int, count: int, kept: bool) -> list[dict[str, Part]]:
    """For each of `count` pieces of the last step's result along an axis: the part of every step's result
    that it has."""
    last = steps[-1]
    wanted: list[dict[str, Interval]] = []
    done: dict[str, int] = {}
    for piece in divided(last.extents[axis], count, last.unit):
        wanted.append(_wanted(steps, axis, piece, done))
        if kept:
            for name, (_, end) in wanted[-1].items():
                done[name] = max(end, done.get(name, 0))
    return _with_held(wanted) if kept else [{n: Part(i, i) for n, i in each.items()} for each in wanted]


def following_of(rows: Sequence[Mapping[str, Part]], grid: Grid) -> list[Mapping[str, Part]]:
    """For each piece along the first axis the parts of the next one that may be kept for it."""
    return [*(rows[1:] if grid.kept else [{} for _ in rows[1:]]), {}]


def _wanted(
    steps: Sequence[Step], axis: int, piece: Interval, done: Mapping[str, int]
) -> dict[str, Interval]:
    """What a piece wants of every result: what readers read to make what is not yet `done`."""
    wanted = {steps[-1].result: piece}
    for step in reversed(steps):
        if step.result not in wanted:
            continue
        first, end = wanted[step.result]
        fresh = (max(first, done.get(step.result, 0)), end)
        if fresh[0] >= fresh[1]:
            continue
        for read in step.reads:
            low, high = read.windows[axis].needed(fresh)
            known = wanted.get(read.value)
            wanted[read.value] = (low, high) if known is None else (min(low, known[0]), max(high, known[1]))
    made = {step.result for step in steps}
    return {name: interval for name, interval in wanted.items() if name in made}


def _with_held(wanted: Sequence[Mapping[str, Interval]]) -> list[dict[str, Part]]:
    """Parts where all that a later piece wants of an earlier one is kept until then."""
    keep: dict[str, int] = {}
    starts: list[dict[str, int]] = []
    for each in reversed(wanted):
        for name, (first, _) in each.items():
            keep[name] = min(first, keep.get(name, first))
        starts.append(dict(keep))
    found: list[dict[str, Part]] = []
    ends: dict[str, int] = {}
    for each, start in zip(wanted, reversed(starts), strict=True):
        here = {}
        for name, (_, end) in each.items():
            before = ends.get(name, 0)
            ends[name] = max(end, before)
            first = min(start[name], ends[name])
            here[name] = Part((first, ends[name]), (max(first, before), ends[name]))
        found.append(here)
    return found


class Builder(Protocol[T]):
    """What `emit` says is to be made, piece by piece; T stands for a tensor."""

    def source(self, name: str) -> T:
        """A tensor that the run reads but does not make."""

    def part(self, name: str, value: T, held: Region, wanted: Region) -> T:
        """The part `wanted` of tensor `name`, of which `value` is the part `held`."""

    def make(self, number: int, region: Region, operands: Sequence[T]) -> T:
        """A part of the result of step `number`, from the parts of its reads."""

    def keep(self, name: str, value: T, held: Region, wanted: Region) -> T:
        """A copy of the part `wanted`, so that the rest of `value` need not last."""

    def join(self, name: str, kept: T, fresh: T, held: Region) -> T:
        """A kept part and the one made behind it, together the part `held`."""

    def put(self, whole: T | None, piece: T, region: Region) -> T:
        """The run's result with one more piece in its place."""


def emit(steps: Sequence[Step], grid: Grid, builder: Builder[T]) -> T:
    """Make the result of a run piece by piece; what the builder's last `put` gave."""
    rows = parts(steps, 0, grid.counts[0], grid.kept)
    across = [parts(steps, axis, count, False) for axis, count in enumerate(grid.counts[1:], 1)]
    whole: T | None = None
    for columns in product(*across):
        column = _Column(steps, [{n: p.held for n, p in each.items()} for each in columns], builder)
        for row, following in zip(rows, following_of(rows, grid), strict=True):
            piece, region = column.piece(row, following)
            whole = builder.put(whole, piece, region)
    assert whole is not None
    return whole


class _Column(Generic[T]):
    """The pieces that differ along the first axis only."""

    def __init__(
        self, steps: Sequence[Step], across: Sequence[Mapping[str, Interval]], builder: Builder[T]
    ) -> None:
        self.steps, self.across, self.builder = steps, across, builder
        self.made = {step.result for step in steps}
        self.held: dict[str, tuple[T, Region]] = {}

    def piece(self, row: Mapping[str, Part], following: Mapping[str, Part]) -> tuple[T, Region]:
        """Make one piece, and keep what the following one needs of it."""
        making = [
            s for s in self.steps if s.result in row and row[s.result].fresh[0] < row[s.result].fresh[1]
        ]
        last_read = {read.value: number for number, step in enumerate(making) for read in step.reads}
        for number, step in enumerate(making):
            self._make(step, row[step.result])
            for name in list(self.held):
                if last_read.get(name) == number and name in following:
                    self._keep(name, following[name])
        return self.held[self.steps[-1].result]

    def _region(self, name: str, first: Interval) -> Region:
        return (first, *(each[name] for each in self.across))

    def _make(self, step: Step, part: Part) -> None:
        region = self._region(step.result, part.fresh)
        operands = [self._read(read, region) for read in step.reads]
        made = self.builder.make(self.steps.index(step), region, operands)
        held = self._region(step.result, part.held)
        if held != region:
            made = self.builder.join(step.result, self.held[step.result][0], made, held)
        self.held[step.result] = made, held

    def _read(self, read: Read, region: Region) -> T:
        wanted = tuple(w.needed(part) for w, part in zip(read.windows, region, strict=True))
        if read.value not in self.made:
            whole = tuple((0, window.extent) for window in read.windows)
            return self.builder.part(read.value, self.builder.source(read.value), whole, wanted)
        value, held = self.held[read.value]
        return self.builder.part(read.value, value, held, wanted)

    def _keep(self, name: str, following: Part) -> None:
        value, region = self.held[name]
        common = (following.held[0], region[0][1])
        if common[0] >= common[1] or name == self.steps[-1].result:
            return
        wanted = self._region(name, common)
        if wanted != region:
            self.held[name] = self.builder.keep(name, value, region, wanted), wanted
