"""Convolution in every form, slowly: any layout, groups, dilation, plain or packed weights, transposed.

One tile is a run of output positions along the width by some output channels of one group. A transposed
convolution is a gather without zero-stuffing: output o takes the taps k with (o + padding - k * dilation)
divisible by the stride, from input (o + padding - k * dilation) / stride; outputs of one phase along the
width (equal o mod stride) share their taps and read neighbouring inputs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from drystone.codegen.families.conv.form import ConvForm, WeightReader
from drystone.codegen.families.tiling import divisor, even
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.targets import Target

Body = Callable[[Index, Tile], Tile]


@dataclass(frozen=True)
class _Any:
    form: ConvForm
    t: TileBuilder
    columns: int
    rows: int
    depth: int

    def tap(self, dim: int, base: Index, acc: Tile, body: Callable[[Index, Index, Tile], Tile]) -> Tile:
        """body(k, input position, acc) for every tap of one dimension; `base` is output + padding."""
        form, t = self.form, self.t
        kernel, stride, dilation = form.kernel[dim], form.strides[dim], form.dilation[dim]
        if not form.transposed:
            return t.loop(kernel, 1, lambda k, c: body(k, base + k * dilation, c), [acc])[0]
        if dilation == 1:  # the taps that hit an input are `stride` apart
            return t.loop(
                kernel, stride, lambda k, c: body(k, (base - k) // stride, c), [acc], lower=base % stride
            )[0]

        def one(k: Index, carried: Tile) -> Tile:
            far = base - k * dilation
            hit = 1 - (far % stride).min(1)
            return t.loop(hit, 1, lambda _, c: body(k, far // stride, c), [carried])[0]

        return t.loop(kernel, 1, one, [acc])[0]

    def spatial(
        self, outputs: list[Index], acc: Tile, body: Callable[[list[Index], list[Index], Tile], Tile]
    ) -> Tile:
        """body(taps, input positions, acc) for all taps of all dimensions."""
        form = self.form

        def level(at: list[Index], positions: list[Index], carried: Tile) -> Tile:
            dim = len(at)
            if dim == form.spatial:
                return body(at, positions, carried)
            stride = 1 if form.transposed else form.strides[dim]
            sign = 1 if form.transposed else -1
            base = outputs[dim] * stride + sign * form.before[dim]
            return self.tap(dim, base, carried, lambda k, p, c: level([*at, k], [*positions, p], c))

        return level([], [], acc)

    def channels(
        self, n: Index, group: Index, o: Index, at: list[Index], where: list[Index], acc: Tile
    ) -> Tile:
        """The products of one tap with all input channels of the group."""
        form, t, nhwc = self.form, self.t, self.form.nhwc
        reader = WeightReader(form)
        gaps: list[int | None] = [None] * (form.spatial - 1)
        stride = 1 if form.transposed else form.strides[-1]

        def step(c: Index, carried: Tile) -> Tile:
            x = form.widened(
                t,
                t.load(
                    form.x,
                    form.place(form.x, n, where, group * form.inside + c),
                    form.place(form.x, None, [*gaps, self.rows], self.depth),
                    steps=form.place(form.x, 1, [1] * len(gaps) + [stride], 1),
                ),
            )
            if form.first == nhwc:
                x = t.transpose(x)
            weight = reader.tile(t, group, o, c, at, self.columns, self.depth, left=not nhwc)
            return t.dot(carried, x, weight) if nhwc else t.dot(carried, weight, x)

        return t.loop(form.inside, self.depth, step, [acc])[0]

    def tile(self, n: Index, outputs: list[Index], group: Index, o: Index, stride: int) -> None:
        """One tile of the result; its positions along the width are `stride` apart."""
        form, t = self.form, self.t
        shape = (self.rows, self.columns) if form.nhwc else (self.columns, self.rows)
        acc = self.spatial(
            outputs,
            t.full(0, shape, form.sums),
            lambda at, where, c: self.channels(n, group, o, at, where, c),
        )
        gaps: list[int | None] = [None] * (form.spatial - 1)
        form.finish(
            t,
            acc,
            form.place(form.out, n, outputs, group * form.outside + o),
            form.place(form.out, None, [*gaps, self.rows], self.columns),
            form.place(form.out, 1, [1] * len(gaps) + [stride], 1),
        )


def conv_any(form: ConvForm, target: Target) -> TileProgram:
    """A program for any `dry.conv`."""
    lanes = target.lanes(32)
    reader = WeightReader(form)
    width = form.known_size(form.out, form.spatial - 1)
    phases = form.strides[-1] if form.transposed else 1
    run = None if width is None else -(-width // phases)
    if form.nhwc:
        columns, rows = reader.columns(2 * lanes), even(run, 6)
    else:
        columns, rows = reader.columns(6), 2 * lanes if run is None or run > lanes else lanes

    def body(t: TileBuilder) -> None:
        kernel = _Any(form, t, columns, rows, divisor(form.inside, 4))

        def step(n: Index, *rest: Index) -> None:
            *outer, phase, q, group, o = rest
            kernel.tile(n, [*outer, q * phases + phase], group, o, phases)

        t.grid(
            [
                (form.out.dim(0), 1),
                *((form.size(form.out, dim), 1) for dim in range(form.spatial - 1)),
                (phases, 1),
                (form.size(form.out, form.spatial - 1).ceildiv(phases), rows),
                (index(form.groups), 1),
                (index(form.outside), columns),
            ],
            step,
        )

    return tile_program("conv_any", form.op.tensors, body, form.op.scalars)
