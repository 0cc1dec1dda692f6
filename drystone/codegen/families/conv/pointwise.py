"""Convolution with a kernel of one tap: a matrix product over pixels.

One grid step takes a run of pixels through some blocks of output channels: all blocks of a tile of pixels
before the next tile, so that the result is written in the order it lies in, or, where there are more weights
than pixels, all pixels through one block before the next one. Where neighbouring pixels would
meet in few sets of the cache, or a stride leaves pixels out, the step copies its pixels side by side first,
each a little further than the place where they would meet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.ahead import Ahead
from drystone.codegen.families.conv.form import ConvForm, copy_channels
from drystone.codegen.families.conv.schedule import (
    Pixels,
    PixelSchedule,
    pixel_default,
    pixel_schedule,
    pixel_space,
)
from drystone.codegen.families.dry_op import laid_down
from drystone.codegen.families.tiling import awaited
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets import Target


def conv_pointwise(form: ConvForm, target: Target) -> Search | None:
    """The programs for "nhwc", one tap, no padding, one group and a weight packed along O; where there is a
    stride, the spatial extents of the result must be known."""
    plain = not (any(form.before) or any(form.after) or form.transposed) and form.groups == 1
    if not (plain and set(form.kernel) == {1} and form.nhwc and not form.first and form.pack is not None):
        return None
    if not form.blocked or form.x.shape[-1] is None:
        return None
    extras = form.flat_extras()
    strided = set(form.strides) != {1}
    line = form.known_size(form.out, form.spatial - 1) or 0
    lines = (form.known_size(form.out, form.spatial - 2) or 0) if form.spatial > 1 else 1
    if extras is None or (strided and not line * lines):
        return None
    sizes = Pixels(
        pixels=form.flat(form.out).shape[0],
        line=line if strided else 0,
        lines=lines if strided else 0,
        inside=form.summed,
        outside=form.outside,
        width=form.width,
        group=form.group,
        bytes=form.bytes,
        tile=form.tile(target),
        images=(form.out.shape[0] or 0) if strided else 0,
        moved=form.moved,
    )

    def build(point: Point) -> TileProgram:
        return _Pointwise(form, extras, sizes, pixel_schedule(sizes, point), target.lanes(32)).program()

    features = form.features()
    return Search(pixel_space(sizes, target), pixel_default(sizes, target), features, build)


@dataclass(frozen=True)
class _Pointwise:
    form: ConvForm
    extras: tuple[tuple[Tensor, Any], ...]
    sizes: Pixels
    p: PixelSchedule
    lanes: int

    def program(self) -> TileProgram:
        """The tile program."""
        form, sizes, p = self.form, self.sizes, self.p
        out = form.flat(form.out)

        def body(t: TileBuilder) -> None:
            if sizes.line:
                lines = [1] * (form.spatial - 1) + [p.high if form.spatial > 1 else 1]
                axes = [(form.out.dim(dim), lines[dim]) for dim in range(form.spatial)]
                t.grid([(sizes.every, p.blocks), *axes], lambda *at: self.lines(t, *at))
            else:
                t.same(form.flat(form.x).dim(0), out.dim(0))
                axes = [(out.dim(0), p.high * p.rows)]
                t.grid([(sizes.every, p.blocks), *axes], lambda first, start: self.run(t, first, start))

        return tile_program("conv_pointwise", form.op.tensors, body, form.op.scalars)

    def scratch(self, t: TileBuilder, pixels: int) -> Tensor:
        """Room for pixels, each one vector behind the end of the one before."""
        return t.scratch((pixels, self.form.summed + self.form.apart(self.lanes)), self.form.x.held)

    def lines(self, t: TileBuilder, first: Index, *outer: Index) -> None:
        """A step over whole lines of the result, whose pixels are picked from the input."""
        form, sizes = self.form, self.sizes
        n, *places = outer
        high = self.p.high if form.spatial > 1 else 1
        count = high * sizes.line
        source = self.scratch(t, count)
        start = n
        for dim, place in enumerate(places):
            start = start * form.size(form.out, dim) + place
        places = [*places, index(0)]

        def copy(h: Index, w: Index) -> None:
            at = list(places)
            at[-1] = w
            if form.spatial > 1:
                at[-2] = at[-2] + h
            there = [o * s for o, s in zip(at, form.strides, strict=True)]
            copy_channels(t, source, [h * sizes.line + w], form.x, [n, *there], form.summed, self.lanes)

        t.loop(high, 1, lambda h: t.loop(sizes.line, 1, lambda w: copy(h, w)) and None)
        self.tiles(t, source, first, start * sizes.line, index(0), count)

    def run(self, t: TileBuilder, first: Index, start: Index) -> None:
        """A step over neighbouring pixels."""
        form, p = self.form, self.p
        x, count = form.flat(form.x), p.high * p.rows
        if not p.copied:
            self.tiles(t, x, first, start, start, count)
            return
        source = self.scratch(t, count)
        end = (x.dim(0) - start).min(count)
        t.loop(end, 1, lambda i: copy_channels(t, source, [i], x, [start + i], form.summed, self.lanes))
        self.tiles(t, source, first, start, index(0), count)

    def tiles(
        self, t: TileBuilder, source: Tensor, first: Index, start: Index, at: Index, count: int
    ) -> None:
        """The tiles of up to `count` pixels of the result from `start`; those of the source start at `at`."""
        last = (first + self.p.blocks).min(self.sizes.every)
        weights = self.form.weights(t, first, self.p.blocks)

        def each_block(each: Callable[[Index], None]) -> None:
            t.loop(last, 1, each, lower=first)

        def each_tile(each: Callable[[Index, int], None]) -> None:
            self.each_tile(t, start, count, each)

        def tile(b: Index, i: Index, height: int) -> None:
            self.tile(t, source, weights, b, start + i, at + i, height)

        if self.p.by_block:
            each_block(lambda b: each_tile(lambda i, height: tile(b, i, height)))
        else:
            each_tile(lambda i, height: each_block(lambda b: tile(b, i, height)))

    def each_tile(self, t: TileBuilder, start: Index, count: int, tile: Callable[[Index, int], None]) -> None:
        """`tile(where it starts, its pixels)` for the tiles of up to `count` pixels from `start`."""
        rows, pixels = self.p.rows, self.sizes.pixels
        if self.sizes.line or (pixels is not None and pixels <= count):
            pixels = count if self.sizes.line else pixels or 0
            t.loop(pixels // rows * rows, rows, lambda i: tile(i, rows))
            if pixels % rows:
                tile(index(pixels // rows * rows), pixels % rows)
        elif pixels is not None and pixels % rows:
            whole = pixels // rows * rows
            t.loop((whole - start).min(count), rows, lambda i: tile(i, rows))
            t.when(whole, start + count, lambda: tile(whole - start, pixels % rows))
        else:
            end = (self.form.flat(self.form.out).dim(0) - start).min(count)
            t.loop(end, rows, lambda i: tile(i, rows))

    def tile(
        self,
        t: TileBuilder,
        source: Tensor,
        weights: tuple[Tensor, Index],
        block: Index,
        row: Index,
        at: Index,
        height: int,
    ) -> None:
        """One register tile."""
        form, p, width = self.form, self.p, self.sizes.width
        last = form.spatial
        packed, origin = weights
        weight = packed.collapse([list(range(last + 1)), [last + 1], [last + 2]])
        out, rounds = form.flat(form.out), (form.summed - p.rest) // p.depth
        ahead = None
        if p.ahead and not form.laid_down:
            ahead = Ahead.of(form.weight, -(-self.sizes.every_pixel // p.rows) * rounds)

        def products(k: Index, acc: Sequence[Tile], depth: int) -> list[Tile]:
            if ahead is not None and depth == p.depth:
                ahead.ask(t, block, row // p.rows * rounds + k // depth)
            if p.tiles and depth == p.depth:
                first, some = awaited(k, depth, rounds, height)
                t.prefetch(out, [row + first, block * width], [some, width])
            a = t.load(source, [at, k], [height, depth], held=form.held)
            sizes = [None, depth // form.group, width * form.group]
            b = t.load(weight, [block - origin, k // form.group, 0], sizes, held=form.held)
            if p.tiles:
                return [t.dot(acc[0], a, b, tiles=True)]
            left, groups = form.factor(t, a), depth // form.group
            made = [t.dot(acc[0], left, form.unsigned(t, b))]
            return [*made, *(form.add_inputs(t, each, left, groups) for each in acc[1:])]

        starts, whole = form.zeros(t, height, tiles=p.tiles), form.summed - p.rest
        sums = t.loop(whole, p.depth, lambda k, *acc: products(k, acc, p.depth), starts)
        acc = form.closed(t, sums)
        if p.rest:
            acc = laid_down(t, acc)
            rest = t.loop(form.summed, p.rest, lambda k, *acc: products(k, acc, p.rest), [acc], lower=whole)
            (acc,) = rest
        form.finish_flat(t, acc, self.extras, [row, block * width])
