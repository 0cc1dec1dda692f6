"""What a matrix product's kernel is made of, and what its programs share: places, promises, the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.elements import wide
from drystone.codegen.families.codes.decoding import CodedMatrix
from drystone.codegen.families.dry_op import DryOp, narrowed
from drystone.codegen.families.epilogue import load_extra, operations
from drystone.codegen.families.region import apply_region, spread
from drystone.codegen.families.sparse.listed import ListedMatrix
from drystone.codegen.families.sparse.structured import StructuredMatrix
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.ir.encoding import Pack
from drystone.mlir import ir

#: Operations in an epilogue from which on it is no longer unrolled over the tile.
_LONG = 20
#: Rows of the smallest tile that is summed in tile registers.
_HIGH = 16

#: Sums in scratch, and the row of it that is the first one of a tile.
Kept = tuple[Tensor, Index]


@dataclass(frozen=True)
class MatMulForm:
    """A matrix product: a [*batch, M, K], b [.., K, N] or, `transposed`, [.., N, K] (an extent of 1 in its
    batch is repeated), stored as `pack` says, out [*batch, M, N], and the epilogue's operands with their
    maps. inner: by their number, operands that are not in memory: the elements of other products of the same
    a, whose sums are held beside this one's. coded, sparse: what reads b, where that holds
    codes, or some of its elements; `left`: it is a that is sparse. skips: b is held so that rows of it
    can be left out; place: which it is of the matrices whose rows lie side by side, where they do."""

    op: DryOp
    a: Tensor
    b: Tensor
    out: Tensor
    extras: tuple[tuple[Tensor, Any], ...]
    pack: Pack | None
    transposed: bool
    inner: tuple[tuple[int, "MatMulForm"], ...] = ()
    coded: CodedMatrix | None = None
    sparse: ListedMatrix | StructuredMatrix | None = None
    left: bool = False
    skips: bool = False
    place: int | None = None

    @property
    def batch(self) -> int:
        """The number of batch dimensions."""
        return len(self.out.shape) - 2

    @property
    def depth(self) -> Index:
        """K"""
        if not self.left:
            return self.a.dim(self.batch + 1)
        return self.b.dim(len(self.b.shape) - (1 if self.transposed else 2))

    @property
    def group(self) -> int:
        """Neighbouring k that lie side by side in b, or in what is decoded of it."""
        if self.coded is not None or isinstance(self.sparse, StructuredMatrix):
            return {"bf16": 2, "i8": 4}.get(self.a.held, 1)
        return self.pack.inner_tiles[1] if self.pack is not None and len(self.pack.inner_tiles) > 1 else 1

    @property
    def by_panels(self) -> bool:
        """Whether b is packed, one panel of it behind the other."""
        pack = self.pack
        return pack is not None and (self.group > 1 or (pack.outer_perm or (0, 1))[0] == pack.inner_dims[0])

    @property
    def dtype(self) -> str:
        """The element sums are held in."""
        return wide(self.given)

    @property
    def given(self) -> str:
        """The element that the epilogue takes, which need not be the result's."""
        return str(self.op.main.epilogue.blocks[0].arguments[0].type)


def places(form: MatMulForm, tensor: Tensor, batch: Sequence[Index]) -> list[Index]:
    """Where a tensor's batch dimensions are read for a place of the result."""
    count = len(tensor.shape) - 2
    if tensor is form.b and (form.pack is not None or form.coded is not None):
        return []
    return [index(0) if tensor.shape[d] == 1 else batch[len(batch) - count + d] for d in range(count)]


def plain_b(
    form: MatMulForm, batch: Sequence[Index], at: Sequence[Index], sizes: Sequence[int]
) -> tuple[list[Index], list[int | None]]:
    """Starts and sizes of a load of a plain b, from a row and column on."""
    if form.place is not None:
        (row, column), (rows, columns) = at, sizes
        return [row, index(form.place), column], [rows, None, columns]
    before = places(form, form.b, batch)
    return [*before, *at], [*([None] * len(before)), *sizes]


def finish(
    form: MatMulForm, t: TileBuilder, acc: Tile, place: Sequence[Index], kept: Sequence[Kept] = ()
) -> None:
    """The epilogue, and the result's tile into memory. A long epilogue, or that of a tile higher than vector
    registers hold, runs row by row from scratch: unrolled it would take longer to compile than it saves.
    kept: the sums of the inner products."""
    rows, width = acc.shape
    if rows < 3 or (rows < _HIGH and _operations(form) < _LONG):
        _write(form, t, [acc, *_loaded(t, kept, index(0), acc.shape)], place)
        return
    sums = t.scratch((rows, width), acc.dtype)
    t.store(sums, [0, 0], acc)
    end = (form.out.dim(form.batch) - place[form.batch]).min(rows)
    finish_rows(form, t, sums, place, index(0), end, kept)


def finish_rows(
    form: MatMulForm,
    t: TileBuilder,
    sums: Tensor,
    place: Sequence[Index],
    first: Index,
    end: Index,
    kept: Sequence[Kept] = (),
) -> None:
    """The epilogue and the result of a tile's rows from `first` up to `end`, whose sums are in scratch."""
    *batch, m, n = place

    def row(i: Index) -> None:
        accs = _loaded(t, [(sums, index(0)), *kept], i, (1, int(sums.shape[1] or 1)))
        _write(form, t, accs, [*batch, m + i, n])

    t.loop(end, 1, row, lower=first)


def _operations(form: MatMulForm) -> int:
    own = operations(form.op.main.epilogue.blocks[0])
    return own + sum(_operations(inner) for _, inner in form.inner)


def _loaded(t: TileBuilder, kept: Sequence[Kept], i: Index, shape: tuple[int, ...]) -> list[Tile]:
    return [t.load(sums, [first + i, 0], shape) for sums, first in kept]


def _write(form: MatMulForm, t: TileBuilder, accs: Sequence[Tile], place: Sequence[Index]) -> None:
    shape = [*([None] * form.batch), *accs[0].shape]
    t.store(form.out, place, result_tile(form, t, accs, place, shape), shape)


def result_tile(
    form: MatMulForm, t: TileBuilder, accs: Sequence[Tile], place: Sequence[Index], shape: list[int | None]
) -> Tile:
    """The elements of a tile from the sums of the product, and of its inner ones."""
    main = form.op.main
    acc = narrowed(t, accs[0], form.given)
    given = {
        number: result_tile(inner, t, [sums], place, shape)
        for (number, inner), sums in zip(form.inner, accs[1:], strict=True)
    }
    loaded = iter([load_extra(t, extra, m, place, shape) for extra, m in form.extras])
    count = len(form.extras) + len(given)
    more = [given[number] if number in given else next(loaded) for number in range(count)]
    (result,) = apply_region(t, main.epilogue.blocks[0], [acc, *more])
    return spread(t, result, acc.shape)


def promises(form: MatMulForm, t: TileBuilder) -> None:
    """Extents that the operation makes equal."""
    r = form.batch
    if form.left:
        t.same(form.b.dim(len(form.b.shape) - (2 if form.transposed else 1)), form.out.dim(r + 1))
        for d in range(r):
            if form.b.shape[d] != 1:
                t.same(form.b.dim(d), form.out.dim(d))
    else:
        t.same(form.a.dim(r), form.out.dim(r))
        for d in range(r):
            if form.a.shape[d] != 1:
                t.same(form.a.dim(d), form.out.dim(d))
    if form.pack is None and form.coded is None and form.sparse is None:
        count = len(form.b.shape)
        first, last = count - 2 if form.place is None else 0, count - 1
        n, k = (first, last) if form.transposed else (last, first)
        t.same(form.b.dim(n), form.out.dim(r + 1))
        t.same(form.b.dim(k), form.depth)
        for d in range(first):
            if form.b.shape[d] != 1:
                t.same(form.b.dim(d), form.out.dim(r - (count - 2) + d))
    identity = [ir.AffineDimExpr.get(d) for d in range(r + 2)] if form.extras else []
    for extra, extra_map in form.extras:
        for axis, result in enumerate(extra_map.results):
            if result in identity and extra.shape[axis] != 1:
                t.same(extra.dim(axis), form.out.dim(identity.index(result)))


def program(form: MatMulForm, body: Callable[[TileBuilder], None]) -> TileProgram:
    """The tile program of a body."""
    with form.op.main.operation.context:
        return tile_program("matmul", form.op.tensors, body, form.op.scalars)
