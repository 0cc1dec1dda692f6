"""Kernels that only move elements: slices with strides, padding, concatenation, insertion into a tensor.

All walk a tensor row by row, the last dimension in wide tiles. What lies outside a tensor reads as a fill
and is not written, which is what padding is; elsewhere, lanes outside a slice keep what the tensor held.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.outlined import Outlined, number, outlined, tensor_of
from drystone.codegen.families.rows import inside_of, split_at
from drystone.codegen.families.tiling import UNIT, chunk_end, tile_width
from drystone.codegen.tile import Index, Tensor, TileBuilder, TileProgram, distinct, index, tile_program
from drystone.mlir import ir
from drystone.targets.target import Target

# Rows of so few elements are moved one by one.
_FEW = 3


def _mixed(around: Outlined, op: Any, static: str, dynamic: Any) -> list[Index] | None:
    """A list of integers, some of them operands."""
    marker = ir.ShapedType.get_dynamic_size()
    given = iter(list(dynamic))
    found = []
    for n in op.operation.attributes[static]:
        value = around.index(next(given)) if n == marker else index(n)
        if value is None:
            return None
        found.append(value)
    return found


def _over(t: TileBuilder, out: Tensor, width: int, row: Callable[[list[Index], Index, Index], None]) -> None:
    """The grid over the rows of `out`, long ones in chunks: row(place, lower, upper)."""
    *outer, last = [out.dim(axis) for axis in range(len(out.shape))]
    chunk = max(1, UNIT // width) * width

    def cell(*starts: Index) -> None:
        row(list(starts[:-1]), starts[-1], chunk_end(starts[-1], chunk, last))

    t.grid([*((extent, 1) for extent in outer), (last, chunk)], cell)


def _row_shape(out: Tensor, width: int) -> list[int | None]:
    return [*(None for _ in out.shape[1:]), width]


@dataclass(frozen=True)
class _Box:
    """A box in a tensor: for each of its dimensions where it starts, how far it reaches, in which steps, and
    the dimension of the slice it is (None where that leaves it out)."""

    offsets: list[Index]
    sizes: list[Index]
    steps: list[int]
    dims: list[int | None]

    @staticmethod
    def read(around: Outlined, op: Any, kept: Sequence[int | None]) -> "_Box | None":
        """The box of a slice operation whose slice has the extents `kept`."""
        lists = [
            _mixed(around, op, f"static_{name}", getattr(op, name))
            for name in ("offsets", "sizes", "strides")
        ]
        if lists[0] is None or lists[1] is None or lists[2] is None:
            return None
        steps = [step.constant for step in lists[2]]
        dims, known = [], [step for step in steps if step is not None]
        rest = list(range(len(kept)))
        spare = len(lists[1]) - len(kept)
        for size in lists[1]:
            left_out = spare > 0 and size.constant == 1 and (not rest or kept[rest[0]] != 1)
            spare -= left_out
            dims.append(None if left_out or not rest else rest.pop(0))
        if rest or len(known) != len(steps):
            return None
        return _Box(lists[0], lists[1], known, dims)

    def groups(self, out: Tensor) -> list[list[int]] | None:
        """The dimensions of `out` with those joined that are one stretch of every row: the last ones that the
        box fills, and the one before them; None where there are none, or the slice leaves some out."""
        rank = len(out.shape)
        if self.dims != list(range(rank)) or set(self.steps) != {1}:
            return None
        first = rank - 1
        while first > 0 and out.shape[first] is not None and self.sizes[first].constant == out.shape[first]:
            first -= 1
        return None if first == rank - 1 else [*([d] for d in range(first)), list(range(first, rank))]

    def joined(self, groups: list[list[int]]) -> "_Box":
        """The same box with the dimensions of the last of `groups` joined."""
        first = groups[-1][0]
        inner = index(1)
        for extent in self.sizes[first + 1 :]:
            inner = inner * extent
        offsets = [*self.offsets[:first], self.offsets[first] * inner]
        sizes = [*self.sizes[:first], self.sizes[first] * inner]
        return _Box(offsets, sizes, [1] * len(groups), list(range(len(groups))))


def extract_slice(kernel: Any, target: Target) -> TileProgram | None:
    """A slice that is not one stretch of its source."""
    around = outlined(kernel)
    source = None if around is None else around.tensor(around.main.source)
    if around is None or source is None or not around.inits[0].shape:
        return None
    out = around.inits[0]
    box = _Box.read(around, around.main, out.shape)
    if box is None:
        return None
    return _place(around, source, out, box, target, "slice", 0)


def pad(kernel: Any, target: Target) -> TileProgram | None:
    """tensor.pad with one constant."""
    around = outlined(kernel)
    source = None if around is None else around.tensor(around.main.source)
    if around is None or source is None or not source.shape:
        return None
    low = _mixed(around, around.main, "static_low", around.main.low)
    (block,) = around.main.operation.regions[0].blocks
    fill = number(list(block.operations)[-1].operation.operands[0])
    if low is None or fill is None:
        return None
    rank = len(source.shape)
    box = _Box([0 - n for n in low], [], [1] * rank, list(range(rank)))
    return _place(around, source, around.inits[0], box, target, "pad", fill)


def _place(
    around: Outlined, source: Tensor, out: Tensor, box: _Box, target: Target, family: str, fill: float
) -> TileProgram:
    """out[i] = source[offset + i * step], `fill` where that is outside."""
    width = tile_width(target, out.dtype, out.dim(len(out.shape) - 1))
    last = len(out.shape) - 1

    def row(t: TileBuilder, place: list[Index], lower: Index, upper: Index) -> None:
        def part(j: Index) -> None:
            here = [*place, j]
            at = [
                offset if dim is None else offset + here[dim] * step
                for offset, step, dim in zip(box.offsets, box.steps, box.dims, strict=True)
            ]
            shape = [width if dim == last else None for dim in box.dims]
            tile = t.load(source, at, shape, steps=box.steps, fill=fill)
            t.store(out, here, tile, _row_shape(out, width))

        t.loop(upper, width, part, lower=lower)

    def body(t: TileBuilder) -> None:
        _over(t, out, width, lambda place, lower, upper: row(t, place, lower, upper))

    return tile_program(family, around.tensors, body, around.scalars)


def concat(kernel: Any, target: Target) -> TileProgram | None:
    """tensor.concat: the rows of all inputs one after another, in rows of what lies before the dimension.

    A part is written in whole tiles: what reaches into the next one is written over by that.
    """
    around = outlined(kernel)
    if around is None:
        return None
    dim = int(ir.IntegerAttr(around.main.operation.attributes["dim"]).value)
    parts = []
    for value in around.main.operation.operands:
        constant = number(value)
        tensor = around.tensor(value) if constant is None else tensor_of("constant", value.type)
        if tensor is None:
            return None
        parts.append((split_at(tensor, dim), constant))
    out = split_at(around.inits[0], dim)

    def row(t: TileBuilder, place: list[Index]) -> None:
        start = index(0)
        for part, constant in parts:
            extent = part.dim(len(part.shape) - 1)
            single = extent.constant is not None and extent.constant <= _FEW
            width = 1 if single else tile_width(target, out.dtype, extent)
            shape = [*(None for _ in place), width]

            def copy(
                j: Index,
                part: Tensor = part,
                constant: float | None = constant,
                start: Index = start,
                shape: list[int | None] = shape,
            ) -> None:
                if constant is None:
                    tile = t.load(part, [*place, j], shape)
                else:
                    tile = t.full(constant, (shape[-1] or 1,), out.dtype)
                t.store(out, [*place, start + j], tile, shape)

            t.loop(extent, width, copy)
            start = start + extent

    def body(t: TileBuilder) -> None:
        if len(out.shape) == 1:
            t.grid([(1, 1)], lambda _: row(t, []))
            return
        for part, constant in parts:
            if constant is None:
                t.same(out.dim(0), part.dim(0))
        t.grid([(out.dim(0), 1)], lambda r: row(t, [r]))

    return tile_program("concat", around.tensors, body, around.scalars)


def insert_slice(kernel: Any, target: Target) -> TileProgram | None:
    """tensor.insert_slice with unit strides: the old content row by row, and the slice over its rows."""
    around = outlined(kernel)
    if around is None or not around.inits[0].shape:
        return None
    op, out = around.main, around.inits[0]
    source, before = around.tensor(op.source), around.start(op.dest)
    box = None if source is None else _Box.read(around, op, source.shape)
    if source is None or box is None or set(box.steps) != {1} or box.dims[-1] is None:
        return None
    if before is not None and not isinstance(before, Tensor) and number(before) is None:
        return None
    groups = box.groups(out)
    if groups is not None:
        source, out, box = source.collapse(groups), out.collapse(groups), box.joined(groups)
        before = before.collapse(groups) if isinstance(before, Tensor) else before
    insertion = _Insertion(source, before, out, box, tile_width(target, out.dtype, box.sizes[-1]), around)
    return tile_program("insert", around.tensors, insertion.body, around.scalars)


@dataclass(frozen=True)
class _Insertion:
    """`source` goes into `out` at a box; elsewhere is what was `before`: a tensor, one number, or (None)
    nothing that matters."""

    source: Tensor
    before: Any
    out: Tensor
    box: _Box
    width: int
    around: Outlined

    def old(self, t: TileBuilder, place: list[Index]) -> Any:
        """A tile of the old content."""
        if isinstance(self.before, Tensor):
            return t.load(self.before, place, _row_shape(self.out, self.width))
        found = number(self.before)
        return t.full(0 if found is None else found, (self.width,), self.out.dtype)

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        if isinstance(self.before, Tensor):
            for axis in range(len(self.out.shape)):
                t.same(self.out.dim(axis), self.before.dim(axis))
        *outer, _ = [self.out.dim(axis) for axis in range(len(self.out.shape))]
        if outer:
            t.grid([(extent, 1) for extent in outer], lambda *place: self.row(t, list(place)))
        else:
            t.grid([(1, 1)], lambda _: self.row(t, []))

    def row(self, t: TileBuilder, place: list[Index]) -> None:
        """One row: what was there, then the slice where the row lies in the box."""
        shape, extent = _row_shape(self.out, self.width), self.out.dim(len(self.out.shape) - 1)

        def copy(j: Index) -> None:
            t.store(self.out, [*place, j], self.old(t, [*place, j]), shape)

        def whole() -> None:
            t.loop(extent, self.width, copy)

        if isinstance(self.before, Tensor):
            t.when(0, distinct(self.before, self.out), whole)
        elif self.before is not None:
            whole()
        self.within(t, place, len(place))

    def within(self, t: TileBuilder, place: list[Index], axis: int) -> None:
        """Write the slice if the row lies in the box along the dimensions before `axis`."""
        if axis == 0:
            t.loop(self.box.sizes[-1], self.width, lambda j: self.part(t, place, j))
            return
        start, size = self.box.offsets[axis - 1], self.box.sizes[axis - 1]
        here = place[axis - 1]

        def below() -> None:
            t.when(here, start + size, lambda: self.within(t, place, axis - 1))

        t.when(start - 1, here, below)

    def part(self, t: TileBuilder, place: list[Index], j: Index) -> None:
        """One tile of the slice; lanes behind it keep what the row holds."""
        into, last = [*place, self.box.offsets[-1] + j], len(self.box.dims) - 1
        from_, shape = [], []
        for axis, dim in enumerate(self.box.dims):
            if dim is not None:
                from_.append(j if axis == last else place[axis] - self.box.offsets[axis])
                shape.append(self.width if axis == last else None)
        tile = t.load(self.source, from_, shape)
        whole = self.box.sizes[-1].constant
        if whole is None or whole % self.width:
            kept = inside_of(t, j, self.box.sizes[-1], self.width)
            old = t.load(self.out, into, _row_shape(self.out, self.width))
            tile = t.apply("arith.select", kept, tile, old, dtype=old.dtype)
        t.store(self.out, into, tile, _row_shape(self.out, self.width))
