"""Depthwise convolution that may write its result over its input, as TinyEngine does (Lin et al., "MCUNetV2:
Memory-efficient Patch-based Inference for Tiny Deep Learning", 2021).

Every channel is computed by itself, so a step takes a few channels of an image through all rows. The rows of
the input that are still needed wait in a ring, with the padding along the width; the rows that enter it are
the last that the next row of the result reads, and what is overwritten has entered it before: rows of the
result are no more and no longer than those of the input, so that each lies over the same or an earlier row.
Steps share nothing, so that threads divide the channels.
"""

from dataclasses import dataclass

from drystone.codegen.elements import is_float, width
from drystone.codegen.families.conv.depthwise import Run, is_depthwise
from drystone.codegen.families.conv.form import UNROLLED, ConvForm
from drystone.codegen.families.dry_op import widened
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, tile_program
from drystone.targets.target import Target

#: Bytes of the ring at most: it lies on a thread's stack.
_RING = 1 << 18
#: Neighbouring positions that share the taps.
_RUN = 8


def conv_over(form: ConvForm, target: Target) -> TileProgram | None:
    """The program of a depthwise convolution of images, channels last, whose result is no larger than its
    input; None for any other, and where the ring would be too large."""
    sides = zip(form.kernel, form.dilation, form.before, form.after, strict=True)
    shrinks = all((k - 1) * d >= before + after for k, d, before, after in sides)
    wide, out_wide = (form.known_size(tensor, form.spatial - 1) for tensor in (form.x, form.out))
    if not (form.nhwc and not form.first and not form.transposed and is_depthwise(form)):
        return None
    if form.spatial != 2 or not shrinks or not wide or not out_wide or form.kernel[-1] > UNROLLED:
        return None
    if not all(is_float(each.dtype) and width(each.dtype) <= 32 for each in (form.x, form.out)):
        return None
    # Elements of one width lie at the same places in both.
    if width(form.x.held) != width(form.out.held):
        return None
    if form.pack is not None and not form.in_blocks_of(target.lanes(32)):
        return None
    over = _Over(form, target.lanes(32), wide, out_wide)
    return over.program() if 4 * over.rows * over.across * over.lanes <= _RING else None


@dataclass(frozen=True)
class _Over:
    form: ConvForm
    lanes: int
    wide: int
    out_wide: int

    @property
    def rows(self) -> int:
        """Rows that a row of the result reads."""
        return (self.form.kernel[0] - 1) * self.form.dilation[0] + 1

    @property
    def across(self) -> int:
        """Positions of a row with its padding."""
        return self.wide + self.form.before[1] + self.form.after[1]

    @property
    def same(self) -> bool:
        """Whether the result has the extents of the input, whatever these are."""
        form = self.form
        sides = zip(form.kernel, form.dilation, form.before, form.after, strict=True)
        return set(form.strides) == {1} and all((k - 1) * d == b + a for k, d, b, a in sides)

    def program(self) -> TileProgram:
        """The tile program."""
        form = self.form

        def body(t: TileBuilder) -> None:
            for axis in range(4) if self.same else (0, 3):
                t.same(form.x.dim(axis), form.out.dim(axis))
            channels, images = (form.out.dim(3), self.lanes), form.out.dim(0)

            def every(c: Index) -> None:
                t.loop(images, 1, lambda n: self.step(t, n, c))

            if self.same:
                t.grid([channels, (images, 1)], lambda c, n: self.step(t, n, c))
            else:
                # The smaller result of an image lies over the images before it, which come first.
                t.grid([channels], every)

        return tile_program("conv_over", form.op.tensors, body, form.op.scalars)

    def step(self, t: TileBuilder, n: Index, c: Index) -> None:
        """Some channels of an image. Rows are counted with the padding above."""
        form, stride = self.form, self.form.strides[0]
        ring = t.scratch((self.rows, self.across, self.lanes), "f32")
        nothing = t.full(0, (self.lanes,), "f32")
        new = min(stride, self.rows)

        def clear(r: Index) -> None:
            t.loop(self.across, 1, lambda x: t.store(ring, [r, x, 0], nothing, [None, None, self.lanes]))

        def enter(row: Index) -> None:
            # Above the first row and behind the last one everything reads as 0.
            def copy(x: Index) -> None:
                place: list[Index | int] = [n, row - form.before[0], x, c]
                tile = widened(t, t.load(form.x, place, [None, None, None, self.lanes]))
                t.store(ring, [row % self.rows, x + form.before[1], 0], tile, [None, None, self.lanes])

            t.loop(self.wide, 1, copy)

        def line(y: Index) -> None:
            t.loop(new, 1, lambda row: enter(y * stride + (self.rows - new) + row))
            count = divisor(self.out_wide, _RUN)
            t.loop(self.out_wide, count, lambda x: self.run(t, ring, n, y, x, c, count))

        t.loop(self.rows, 1, clear)
        t.loop(self.rows - new, 1, enter)
        t.loop(form.out.dim(1), 1, line)

    def run(self, t: TileBuilder, ring: Tensor, n: Index, y: Index, x: Index, c: Index, count: int) -> None:
        """`count` neighbouring positions of the result."""
        form, dilation, strides = self.form, self.form.dilation, self.form.strides
        weights = Run(form, t, self.lanes, n, (y,), c)

        def taps(k: Index, *carried: Tile) -> list[Tile]:
            row = (y * strides[0] + k * dilation[0]) % self.rows
            inputs: dict[int, Tile] = {}
            acc = list(carried)
            for tap, weight in enumerate(weights.weights([k])):
                for i in range(count):
                    j = i * strides[1] + tap * dilation[1]
                    if j not in inputs:
                        inputs[j] = t.load(ring, [row, x * strides[1] + j, 0], [None, None, self.lanes])
                    acc[i] = t.apply("math.fma", inputs[j], weight, acc[i])
            return acc

        sums = t.loop(form.kernel[0], 1, taps, [t.full(0, (self.lanes,), "f32") for _ in range(count)])
        for i, acc in enumerate(sums):
            form.finish(t, acc, [n, y, x + i, c], [None, None, None, self.lanes])
