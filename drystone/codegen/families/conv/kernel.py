"""Convolution families: which program a `dry.conv` becomes, and the blocked one for packed weights.

The blocked program is a direct convolution (Georganas et al., "Anatomy of High-Performance Deep Learning
Convolutions on SIMD Architectures", SC 2018): a tile of the result, some positions along the width by one
block of output channels, stays in registers through all taps and input channels. One grid step works through
several such tiles, so that its part of the weight is read from the cache. Where there is padding, the input
the step needs is first copied into scratch with its zeros, so no inner loop has a border; where there are
too few input channels to make a loop of, the copy also unfolds the taps along the width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from drystone.codegen.families.conv.any import conv_any
from drystone.codegen.families.conv.blocks import conv_blocks
from drystone.codegen.families.conv.depthwise import conv_depthwise, is_depthwise
from drystone.codegen.families.conv.direct import conv_direct
from drystone.codegen.families.conv.flat import conv_flat
from drystone.codegen.families.conv.form import UNROLLED, ConvForm, conv_form, with_blocks
from drystone.codegen.families.conv.listed import conv_listed
from drystone.codegen.families.conv.over import conv_over
from drystone.codegen.families.conv.pointwise import conv_pointwise
from drystone.codegen.families.sparse.listed import ListedMatrix
from drystone.codegen.families.tiling import divisor, even
from drystone.codegen.search import Search
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.errors import InternalError
from drystone.ir.buffers import OVER
from drystone.targets import Target

#: Bytes of the input's copy at most: it lies on a thread's stack.
_SCRATCH = 2 << 20


def conv(kernel: Any, target: Target) -> TileProgram | None:
    """The program of a `dry.conv`."""
    form = conv_form(kernel)
    if OVER in kernel.operation.attributes:
        return conv_over(form, target)
    if isinstance(form.sparse, ListedMatrix):
        return (conv_listed if form.sparse.block == (1, 1) else conv_blocks)(form, target)
    if form.sparse is not None:
        form = with_blocks(form, target)
    found = _search(form, target)
    if found is not None:
        return found.build(found.default)
    blocked = conv_blocked(form, target)
    if blocked is None and form.sparse is not None:
        raise InternalError("no convolution reads groups of this weight")
    return blocked or conv_any(form, target)


def search(kernel: Any, target: Target) -> Search | None:
    """The schedules of a `dry.conv`; None where its form has one only."""
    form = conv_form(kernel)
    return None if OVER in kernel.operation.attributes or form.sparse is not None else _search(form, target)


def can_write_over(kernel: Any, target: Target) -> bool:
    """Whether there is a program of a `dry.conv` that may write its result over its input."""
    form = conv_form(kernel)
    return form.sparse is None and conv_over(form, target) is not None


def _search(form: ConvForm, target: Target) -> Search | None:
    found = conv_flat(form, target) or conv_pointwise(form, target)
    if found is None:
        found = conv_depthwise(form, target) if is_depthwise(form) else conv_direct(form, target)
    return found


@dataclass(frozen=True)
class Blocking:
    """How the blocked program cuts the result: `rows` positions along the width by `width` channels in
    registers, `lines` such rows at once; one grid step does `blocks` blocks of channels by `high` x `wide`
    positions of the last two spatial dimensions (in 1-D, `high` is 1)."""

    rows: int
    lines: int
    width: int
    depth: int
    blocks: int
    high: int
    wide: int


def _blocking(form: ConvForm, target: Target, unfold: bool) -> Blocking:
    assert form.pack is not None
    (width,) = form.pack.inner_tiles
    vectors = -(-width // target.lanes(32))
    limit = min(16, (target.registers - vectors - 2) // vectors)
    out_wide = form.known_size(form.out, form.spatial - 1)
    out_high = form.known_size(form.out, form.spatial - 2) if form.spatial > 1 else 1
    rows = even(out_wide, limit)
    across = min(-(-(out_wide or 8 * rows) // rows), max(1, 128 // rows)) * rows
    sums = form.inside
    for size in form.kernel:
        sums *= size
    every = -(-form.outside // width)
    fitting = max(1, target.l2 * 6 // 10 // (sums * width * 4))
    blocks = even(every, fitting) if form.groups == 1 else divisor(every, fitting)
    steps = -(-every // blocks) * form.groups
    for dim in range(form.spatial - 2):
        steps *= form.known_size(form.out, dim) or 1
    steps *= (form.out.shape[0] or 1) * -(-(out_wide or across) // across)
    high = 1
    for more in range(2, min(out_high or 8, 16) + 1):
        window = _window(form, more, across)
        size = 4 * form.inside
        for extent in window:
            size *= extent
        if size <= target.l2 // 4 and steps * -(-(out_high or 64) // more) >= 4 * target.threads:
            high = more
    lines = 2 if 2 * rows <= limit and high > 1 else 1
    depth = divisor(form.inside * form.kernel[-1] if unfold else form.inside, 8)
    return Blocking(rows, lines, width, depth, blocks, -(-high // lines) * lines, across)


def _window(form: ConvForm, high: int, across: int) -> list[int]:
    """The extents of the input that one grid step reads."""
    outputs = [1] * (form.spatial - 2) + ([high, across] if form.spatial > 1 else [across])
    return [
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(outputs, form.strides, form.kernel, form.dilation, strict=True)
    ]


@dataclass(frozen=True)
class _Step:
    """One grid step: image n, output channels from block `first`, output positions from `outputs`."""

    form: ConvForm
    t: TileBuilder
    cut: Blocking
    lanes: int
    n: Index
    first: Index
    outputs: tuple[Index, ...]

    @property
    def group(self) -> Index:
        """The group of the step's channels."""
        return index(0) if self.form.groups == 1 else self.first * self.cut.width // self.form.outside

    def origin(self) -> list[Index]:
        """Where the step's window starts in the input."""
        parts = zip(self.outputs, self.form.strides, self.form.before, strict=True)
        return [o * s - p for o, s, p in parts]

    def copy_window(self) -> Tensor:
        """The window in scratch, zeros where it leaves the input."""
        form, t = self.form, self.t
        window = _window(form, self.cut.high, self.cut.wide)
        scratch = t.scratch([*window, form.inside], form.x.dtype)
        chunk = min(form.inside, 4 * self.lanes)

        def copy(at: list[Index]) -> None:
            if len(at) < form.spatial:
                t.loop(window[len(at)], 1, lambda i: copy([*at, i]))
                return
            where = [a + o for a, o in zip(at, self.origin(), strict=True)]
            gaps: list[int | None] = [None] * form.spatial

            def channels(c: Index) -> None:
                source = [self.n, *where, self.group * form.inside + c]
                t.store(scratch, [*at, c], t.load(form.x, source, [None, *gaps, chunk]), [*gaps, chunk])

            t.loop(form.inside // chunk * chunk, chunk, channels)
            rest = form.inside % chunk
            if rest:
                c = form.inside - rest
                source = [self.n, *where, self.group * form.inside + c]
                t.store(scratch, [*at, c], t.load(form.x, source, [None, *gaps, rest]), [*gaps, rest])

        copy([])
        return scratch

    def copy_unfolded(self) -> Tensor:
        """[other window dimensions, output positions, taps x channels (rounded up to whole vectors)] in
        scratch."""
        form, t = self.form, self.t
        *window, _ = _window(form, self.cut.high, self.cut.wide)
        run = form.kernel[-1] * form.inside
        size = -(-run // self.lanes) * self.lanes
        scratch = t.scratch([*window, self.cut.wide, size], form.x.dtype)
        last = form.spatial
        flat = form.x.collapse([*([d] for d in range(last)), [last, last + 1]])
        gaps: list[int | None] = [None] * len(window)

        def copy(at: list[Index]) -> None:
            if len(at) <= len(window):
                extents = [*window, self.cut.wide]
                t.loop(extents[len(at)], 1, lambda i: copy([*at, i]))
                return
            *outer, start = self.origin()
            where = [a + o for a, o in zip(at[:-1], outer, strict=True)]
            first = (start + at[-1] * form.strides[-1]) * form.inside
            tile = t.load(flat, [self.n, *where, first], [None, *gaps, size])
            t.store(scratch, [*at, 0], tile, [*gaps, None, size])

        copy([])
        return scratch

    def run(self, unfold: bool) -> None:
        """All tiles of the step."""
        form, t, cut = self.form, self.t, self.cut
        padded = any(form.before) or any(form.after)
        source = self.copy_unfolded() if unfold else self.copy_window() if padded else form.x
        every = -(-form.outside * form.groups // cut.width)
        high_dim = form.spatial - 2

        def block(b: Index) -> None:
            weights = form.weights(t, b, 1)

            def line(high: Index) -> None:
                end = (form.size(form.out, form.spatial - 1) - self.outputs[-1]).min(cut.wide)
                t.loop(end, cut.rows, lambda across: self.tiles(source, weights, unfold, b, high, across))

            if form.spatial == 1:
                line(index(0))
                return
            left = form.size(form.out, high_dim) - self.outputs[high_dim]
            t.loop(left.min(cut.high), cut.lines, line)

        t.loop((self.first + cut.blocks).min(every), 1, block, lower=self.first)

    def tiles(
        self,
        source: Tensor,
        weights: tuple[Tensor, Index],
        unfold: bool,
        block: Index,
        high: Index,
        across: Index,
    ) -> None:
        """`lines` tiles of the result, one below the other."""
        form, t, cut = self.form, self.t, self.cut
        (weight, origin), kernel, depth = weights, list(form.kernel), form.inside
        if unfold:
            last = 1 + form.spatial
            weight = weight.collapse([*([d] for d in range(last - 1)), [last - 1, last], [last + 1]])
            depth *= kernel.pop()
        zeros = [t.full(0, (cut.rows, cut.width), form.sums) for _ in range(cut.lines)]

        def level(at: list[Index], carried: Sequence[Tile]) -> Sequence[Tile]:
            if len(at) == len(kernel):
                return t.loop(depth, cut.depth, lambda c, *acc: products(at, c, acc), carried)
            if kernel[len(at)] == 1:
                return level([*at, index(0)], carried)
            return t.loop(kernel[len(at)], 1, lambda k, *acc: level([*at, k], acc), carried)

        def products(at: list[Index], c: Index, acc: Sequence[Tile]) -> list[Tile]:
            sizes: list[int | None] = [None] * (1 + len(at))
            b = form.widened(t, t.load(weight, [block - origin, *at, c, 0], [*sizes, cut.depth, cut.width]))
            return [
                t.dot(acc[i], self.left(source, unfold, at, c, high + i, across), b) for i in range(cut.lines)
            ]

        for i, acc in enumerate(level([], zeros)):
            outputs = list(self.outputs)
            outputs[-1] = outputs[-1] + across
            if form.spatial > 1:
                outputs[-2] = outputs[-2] + high + i
            gaps: list[int | None] = [None] * form.spatial
            form.finish(t, acc, [self.n, *outputs, block * cut.width], [*gaps, cut.rows, cut.width])

    def left(
        self, source: Tensor, unfold: bool, at: list[Index], c: Index, high: Index, across: Index
    ) -> Tile:
        """The input's part of the products of one tap."""
        form, t, cut = self.form, self.t, self.cut
        local = [index(0)] * (form.spatial - 2) + ([high, across] if form.spatial > 1 else [across])
        steps = list(zip(local, form.strides, strict=True))
        where = [p * s + k * d for (p, s), k, d in zip(steps, at, form.dilation, strict=False)]
        gaps: list[int | None] = [None] * (form.spatial - 1)
        if unfold:
            return form.widened(t, t.load(source, [*where, across, c], [*gaps, cut.rows, cut.depth]))
        ones = [1] * (form.spatial - 1)
        stride = form.strides[-1]
        if source.scratch:
            tile = t.load(source, [*where, c], [*gaps, cut.rows, cut.depth], steps=[*ones, stride, 1])
        else:
            there = [self.n, *(w + o for w, o in zip(where, self.origin(), strict=True))]
            channel = self.group * form.inside + c
            sizes: list[int | None] = [None, *gaps, cut.rows, cut.depth]
            tile = t.load(source, [*there, channel], sizes, steps=[1, *ones, stride, 1])
        return form.widened(t, tile)


def conv_blocked(form: ConvForm, target: Target) -> TileProgram | None:
    """The blocked program, for "nhwc" and a weight packed as [O / width][taps][I / groups][width], blocks
    within groups."""
    if not form.nhwc or form.first or form.transposed or form.pack is None or form.x.shape[-1] is None:
        return None
    dims = form.spatial
    order = (0, *range(2, dims + 2), 1)
    if form.pack.inner_dims != (0,) or form.pack.outer_perm != order:
        return None
    (width,) = form.pack.inner_tiles
    if form.groups > 1 and form.outside % width:
        return None
    few = form.inside < target.lanes(32)
    unfold = few and form.groups == 1 and form.dilation[-1] == 1 and 1 < form.kernel[-1] <= UNROLLED
    cut = _blocking(form, target, unfold)
    copied = prod(_window(form, cut.high, cut.wide)) * form.inside * (form.kernel[-1] if unfold else 1)
    if 4 * copied > _SCRATCH:
        return None

    def body(t: TileBuilder) -> None:
        def step(first: Index, n: Index, *outputs: Index) -> None:
            _Step(form, t, cut, target.lanes(32), n, first, outputs).run(unfold)

        cuts = [1] * (dims - 2) + ([cut.high, cut.wide] if dims > 1 else [cut.wide])
        t.grid(
            [
                (-(-form.outside * form.groups // width), cut.blocks),
                (form.out.dim(0), 1),
                *((form.size(form.out, dim), cuts[dim]) for dim in range(dims)),
            ],
            step,
        )

    return tile_program("conv", form.op.tensors, body, form.op.scalars)
