"""Convolutions with a weight whose elements are listed, output channel by output channel.

Lanes are positions of the result, in some neighbouring lines. A strip of the image's channels is turned, so
that each has the lines that the window reaches over side by side, with their padding, in the first cache;
every element that is listed adds these, moved by its tap, times a number, to the sums of its output (Park et
al. 2017, "Faster CNNs with Direct Sparse Convolutions and Guided Pruning", section 2). With a stride,
positions that are one apart lie side by side: each phase of the image has lines of its own.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod

from drystone.codegen.families.conv.form import ConvForm
from drystone.codegen.families.dry_op import widened_to
from drystone.codegen.families.sparse.listed import ListedMatrix, added, steps_of_outputs
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import Target

#: Registers of sums of one output; what reading an element costs beside as many products, in registers.
_VECTORS, _BESIDE = 8, 2


@dataclass(frozen=True)
class _Pair:
    """A number for the height and one for the width: of a convolution along the width alone, `alone` for the
    height."""

    high: int
    wide: int

    @staticmethod
    def of(numbers: tuple[int, ...], alone: int) -> "_Pair":
        """Of a number for each spatial dimension."""
        high, wide = (alone, *numbers)[-2:]
        return _Pair(high, wide)


@dataclass(frozen=True)
class _Lines:
    """`lines` of `wide` positions of the result in lanes, and what of a channel lies beside each other."""

    form: ConvForm
    lines: int
    wide: int

    @property
    def strides(self) -> _Pair:
        """Positions of the image between two of the result."""
        return _Pair.of(self.form.strides, 1)

    @property
    def before(self) -> _Pair:
        """Padding before the image."""
        return _Pair.of(self.form.before, 0)

    @cached_property
    def taps(self) -> list[tuple[_Pair, _Pair]]:
        """Of every tap, in order, its phase and by how many positions of that it is moved."""
        kernel, dilation = _Pair.of(self.form.kernel, 1), _Pair.of(self.form.dilation, 1)
        places = product(range(kernel.high), range(kernel.wide))
        split = [
            (divmod(i * dilation.high, self.strides.high), divmod(j * dilation.wide, self.strides.wide))
            for i, j in places
        ]
        return [(_Pair(y[1], x[1]), _Pair(y[0], x[0])) for y, x in split]

    @cached_property
    def phases(self) -> list[_Pair]:
        """The phases that taps see."""
        return list(dict.fromkeys(phase for phase, _ in self.taps))

    @property
    def high(self) -> int:
        """Lines of a phase."""
        return self.lines + max(moved.high for _, moved in self.taps)

    @property
    def pitch(self) -> int:
        """Lanes from one line to the next."""
        return self.wide + max(moved.wide for _, moved in self.taps)

    @property
    def reach(self) -> int:
        """Lanes from the first position to the last one."""
        return (self.lines - 1) * self.pitch + self.wide

    @property
    def plane(self) -> int:
        """Elements of a channel."""
        return len(self.phases) * self.high * self.pitch

    def offset(self, tap: int) -> int:
        """Where the first position of a tap lies in a channel."""
        phase, moved = self.taps[tap]
        return (self.phases.index(phase) * self.high + moved.high) * self.pitch + moved.wide


def _lines(form: ConvForm, lanes: int) -> _Lines:
    """The lines that leave the fewest lanes empty, in as many registers as there are for sums."""
    extents = _Pair.of(tuple(form.known_size(form.out, d) or 1 for d in range(form.spatial)), 1)
    widths = [extents.wide] if extents.wide <= _VECTORS * lanes else []
    found = [
        _Lines(form, lines, wide)
        for wide in widths or range(lanes, _VECTORS * lanes + 1, lanes)
        for lines in range(1, extents.high + 1)
    ]
    fitting = [each for each in found if each.reach <= _VECTORS * lanes]

    def worth(each: _Lines) -> float:
        return each.lines * each.wide / (-(-each.reach // lanes) + _BESIDE)

    return max(fitting, key=worth)


def conv_listed(form: ConvForm, target: Target) -> TileProgram:
    """The program of a convolution whose weight is listed, of an image and a result that are channels last
    and whose spatial extents, one or two, are known."""
    lanes, matrix = target.lanes(32), form.sparse
    assert isinstance(matrix, ListedMatrix)
    at = _lines(form, lanes)
    sizes = [form.known_size(form.out, d) or 1 for d in range(form.spatial)]
    cuts = [at.lines, at.wide][-form.spatial :]
    tiles = prod(-(-n // cut) for n, cut in zip(sizes, cuts, strict=True)) * (form.out.shape[0] or 1)
    high = -(-form.outside // (steps_of_outputs(tiles, target.threads) * lanes)) * lanes

    def body(t: TileBuilder) -> None:
        def step(o: Index, n: Index, *outputs: Index) -> None:
            own = replace(form, sparse=matrix.prepared(t))
            _Step(own, t, at, lanes, high, o, n, outputs).run()

        spatial = [(form.size(form.out, d), cut) for d, cut in enumerate(cuts)]
        t.same(form.x.dim(0), form.out.dim(0))
        t.grid([(form.outside, high), (form.out.dim(0), 1), *spatial], step)

    return tile_program("conv", form.op.tensors, body, form.op.scalars)


@dataclass(frozen=True)
class _Step:
    """Some output channels, from `first` on, of the lines from `outputs` on of image n."""

    form: ConvForm
    t: TileBuilder
    at: _Lines
    lanes: int
    high: int  #: output channels
    first: Index
    n: Index
    outputs: tuple[Index, ...]

    @property
    def matrix(self) -> ListedMatrix:
        """What is listed."""
        assert isinstance(self.form.sparse, ListedMatrix)
        return self.form.sparse

    @property
    def channels(self) -> int:
        """Channels of a strip."""
        return self.matrix.strip // len(self.at.taps)

    @property
    def count(self) -> Index:
        """Output channels of this step."""
        return (self.form.out.dim(self.form.spatial + 1) - self.first).min(self.high)

    def run(self) -> None:
        """All of them."""
        t, at, dtype = self.t, self.at, self.form.sums
        width = -(-at.reach // self.lanes) * self.lanes
        sums = t.scratch((self.high, width), dtype)
        # Whole registers are read of the last position too.
        beyond = -(-width // at.plane)
        whole = -(-self.channels // self.lanes) * self.lanes + beyond
        image = t.scratch((whole, len(at.phases), at.high, at.pitch), dtype)
        flat, places = image.collapse([[0, 1, 2, 3]]), self.places()
        last = whole * at.plane - width
        t.loop(self.count, 1, lambda i: t.store(sums, [i, 0], t.full(0, (1, width), dtype)))

        def product(j: Index, acc: Tile) -> Tile:
            number = widened_to(t, self.matrix.numbers(t, j, 1), dtype)
            place = t.element(t.load(places, [self.matrix.column(t, j)], [None]), (0, last))
            return t.dot(acc, number, t.reshape(t.load(flat, [place], [width]), (1, width)))

        def some(c: Index) -> None:
            self.turn(c, image)

            def output(i: Index) -> None:
                bounds = self.matrix.bounds(t, c // self.channels, self.first + i)
                acc = added(t, t.load(sums, [i, 0], (1, width)), bounds, product, self.lanes)
                t.store(sums, [i, 0], acc)

            t.loop(self.count, 1, output)

        t.loop(self.form.inside, self.channels, some)
        self.finished(sums)

    def places(self) -> Tensor:
        """Where the first position lies of every channel and tap of a strip."""
        t, taps = self.t, len(self.at.taps)
        found = t.scratch((self.matrix.strip,), "i32")

        def channel(c: Index) -> None:
            for tap in range(taps):
                place = t.full(c * self.at.plane + self.at.offset(tap), (1,), "i32")
                t.store(found, [c * taps + tap], place)

        t.loop(self.channels, 1, channel)
        return found

    def turn(self, c: Index, image: Tensor) -> None:
        """The channels from c on of what the lines reach over, zeros around the image."""
        t, at, form, n = self.t, self.at, self.form, self.lanes
        strides, before = at.strides, at.before
        *upper, left = self.outputs
        top = upper[0] if upper else None
        gaps: list[int | None] = [None] * form.spatial

        def line(phase: int, y: Index) -> None:
            down, right = at.phases[phase].high, at.phases[phase].wide
            rows = [] if top is None else [(top + y) * strides.high + (down - before.high)]

            def block(i: Index, x: Index) -> None:
                where = [self.n, *rows, (left + x) * strides.wide + (right - before.wide), c + i]
                steps = [1] * (form.spatial + 2)
                steps[-2] = strides.wide
                tile = widened_to(t, t.load(form.x, where, [*gaps, n, n], steps=steps), form.sums)
                t.store(image, [i, phase, y, x], t.transpose(tile), [n, None, None, n])

            t.loop(self.channels, n, lambda i: t.loop(at.pitch, n, lambda x: block(i, x)) and None)

        for phase in range(len(at.phases)):
            t.loop(at.high, 1, lambda y, phase=phase: line(phase, y))

    def finished(self, sums: Tensor) -> None:
        """The epilogue of all sums, which lie output by output."""
        t, at, form, n = self.t, self.at, self.form, self.lanes
        ends = [form.size(form.out, d) - o for d, o in enumerate(self.outputs)]
        gaps: list[int | None] = [None] * form.spatial

        def line(y: Index) -> None:
            def block(i: Index, x: Index) -> None:
                tile = t.transpose(t.load(sums, [i, y * at.pitch + x], [n, n]))
                where = [y, x][-form.spatial :]
                place = [o + w for o, w in zip(self.outputs, where, strict=True)]
                form.finish(t, tile, [self.n, *place, self.first + i], [*gaps, n, n])

            end = ends[-1].min(at.wide)
            t.loop(self.count, n, lambda i: t.loop(end, n, lambda x: block(i, x)) and None)

        t.loop(at.lines if form.spatial == 1 else ends[0].min(at.lines), 1, line)
