"""Matrix products whose right operand lies along k: registers hold neighbours along k, and their lanes are
summed at the end."""

from collections.abc import Sequence

from drystone.codegen.elements import is_float
from drystone.codegen.families.dry_op import summand
from drystone.codegen.families.matmul.form import MatMulForm, finish, places, plain_b, program, promises
from drystone.codegen.families.tiling import even
from drystone.codegen.tile import Index, Tile, TileBuilder, TileProgram, index
from drystone.targets.target import Target


def along_k(form: MatMulForm, target: Target) -> TileProgram:
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
            place = [*batch, i, j]
            finish(form, t, sums_along_k(form, t, lanes, (rows, columns), place), place)

        promises(form, t)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        t.grid([*axes, (form.out.dim(rank + 1), columns), (form.out.dim(rank), rows)], step)

    return program(form, body)


def sums_along_k(
    form: MatMulForm, t: TileBuilder, lanes: int, shape: tuple[int, int], place: Sequence[Index]
) -> Tile:
    """The sums of a tile of a shape at a place of the result, of a b [.., N, K]."""
    (rows, columns), (*batch, i, j) = shape, place

    def products(k: Index, acc: Tile) -> Tile:
        a_at = [*places(form, form.a, batch), i, k]
        a = t.load(form.a, a_at, [*([None] * (len(a_at) - 2)), rows, lanes])
        b = t.load(form.b, *plain_b(form, batch, [j, k], [columns, lanes]))
        a, b = (summand(t, each, form.dtype) for each in (a, b))
        return _accumulate(t, acc, t.reshape(a, (rows, 1, lanes)), t.reshape(b, (1, columns, lanes)))

    (acc,) = t.loop(form.depth, lanes, products, [t.full(0, (rows, columns, lanes), form.dtype)])
    total = t.reduce("arith.addf" if is_float(form.dtype) else "arith.addi", acc, 2)
    return t.reshape(total, (rows, columns))


def column(form: MatMulForm, target: Target) -> TileProgram:
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
                a_at = [*places(form, form.a, batch), i, k]
                a = t.load(form.a, a_at, [*([None] * (len(a_at) - 2)), rows, lanes])
                b = t.load(form.b, [*b_batch, k], [*([None] * count), lanes])
                a, b = (summand(t, each, form.dtype) for each in (a, b))
                return _accumulate(t, acc, a, b)

            (acc,) = t.loop(form.depth, lanes, products, [t.full(0, (rows, lanes), form.dtype)])
            total = t.reduce("arith.addf" if is_float(form.dtype) else "arith.addi", acc, 1)
            finish(form, t, total, [*batch, i, index(0)])

        t.same(form.a.dim(rank), form.out.dim(rank))
        t.same(form.b.dim(len(form.b.shape) - 1), form.depth)
        axes: list[tuple[Index | int, int]] = [(form.out.dim(d), 1) for d in range(rank)]
        t.grid([*axes, (form.out.dim(rank), rows)], step)

    return program(form, body)


def _accumulate(t: TileBuilder, acc: Tile, a: Tile, b: Tile) -> Tile:
    kind = "f" if is_float(acc.dtype) else "i"
    return t.apply(f"arith.add{kind}", acc, t.apply(f"arith.mul{kind}", a, b))
