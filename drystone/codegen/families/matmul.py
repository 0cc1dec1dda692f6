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
from drystone.codegen.families.dry_op import dry_op, pack_of, widened
from drystone.codegen.families.epilogue import flattened
from drystone.codegen.families.matmul_dots import along_k, column
from drystone.codegen.families.matmul_form import MatMulForm, finish, places, program, promises
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, index
from drystone.mlir import ir
from drystone.targets.target import CpuTarget

_BITS = {"f64": 64, "i64": 64}
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
            joined = flattened(extras, rank)
        if joined is not None:
            a, out, extras = a.collapse(groups), out.collapse(groups), tuple(joined)
    if pack is None and b.shape[-1] == 1 and not transposed:  # a column lies as a row does
        count = len(b.shape)
        flat = b.collapse([*([d] for d in range(count - 2)), [count - 2, count - 1]])
        return column(MatMulForm(op, a, flat, out, extras, None, True), target)
    form = MatMulForm(op, a, b, out, extras, pack, transposed)
    return along_k(form, target) if transposed and pack is None else _panels(form, target)


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


def _load_b(
    form: MatMulForm, t: TileBuilder, batch: Sequence[Index], k: Index, n: Index, p: Parameters
) -> Tile:
    """Rows k.. of b in the panel that starts at column n."""
    if form.pack is None:
        at = [*places(form, form.b, batch), k, n]
        return widened(t, t.load(form.b, at, [*([None] * (len(at) - 2)), p.depth, p.width]))
    outer = form.pack.outer_perm or (0, 1)
    blocks_first = outer[0] == form.pack.inner_dims[0]
    block = n // p.width
    at = [block, k, index(0)] if blocks_first else [k, block, index(0)]
    sizes = [None, p.depth, p.width] if blocks_first else [p.depth, None, p.width]
    return widened(t, t.load(form.b, at, sizes))


def _panels(form: MatMulForm, target: CpuTarget) -> TileProgram:
    """b read row by row, packed or as it is."""
    p, rank = parameters(form, target), form.batch
    height, breadth = form.out.dim(rank), form.out.dim(rank + 1)

    def sums(
        t: TileBuilder, batch: Sequence[Index], m: Index, n: Index, acc: Tile, k0: Index, k1: Index
    ) -> Tile:
        def products(k: Index, acc: Tile) -> Tile:
            at = [*places(form, form.a, batch), m, k]
            a = widened(t, t.load(form.a, at, [*([None] * rank), p.rows, p.depth]))
            return t.dot(acc, a, _load_b(form, t, batch, k, n, p))

        return t.loop(k1, p.depth, products, [acc], lower=k0)[0]

    def at_once(t: TileBuilder, *at: Index) -> None:
        *batch, n, m = at
        zeros = t.full(0, (p.rows, p.width), form.dtype)
        acc = sums(t, batch, m, n, zeros, index(0), form.depth)
        finish(form, t, acc, [*batch, m, n])

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

        def close(i: Index) -> None:
            acc = t.load(partial, [i, 0], [p.rows, p.width])
            finish(form, t, acc, [*batch, first + i, n])

        t.loop(end, p.rows, clear)
        t.loop(form.depth, p.block or 1, block)
        t.loop(end, p.rows, close)

    def body(t: TileBuilder) -> None:
        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        axes += [(breadth, p.width), (height, p.high)]
        step = in_blocks if p.block else at_once
        t.grid(axes, lambda *at: step(t, *at))

    return program(form, body)
