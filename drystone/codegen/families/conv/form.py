"""The common parts of convolution kernels: what the operation says, where tiles lie, and how weights are
read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd, prod
from typing import Any, TypeVar

from drystone.codegen.elements import wide, width
from drystone.codegen.families.dry_op import DryOp, dry_op, narrowed, pack_of, sparse_matrix, summand
from drystone.codegen.families.epilogue import apply_epilogue, flattened
from drystone.codegen.families.sparse.laid_groups import LaidGroups
from drystone.codegen.families.sparse.listed import ListedMatrix
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.families.tiling import divisor
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, index
from drystone.errors import InternalError
from drystone.ir.encoding import Pack
from drystone.ir.shapes import layouts
from drystone.ir.values import sums_of
from drystone.mlir import ints, ir
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

P = TypeVar("P")

#: Taps along the width that a program may write out one after the other; more become a loop.
UNROLLED = 32
#: What an extent known at the call counts as for a cost model.
_UNKNOWN = 32
#: Sums of inputs that a vector makes at once, all the same.
_LANES = 16


@dataclass(frozen=True)
class ConvForm:
    """A `dry.conv`: its tensors (weight in storage layout), and its attributes as plain data.

    kernel, strides, before, after (padding) and dilation have one number per spatial dimension; inside and
    outside are the channels of one group. first: x is channels first; nhwc: the result is channels last.
    sparse: what reads the weight where that holds some of its elements; of groups `weight` says how these are
    laid down for a step, which asks for it (`weights`).
    """

    op: DryOp
    x: Tensor
    weight: Tensor
    extras: tuple[Tensor, ...]
    out: Tensor
    pack: Pack | None
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    inside: int
    outside: int
    transposed: bool
    first: bool
    nhwc: bool
    sparse: ListedMatrix | StructuredMatrix | None = None

    @property
    def laid_down(self) -> bool:
        """Whether the weight is laid down step by step."""
        return isinstance(self.sparse, StructuredMatrix)

    def weights(self, t: TileBuilder, first: Index, count: int) -> tuple[Tensor, Index]:
        """The weight's blocks of output channels from one on, so many at most, for a step; and the first that
        there is in the tensor that they lie in. What is held in groups is laid down now."""
        matrix = self.sparse
        if not isinstance(matrix, StructuredMatrix):
            return self.weight, index(0)
        every, *inner = (n or 1 for n in self.weight.shape)
        laid = LaidGroups.of(t, matrix, self.group, count * matrix.depth)

        def block(b: Index) -> None:
            laid.lay(t, b, index(0), matrix.depth, (b - first) * matrix.depth)

        t.loop((first + count).min(every), 1, block, lower=first)
        return laid.numbers((count, *inner)), first

    @property
    def spatial(self) -> int:
        """How many spatial dimensions there are."""
        return len(self.kernel)

    @property
    def group(self) -> int:
        """Neighbouring channels that lie side by side in the packed weight."""
        return self.pack.inner_tiles[1] if self.pack is not None and len(self.pack.inner_tiles) > 1 else 1

    @property
    def summed(self) -> int:
        """Channels of a group as the packed weight has them, in whole groups of those side by side."""
        return -(-self.inside // self.group) * self.group

    @property
    def moved(self) -> bool:
        """Whether the channels that lie side by side in the weight do not in the image, which is to be copied
        so that they do."""
        return self.held and (self.first or self.summed > self.inside)

    @property
    def blocked(self) -> bool:
        """Whether the weight is packed as [O / W, *K, C, W], or [O / W, *K, C / g, W, g]."""
        pack, order = self.pack, (0, *range(2, self.spatial + 2), 1)
        return pack is not None and pack.inner_dims in ((0,), (0, 1)) and pack.outer_perm == order

    def in_blocks_of(self, lanes: int) -> bool:
        """Whether the weight is packed along O alone, in whole vectors."""
        pack, order = self.pack, (0, *range(2, self.spatial + 2), 1)
        if pack is None or pack.inner_dims != (0,) or pack.outer_perm != order:
            return False
        return pack.inner_tiles[0] % lanes == 0

    @property
    def width(self) -> int:
        """Output channels of a block of the packed weight."""
        assert self.pack is not None
        return self.pack.inner_tiles[0]

    @property
    def mapped_extras(self) -> list[tuple[Tensor, Any]]:
        """The epilogue's operands with their maps."""
        maps = [ir.AffineMapAttr(attribute).value for attribute in self.op.main.extra_maps]
        return list(zip(self.extras, maps, strict=True))

    @property
    def given(self) -> str:
        """The element that the epilogue takes, which need not be the result's."""
        return str(sums_of(self.op.main))

    @property
    def sums(self) -> str:
        """The element of sums."""
        return wide(self.given)

    def widened(self, t: TileBuilder, tile: Tile) -> Tile:
        """A tile of x or the weight in the element of the sums."""
        return summand(t, tile, self.sums)

    def factor(self, t: TileBuilder, tile: Tile) -> Tile:
        """A tile of x or the weight as a dot takes it."""
        return tile if self.held else self.widened(t, tile)

    @property
    def offset(self) -> bool:
        """Whether vectors multiply bytes by 128 more than the weight's: one factor of theirs has no sign."""
        return self.held and self.x.held == self.weight.held == "i8"

    def unsigned(self, t: TileBuilder, weights: Tile) -> Tile:
        """The weights as vectors take them: with `offset` 128 more."""
        if not self.offset:
            return self.factor(t, weights)
        return t.apply("arith.xori", weights, t.full(-128, (1, 1), "i8"), dtype="ui8")

    def zeros(self, t: TileBuilder, rows: int, *, tiles: bool) -> list[Tile]:
        """What sums of a register tile start from; with `offset` in vectors those of its inputs beside it."""
        acc = t.full(0, (rows, self.width), self.sums)
        return [acc, t.full(0, (rows, _LANES), self.sums)] if self.offset and not tiles else [acc]

    def add_inputs(self, t: TileBuilder, inputs: Tile, left: Tile, groups: int) -> Tile:
        """The sums of inputs and of these: products with ones."""
        return t.dot(inputs, left, t.full(1, (groups, _LANES * self.group), "ui8"))

    def closed(self, t: TileBuilder, sums: Sequence[Tile]) -> Tile:
        """The sums of products, without what weights that are 128 more have added to them."""
        if len(sums) == 1:
            return sums[0]
        acc, inputs = sums
        more = t.apply("arith.muli", t.reduce("arith.maxsi", inputs, 1), t.full(128, (1, 1), self.sums))
        return t.apply("arith.subi", acc, more)

    @property
    def bytes(self) -> int:
        """Bytes of an element of x in memory."""
        return width(self.x.held) // 8

    def apart(self, lanes: int) -> int:
        """Elements of x in one line of the cache, for a register of so many lanes of 32 bits."""
        return lanes * 4 // self.bytes

    @property
    def held(self) -> bool:
        """Whether dots take x and the weight as they are held."""
        return self.group > 1

    def tile(self, target: Target) -> DotUnit | None:
        """The unit with tile registers that can do the products; None without one."""
        if self.pack is None or not self.held or self.groups > 1 or self.transposed or self.first:
            return None
        unit = target.dot(self.x.held, self.weight.held, tiles=True)
        if unit is None or self.group != unit.group or not unit.fills(self.inside):
            return None
        return unit if self.pack.inner_tiles[0] in (unit.columns, 2 * unit.columns) else None

    @property
    def channel_axis(self) -> int:
        """Where the channels of x are."""
        return 1 if self.first else self.spatial + 1

    def place(self, tensor: Tensor, n: P, positions: Sequence[P], c: P) -> list[P]:
        """Batch, spatial and channel positions in the order of the layout of x or out."""
        return [n, c, *positions] if self._first(tensor) else [n, *positions, c]

    def size(self, tensor: Tensor, dim: int) -> Index:
        """The extent of a spatial dimension of x or out."""
        return tensor.dim(dim + (2 if self._first(tensor) else 1))

    def known_size(self, tensor: Tensor, dim: int) -> int | None:
        """The same where it is static."""
        return tensor.shape[dim + (2 if self._first(tensor) else 1)]

    def _first(self, tensor: Tensor) -> bool:
        return self.first if tensor is self.x else not self.nhwc

    def features(self) -> dict[str, float]:
        """What a cost model is told of the product the convolution is: rows (pixels of the result), columns
        and depth of one group's, bits of a sum, taps, groups, and the bytes between neighbouring pixels."""
        pixels = [
            form_size or _UNKNOWN for form_size in (self.known_size(self.out, d) for d in range(self.spatial))
        ]
        return {
            "m": float(prod(pixels) * (self.out.shape[0] or 1)),
            "n": float(self.outside),
            "k": float(self.inside * prod(self.kernel)),
            "bits": float(max(32, width(self.given))),
            "taps": float(prod(self.kernel)),
            "groups": float(self.groups),
            "stride": float(self.strides[-1]),
        }

    def finish(
        self,
        t: TileBuilder,
        acc: Tile,
        place: Sequence[Index | int],
        shape: Sequence[int | None],
        steps: Sequence[int] | None = None,
    ) -> None:
        """Apply the epilogue to a tile of the result and store it."""
        tile = narrowed(t, acc, self.given)
        tile = apply_epilogue(t, self.op.main, tile, self.mapped_extras, place, shape, steps)
        t.store(self.out, place, tile, shape, steps=steps)

    def flat(self, tensor: Tensor) -> Tensor:
        """x or out, channels last, as [pixels, channels]."""
        return tensor.collapse([list(range(self.spatial + 1)), [self.spatial + 1]])

    def flat_extras(self) -> tuple[tuple[Tensor, Any], ...] | None:
        """The epilogue's operands with maps over pixels and channels; None where one has no such map."""
        with self.op.main.operation.context:
            found = flattened(self.mapped_extras, self.spatial + 2)
        return None if found is None else tuple(found)

    def finish_flat(
        self, t: TileBuilder, acc: Tile, extras: Sequence[tuple[Tensor, Any]], place: Sequence[Index | int]
    ) -> None:
        """`finish` for a tile of neighbouring pixels by channels; extras: `flat_extras`."""
        tile = narrowed(t, acc, self.given)
        t.store(self.flat(self.out), place, apply_epilogue(t, self.op.main, tile, extras, place, acc.shape))


def conv_form(kernel: Any) -> ConvForm:
    """Read the kernel function of a `dry.conv`."""
    op = dry_op(kernel)
    main = op.main
    weight, pack = op.tensor(main.weight), pack_of(main.weight)
    if pack is not None and len(pack.inner_tiles) > 1:  # a block's channels with those summed beside them
        last = len(weight.shape) - 1
        weight = weight.collapse([*([d] for d in range(last - 1)), [last - 1, last]])
    logical = ir.RankedTensorType(main.weight.type).shape
    transposed = bool(ir.IntegerAttr(main.transposed).value)
    groups = ir.IntegerAttr(main.groups).value
    padding = ints(main.padding)
    image_layout, result_layout = layouts(ir.StringAttr(main.layout).value)
    inside, outside = (logical[0] // groups, logical[1]) if transposed else (logical[1], logical[0] // groups)
    return ConvForm(
        op=op,
        x=op.tensor(main.x),
        weight=weight,
        extras=tuple(op.all(main.extras)),
        out=op.inits[0],
        pack=pack,
        kernel=tuple(logical[2:]),
        strides=tuple(ints(main.strides)),
        before=tuple(padding[::2]),
        after=tuple(padding[1::2]),
        dilation=tuple(ints(main.dilation)),
        groups=groups,
        inside=inside,
        outside=outside,
        transposed=transposed,
        first=image_layout == "nchw",
        nhwc=result_layout == "nhwc",
        sparse=sparse_matrix(op, main.weight),
    )


def with_blocks(form: ConvForm, target: Target) -> ConvForm:
    """The form of a weight that is held in groups, as it is laid down: in blocks of the width of its panels,
    as many channels side by side as a dot unit sums."""
    matrix = form.sparse
    assert isinstance(matrix, StructuredMatrix)
    group = target.neighbours("bf16", "bf16") if form.x.held == "bf16" else 1
    group, order = (group if form.inside % group == 0 else 1), (0, *range(2, form.spatial + 2), 1)
    tiles = (matrix.width, group) if group > 1 else (matrix.width,)
    shape = (-(-form.outside // matrix.width), *form.kernel, form.inside // group, matrix.width * group)
    weight = Tensor(form.weight.name, "bf16" if group > 1 else "f32", shape)
    return replace(form, weight=weight, pack=Pack((0, 1)[: len(tiles)], tiles, order))


def copy_channels(
    t: TileBuilder,
    to: Tensor,
    place: Sequence[Index],
    source: Tensor,
    where: Sequence[Index],
    channels: int,
    lanes: int,
    first: Index | int = 0,
) -> None:
    """Copy channels `first`.. of one position of an image to those from 0 of a position of scratch."""
    chunk = min(channels, 4 * lanes)

    def some(c: Index, size: int) -> None:
        tile = t.load(source, [*where, first + c], [*[None] * len(where), size], held=True)
        t.store(to, [*place, c], tile, [*[None] * len(place), size])

    t.loop(channels // chunk * chunk, chunk, lambda c: some(c, chunk))
    if channels % chunk:
        some(index(channels - channels % chunk), channels % chunk)


def mixed_channels(
    t: TileBuilder, form: ConvForm, where: Sequence[Index], count: int, first: Index | int = 0
) -> Tile:
    """[count * summed]: channels `first`.. of `count` neighbouring positions along the width, side by side
    for each, of a channels-first image; beyond its end zeros. where: image and spatial position."""
    n, *positions = where
    gaps: list[int | None] = [None] * (len(positions) - 1)
    tile = t.load(form.x, [n, first, *positions], [None, form.summed, *gaps, count], held=True)
    return t.reshape(t.interleave(tile, form.summed), (count * form.summed,))


def taps(
    t: TileBuilder, kernel: Sequence[int | Index], body: Callable[[list[Index], Tile], Tile], acc: Tile
) -> Tile:
    """Go round all positions of a kernel, carrying one tile."""

    def level(at: list[Index], carried: Tile) -> Tile:
        if len(at) == len(kernel):
            return body(at, carried)
        size = index(kernel[len(at)])
        if size.constant == 1:
            return level([*at, index(0)], carried)
        (out,) = t.loop(size, 1, lambda k, c: level([*at, k], c), [carried])
        return out

    return level([], acc)


@dataclass(frozen=True)
class WeightReader:
    """Tiles [out channels, in channels] of a convolution's weight, plain or packed along the out channels
    of a group (transposed) or of all groups (not transposed)."""

    form: ConvForm

    @property
    def block(self) -> int | None:
        """Output channels per block of the packed layout."""
        return None if self.form.pack is None else self.form.pack.inner_tiles[0]

    def columns(self, limit: int) -> int:
        """How many output channels one tile may hold: tiles stay inside a group and inside a block."""
        form = self.form
        width = limit if self.block is None else gcd(self.block, limit)
        if form.groups == 1:
            return width
        return divisor(form.outside, width) if self.block is None else gcd(form.outside, width)

    def tile(
        self,
        t: TileBuilder,
        group: Index,
        o: Index,
        c: Index,
        at: Sequence[Index],
        columns: int,
        depth: int,
        *,
        left: bool,
    ) -> Tile:
        """[columns, depth] (left) or [depth, columns] for out channels o.. and in channels c.. of a group."""
        form = self.form
        if form.transposed:
            dims: list[Index] = [group * form.inside + c, o, *at]
            sizes: list[int | None] = [depth, columns, *[None] * len(at)]
            major = 1
        else:
            dims, sizes, major = [group * form.outside + o, c, *at], [columns, depth, *[None] * len(at)], 0
        if form.pack is None:
            tile = form.widened(t, t.load(form.weight, dims, sizes))
            return tile if left != form.transposed else t.transpose(tile)
        pack = form.pack
        if pack.inner_dims != (major,):
            raise InternalError(f"a convolution's weight packed as {pack}")
        (block,) = pack.inner_tiles
        order = pack.outer_perm or tuple(range(len(dims)))
        inner = dims[major] % block
        where = [dims[d] // block if d == major else dims[d] for d in order]
        extents = [None if d == major else sizes[d] for d in order]
        tile = form.widened(t, t.load(form.weight, [*where, inner], [*extents, columns]))
        return t.transpose(tile) if left else tile
