"""tm_tensor.scatter: slices of a tensor are replaced, or combined with, slices at given positions.

Every unit of work takes one position of a dimension that is not indexed (a run of columns where that is the
last): it copies its share of the old content and then handles all slices in order, so that positions named
twice are right. A position outside the tensor is moved into it: no other memory is written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.outlined import Outlined, number, outlined
from drystone.codegen.families.region import apply_region, spread
from drystone.codegen.families.rows import inside_of
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, distinct, index, tile_program
from drystone.mlir import ir
from drystone.targets.target import Target


@dataclass(frozen=True)
class _Scatter:
    """updates [N, a slice], indices [N, one per indexed dimension]; `axes`: where updates has each dimension
    of the tensor (None: it leaves out that indexed one); `wide` elements of the last dimension are one tile;
    `split`: the dimension the units share out, if any."""

    around: Outlined
    block: Any
    updates: Tensor
    indices: Tensor
    before: Any
    out: Tensor
    indexed: list[int]
    axes: list[int | None]
    wide: int
    split: int | None

    @property
    def rank(self) -> int:
        return len(self.out.shape)

    def shape(self) -> list[int | None]:
        """A tile of the tensor."""
        return [None] * (self.rank - 1) + [self.wide]

    def length(self, dim: int) -> Index:
        """The extent of a slice along a dimension of the tensor."""
        axis = self.axes[dim]
        return index(1) if axis is None else self.updates.dim(axis)

    def nest(
        self,
        t: TileBuilder,
        extent: Callable[[int], Index],
        fixed: dict[int, Index],
        body: Callable[[list[Index]], None],
    ) -> None:
        """Loops over the dimensions of the tensor that are not fixed: body(positions)."""
        axis = len(fixed)
        if axis == self.rank:
            body([fixed[d] for d in range(self.rank)])
            return
        free = next(d for d in range(self.rank) if d not in fixed)
        step = self.wide if free == self.rank - 1 else 1
        t.loop(extent(free), step, lambda j: self.nest(t, extent, {**fixed, free: j}, body))

    def old(self, t: TileBuilder, place: Sequence[Index]) -> Tile:
        """A tile of the old content."""
        if isinstance(self.before, Tensor):
            return t.load(self.before, place, self.shape())
        return t.full(number(self.before) or 0, (self.wide,), self.out.dtype)

    def slice(self, t: TileBuilder, n: Index, mine: dict[int, Index]) -> None:
        """Handle one slice."""
        target = {}
        for place, dim in enumerate(self.indexed):
            found = t.element(t.load(self.indices, [n, index(place)], [None, None]))
            target[dim] = found.min(self.out.dim(dim) - 1).max(0)
        fixed = {**mine, **{dim: index(0) for dim in self.indexed}}

        def one(place: list[Index]) -> None:
            at = [target.get(dim, where) for dim, where in enumerate(place)]
            kept = [dim for dim in range(self.rank) if self.axes[dim] is not None]
            shape = [None, *(self.shape()[dim] for dim in kept)]
            new = t.load(self.updates, [n, *(place[dim] for dim in kept)], shape)
            held = t.load(self.out, at, self.shape())
            (value,) = apply_region(t, self.block, [new, held], captured=self.around.captures(t, self.block))
            value = spread(t, value, (self.wide,))
            last = self.rank - 1
            if last not in self.indexed and self.updates.shape[-1] != self.out.shape[-1]:
                inside = inside_of(t, place[last], self.length(last), self.wide)
                value = t.apply("arith.select", inside, value, held, dtype=held.dtype)
            t.store(self.out, at, value, self.shape())

        self.nest(t, self.length, fixed, one)

    def unit(self, t: TileBuilder, mine: dict[int, Index]) -> None:
        """The old content, then all slices."""

        def copy() -> None:
            self.nest(t, self.out.dim, mine, lambda at: t.store(self.out, at, self.old(t, at), self.shape()))

        if isinstance(self.before, Tensor):
            t.when(0, distinct(self.before, self.out), copy)
        else:
            copy()
        t.loop(self.updates.dim(0), 1, lambda n: self.slice(t, n, mine))

    def body(self, t: TileBuilder) -> None:
        """The whole program."""
        if isinstance(self.before, Tensor):
            for axis in range(self.rank):
                t.same(self.out.dim(axis), self.before.dim(axis))
        split = self.split
        if split is None:
            t.grid([(1, 1)], lambda _: self.unit(t, {}))
            return
        step = self.wide if split == self.rank - 1 else 1
        t.grid([(self.out.dim(split), step)], lambda p: self.unit(t, {split: p}))


def _axes(updates: int, rank: int, indexed: list[int]) -> list[int | None] | None:
    """Which dimension of updates of this rank is each of the tensor's: all are there, or all not indexed."""
    if updates == rank + 1:
        return list(range(1, rank + 1))
    if updates != rank + 1 - len(indexed):
        return None
    kept = [dim for dim in range(rank) if dim not in indexed]
    return [kept.index(dim) + 1 if dim in kept else None for dim in range(rank)]


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is tm_tensor.scatter with slices of extent 1 along
    the indexed dimensions."""
    around = outlined(kernel)
    if around is None or not around.inits[0].shape:
        return None
    op, out = around.main.operation, around.inits[0]
    updates, indices = (around.tensor(value) for value in list(op.operands)[:2])
    before = around.start(op.operands[2])
    (block,) = op.regions[0].blocks
    known = isinstance(before, Tensor) or (before is not None and number(before) is not None)
    if updates is None or indices is None or not known or not around.region(block):
        return None
    indexed = [int(dim) for dim in ir.DenseI64ArrayAttr(op.attributes["dimension_map"])]
    rank = len(out.shape)
    axes = _axes(len(updates.shape), rank, indexed)
    if axes is None or any(updates.shape[axes[dim] or 0] != 1 for dim in indexed if axes[dim] is not None):
        return None
    last = rank - 1
    wide = 1 if last in indexed else tile_width(target, out.dtype, out.dim(last))
    free = [
        dim for dim in range(rank) if dim not in indexed and updates.shape[axes[dim] or 0] == out.shape[dim]
    ]
    split = max(free, key=lambda dim: (dim != last, out.shape[dim] or 2**30, -dim), default=None)
    found = _Scatter(around, block, updates, indices, before, out, indexed, axes, wide, split)
    return tile_program("scatter", around.tensors, found.body, around.scalars)
