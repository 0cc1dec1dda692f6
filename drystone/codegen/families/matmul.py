"""Matrix products.

The register tile is rows x width of the result, summed over k in one go: an element of a is broadcast, a row
of b lies in registers (the outer-product kernel of BLIS: Van Zee and van de Geijn, ACM TOMS 41(3), 2015).
Weights come packed in panels of the width; a panel stays in the cache while the rows pass by. A plain b
that lies transposed is read along k instead, and the lanes are summed at the end.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from drystone.codegen.elements import width
from drystone.codegen.families.dry_op import dry_op, pack_of, widened
from drystone.codegen.families.epilogue import flattened
from drystone.codegen.families.matmul_dots import along_k, column
from drystone.codegen.families.matmul_form import MatMulForm, finish, places, program, promises
from drystone.codegen.families.matmul_schedule import Product, Schedule, default, schedule, space
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, index
from drystone.mlir import ir
from drystone.targets.target import CpuTarget

#: What a size known at the call counts as for a cost model.
_UNKNOWN = 256


def matmul(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The program of a `dry.matmul` kernel; None where b is packed in a way not known here."""
    form = _form(kernel)
    if form is None:
        return None
    if form.pack is None and form.b.shape[-1] == 1 and not form.transposed:  # a column lies as a row does
        count = len(form.b.shape)
        flat = form.b.collapse([*([d] for d in range(count - 2)), [count - 2, count - 1]])
        return column(replace(form, b=flat, transposed=True), target)
    if form.transposed and form.pack is None:
        return along_k(form, target)
    product = _product(form)
    return _panels(form, schedule(product, default(product, target)))


def search(kernel: Any, target: CpuTarget) -> Search | None:
    """The schedules of a `dry.matmul` kernel; None where there is nothing to choose."""
    form = _form(kernel)
    if form is None or (form.pack is None and (form.transposed or form.b.shape[-1] == 1)):
        return None
    product = _product(form)
    sizes = {"m": product.m, "n": product.n, "k": product.k}
    features = {name: float(_UNKNOWN if size is None else size) for name, size in sizes.items()}

    def build(point: Point) -> TileProgram:
        return _panels(form, schedule(product, point))

    return Search(
        space(product, target), default(product, target), {**features, "bits": float(product.bits)}, build
    )


def _form(kernel: Any) -> MatMulForm | None:
    """What the operation multiplies, with the leading dimensions joined where b is one matrix."""
    op = dry_op(kernel)
    main = op.main
    a, b, (out,) = op.tensor(main.a), op.tensor(main.b), op.inits
    pack = pack_of(main.b)
    transposed = bool(ir.IntegerAttr(main.transpose_b).value)
    logical = len(main.b.type.shape)
    if pack is not None and not (logical == 2 and pack.inner_dims[:1] == (0 if transposed else 1,)):
        return None
    if pack is not None and len(pack.inner_dims) > 1:  # a block's columns with the k that lie beside them
        b = b.collapse([[0], [1], [2, 3]])
    maps = [ir.AffineMapAttr(m).value for m in main.extra_maps]
    extras = tuple(zip(op.all(main.extras), maps, strict=True))
    if logical == 2 and len(out.shape) > 2:
        rank = len(out.shape)
        groups = [list(range(rank - 1)), [rank - 1]]
        with main.operation.context:
            joined = flattened(extras, rank)
        if joined is not None:
            a, out, extras = a.collapse(groups), out.collapse(groups), tuple(joined)
    return MatMulForm(op, a, b, out, extras, pack, transposed)


def _product(form: MatMulForm) -> Product:
    m, n = form.out.shape[-2:]
    packed = 0 if form.pack is None else form.pack.inner_tiles[0]
    # Sums of short integers are held in registers of 32-bit lanes.
    return Product(m, n, form.depth.constant, max(32, width(form.dtype)), packed, form.group)


def _load_a(
    form: MatMulForm, t: TileBuilder, batch: Sequence[Index], m: Index, k: Index, shape: tuple[int, int]
) -> Tile:
    """Rows m.. of a from k, as they are held where a dot unit takes them so."""
    at = [*places(form, form.a, batch), m, k]
    sizes = [*([None] * form.batch), *shape]
    return t.load(form.a, at, sizes, held=True) if form.group > 1 else widened(t, t.load(form.a, at, sizes))


def _load_b(
    form: MatMulForm, t: TileBuilder, batch: Sequence[Index], k: Index, n: Index, p: Schedule
) -> Tile:
    """Rows k.. of b in the panel that starts at column n."""
    if form.group > 1:
        block, rows = n // p.width, p.depth // form.group
        return t.load(form.b, [block, k // form.group, 0], [None, rows, p.width * form.group], held=True)
    if form.pack is None:
        at = [*places(form, form.b, batch), k, n]
        return widened(t, t.load(form.b, at, [*([None] * (len(at) - 2)), p.depth, p.width]))
    outer = form.pack.outer_perm or (0, 1)
    blocks_first = outer[0] == form.pack.inner_dims[0]
    block = n // p.width
    at = [block, k, index(0)] if blocks_first else [k, block, index(0)]
    sizes = [None, p.depth, p.width] if blocks_first else [p.depth, None, p.width]
    return widened(t, t.load(form.b, at, sizes))


def _panels(form: MatMulForm, p: Schedule) -> TileProgram:
    """b read row by row, packed or as it is."""
    rank = form.batch
    height, breadth = form.out.dim(rank), form.out.dim(rank + 1)

    def sums(
        t: TileBuilder, batch: Sequence[Index], m: Index, n: Index, acc: Tile, k0: Index, k1: Index
    ) -> Tile:
        def products(k: Index, acc: Tile) -> Tile:
            a = _load_a(form, t, batch, m, k, (acc.shape[0], p.depth))
            return t.dot(acc, a, _load_b(form, t, batch, k, n, p))

        return t.loop(k1, p.depth, products, [acc], lower=k0)[0]

    def at_once(t: TileBuilder, *at: Index, rows: int = p.rows) -> None:
        *batch, n, m = at
        zeros = t.full(0, (rows, p.width), form.dtype)
        acc = sums(t, batch, m, n, zeros, index(0), form.depth)
        finish(form, t, acc, [*batch, m, n])

    def by_height(t: TileBuilder, *at: Index) -> None:
        # One row (a decoder's step) is bound by the reading of b: rows that are not there would hold it up.
        t.when(height, 2, lambda: at_once(t, *at, rows=1))
        t.when(1, height, lambda: at_once(t, *at))

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
        known = height.constant is not None
        step = in_blocks if p.block else at_once if known or p.rows == 1 else by_height
        t.grid(axes, lambda *at: step(t, *at))

    return program(form, body)
