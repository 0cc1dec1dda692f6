"""Pooling: with channels last, vectors along the channels; with channels first, along the width."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import is_float, limits, wide
from drystone.codegen.families.dry_op import DryOp, dry_op, narrowed, summand
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.mlir import ints, ir
from drystone.targets import Target


@dataclass(frozen=True)
class PoolForm:
    """A `dry.pool` as plain data; see the dialect for the attributes."""

    op: DryOp
    x: Tensor
    out: Tensor
    largest: bool
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    before: tuple[int, ...]
    dilation: tuple[int, ...]
    divisor: int
    nhwc: bool

    @property
    def first_spatial(self) -> int:
        """The number of the first spatial dimension."""
        return 1 if self.nhwc else 2

    @property
    def dtype(self) -> str:
        """The element computed in; averages of bytes that are f32 are summed in 32 bits."""
        return wide(self.x.dtype) if self.x.dtype == self.out.dtype else "i32"

    @property
    def start(self) -> float | int:
        """What changes nothing."""
        if not self.largest:
            return 0
        return float("-inf") if is_float(self.dtype) else limits(self.dtype)[0]

    def combine(self, t: TileBuilder, a: Tile, b: Tile) -> Tile:
        """One more element of the window."""
        names = ("maximumf", "addf") if is_float(self.dtype) else ("maxsi", "addi")
        return t.apply(f"arith.{names[not self.largest]}", a, b)

    def divide(self, t: TileBuilder, total: Tile, count: Tile) -> Tile:
        """An average; of integers rounded towards zero where it is one."""
        if is_float(self.out.dtype) and not is_float(self.dtype):
            real = wide(self.out.dtype)
            total, count = (t.apply("arith.sitofp", each, dtype=real) for each in (total, count))
        return t.apply("arith.divf" if is_float(total.dtype) else "arith.divsi", total, count)

    def origin(self, dim: int, output: Index) -> Index:
        """Where the window of an output starts."""
        return output * self.strides[dim] - self.before[dim]

    def taps(self, dim: int, output: Index, lower: Index, upper: Index) -> tuple[Index, Index]:
        """The taps of one dimension that lie at positions from `lower` to below `upper`, first and end."""
        start, dilation = self.origin(dim, output), self.dilation[dim]
        first = (lower - start).max(0).ceildiv(dilation)
        return first, (upper - start).ceildiv(dilation).min(self.kernel[dim]).max(first)

    def counted(self, dim: int) -> tuple[Index, Index]:
        """The positions that the divisor counts."""
        size = self.x.dim(dim + self.first_spatial)
        return (index(0), size) if self.divisor == 0 else (index(-self.before[dim]), size + self.before[dim])


def pool_form(kernel: Any) -> PoolForm:
    """Read the kernel function of a `dry.pool`."""
    op = dry_op(kernel)
    main = op.main
    return PoolForm(
        op=op,
        x=op.tensor(main.x),
        out=op.inits[0],
        largest=ir.StringAttr(main.kind).value == "max",
        kernel=tuple(ints(main.kernel)),
        strides=tuple(ints(main.strides)),
        before=tuple(ints(main.padding)[::2]),
        dilation=tuple(ints(main.dilation)),
        divisor=ir.IntegerAttr(main.divisor).value,
        nhwc=ir.StringAttr(main.layout).value == "nhwc",
    )


def pool(kernel: Any, target: Target) -> TileProgram | None:
    """The program of a `dry.pool`."""
    form = pool_form(kernel)
    dims, lanes = len(form.kernel), target.lanes(32)
    last = form.out.shape[-1]
    width = min(4 * lanes, -(-last // lanes) * lanes) if form.nhwc and last else lanes
    if not form.nhwc and last is not None:
        width = min(lanes, last)

    def body(t: TileBuilder) -> None:
        run = _channels_last if form.nhwc else _channels_first
        out = form.out

        def last_first(n: Index, *rest: Index) -> None:
            run(form, t, width, n, rest)

        extents = [out.dim(d) for d in range(1, dims + 1)]
        t.same(form.x.dim(0), out.dim(0))
        channel = dims + 1 if form.nhwc else 1
        t.same(form.x.dim(channel), out.dim(channel))
        t.grid([(out.dim(0), 1), *((extent, 1) for extent in extents)], last_first)

    return tile_program("pool", form.op.tensors, body, form.op.scalars)


def _window(
    form: PoolForm,
    t: TileBuilder,
    outputs: list[Index],
    body: Callable[[list[Index], Tile], Tile],
    acc: Tile,
) -> Tile:
    """body(positions, acc) for the taps inside the input of the dimensions of `outputs`, the first ones."""

    def level(at: list[Index], carried: Tile) -> Tile:
        dim = len(at)
        if dim == len(outputs):
            return body(at, carried)
        first, end = form.taps(dim, outputs[dim], index(0), form.x.dim(dim + form.first_spatial))
        start = form.origin(dim, outputs[dim])
        (out,) = t.loop(
            end, 1, lambda k, c: level([*at, start + k * form.dilation[dim]], c), [carried], lower=first
        )
        return out

    return level([], acc)


def _count(form: PoolForm, outputs: list[Index]) -> Index:
    """How many elements an average of these dimensions is of."""
    total = index(1)
    for dim, output in enumerate(outputs):
        first, end = form.taps(dim, output, *form.counted(dim))
        total = total * (end - first)
    return total


def _channels_last(form: PoolForm, t: TileBuilder, width: int, n: Index, outputs: tuple[Index, ...]) -> None:
    """One output position, all channels."""
    where = list(outputs)
    gaps: list[int | None] = [None] * (1 + len(where))

    def channels(c: Index) -> None:
        def tap(at: list[Index], acc: Tile) -> Tile:
            return form.combine(t, acc, summand(t, t.load(form.x, [n, *at, c], [*gaps, width]), form.dtype))

        acc = _window(form, t, where, tap, t.full(form.start, (width,), form.dtype))
        if not form.largest:
            count = index(form.divisor) if form.divisor > 1 else _count(form, where)
            acc = form.divide(t, acc, t.full(count, (1,), form.dtype))
        t.store(form.out, [n, *where, c], narrowed(t, acc, form.out.dtype), [*gaps, width])

    t.loop(form.out.dim(len(where) + 1), width, channels)


def _channels_first(form: PoolForm, t: TileBuilder, width: int, n: Index, rest: tuple[Index, ...]) -> None:
    """All outputs along the width at one position of one channel."""
    c, *outer = rest
    last = len(outer)
    gaps: list[int | None] = [None] * (2 + last)
    stride, dilation = form.strides[last], form.dilation[last]

    def part(o: Index) -> None:
        def tap(at: list[Index], acc: Tile) -> Tile:
            def along(k: Index, carried: Tile) -> Tile:
                place = [n, c, *at, form.origin(last, o) + k * dilation]
                steps = [1] * len(gaps) + [stride]
                tile = t.load(form.x, place, [*gaps, width], steps=steps, fill=form.start)
                return form.combine(t, carried, summand(t, tile, form.dtype))

            return t.loop(form.kernel[last], 1, along, [acc])[0]

        acc = _window(form, t, outer, tap, t.full(form.start, (width,), form.dtype))
        if not form.largest:
            acc = form.divide(t, acc, _divisors(form, t, width, outer, o))
        t.store(form.out, [n, c, *outer, o], narrowed(t, acc, form.out.dtype), [*gaps, width])

    t.loop(form.out.dim(last + 2), width, part)


def _divisors(form: PoolForm, t: TileBuilder, width: int, outer: list[Index], o: Index) -> Tile:
    """What each of `width` averages along the width is divided by."""
    if form.divisor > 1:
        return t.full(form.divisor, (width,), form.dtype)

    def number(value: int | Index) -> Tile:
        return t.full(index(value), (1,), "i64")

    last = len(outer)
    low, high = form.counted(last)
    position = t.apply("arith.muli", t.iota(o, (width,), 0), number(form.strides[last]))

    def taps(limit: Index) -> Tile:
        left = t.apply("arith.subi", number(limit + form.before[last]), position)
        left = t.apply("arith.ceildivsi", left, number(form.dilation[last]))
        return t.apply("arith.minsi", t.apply("arith.maxsi", left, number(0)), number(form.kernel[last]))

    count = t.apply("arith.subi", taps(high), taps(low))
    count = t.apply("arith.muli", count, number(_count(form, outer)))
    return t.apply("arith.sitofp", count, dtype=form.dtype) if is_float(form.dtype) else count
