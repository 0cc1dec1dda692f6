"""Depthwise convolution that may write its result over its input, as TinyEngine does (Lin et al., "MCUNetV2:
Memory-efficient Patch-based Inference for Tiny Deep Learning", 2021).

Every channel is computed by itself, so a step takes a few channels of an image through all rows. The rows of
the input that are still needed wait in a ring, with the padding along the width; the row that enters it is
the last that the next row of the result reads, and what is overwritten has entered it before. Steps share
nothing, so that threads divide the channels.
"""

from dataclasses import dataclass

from drystone.codegen.elements import width
from drystone.codegen.families.conv_depthwise import Run, is_depthwise
from drystone.codegen.families.conv_form import UNROLLED, ConvForm
from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import CpuTarget

#: Bytes of the ring at most: it lies on a thread's stack.
_RING = 1 << 18
#: Neighbouring positions that share the taps.
_RUN = 8


def conv_over(form: ConvForm, target: CpuTarget) -> TileProgram | None:
    """The program of a depthwise convolution of images, channels last, whose result has the extents of its
    input; None for any other, and where the ring would be too large."""
    sides = zip(form.kernel, form.dilation, form.before, form.after, strict=True)
    same = all((k - 1) * d == before + after for k, d, before, after in sides)
    wide = form.known_size(form.x, form.spatial - 1)
    if not (form.nhwc and not form.first and not form.transposed and is_depthwise(form)):
        return None
    if form.spatial != 2 or set(form.strides) != {1} or not same or not wide or form.kernel[-1] > UNROLLED:
        return None
    if not form.out.dtype.startswith(("f", "bf")) or width(form.out.dtype) > 32:
        return None
    if form.pack is not None and not form.in_blocks_of(target.lanes(32)):
        return None
    over = _Over(form, target.lanes(32), wide)
    return over.program() if 4 * over.rows * over.across * over.lanes <= _RING else None


@dataclass(frozen=True)
class _Over:
    form: ConvForm
    lanes: int
    wide: int

    @property
    def rows(self) -> int:
        """Rows that a row of the result reads."""
        return (self.form.kernel[0] - 1) * self.form.dilation[0] + 1

    @property
    def across(self) -> int:
        """Positions of a row with its padding."""
        return self.wide + self.form.before[1] + self.form.after[1]

    def program(self) -> TileProgram:
        """The tile program."""
        form = self.form

        def body(t: TileBuilder) -> None:
            for axis in range(4):
                t.same(form.x.dim(axis), form.out.dim(axis))
            axes = [(form.out.dim(3), self.lanes), (form.out.dim(0), 1)]
            t.grid(axes, lambda c, n: self.step(t, n, c))

        return tile_program("conv_over", form.op.tensors, body, form.op.scalars)

    def step(self, t: TileBuilder, n: Index, c: Index) -> None:
        """Some channels of an image."""
        ring = t.scratch((self.rows, self.across, self.lanes), "f32")
        nothing = t.full(0, (self.lanes,), "f32")

        def clear(r: Index) -> None:
            t.loop(self.across, 1, lambda x: t.store(ring, [r, x, 0], nothing, [None, None, self.lanes]))

        def enter(row: Index) -> None:
            # Behind the last row everything reads as 0.
            def copy(x: Index) -> None:
                tile = widened(t, t.load(self.form.x, [n, row, x, c], [None, None, None, self.lanes]))
                place: list[Index | int] = [row % self.rows, x + self.form.before[1], 0]
                t.store(ring, place, tile, [None, None, self.lanes])

            t.loop(self.wide, 1, copy)

        def line(y: Index) -> None:
            enter(y + self.form.after[0])
            count = divisor(self.wide, _RUN)
            t.loop(self.wide, count, lambda x: self.run(t, ring, n, y, x, c, count))

        t.loop(self.rows, 1, clear)
        t.loop(self.form.after[0], 1, enter)
        t.loop(self.form.out.dim(1), 1, line)

    def run(self, t: TileBuilder, ring: Tensor, n: Index, y: Index, x: Index, c: Index, count: int) -> None:
        """`count` neighbouring positions of the result."""
        form, dilation = self.form, self.form.dilation
        weights = Run(form, t, self.lanes, n, (y,), c)

        def taps(k: Index, *carried: Tile) -> list[Tile]:
            row = (y + k * dilation[0] + (self.rows - form.before[0])) % self.rows
            inputs: dict[int, Tile] = {}
            acc = list(carried)
            for tap, weight in enumerate(weights.weights([k])):
                for i in range(count):
                    j = i + tap * dilation[1]
                    if j not in inputs:
                        inputs[j] = t.load(ring, [row, x + j, 0], [None, None, self.lanes])
                    acc[i] = t.apply("math.fma", inputs[j], weight, acc[i])
            return acc

        sums = t.loop(form.kernel[0], 1, taps, [t.full(0, (self.lanes,), "f32") for _ in range(count)])
        for i, acc in enumerate(sums):
            form.finish(t, acc, [n, y, x + i, c], [None, None, None, self.lanes])
