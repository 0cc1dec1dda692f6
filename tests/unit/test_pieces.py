"""Runs of operations piece by piece: windows summed in numpy, whole and in pieces."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from drystone.dtypes import Array
from drystone.ir.pieces import Grid, Read, Region, Step, Window, divided, emit, parts


def summed(image: Array, windows: Sequence[Window], extents: Sequence[int]) -> Array:
    """out[i] = the sum of what the windows at i read, padding being 0."""
    for axis, (window, extent) in enumerate(zip(windows, extents, strict=True)):
        rows = []
        for i in range(extent):
            first, end = window.needed((i, i + 1))
            rows.append(np.take(image, range(first, end), axis).sum(axis))
        image = np.stack(rows, axis)
    return image


@dataclass
class Numbers:
    """A builder that computes, and counts what it computes."""

    steps: Sequence[Step]
    image: Array
    made: dict[int, int] = field(default_factory=dict)

    def source(self, name: str) -> Array:
        return self.image

    def part(self, name: str, value: Array, held: Region, wanted: Region) -> Array:
        assert all(h[0] <= w[0] < w[1] <= h[1] for h, w in zip(held, wanted, strict=True))
        return value[tuple(slice(w[0] - h[0], w[1] - h[0]) for h, w in zip(held, wanted, strict=True))]

    def make(self, number: int, region: Region, operands: Sequence[Array]) -> Array:
        self.made[number] = self.made.get(number, 0) + int(np.prod([end - first for first, end in region]))
        total = 0
        for read, operand in zip(self.steps[number].reads, operands, strict=True):
            # As an operation sees it: an operand of its own extent, with padding on its own sides.
            sides = [w.padding(part) for w, part in zip(read.windows, region, strict=True)]
            inner = [
                Window(n, w.reach, w.stride, side[0])
                for n, w, side in zip(operand.shape, read.windows, sides, strict=True)
            ]
            total = total + summed(operand, inner, [end - first for first, end in region])
        return np.asarray(total)

    def keep(self, name: str, value: Array, held: Region, wanted: Region) -> Array:
        return self.part(name, value, held, wanted)

    def join(self, name: str, kept: Array, fresh: Array, held: Region) -> Array:
        joined = np.concatenate([kept, fresh])
        assert joined.shape == tuple(end - first for first, end in held)
        return joined

    def put(self, whole: Array | None, piece: Array, region: Region) -> Array:
        found = np.full(self.steps[-1].extents, -1) if whole is None else whole
        found[tuple(slice(*part) for part in region)] = piece
        return found


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Step], tuple[int, int]]:
    """Up to five steps in a row, some of which also read the result two before."""
    extents = (draw(st.integers(6, 14)), draw(st.integers(6, 14)))
    first = extents
    steps: list[Step] = []
    values = [("x", extents)]
    for number in range(draw(st.integers(1, 5))):
        source, extents = values[-1]
        windows, there = [], []
        for extent in extents:
            taps, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
            dilation = draw(st.integers(1, 2)) if taps > 1 else 1
            reach = min(extent, (taps - 1) * dilation + 1)
            before, after = (draw(st.integers(0, reach - 1)) for _ in range(2))
            windows.append(Window(extent, reach, stride, before))
            there.append((extent + before + after - reach) // stride + 1)
        reads = [Read(source, tuple(windows))]
        same = [name for name, old in values[:-1] if old == tuple(there)]
        if same and draw(st.booleans()):
            reads.append(Read(same[-1], tuple(Window(extent) for extent in there)))
        steps.append(Step(f"t{number}", tuple(there), tuple(reads)))
        values.append((f"t{number}", tuple(there)))
        if min(there) < 3:
            break
    return steps, first


@given(runs(), st.integers(1, 5), st.integers(1, 3), st.booleans())
@settings(max_examples=200, deadline=None)
def test_pieces_make_what_the_whole_makes(
    run: tuple[list[Step], tuple[int, int]], rows: int, columns: int, kept: bool
) -> None:
    steps, extents = run
    last = steps[-1].extents
    image = np.random.default_rng(0).integers(0, 9, extents)
    whole = emit(steps, Grid((1, 1)), Numbers(steps, image))
    builder = Numbers(steps, image)
    pieces = emit(steps, Grid((min(rows, last[0]), min(columns, last[1])), kept), builder)
    np.testing.assert_array_equal(pieces, whole)
    if kept and columns == 1:
        # Nothing is made twice.
        assert all(
            builder.made[k] <= int(np.prod(step.extents)) for k, step in enumerate(steps) if k in builder.made
        )


def test_windows_pad_on_the_side_that_is_an_edge() -> None:
    window = Window(extent=8, reach=3, stride=1, before=1)
    assert window.needed((0, 4)) == (0, 5)
    assert window.padding((0, 4)) == (1, 0)
    assert window.needed((4, 8)) == (3, 8)
    assert window.padding((4, 8)) == (0, 1)
    assert divided(7, 3) == [(0, 3), (3, 5), (5, 7)]


def test_what_is_kept_is_not_made_again() -> None:
    """Two convolutions of three rows: every band keeps two rows of the first one's result."""
    window = Window(8, 3, 1, 1)
    steps = [Step("y", (8,), (Read("x", (window,)),)), Step("z", (8,), (Read("y", (window,)),))]
    again = parts(steps, 0, 4, kept=False)
    assert [piece["y"].fresh for piece in again] == [(0, 3), (1, 5), (3, 7), (5, 8)]
    kept = parts(steps, 0, 4, kept=True)
    assert [piece["y"].fresh for piece in kept] == [(0, 3), (3, 5), (5, 7), (7, 8)]
    assert [piece["y"].held for piece in kept] == [(0, 3), (1, 5), (3, 7), (5, 8)]
