"""The lines of a convolution's result, cut into register tiles.

The width is known, so the tiles at the borders are programs of their own: their rows fall into runs that see
the same taps.
"""

from dataclasses import dataclass
from itertools import groupby

from drystone.codegen.families.conv.form import ConvForm


@dataclass(frozen=True)
class Run:
    """Neighbouring rows of a register tile that see the same taps along the width."""

    first: int
    count: int
    taps: frozenset[int]


@dataclass(frozen=True)
class Strip:
    """Neighbouring tiles of a line that are alike: where the first starts, how many there are, their runs."""

    start: int
    count: int
    runs: tuple[Run, ...]

    @property
    def rows(self) -> int:
        """Positions of one tile."""
        return sum(run.count for run in self.runs)


def strips(form: ConvForm, rows: int, *, bordered: bool = False) -> list[Strip]:
    """A line of the result, cut into tiles of up to `rows` positions. bordered: the padding is read too."""
    width, length = form.known_size(form.x, form.spatial - 1), form.known_size(form.out, form.spatial - 1)
    assert width is not None and length is not None
    taps = range(form.kernel[-1])

    def seen(position: int) -> frozenset[int]:
        if bordered:
            return frozenset(taps)
        start = position * form.strides[-1] - form.before[-1]
        return frozenset(k for k in taps if 0 <= start + k * form.dilation[-1] < width)

    found: list[Strip] = []
    for start in range(0, length, rows):
        runs, first = [], 0
        for same, members in groupby(range(start, min(start + rows, length)), seen):
            count = len(list(members))
            runs.append(Run(first, count, same))
            first += count
        if found and found[-1].runs == tuple(runs):
            found[-1] = Strip(found[-1].start, found[-1].count + 1, found[-1].runs)
        else:
            found.append(Strip(start, 1, tuple(runs)))
    return found
