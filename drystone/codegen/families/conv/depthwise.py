"""Depthwise convolution: vectors along the channels, sliding over the width.

Neighbouring outputs share inputs: a run of outputs loads each input vector of a row once and uses it for all
taps that reach it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drystone.codegen.elements import is_float
from drystone.codegen.families.conv.form import UNROLLED, ConvForm
from drystone.codegen.families.conv.schedule import Slides, slide_default, slide_space
from drystone.codegen.families.tiling import chunk_end
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets import Target

Taps = Callable[[list[Index], list[Index], Sequence[Tile]], list[Tile]]


@dataclass(frozen=True)
class Run:
    """Outputs along one row, for `lanes` channels from c."""

    form: ConvForm
    t: TileBuilder
    lanes: int
    n: Index
    outputs: tuple[Index, ...]
    c: Index

    def weights(self, at: list[Index]) -> list[Tile]:
        """The taps along the width."""
        form, t = self.form, self.t
        gaps: list[int | None] = [None] * form.spatial
        tiles = []
        for k in range(form.kernel[-1]):
            taps = [*at, index(k)]
            if form.pack is None:
                tile = t.load(form.weight, [self.c, 0, *taps], [self.lanes, None, *gaps])
            else:
                (block,) = form.pack.inner_tiles
                where: list[Index | int] = [self.c // block, *taps, 0, self.c % block]
                tile = t.load(form.weight, where, [None, *gaps, None, self.lanes])
            tiles.append(form.widened(t, tile))
        return tiles

    def outer(self, acc: list[Tile], body: Taps) -> list[Tile]:
        """body(taps, input positions, acc) for the taps of all dimensions but the width that lie inside."""
        form, t = self.form, self.t

        def level(at: list[Index], where: list[Index], carried: Sequence[Tile]) -> Sequence[Tile]:
            dim = len(at)
            if dim == form.spatial - 1:
                return body(at, where, carried)
            dilation = form.dilation[dim]
            start = self.outputs[dim] * form.strides[dim] - form.before[dim]
            lower = (0 - start).max(0).ceildiv(dilation)
            upper = (form.size(form.x, dim) - start).ceildiv(dilation).min(form.kernel[dim])
            return t.loop(
                upper,
                1,
                lambda k, *c: level([*at, k], [*where, start + k * dilation], c),
                carried,
                lower=lower,
            )

        return list(level([], [], acc))

    def run(self, start: Index, count: int) -> None:
        """The outputs start .. start + count - 1."""
        form, t = self.form, self.t
        stride, dilation = form.strides[-1], form.dilation[-1]
        gaps: list[int | None] = [None] * (form.spatial + 1)
        origin = start * stride - form.before[-1]

        def row(at: list[Index], where: list[Index], carried: Sequence[Tile]) -> list[Tile]:
            weights = self.weights(at)
            inputs: dict[int, Tile] = {}
            acc = list(carried)
            for k, weight in enumerate(weights):
                for i in range(count):
                    j = i * stride + k * dilation
                    if j not in inputs:
                        place = [self.n, *where, origin + j, self.c]
                        inputs[j] = form.widened(t, t.load(form.x, place, [*gaps, self.lanes]))
                    acc[i] = _added(t, inputs[j], weight, acc[i])
            return acc

        zeros = [t.full(0, (self.lanes,), form.sums) for _ in range(count)]
        for i, acc in enumerate(self.outer(zeros, row)):
            form.finish(t, acc, [self.n, *self.outputs, start + i, self.c], [*gaps, self.lanes])


def _added(t: TileBuilder, one: Tile, other: Tile, acc: Tile) -> Tile:
    """acc + one * other"""
    if is_float(acc.dtype):
        return t.apply("math.fma", one, other, acc)
    return t.apply("arith.addi", acc, t.apply("arith.muli", one, other))


def is_depthwise(form: ConvForm) -> bool:
    """Whether there is one input and one output channel per group."""
    return (form.inside, form.outside) == (1, 1)


def conv_depthwise(form: ConvForm, target: Target) -> Search | None:
    """The programs for "nhwc", one input and one output channel per group."""
    if not form.nhwc or form.first or form.transposed or not is_depthwise(form) or form.kernel[-1] > UNROLLED:
        return None
    lanes = target.lanes(32)
    if form.pack and not form.in_blocks_of(lanes):
        return None
    sizes = Slides(
        form.known_size(form.out, form.spatial - 2) if form.spatial > 1 else 1,
        form.out.shape[-1],
        form.kernel[-1],
    )

    def build(point: Point) -> TileProgram:
        body = _body(form, lanes, point["run"], point["high"], point["wide"])
        return tile_program("conv_depthwise", form.op.tensors, body, form.op.scalars)

    return Search(slide_space(sizes, target), slide_default(sizes, target), form.features(), build)


def _body(form: ConvForm, lanes: int, count: int, high: int, wide: int) -> Callable[[TileBuilder], None]:
    """Grid steps of `high` lines and `wide` channels (0: all), in runs of `count` outputs."""
    last = form.spatial - 1
    stride, before = form.strides[-1], form.before[-1]
    reach = (form.kernel[-1] - 1) * form.dilation[-1]

    def body(t: TileBuilder) -> None:
        size, out = form.size(form.x, last), form.size(form.out, last)
        every = form.out.dim(form.spatial + 1)
        # From `first` on runs start inside the input; those that start before `end` also end inside.
        first = index(-(-before // stride)).min(out)
        end = ((size - 1 - reach + before) // stride + 2 - count).min(out - count + 1).max(first)
        rest = first + (end - first).ceildiv(count) * count

        def line(n: Index, outputs: tuple[Index, ...], c: Index) -> None:
            run = Run(form, t, lanes, n, outputs, c)
            t.loop(first, 1, lambda o: run.run(o, 1))
            t.loop(end, count, lambda o: run.run(o, count), lower=first)
            t.loop(out, 1, lambda o: run.run(o, 1), lower=rest)

        def step(channel: Index, n: Index, *outputs: Index) -> None:
            stop = chunk_end(channel, wide, every) if wide else every

            def lines(at: tuple[Index, ...]) -> None:
                t.loop(stop, lanes, lambda c: line(n, at, c), lower=channel)

            if high == 1 or not outputs:
                lines(outputs)
                return
            *outer, top = outputs
            bottom = chunk_end(top, high, form.size(form.out, last - 1))
            t.loop(bottom, 1, lambda y: lines((*outer, y)), lower=top)

        t.same(form.x.dim(form.spatial + 1), every)
        cuts = [1] * (last - 1) + [high] * (last > 0)
        lines = [(form.size(form.out, dim), cut) for dim, cut in enumerate(cuts)]
        t.grid([(every if wide else index(1), wide or 1), (form.out.dim(0), 1), *lines], step)

    return body
