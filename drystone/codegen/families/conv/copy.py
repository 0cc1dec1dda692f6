"""A flat copy of the lines of an image that a grid step of a convolution reads, with their padding.

A tap sees, for neighbouring positions of the result, neighbouring positions of the copy, from one line to the
next as well: a register tile takes as many positions as it has rows, however short the lines are. What it
makes of the positions between two lines is not stored. Where there is a stride the copy has a plane of its
own for every remainder of positions by it, in which those that a tap sees are neighbours again. (The implicit
product of Chetlur et al., "cuDNN: Efficient Primitives for Deep Learning", 2014, with the padding kept in
place.)"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from drystone.codegen.families.conv.form import ConvForm, copy_channels
from drystone.codegen.tile import Index, Tensor, TileBuilder


@dataclass(frozen=True)
class FlatImage:
    """How an image of two dimensions lies in a copy, for registers of so many lanes of 32 bits."""

    form: ConvForm
    lanes: int

    @property
    def unfolded(self) -> bool:
        """Whether the taps along the width lie side by side in the copy."""
        return False

    @property
    def folded(self) -> int:
        """Neighbouring lines that a tap multiplies at once."""
        return 1

    @cached_property
    def taps(self) -> list[tuple[int, ...]]:
        """Of every tap, as the weight has them, where the copy has what it sees: plane, lines, positions."""
        form = self.form
        along = [
            [divmod(k * d, s) for k in range(0, size, step)]
            for size, d, s, step in zip(
                form.kernel, form.dilation, form.strides, (self.folded, 1), strict=True
            )
        ]
        if self.unfolded:
            along[1] = [(0, 0)]
        planes = sorted({(h[1], w[1]) for h, w in product(*along)})
        return [(planes.index((h[1], w[1])), h[0], w[0]) for h, w in product(*along)]

    @cached_property
    def planes(self) -> list[tuple[int, int]]:
        """The remainders, along the height and the width, of the positions in every plane."""
        form = self.form
        widths = (
            {0} if self.unfolded else {k * form.dilation[1] % form.strides[1] for k in range(form.kernel[1])}
        )
        heights = {k * form.dilation[0] % form.strides[0] for k in range(0, form.kernel[0], self.folded)}
        return sorted(product(heights, widths))

    @property
    def across(self) -> int:
        """Positions of a line of the copy."""
        return (self.form.known_size(self.form.out, 1) or 0) + max(w for _, _, w in self.taps)

    def lines(self, high: int) -> int:
        """Lines of a plane for `high` lines of the result."""
        return high + max(h for _, h, _ in self.taps)

    def place(self, tap: int, high: int) -> int:
        """Where the copy for `high` lines has what a tap sees for the first position."""
        plane, down, on = self.taps[tap]
        return (plane * self.lines(high) + down) * self.across + on

    def axes(self, outputs: tuple[int, int], high: int) -> list[tuple[Index | int, int]]:
        """The axes of a grid over outputs (how many, and so many a step), images, and `high` lines a step."""
        return [outputs, (self.form.out.dim(0), 1), (self.form.size(self.form.out, 0), high)]


class CopiedLines(ABC):
    """The copy of a grid step: of the lines of image n that `high` lines of the result from `start` on
    see."""

    kernel: FlatImage
    t: TileBuilder
    n: Index
    start: Index

    @property
    @abstractmethod
    def high(self) -> int:
        """Lines of the result."""

    @property
    @abstractmethod
    def copy(self) -> Tensor:
        """Room for all planes, [positions, channels and what keeps positions apart]."""

    def each_line(
        self,
        plane: tuple[int, int],
        copy: Callable[[Index, Index], None],
        blank: Callable[[Index], None],
        further: int = 0,
    ) -> None:
        """`copy(line of the copy, line of the image)` for the lines of a plane that lie in the image, `blank`
        for the others; for the lines so many `further`."""
        kernel, form, t = self.kernel, self.kernel.form, self.t
        stride, lines = form.strides[0], kernel.lines(self.high)
        origin = self.start * stride + (plane[0] - form.before[0] + further)
        first = (0 - origin).ceildiv(stride).max(0).min(lines)
        end = (form.size(form.x, 0) - origin).ceildiv(stride).min(lines).max(first)
        t.loop(first, 1, blank)
        t.loop(end, 1, lambda i: copy(i, origin + i * stride), lower=first)
        t.loop(lines, 1, blank, lower=end)

    def fill(self, number: int, plane: tuple[int, int]) -> None:
        """A plane of the copy."""
        kernel, form, t = self.kernel, self.kernel.form, self.t
        base = number * kernel.lines(self.high) * kernel.across
        stride, wide_in = form.strides[1], form.known_size(form.x, 1) or 0
        left = plane[1] - form.before[1]
        first = min(kernel.across, max(0, -(left // stride)))
        end = min(kernel.across, max(first, -(-(wide_in - left) // stride)))

        def copy(line: Index, y: Index) -> None:
            at = line * kernel.across + base

            def one(w: Index) -> None:
                where = [self.n, y, w * stride + left]
                copy_channels(t, self.copy, [at + w], form.x, where, form.summed, self.kernel.lanes)

            self.blank(at, 0, first)
            t.loop(end, 1, one, lower=first)
            self.blank(at, end, kernel.across)

        self.each_line(plane, copy, lambda line: self.blank(line * kernel.across + base, 0, kernel.across))

    def blank(self, at: Index, first: int, end: int) -> None:
        """Zeros at positions `first` to `end` of a line that starts `at`."""
        t, held = self.t, self.copy.held
        chunk, channels = self.kernel.form.apart(self.kernel.lanes), self.kernel.form.summed
        nothing = t.full(0, (chunk,), held)

        def one(w: Index) -> None:
            t.loop(channels, chunk, lambda c: t.store(self.copy, [at + w, c], nothing, [None, chunk]))

        if first < end:
            t.loop(end, 1, one, lower=first)

    def store(self, sums: Tensor, at: Index, lines: Index, channel: Index) -> None:
        """The epilogue and the result, for those positions of a register tile, from `at` on, that lie in
        lines: of channels from one on."""
        kernel, form, t = self.kernel, self.kernel.form, self.t
        across, line = kernel.across, form.known_size(form.out, 1) or 0
        rows, width = (n or 1 for n in sums.shape)

        def row(h: Index) -> None:
            begin = h * across - at

            def one(w: Index) -> None:
                acc = t.load(sums, [begin + w, 0], [None, width])
                form.finish(t, acc, [self.n, self.start + h, w, channel], [None, None, None, width])

            t.loop((rows - begin).min(line), 1, one, lower=(0 - begin).max(0))

        t.loop((at + rows).ceildiv(across).min(lines), 1, row, lower=at // across)
