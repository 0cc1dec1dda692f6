"""Direct convolution that reads the image where it lies and leaves out the taps that lie outside of it.

A tile of the result, some positions along the width by one block of output channels, stays in registers
through all taps and input channels (Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions
on SIMD Architectures", SC 2018). The width is known, so the tiles at the borders are programs of their own:
their rows fall into runs that see the same taps, and a tap multiplies the runs that see it. Along the other
dimensions the loops over taps end where the image does.

The image is channels last, or channels first where its channels are few (a model's input): then all taps
along the width of one channel come before the next channel, and nothing needs to be moved before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from drystone.codegen.elements import wide
from drystone.codegen.families.conv_form import UNROLLED, ConvForm, copy_channels
from drystone.codegen.families.conv_schedule import (
    Image,
    ImageSchedule,
    image_default,
    image_schedule,
    image_space,
)
from drystone.codegen.families.tiling import divisor
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets import CpuTarget

#: From this stride on the taps of one channel are unrolled together, so many at most.
_APART, _UNROLLED = 4, 8
#: Different tiles of a line that are programs of their own, at most.
_VARIANTS = 5


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


def conv_direct(form: ConvForm, target: CpuTarget) -> Search | None:
    """The programs for a result that is channels last, a known width, and a weight packed as [O / width]
    [taps][I / groups][width], blocks within groups."""
    if not form.nhwc or form.transposed or form.pack is None or form.x.shape[form.channel_axis] is None:
        return None
    if not form.blocked or (form.first and form.group > 1):
        return None
    width = form.pack.inner_tiles[0]
    last = form.spatial - 1
    known = None not in (form.known_size(form.x, last), form.known_size(form.out, last))
    if not known or (form.groups > 1 and form.outside % width) or form.kernel[-1] > UNROLLED:
        return None
    sizes = _sizes(form, target)
    point = image_default(sizes, target)
    if form.group == 1 and len(strips(form, point["rows"])) > _VARIANTS:
        return None

    def build(point: Point) -> TileProgram:
        return _Direct(form, image_schedule(sizes, point), target.lanes(32)).program()

    return Search(image_space(sizes, target), point, form.features(), build)


def _sizes(form: ConvForm, target: CpuTarget) -> Image:
    dims = form.spatial
    taps = 1
    for size in form.kernel:
        taps *= size
    outer = 1
    for dim in range(dims - 2):
        outer *= form.known_size(form.out, dim) or 1
    found = Image(
        images=(form.out.shape[0] or 1) * outer,
        lines=(form.known_size(form.out, dims - 2) if dims > 1 else 1) or 0,
        line=form.known_size(form.out, dims - 1) or 0,
        wide=form.known_size(form.x, dims - 1) or 0,
        window=(form.kernel[-2] - 1) * form.dilation[-2] + 1 if dims > 1 else 1,
        stride=form.strides[-1],
        step=form.strides[-2] if dims > 1 else 1,
        inside=form.inside,
        outside=form.outside,
        groups=form.groups,
        taps=taps,
        width=form.pack.inner_tiles[0] if form.pack else 0,
        group=form.group,
        bytes=form.bytes,
        fixed=form.first or dims != 2,
        padded=form.before[-1] > 0 or form.after[-1] > 0,
        tile=form.tile(target),
    )
    # What is padded is copied, to the stack.
    uncopied = found.padded and (found.fixed or found.held(1) > target.l2 // 2)
    return replace(found, tile=None) if uncopied else found


@dataclass(frozen=True)
class _Direct:
    form: ConvForm
    p: ImageSchedule
    lanes: int

    @property
    def width(self) -> int:
        """Output channels of a block."""
        assert self.form.pack is not None
        return self.form.pack.inner_tiles[0]

    @property
    def border(self) -> int:
        """Positions of padding before a line of the image that its copies have."""
        return self.form.before[-1] if self.p.tiles else 0

    @property
    def across(self) -> int:
        """Positions of the copy of a line, with what the last window reaches."""
        form, last = self.form, self.form.spatial - 1
        lines = [form.known_size(tensor, last) or 0 for tensor in (form.x, form.out)]
        reached = (lines[1] - 1) * form.strides[-1] + (form.kernel[-1] - 1) * form.dilation[-1] + 1
        return max(lines[0] + self.border, reached) if self.p.tiles else lines[0]

    def program(self) -> TileProgram:
        """The tile program."""
        form, p = self.form, self.p
        high = [1] * (form.spatial - 2) + ([p.high] if form.spatial > 1 else [])
        every = -(-form.outside * form.groups // self.width)

        def body(t: TileBuilder) -> None:
            axes = [(form.size(form.out, dim), high[dim]) for dim in range(form.spatial - 1)]
            t.grid(
                [(every, p.blocks), (form.out.dim(0), 1), *axes],
                lambda first, n, *outer: _Step(self, t, first, n, outer).run(every),
            )

        return tile_program("conv", form.op.tensors, body, form.op.scalars)


@dataclass(frozen=True)
class _Step:
    """One grid step: image n, output channels from block `first`, lines from `outer`."""

    kernel: _Direct
    t: TileBuilder
    first: Index
    n: Index
    outer: tuple[Index, ...]

    def run(self, every: int) -> None:
        """All tiles of the step."""
        form, t, p = self.kernel.form, self.t, self.kernel.p
        source = self.copied() if p.copied else form.x

        def line(at: list[Index]) -> None:
            for strip in strips(form, p.rows, bordered=p.tiles):
                t.loop(
                    strip.start + strip.count * strip.rows,
                    strip.rows,
                    lambda w, strip=strip: (
                        t.loop(
                            (self.first + p.blocks).min(every),
                            1,
                            lambda block: _Tile(self, source, strip, [*at, w], block).run(),
                            lower=self.first,
                        )
                        and None
                    ),
                    lower=strip.start,
                )

        if form.spatial == 1:
            line([])
            return
        *places, start = self.outer
        end = (start + p.high).min(form.size(form.out, form.spatial - 2))
        t.loop(end, 1, lambda h: line([*places, h]), lower=start)

    def copied(self) -> Tensor:
        """The lines the step reads, in scratch, with room between neighbouring pixels; for tile registers
        with the padding along the width."""
        form, t, p = self.kernel.form, self.t, self.kernel.p
        window = (p.high - 1) * form.strides[-2] + (form.kernel[-2] - 1) * form.dilation[-2] + 1
        wide_in = form.known_size(form.x, 1) or 0
        lanes = self.kernel.lanes
        before, across = self.kernel.border, self.kernel.across
        scratch = t.scratch((window, across, form.inside + form.apart(lanes)), form.x.held)
        origin = self.outer[-1] * form.strides[-2] - form.before[-2]
        channel = self.group * form.inside

        def copy(h: Index, w: Index) -> None:
            where = [self.n, origin + h, w]
            copy_channels(t, scratch, [h, w + before], form.x, where, form.inside, lanes, channel)

        def blank(h: Index, w: Index) -> None:
            def some(c: Index) -> None:
                t.store(scratch, [h, w, c], t.full(0, (lanes,), form.x.dtype), [None, None, lanes])

            t.loop(form.inside, lanes, some)

        def line(h: Index) -> None:
            t.loop(wide_in, 1, lambda w: copy(h, w))
            for first, last in ((0, before), (before + wide_in, across)):
                if first < last:
                    t.loop(last, 1, lambda w: blank(h, w), lower=first)

        end = (form.size(form.x, 0) - origin).min(window)
        t.loop(end, 1, line, lower=(0 - origin).max(0))
        return scratch

    @property
    def group(self) -> Index:
        """The group of the step's channels."""
        form = self.kernel.form
        return index(0) if form.groups == 1 else self.first * self.kernel.width // form.outside


@dataclass(frozen=True)
class _Tile:
    """One register tile of the result; `at` is where it lies in the spatial dimensions."""

    step: _Step
    source: Tensor
    strip: Strip
    at: list[Index]
    block: Index

    def run(self) -> None:
        """All products, the epilogue, and the result."""
        form, t, width = self.step.kernel.form, self.step.t, self.step.kernel.width
        runs = self.strip.runs
        zeros = [t.full(0, (run.count, width), wide(form.out.dtype)) for run in runs]
        gaps: list[int | None] = [None] * form.spatial
        for run, acc in zip(runs, self.taps([], [], zeros), strict=True):
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
        if form.first and form.dilation[-1] == 1 and form.strides[-1] >= _APART:
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
            some = [acc[i] for i in live]
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
            for i, tile in zip(live, some, strict=True):
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
        form, t, depth = self.step.kernel.form, self.step.t, self.step.kernel.p.depth

        def some(c: Index, acc: Sequence[Tile]) -> Sequence[Tile]:
            for i in range(0, depth, self.together):
                acc = self.products(tap, where, live, acc, k, c + i)
            return acc

        return t.loop(form.inside, depth, lambda c, *acc: some(c, acc), carried)

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
        form, t, width = self.step.kernel.form, self.step.t, self.step.kernel.width
        at = [self.block, *tap, k, c // form.group, index(0)]
        sizes = [*[None] * (1 + form.spatial), self.together // form.group, width * form.group]
        b = form.factor(t, t.load(form.weight, at, sizes, held=form.held))
        runs = [self.strip.runs[i] for i in live]
        return [t.dot(acc, self.left(where, run, k, c), b) for run, acc in zip(runs, carried, strict=True)]

    @property
    def together(self) -> int:
        """Channels of one product: a tile's, or as many as lie side by side in the weight."""
        p, form = self.step.kernel.p, self.step.kernel.form
        return p.depth if p.tiles else form.group

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
