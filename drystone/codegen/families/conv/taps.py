"""The products of one register tile of a direct convolution: all taps it sees, all input channels.

A tap multiplies the runs of the tile that see it. Along the other dimensions the loops over taps end where
the image does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import prod

from drystone.codegen.families.ahead import Ahead
from drystone.codegen.families.conv.form import ConvForm
from drystone.codegen.families.conv.schedule import ImageSchedule
from drystone.codegen.families.conv.strips import Run, Strip, strips
from drystone.codegen.families.dry_op import laid_down
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index

#: From this stride on the taps of one channel are unrolled together, so many at most.
_APART, _UNROLLED = 4, 8


@dataclass(frozen=True)
class Direct:
    """A direct convolution, its schedule, and the lanes of a vector of 32-bit elements."""

    form: ConvForm
    p: ImageSchedule
    lanes: int

    @property
    def border(self) -> int:
        """Positions of padding before a line of the image that its copies have."""
        return self.form.before[-1] if self.p.bordered else 0

    @property
    def across(self) -> int:
        """Positions of the copy of a line, with what the last window reaches."""
        form, last = self.form, self.form.spatial - 1
        lines = [form.known_size(tensor, last) or 0 for tensor in (form.x, form.out)]
        reached = (lines[1] - 1) * form.strides[-1] + (form.kernel[-1] - 1) * form.dilation[-1] + 1
        return max(lines[0] + self.border, reached) if self.p.bordered else lines[0]

    @property
    def rounds(self) -> int:
        """Rounds of products of a register tile that sees all taps."""
        return prod(self.form.kernel) * ((self.form.summed - self.p.rest) // self.p.depth)

    def ahead(self) -> Ahead | None:
        """What asks for the next block of the weight, where the schedule says so."""
        form = self.form
        if not self.p.ahead or form.laid_down:
            return None
        lines = prod(form.known_size(form.out, dim) or 1 for dim in range(form.spatial - 1))
        tiles = sum(strip.count for strip in strips(form, self.p.rows, bordered=self.p.bordered))
        return Ahead.of(form.weight, (form.out.shape[0] or 1) * lines * tiles * self.rounds)


@dataclass(frozen=True)
class Step:
    """One grid step: image n, output channels from block `first`, lines from `outer`; and what
    `ConvForm.weights` gives for it."""

    kernel: Direct
    t: TileBuilder
    first: Index
    n: Index
    outer: tuple[Index, ...]
    weights: tuple[Tensor, Index]

    @property
    def group(self) -> Index:
        """The group of the step's channels."""
        form = self.kernel.form
        return index(0) if form.groups == 1 else self.first * form.width // form.outside


@dataclass(frozen=True)
class RegisterTile:
    """One register tile of the result; `at` is where it lies in the spatial dimensions, `number` how many
    tiles of all images come before it."""

    step: Step
    source: Tensor
    strip: Strip
    at: list[Index]
    number: Index
    block: Index
    #: Whether it does the channels that tiles of the usual shape leave over.
    last: bool = False

    def run(self) -> None:
        """All products, the epilogue, and the result."""
        form, t, width = self.step.kernel.form, self.step.t, self.step.kernel.form.width
        runs, p = self.strip.runs, self.step.kernel.p
        # First those of the products of all runs, then those of their inputs.
        starts = zip(*(form.zeros(t, run.count, tiles=p.tiles) for run in runs), strict=True)
        made = list(self.taps([], [], [tile for each in starts for tile in each]))
        sums: Sequence[Tile] = [form.closed(t, made[i :: len(runs)]) for i in range(len(runs))]
        if p.rest:
            sums = replace(self, last=True).taps([], [], [laid_down(t, acc) for acc in sums])
        gaps: list[int | None] = [None] * form.spatial
        for run, acc in zip(runs, sums, strict=True):
            place = [self.step.n, *self.at[:-1], self.at[-1] + run.first, self.block * width]
            form.finish(t, acc, place, [*gaps, run.count, width])

    def taps(self, tap: list[Index], where: list[Index], carried: Sequence[Tile]) -> Sequence[Tile]:
        """The products of all taps behind `tap`, which sees the image at `where`."""
        form, t, dim = self.step.kernel.form, self.step.t, len(tap)
        if dim == form.spatial - 1:
            return self.across(tap, where, carried)
        kernel, dilation = form.kernel[dim], form.dilation[dim]
        start = self.at[dim] * form.strides[dim] - form.before[dim]
        lower, upper = index(0), index(kernel)
        if form.before[dim] > 0:
            lower = (0 - start).max(0).ceildiv(dilation)
        if form.after[dim] > 0 or form.known_size(form.x, dim) is None:
            upper = (form.size(form.x, dim) - start).ceildiv(dilation).min(kernel)
        if (lower.constant, upper.constant) == (0, 1):
            return self.taps([*tap, index(0)], [*where, start], carried)
        return t.loop(
            upper,
            1,
            lambda k, *acc: self.taps([*tap, k], [*where, start + k * dilation], acc),
            carried,
            lower=lower,
        )

    def across(self, tap: list[Index], where: list[Index], carried: Sequence[Tile]) -> Sequence[Tile]:
        """The products of the taps along the width. Taps of one channel of a channels-first image lie side by
        side; but where the stride is small they see what others have seen, and unrolled together LLVM would
        keep that in registers that there are none left of: then all channels of one tap come together."""
        form, t = self.step.kernel.form, self.step.t
        if form.first and not form.moved and form.dilation[-1] == 1 and form.strides[-1] >= _APART:
            return t.loop(form.inside, 1, lambda c, *acc: self.stretches(tap, where, acc, c), carried)
        return self.stretches(tap, where, carried, None)

    def stretches(
        self, tap: list[Index], where: list[Index], carried: Sequence[Tile], channel: Index | None
    ) -> Sequence[Tile]:
        """Neighbouring taps that the same runs see, one such stretch after the other; of one `channel`, or of
        all."""
        form, t = self.step.kernel.form, self.step.t

        def seeing(k: int) -> tuple[int, ...]:
            return tuple(i for i, run in enumerate(self.strip.runs) if k in run.taps)

        for live, members in groupby(range(form.kernel[-1]), seeing):
            taps = list(members)
            if not live:
                continue
            acc = list(carried)
            held = [first + i for first in range(0, len(acc), len(self.strip.runs)) for i in live]
            some = [acc[i] for i in held]
            if channel is not None:
                some = self.neighbours(tap, where, live, some, taps, channel)
            elif len(taps) == 1:
                some = list(self.channels(tap, where, live, some, index(taps[0])))
            else:
                some = list(
                    t.loop(
                        taps[-1] + 1,
                        1,
                        lambda k, *acc, live=live: self.channels(tap, where, live, acc, k),
                        some,
                        lower=taps[0],
                    )
                )
            for i, tile in zip(held, some, strict=True):
                acc[i] = tile
            carried = acc
        return carried

    def neighbours(
        self,
        tap: list[Index],
        where: list[Index],
        live: tuple[int, ...],
        carried: list[Tile],
        taps: list[int],
        channel: Index,
    ) -> list[Tile]:
        """The products of neighbouring taps with one channel of a channels-first image."""
        unrolled = divisor(len(taps), min(_UNROLLED, self.step.kernel.form.strides[-1]))

        def some(k: Index, acc: Sequence[Tile]) -> Sequence[Tile]:
            for i in range(unrolled):
                acc = self.products(tap, where, live, acc, k + i, channel)
            return acc

        if unrolled == len(taps):
            return list(some(index(taps[0]), carried))
        t = self.step.t
        return list(t.loop(taps[-1] + 1, unrolled, lambda k, *acc: some(k, acc), carried, lower=taps[0]))

    def channels(
        self, tap: list[Index], where: list[Index], live: tuple[int, ...], carried: Sequence[Tile], k: Index
    ) -> Sequence[Tile]:
        """The products of one tap with all channels."""
        form, t, p = self.step.kernel.form, self.step.t, self.step.kernel.p
        whole, depth = form.summed - p.rest, p.rest if self.last else p.depth
        ahead, done = None if self.last else self.step.kernel.ahead(), index(0)
        for place, size in zip([*tap, k], form.kernel, strict=True):
            done = done * size + place
        done = self.number * self.step.kernel.rounds + done * (whole // p.depth)

        def some(c: Index, acc: Sequence[Tile]) -> Sequence[Tile]:
            if ahead is not None:
                ahead.ask(t, self.block, done + c // depth)
            for i in range(0, depth, self.together):
                acc = self.products(tap, where, live, acc, k, c + i)
            return acc

        lower, upper = (whole, form.summed) if self.last else (0, whole)
        return t.loop(upper, depth, lambda c, *acc: some(c, acc), carried, lower=lower)

    def products(
        self,
        tap: list[Index],
        where: list[Index],
        live: tuple[int, ...],
        carried: Sequence[Tile],
        k: Index,
        c: Index,
    ) -> list[Tile]:
        """The products of one tap and one channel, or as many as are taken together."""
        form, t, width = self.step.kernel.form, self.step.t, self.step.kernel.form.width
        weight, origin = self.step.weights
        at = [self.block - origin, *tap, k, c // form.group, index(0)]
        sizes = [*[None] * (1 + form.spatial), self.together // form.group, width * form.group]
        b = t.load(weight, at, sizes, held=form.held)
        runs = [self.strip.runs[i] for i in live]
        tiles = self.step.kernel.p.tiles
        b = form.factor(t, b) if tiles else form.unsigned(t, b)
        lefts = [self.left(where, run, k, c) for run in runs]
        made = [t.dot(acc, left, b, tiles=tiles) for left, acc in zip(lefts, carried, strict=False)]
        inputs = zip(lefts, carried[len(runs) :], strict=False)
        return [*made, *(form.add_inputs(t, acc, left, self.together // form.group) for left, acc in inputs)]

    @property
    def together(self) -> int:
        """Channels of one product: a tile's, or as many as lie side by side in the weight."""
        p, form = self.step.kernel.p, self.step.kernel.form
        return (p.rest if self.last else p.depth) if p.tiles else form.group

    def left(self, where: list[Index], run: Run, k: Index, c: Index) -> Tile:
        """What one tap sees of one channel (or some side by side), [rows, channels]."""
        form, t, stride = self.step.kernel.form, self.step.t, self.step.kernel.form.strides[-1]
        across = (self.at[-1] + run.first) * stride - form.before[-1] + k * form.dilation[-1]
        if self.source.scratch:
            across = across + self.step.kernel.border
        gaps: list[int | None] = [None] * (form.spatial - 1)
        ones = [1] * len(where)
        channel = self.step.group * form.inside + c
        shape = [run.count, self.together]
        if self.source.scratch:
            origin = self.step.outer[-1] * form.strides[-2] - form.before[-2]
            at = [where[0] - origin, across, c]
            return form.factor(t, t.load(self.source, at, [None, *shape], steps=[1, stride, 1]))
        if form.first:
            at = [self.step.n, channel, *where, across]
            tile = t.load(form.x, at, [None, None, *gaps, run.count], steps=[1, 1, *ones, stride])
            return form.factor(t, t.reshape(tile, (run.count, 1)))
        at = [self.step.n, *where, across, channel]
        steps = [1, *ones, stride, 1]
        return form.factor(t, t.load(form.x, at, [None, *gaps, *shape], steps=steps, held=form.held))
