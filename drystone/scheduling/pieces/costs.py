"""What a run of operations takes when it is computed piece by piece: memory, work and calls, without making
the pieces.

Along each axis the parts of all pieces are known; their lengths multiply. Of the pieces that differ along the
first axis, those with the same lengths as others need the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from drystone.ir.pieces import Grid, Interval, Part, Step, following_of, parts


@dataclass(frozen=True)
class Taken:
    """Bytes at the fullest moment (beside what the run reads and its result), multiply-adds, kernel calls of
    operations and copies, and the number of pieces."""

    peak: int
    work: int
    calls: int
    pieces: int


@dataclass
class Needs:
    """A run: its steps, multiply-adds of every result as a whole, bytes of every tensor as a whole, those
    whose rows are no stretch of memory, and the alignment of tensors."""

    steps: Sequence[Step]
    work: Mapping[str, int]
    sizes: Mapping[str, int]
    scattered: frozenset[str]
    alignment: int
    known: dict[tuple[int, int, bool], list[dict[str, Part]]] = field(default_factory=dict)

    def parts(self, axis: int, count: int, kept: bool) -> list[dict[str, Part]]:
        """As `ir.pieces.parts`, remembered."""
        key = axis, count, kept
        if key not in self.known:
            self.known[key] = parts(self.steps, axis, count, kept)
        return self.known[key]


def needs_of(run: Needs, grid: Grid, most: int | None = None) -> Taken | None:
    """What a run takes on a grid; None where that is more than `most` bytes."""
    rows = run.parts(0, grid.counts[0], grid.kept)
    across = [run.parts(axis, count, False) for axis, count in enumerate(grid.counts[1:], 1)]
    columns = prod(grid.counts[1:])
    work = 0
    for step in run.steps:
        name = step.result
        made = [sum(_length(each[name].fresh) for each in rows if name in each)]
        made += [sum(_length(each[name].held) for each in axis) for axis in across]
        work += run.work[name] * prod(made) // prod(step.extents)
    widest = {
        step.result: prod(max(_length(each[step.result].held) for each in axis) for axis in across)
        for step in run.steps
    }
    column = _Column(run, widest, across)
    seen: set[tuple[tuple[str, int, int], ...]] = set()
    for number, (row, following) in enumerate(zip(rows, following_of(rows, grid), strict=True)):
        form = tuple((n, _length(p.held), _length(p.fresh)) for n, p in row.items())
        if form in seen and number < len(rows) - 1:
            column.calls += column.latest
            continue
        seen.add(form)
        column.piece(row, following)
        if most is not None and column.peak > most:
            return None
    return Taken(column.peak, work, column.calls * columns, grid.counts[0] * columns)


class _Column:
    """The widest pieces that differ along the first axis only: bytes alive, step by step."""

    def __init__(
        self,
        run: Needs,
        widest: Mapping[str, int],
        across: Sequence[Sequence[Mapping[str, Part]]],
    ) -> None:
        self.run, self.widest, self.across = run, widest, across
        extents = {step.result: step.extents for step in run.steps}
        for step in run.steps:
            for read in step.reads:
                extents.setdefault(read.value, tuple(window.extent for window in read.windows))
        #: Bytes of one position of every tensor.
        self.each = {name: run.sizes[name] // prod(found) for name, found in extents.items()}
        self.held: dict[str, tuple[Interval, int]] = {}
        self.peak = self.calls = self.latest = 0

    def piece(self, row: Mapping[str, Part], following: Mapping[str, Part]) -> None:
        """Count one piece."""
        before = self.calls
        making = [s for s in self.run.steps if s.result in row and _length(row[s.result].fresh) > 0]
        last_read = {read.value: number for number, step in enumerate(making) for read in step.reads}
        last = self.run.steps[-1].result
        self.held.pop(last, None)
        for number, step in enumerate(making):
            self._make(step, row[step.result])
            for name in list(self.held):
                if last_read.get(name) == number and name != last:
                    self._leave(name, following.get(name))
        for name in list(self.held):
            if name not in following and name != last:
                del self.held[name]
        self.latest = self.calls - before

    def _bytes(self, name: str, rows: int) -> int:
        size = rows * self.widest[name] * self.each[name]
        return -(-size // self.run.alignment) * self.run.alignment

    def _note(self, more: int) -> None:
        self.peak = max(self.peak, sum(size for _, size in self.held.values()) + more)

    def _make(self, step: Step, part: Part) -> None:
        name = step.result
        fresh = self._bytes(name, _length(part.fresh))
        self._note(fresh + self._copies(step, part.fresh))
        self.calls += 1
        if part.held != part.fresh:
            held = self._bytes(name, _length(part.held))
            self._note(fresh + held)
            self.calls += 1
            fresh = held
        self.held[name] = part.held, fresh

    def _copies(self, step: Step, fresh: Interval) -> int:
        """Bytes of the slices of operands that are no stretch of memory."""
        total = 0
        for read in step.reads:
            rows = _length(read.windows[0].needed(fresh))
            columns = [
                max(_length(window.needed(each[step.result].held)) for each in axis)
                for window, axis in zip(read.windows[1:], self.across, strict=True)
            ]
            whole = self.widest.get(read.value, prod(w.extent for w in read.windows[1:]))
            there = _length(self.held[read.value][0]) if read.value in self.held else read.windows[0].extent
            if prod(columns) < whole or (read.value in self.run.scattered and rows < there):
                size = rows * prod(columns) * self.each[read.value]
                total += -(-size // self.run.alignment) * self.run.alignment
                self.calls += 1
        return total

    def _leave(self, name: str, following: Part | None) -> None:
        """A tensor that nothing in this piece reads any more: the following one may want a part of it."""
        held, _ = self.held[name]
        first = held[1] if following is None else max(following.held[0], held[0])
        if first >= held[1]:
            del self.held[name]
        elif first > held[0]:
            kept = self._bytes(name, held[1] - first)
            self._note(kept)
            self.calls += 1
            self.held[name] = (first, held[1]), kept


def _length(part: Interval) -> int:
    return part[1] - part[0]
