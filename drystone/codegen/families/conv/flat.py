"""Convolution in tile registers over a flat copy of the image (`copy`): a step's lines, one behind the
other.

Where an image is channels first and has few of them (a model's input) the copy also unfolds the taps along
the width: all they read lies side by side, and one product takes it. So it does for neighbouring taps along
the height, of integers, as many as one product takes: the last one of them has zeros for weights where there
are not as many taps left, and what it reads there does not matter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from drystone.codegen.elements import is_float, width
from drystone.codegen.families.ahead import Ahead
from drystone.codegen.families.conv.copy import CopiedLines, FlatImage
from drystone.codegen.families.conv.flat_schedule import (
    Flat,
    FlatSchedule,
    flat_default,
    flat_schedule,
    flat_space,
)
from drystone.codegen.families.conv.form import ConvForm, mixed_channels
from drystone.codegen.families.dry_op import laid_down
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: Taps of a kernel at most: the products of each are written out.
_TAPS = 64
#: Positions of a line from which on register tiles that end with a line have few idle rows.
_LINE = 24
#: The weights of a tap: where they are, its block and place there, and rows before its first.
_Weights = tuple[Tensor, Sequence[Index | int], int]


def conv_flat(form: ConvForm, target: Target) -> Search | None:
    """The programs for images of known extents, channels last in the result, without groups, where the
    target has tile registers for how the weight is held and packed; None for long lines, unless the taps are
    to be unfolded, and for a kernel of one tap without strides or padding, which needs no copy."""
    if form.spatial != 2 or not form.nhwc or form.transposed or form.groups > 1 or not form.blocked:
        return None
    known = [form.known_size(tensor, dim) for tensor in (form.x, form.out) for dim in range(2)]
    plain = set(form.strides) == {1} and not any((*form.before, *form.after))
    if None in known or form.kernel[0] * form.kernel[1] > _TAPS or (set(form.kernel) == {1} and plain):
        return None
    if not form.first and (known[3] or 0) >= _LINE:
        return None
    unit = unfolding(form, target) if form.first else form.tile(target)
    if unit is None:
        return None
    flat = _Flat(form, target.lanes(32), unit)
    sizes = flat.sizes()
    if not form.first and sizes.held(1) > target.l2 // 2:
        return None

    def build(point: Point) -> TileProgram:
        return flat.program(flat_schedule(sizes, point, target))

    return Search(flat_space(sizes, target), flat_default(sizes, target), form.features(), build)


def unfolding(form: ConvForm, target: Target) -> DotUnit | None:
    """The unit with tile registers that multiplies all taps along the width of an image, channels first,
    at once."""
    unit = target.dot(form.weight.held, form.weight.held, tiles=True)
    if unit is None or form.dilation[1] != 1 or form.group != unit.group or form.x.held != form.weight.held:
        return None
    return unit if unit.unfolds(form.inside, form.kernel[1]) else None


@dataclass(frozen=True)
class _Flat(FlatImage):
    unit: DotUnit

    @property
    def unfolded(self) -> bool:
        """Whether the taps along the width lie side by side in the copy."""
        return self.form.first

    @property
    def vector(self) -> int:
        """Elements in a register."""
        return 32 * self.lanes // width(self.form.weight.held)

    @property
    def line(self) -> int:
        """Neighbouring elements of a line of the image that a tap multiplies."""
        return self.form.summed * self.form.kernel[1] if self.unfolded else self.form.summed

    @property
    def copied(self) -> int:
        """The same in whole vectors, as they are copied where taps are unfolded."""
        return -(-self.line // self.lanes) * self.lanes

    @property
    def folded(self) -> int:
        """Neighbouring lines that a tap multiplies at once."""
        if not self.unfolded or self.form.dilation[0] != 1 or is_float(self.form.weight.held):
            return 1
        return max(1, min(self.form.kernel[0], self.unit.depth // self.line))

    @property
    def over(self) -> int:
        """Lines that the last tap multiplies, where they are fewer than for the others; else 0."""
        return self.form.kernel[0] % self.folded

    @property
    def run(self) -> int:
        """Neighbouring elements of the copy that a tap multiplies."""
        return self.line * self.folded

    @property
    def room(self) -> int:
        """Elements of a position of the copy."""
        vector = self.vector
        if not self.unfolded:
            return self.run + vector
        return -(-(self.run - self.line + self.copied) // vector) * vector

    @cached_property
    def extras(self) -> tuple[tuple[Tensor, Any], ...] | None:
        """Those of the epilogue over pixels."""
        return self.form.flat_extras()

    def whole(self, high: int) -> bool:
        """Whether all that a register tile makes is stored, for `high` lines of the result."""
        sizes = self.sizes()
        even = sizes.positions(high) % sizes.rows(high) == 0 and sizes.lines % high == 0
        return even and sizes.across == sizes.line and self.extras is not None

    def sizes(self) -> Flat:
        """What a schedule depends on."""
        form = self.form
        return Flat(
            images=form.out.shape[0],
            lines=form.known_size(form.out, 0) or 0,
            line=form.known_size(form.out, 1) or 0,
            across=self.across,
            beyond=self.lines(0),
            planes=len(self.planes),
            depth=len(self.taps) * self.run,
            rounds=len(self.taps) * sum(1 for _ in self.parts()),
            room=self.room,
            bytes=width(form.weight.held) // 8,
            blocks=-(-form.outside // form.width),
            width=form.width,
            unit=self.unit,
        )

    def parts(self) -> Iterator[tuple[int, int]]:
        """Where every product of a tap starts and how many k it takes."""
        depth, rest = self.unit.parts_of(self.run)
        for start in range(0, self.run - rest, depth):
            yield start, depth
        if rest:
            yield self.run - rest, rest

    def program(self, p: FlatSchedule) -> TileProgram:
        """The tile program of a schedule."""
        form, every = self.form, -(-self.form.outside // self.form.width)

        def body(t: TileBuilder) -> None:
            axes = self.axes((every, p.blocks), p.high)
            t.grid(axes, lambda first, n, start: _Step(self, p, t, first, n, start).run_all())

        return tile_program("conv_flat", form.op.tensors, body, form.op.scalars)


@dataclass(frozen=True)
class _Step(CopiedLines):
    """One grid step: image n, output channels from block `first`, lines from `start`."""

    kernel: _Flat
    p: FlatSchedule
    t: TileBuilder
    first: Index
    n: Index
    start: Index

    @property
    def high(self) -> int:
        """Lines of the result."""
        return self.p.high

    @cached_property
    def rows(self) -> int:
        """Positions of a register tile."""
        return self.kernel.sizes().rows(self.p.high)

    @cached_property
    def copy(self) -> Tensor:
        """Room for all planes, and for what the last register tile reads beyond them."""
        kernel, form = self.kernel, self.kernel.form
        size = len(kernel.planes) * kernel.lines(self.p.high) * kernel.across + 2 * self.rows
        return self.t.scratch((size, kernel.room), form.weight.held)

    def run_all(self) -> None:
        """The copy, then all tiles."""
        kernel, form, t = self.kernel, self.kernel.form, self.t
        fill = self.unfold if kernel.unfolded else self.fill
        for number, plane in enumerate(kernel.planes):
            fill(number, plane)
        if kernel.over:
            self.fill_rest()
        lines = (form.size(form.out, 0) - self.start).min(self.p.high)
        line = form.known_size(form.out, 1) or 0
        end = lines * kernel.across - (kernel.across - line)
        last = (self.first + self.p.blocks).min(-(-form.outside // form.width))

        def block(b: Index) -> None:
            weights = form.weights(t, b, 1)
            t.loop(end, self.rows, lambda at: self.tile(weights, b, at, lines))

        t.loop(last, 1, block, lower=self.first)

    @cached_property
    def rest(self) -> Tensor:
        """Room for the weights of the last tap of every block, with zeros where it has fewer lines."""
        kernel, form = self.kernel, self.kernel.form
        group = form.group
        shape = (self.p.blocks, kernel.run // group, form.width * group)
        return self.t.scratch(shape, form.weight.held)

    def fill_rest(self) -> None:
        """The weights of the last tap."""
        kernel, form, t = self.kernel, self.kernel.form, self.t
        held, wide, some = form.weight.held, form.width * form.group, kernel.over * kernel.line // form.group
        first, end = (form.kernel[0] - kernel.over) * kernel.line // form.group, kernel.run // form.group
        weight = form.weight.collapse([[0], [1, 2, 3], [4]])
        last = (self.first + self.p.blocks).min(-(-form.outside // form.width))

        def copy(b: Index, row: Index) -> None:
            tile = t.load(weight, [b, first + row, 0], [None, None, wide], held=True)
            t.store(self.rest, [b - self.first, row, 0], tile, [None, None, wide])

        def blank(b: Index, row: Index) -> None:
            t.store(self.rest, [b - self.first, row, 0], t.full(0, (wide,), held), [None, None, wide])

        def block(b: Index) -> None:
            t.loop(some, 1, lambda row: copy(b, row))
            t.loop(end, 1, lambda row: blank(b, row), lower=some)

        t.loop(last, 1, block, lower=self.first)

    def unfold(self, number: int, plane: tuple[int, int]) -> None:
        """A plane of the copy of an image that is channels first: each line's channels side by side first,
        then what the taps of each position read."""
        kernel, form, t, held = self.kernel, self.kernel.form, self.t, self.kernel.form.weight.held
        base = number * kernel.lines(self.p.high) * kernel.across
        wide_in, channels, step = form.known_size(form.x, 1) or 0, form.summed, kernel.lanes
        before, stride, size = form.before[1] * channels, form.strides[1] * channels, kernel.copied
        end = max(before + -(-wide_in // step) * step * channels, kernel.across * stride + size)
        chunk = kernel.vector
        end = -(-end // chunk) * chunk
        line = t.scratch((end,), held)
        nothing = t.full(0, (chunk,), held)
        t.loop(end, chunk, lambda at: t.store(line, [at], nothing))

        # A line is copied in whole vectors, and what comes too much is written over by the next one.
        for further in range(kernel.folded):
            offset = further * kernel.line

            def copy(i: Index, y: Index, offset: int = offset) -> None:
                def mix(w: Index) -> None:
                    t.store(line, [w * channels + before], mixed_channels(t, form, [self.n, y, w], step))

                def one(w: Index) -> None:
                    tile = t.load(line, [w * stride], [size])
                    t.store(self.copy, [i * kernel.across + w + base, offset], tile, [None, size])

                t.loop(wide_in, step, mix)
                t.loop(kernel.across, 1, one)

            def blank(i: Index, offset: int = offset) -> None:
                def one(w: Index) -> None:
                    place: list[Index | int] = [i * kernel.across + w + base, offset]
                    t.store(self.copy, place, t.full(0, (size,), held), [None, size])

                t.loop(kernel.across, 1, one)

            self.each_line(plane, copy, blank, further)

    def tile(self, weights: tuple[Tensor, Index], block: Index, at: Index, lines: Index) -> None:
        """One register tile: positions `at`.. of the copy by one block of channels."""
        kernel, form, t = self.kernel, self.kernel.form, self.t
        acc = t.full(0, (self.rows, form.width), form.sums)
        depth, rest = kernel.unit.parts_of(kernel.run)
        acc = self.products(weights, block, at, acc, 0, kernel.run - rest, depth, self.ahead)
        if rest:
            acc = self.products(weights, block, at, laid_down(t, acc), kernel.run - rest, kernel.run, rest)
        if kernel.whole(self.p.high):
            self.store_whole(acc, block, at)
            return
        sums = t.scratch((self.rows, form.width), acc.dtype)
        t.store(sums, [0, 0], acc)
        self.store(sums, at, lines, block * form.width)

    @cached_property
    def ahead(self) -> Ahead | None:
        """What asks for the next block of the weight, where the schedule says so."""
        kernel, high = self.kernel, self.p.high
        sizes, (depth, rest) = kernel.sizes(), kernel.unit.parts_of(kernel.run)
        if not self.p.ahead or kernel.form.laid_down:
            return None
        tiles = (sizes.images or 1) * -(-sizes.lines // high) * -(-sizes.positions(high) // self.rows)
        return Ahead.of(kernel.form.weight, tiles * len(kernel.taps) * ((kernel.run - rest) // depth))

    @property
    def before(self) -> Index:
        """How many register tiles of a block of channels are made in steps before."""
        sizes, high = self.kernel.sizes(), self.p.high
        pieces = self.n * -(-sizes.lines // high) + self.start // high
        return pieces * -(-sizes.positions(high) // self.rows)

    def products(
        self,
        weights: tuple[Tensor, Index],
        block: Index,
        at: Index,
        acc: Tile,
        first: int,
        end: int,
        depth: int,
        ahead: Ahead | None = None,
    ) -> Tile:
        """acc and the products of channels `first` to `end` (or what is unfolded) of all taps."""
        kernel, form, t = self.kernel, self.kernel.form, self.t
        group = form.group
        packed, origin = weights
        packed = packed.collapse([[0], [1, 2, 3], [4]] if kernel.unfolded else [[0], [1], [2], [3], [4]])
        for number in range(len(kernel.taps)):
            where = index(kernel.place(number, self.p.high))
            # Tiles of another shape than the usual one are put down where their loop ends.
            acc = laid_down(t, acc) if first and number else acc
            weight, tap, above = packed, list(divmod(number, form.kernel[1])), 0
            if kernel.unfolded:
                tap, above = [], number * kernel.run // group
            of: Index = block - origin
            if kernel.over and number == len(kernel.taps) - 1:
                weight, of, above = self.rest, block - self.first, 0
            done = (self.before + at // self.rows) * len(kernel.taps) + number

            def some(
                k: Index,
                acc: Tile,
                where: Index = where,
                weights: _Weights = (weight, [of, *tap], above),
                done: Index = done,
            ) -> Tile:
                weight, at_tap, above = weights
                if ahead is not None:
                    ahead.ask(t, block, done * (end // depth) + k // depth)
                a = t.load(self.copy, [at + where, k], [self.rows, depth])
                sizes = [*[None] * len(at_tap), depth // group, form.width * group]
                b = t.load(weight, [*at_tap, k // group + above, 0], sizes, held=True)
                return t.dot(acc, a, b, tiles=True)

            (acc,) = t.loop(end, depth, some, [acc], lower=first)
        return acc

    def store_whole(self, acc: Tile, block: Index, at: Index) -> None:
        """The epilogue and the result of a tile whose positions are all stored, one behind the other."""
        form = self.kernel.form
        pixel = (self.n * form.size(form.out, 0) + self.start) * (form.known_size(form.out, 1) or 0) + at
        form.finish_flat(self.t, acc, self.kernel.extras or (), [pixel, block * form.width])
