"""Matrix products.

The register tile is rows x width of the result, summed over k in one go: an element of a is broadcast, a row
of b lies in registers (the outer-product kernel of BLIS: Van Zee and van de Geijn, ACM TOMS 41(3), 2015).
Weights come packed in panels of the width; a panel stays in the cache while the rows pass by. A plain b
that lies transposed is read along k instead, and the lanes are summed at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen.families.conv_form import divisor, even
from drystone.codegen.families.dry_op import DryOp, dry_op, narrowed, pack_of, wide, widened
from drystone.codegen.families.epilogue import flattened, load_extra, operations
from drystone.codegen.families.region import apply_region, spread
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.ir.layout import Pack
from drystone.mlir import ir
from drystone.targets.target import CpuTarget

_BITS = {"f64": 64, "i64": 64}
#: Operations in an epilogue from which on it is no longer unrolled over the tile.
_LONG = 20
#: Beyond this many bytes a panel of b is cut along k, as a share of the second cache.
_PANEL = 0.5


@dataclass(frozen=True)
class Parameters:
    """The schedule: rows and width of the register tile, k per unrolled round, k per pass over the rows
    (None: all at once), rows per grid step."""

    rows: int
    width: int
    depth: int
    block: int | None
    high: int


@dataclass(frozen=True)
class MatMulForm:
    """A matrix product: a [*batch, M, K], b with its batch dimensions (an extent of 1 is repeated) and where
    its n blocks, k and inner n lie (inner None: not packed), out [*batch, M, N], and the epilogue's operands
    with their maps."""

    op: DryOp
    a: Tensor
    b: Tensor
    out: Tensor
    extras: tuple[tuple[Tensor, Any], ...]
    pack: Pack | None
    transposed: bool

    @property
    def batch(self) -> int:
        """The number of batch dimensions."""
        return len(self.out.shape) - 2

    @property
    def depth(self) -> Index:
        """K"""
        return self.a.dim(self.batch + 1)

    @property
    def dtype(self) -> str:
        """The element sums are held in."""
        return wide(self.out.dtype)


def matmul(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The program of a `dry.matmul` kernel; None where b is packed in a way not known here."""
    op = dry_op(kernel)
    main = op.main
    a, b, (out,) = op.tensor(main.a), op.tensor(main.b), op.inits
    pack = pack_of(main.b)
    transposed = bool(ir.IntegerAttr(main.transpose_b).value)
    logical = len(main.b.type.shape)
    if pack is not None and not (logical == 2 and pack.inner_dims == (0 if transposed else 1,)):
        return None
    maps = [ir.AffineMapAttr(m).value for m in main.extra_maps]
    extras = tuple(zip(op.all(main.extras), maps, strict=True))
    if logical == 2 and len(out.shape) > 2:
        rank = len(out.shape)
        groups = [list(range(rank - 1)), [rank - 1]]
        with main.operation.context:
            flat = flattened(extras, rank)
        if flat is not None:
            a, out, extras = a.collapse(groups), out.collapse(groups), tuple(flat)
    if pack is None and b.shape[-1] == 1 and not transposed:  # a column lies as a row does
        order = [*range(len(b.shape) - 2), len(b.shape) - 2]
        column = b.collapse([*([i] for i in order[:-1]), [len(b.shape) - 2, len(b.shape) - 1]])
        return _column(MatMulForm(op, a, column, out, extras, None, True), target)
    form = MatMulForm(op, a, b, out, extras, pack, transposed)
    return _along_k(form, target) if transposed and pack is None else _panels(form, target)


def parameters(form: MatMulForm, target: CpuTarget) -> Parameters:
    """The schedule chosen without tuning."""
    bits = _BITS.get(form.dtype, 32)
    lanes = target.lanes(bits)
    wanted = 2 * lanes
    n, m, k = form.out.shape[-1], form.out.shape[-2], form.depth.constant
    if form.pack is not None:
        wanted = form.pack.inner_tiles[0]
    elif n is not None and n < wanted:
        wanted = -(-n // target.lanes(32)) * target.lanes(32)
    vectors = -(-wanted // lanes)
    limit = max(1, min(14, (target.registers - vectors - 1) // vectors))
    rows = even(m, limit)
    depth = divisor(k, 4) if k is not None else 4
    panel = (k or 1) * wanted * bits // 8
    block = None
    if k is not None and m not in range(1, rows + 1) and panel > target.l2 * _PANEL:
        parts = -(-panel // int(target.l2 * _PANEL / 2))
        block = -(-k // parts // depth) * depth
    return Parameters(rows, wanted, depth, block, rows * 8 if block else rows)


def _places(form: MatMulForm, tensor: Tensor, batch: Sequence[Index]) -> list[Index]:
    """Where a tensor's batch dimensions are read for a place of the result."""
    count = len(tensor.shape) - 2
    if tensor is form.b and form.pack is not None:
        return []
    return [index(0) if tensor.shape[d] == 1 else batch[len(batch) - count + d] for d in range(count)]


def _load_b(
    form: MatMulForm, t: TileBuilder, batch: Sequence[Index], k: Index, n: Index, p: Parameters
) -> Tile:
    """Rows k.. of b in the panel that starts at column n."""
    if form.pack is None:
        at = [*_places(form, form.b, batch), k, n]
        return widened(t, t.load(form.b, at, [*([None] * (len(at) - 2)), p.depth, p.width]))
    outer = form.pack.outer_perm or (0, 1)
    blocks_first = outer[0] == form.pack.inner_dims[0]
    block = n // p.width
    at = [block, k, index(0)] if blocks_first else [k, block, index(0)]
    sizes = [None, p.depth, p.width] if blocks_first else [p.depth, None, p.width]
    return widened(t, t.load(form.b, at, sizes))


def _finish(form: MatMulForm, t: TileBuilder, acc: Tile, place: Sequence[Index]) -> None:
    """The epilogue, and the result's tile into memory. A long epilogue runs row by row from scratch: unrolled
    over the whole tile it would take longer to compile than it saves."""
    rows, width = acc.shape
    if rows < 3 or operations(form.op.main.epilogue.blocks[0]) < _LONG:
        _write(form, t, acc, place)
        return
    *batch, m, n = place
    sums = t.scratch((rows, width), acc.dtype)
    t.store(sums, [0, 0], acc)

    def row(i: Index) -> None:
        _write(form, t, t.load(sums, [i, 0], [1, width]), [*batch, m + i, n])

    t.loop((form.out.dim(form.batch) - m).min(rows), 1, row)


def _write(form: MatMulForm, t: TileBuilder, acc: Tile, place: Sequence[Index]) -> None:
    shape = [*([None] * form.batch), *acc.shape]
    main = form.op.main
    acc = narrowed(t, acc, str(main.out.type.element_type))
    more = [load_extra(t, extra, m, place, shape) for extra, m in form.extras]
    (result,) = apply_region(t, main.epilogue.blocks[0], [acc, *more])
    t.store(form.out, place, spread(t, result, acc.shape), shape)


def _promises(form: MatMulForm, t: TileBuilder) -> None:
    """Extents that the operation makes equal."""
    r = form.batch
    t.same(form.a.dim(r), form.out.dim(r))
    for d in range(r):
        if form.a.shape[d] != 1:
            t.same(form.a.dim(d), form.out.dim(d))
    if form.pack is None:
        count = len(form.b.shape)
        n, k = (count - 2, count - 1) if form.transposed else (count - 1, count - 2)
        t.same(form.b.dim(n), form.out.dim(r + 1))
        t.same(form.b.dim(k), form.depth)
        for d in range(count - 2):
            if form.b.shape[d] != 1:
                t.same(form.b.dim(d), form.out.dim(r - (count - 2) + d))
    identity = [ir.AffineDimExpr.get(d) for d in range(r + 2)] if form.extras else []
    for extra, extra_map in form.extras:
        for axis, result in enumerate(extra_map.results):
            if result in identity and extra.shape[axis] != 1:
                t.same(extra.dim(axis), form.out.dim(identity.index(result)))


def _panels(form: MatMulForm, target: CpuTarget) -> TileProgram:
    """b read row by row, packed or as it is."""
    p, rank = parameters(form, target), form.batch
    height, breadth = form.out.dim(rank), form.out.dim(rank + 1)

    def sums(
        t: TileBuilder, batch: Sequence[Index], m: Index, n: Index, acc: Tile, k0: Index, k1: Index
    ) -> Tile:
        def products(k: Index, acc: Tile) -> Tile:
            at = [*_places(form, form.a, batch), m, k]
            a = widened(t, t.load(form.a, at, [*([None] * rank), p.rows, p.depth]))
            return t.dot(acc, a, _load_b(form, t, batch, k, n, p))

        return t.loop(k1, p.depth, products, [acc], lower=k0)[0]

    def at_once(t: TileBuilder, *at: Index) -> None:
        *batch, n, m = at
        zeros = t.full(0, (p.rows, p.width), form.dtype)
        acc = sums(t, batch, m, n, zeros, index(0), form.depth)
        _finish(form, t, acc, [*batch, m, n])

    def in_blocks(t: TileBuilder, *at: Index) -> None:
        *batch, n, first = at
        partial = t.scratch((p.high, p.width), form.dtype)
        end = (height - first).min(p.high)

        def clear(i: Index) -> None:
            t.store(partial, [i, 0], t.full(0, (p.rows, p.width), form.dtype))

        def block(k: Index) -> None:
            def rows(i: Index) -> None:
                acc = t.load(partial, [i, 0], [p.rows, p.width])
                last = (k + (p.block or 0)).min(form.depth)
                t.store(partial, [i, 0], sums(t, batch, first + i, n, acc, k, last))

            t.loop(end, p.rows, rows)

        def finish(i: Index) -> None:
            acc = t.load(partial, [i, 0], [p.rows, p.width])
            _finish(form, t, acc, [*batch, first + i, n])

        t.loop(end, p.rows, clear)
        t.loop(form.depth, p.block or 1, block)
        t.loop(end, p.rows, finish)

    def body(t: TileBuilder) -> None:
        _promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        axes += [(breadth, p.width), (height, p.high)]
        step = in_blocks if p.block else at_once
        t.grid(axes, lambda *at: step(t, *at))

    return _program(form, body)


def _program(form: MatMulForm, body: Any) -> TileProgram:
    with form.op.main.operation.context:
        return tile_program("matmul", form.op.tensors, body, form.op.scalars)


def _along_k(form: MatMulForm, target: CpuTarget) -> TileProgram:
    """A plain b [.., N, K]: registers hold neighbours along k, one sum for each element of the tile."""
    rank, lanes = form.batch, target.lanes(32)
    m, n = form.out.shape[-2:]
    wide_tile = target.registers > 16
    columns = min(n or 4, 4)
    rows = even(m, 4 if wide_tile else 2)
    if rows == 1:
        columns = min(n or 8, 8)

    def body(t: TileBuilder) -> None:
        def step(*at: Index) -> None:
            *batch, j, i = at

            def products(k: Index, acc: Tile) -> Tile:
                a_at = [*_places(form, form.a, batch), i, k]
                b_at = [*_places(form, form.b, batch), j, k]
                a = widened(t, t.load(form.a, a_at, [*([None] * (len(a_at) - 2)), rows, lanes]))
                b = widened(t, t.load(form.b, b_at, [*([None] * (len(b_at) - 2)), columns, lanes]))
                return _accumulate(t, acc, t.reshape(a, (rows, 1, lanes)), t.reshape(b, (1, columns, lanes)))

            (acc,) = t.loop(form.depth, lanes, products, [t.full(0, (rows, columns, lanes), form.dtype)])
            total = t.reduce("arith.addf" if form.dtype[0] == "f" else "arith.addi", acc, 2)
            _finish(form, t, t.reshape(total, (rows, columns)), [*batch, i, j])

        _promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        t.grid([*axes, (form.out.dim(rank + 1), columns), (form.out.dim(rank), rows)], step)

    return _program(form, body)


def _column(form: MatMulForm, target: CpuTarget) -> TileProgram:
    """b a column [.., K]: each row of a is read along k."""
    rank, lanes = form.batch, target.lanes(32)
    rows = even(form.out.shape[-2], 8)

    def body(t: TileBuilder) -> None:
        def step(*at: Index) -> None:
            *batch, i = at
            count = len(form.b.shape) - 1
            b_batch = [
                index(0) if form.b.shape[d] == 1 else batch[len(batch) - count + d] for d in range(count)
            ]

            def products(k: Index, acc: Tile) -> Tile:
                a_at = [*_places(form, form.a, batch), i, k]
                a = widened(t, t.load(form.a, a_at, [*([None] * (len(a_at) - 2)), rows, lanes]))
                b = widened(t, t.load(form.b, [*b_batch, k], [*([None] * count), lanes]))
                return _accumulate(t, acc, a, b)

            (acc,) = t.loop(form.depth, lanes, products, [t.full(0, (rows, lanes), form.dtype)])
            total = t.reduce("arith.addf" if form.dtype[0] == "f" else "arith.addi", acc, 1)
            _finish(form, t, total, [*batch, i, index(0)])

        t.same(form.a.dim(rank), form.out.dim(rank))
        t.same(form.b.dim(len(form.b.shape) - 1), form.depth)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        t.grid([*axes, (form.out.dim(rank), rows)], step)

    return _program(form, body)


def _accumulate(t: TileBuilder, acc: Tile, a: Tile, b: Tile) -> Tile:
    kind = "f" if acc.dtype[0] == "f" else "i"
    return t.apply(f"arith.add{kind}", acc, t.apply(f"arith.mul{kind}", a, b))
