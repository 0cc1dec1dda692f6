"""Rows of a table by their numbers: one copy of a row per index. A number outside the table is moved into it,
so that no memory but the table's is read. Of a table of codes the rows that are asked for are decoded; of one
whose elements are listed they are laid down."""

from collections.abc import Callable
from math import gcd
from typing import Any

from drystone.codegen.families.codes.decoding import CodedMatrix
from drystone.codegen.families.dry_op import coded_matrix, dry_op, narrowed, sparse_matrix, widened
from drystone.codegen.families.rows import over_rows, split_at
from drystone.codegen.families.sparse.listed import ListedMatrix
from drystone.codegen.families.tiling import chunk_end, tile_width
from drystone.codegen.tile import Index, Tensor, Tile, TileBuilder, TileProgram, index, tile_program
from drystone.ir.encoded import codes_of
from drystone.targets.target import Target

#: What is done with a tile of a row that starts at a column.
Given = Callable[[Index, Tile], None]


def build(kernel: Any, target: Target) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.embedding."""
    op = dry_op(kernel)
    table, indices, out = op.tensor(op.main.table), op.tensor(op.main.indices), op.inits[0]
    coded, pack = coded_matrix(op, op.main.table), None
    listed = sparse_matrix(op, op.main.table)
    assert listed is None or isinstance(listed, ListedMatrix)
    if coded is None and listed is None:
        pack = codes_of(op.main.table.type).pack
        if table.dtype != out.dtype or (len(table.shape) != 2 and (pack is None or len(table.shape) != 4)):
            return None
    single = not indices.shape
    out, indices = split_at(out, len(out.shape) - 1), split_at(indices)
    plain = coded is None and pack is None and listed is None
    rows, columns = (table.dim(0), table.dim(1)) if plain else map(index, op.main.table.type.shape)
    width = tile_width(target, table.dtype if plain else "f32", columns, 4 if plain else 2)

    def row(t: TileBuilder, r: Index) -> None:
        number = t.load(indices, [] if single else [r], [] if single else [None])
        place = t.element(number).min(rows - 1).max(0)

        def give(j: Index, tile: Tile) -> None:
            size = tile.shape[-1]
            t.store(out, [j] if single else [r, j], tile, [size] if single else [None, size])

        if pack is not None:
            _unpacked(t, table, place, give)
        elif listed is not None:
            _laid_down(
                t, listed.prepared(t), place, width, lambda j, tile: give(j, narrowed(t, tile, out.dtype))
            )
        elif coded is None:
            t.loop(columns, width, lambda j: give(j, t.load(table, [place, j], [None, width])))
        else:
            _decoded(t, coded, place, width, lambda j, tile: give(j, narrowed(t, tile, out.dtype)))

    def body(t: TileBuilder) -> None:
        t.same(columns, out.dim(len(out.shape) - 1))
        if single:
            t.grid([(1, 1)], lambda r: row(t, r))
            return
        t.same(indices.dim(0), out.dim(0))
        over_rows(t, indices.dim(0), columns, lambda r: row(t, r))

    return tile_program("embedding", op.tensors, body, op.scalars)


def _unpacked(t: TileBuilder, table: Tensor, row: Index, give: Given) -> None:
    """give(k, numbers) for the numbers of one row of a table [panels, k / g, width, g], g at once."""
    _, count, width, some = (n or 0 for n in table.shape)

    def at(j: Index) -> tuple[list[Index | int], list[int | None]]:
        return [row // width, j, row % width, 0], [None, None, None, some]

    # Each group is in a line of its own: all are asked for before the first is waited for.
    t.loop(count, 1, lambda j: t.prefetch(table, *at(j), read=True))
    t.loop(count, 1, lambda j: give(j * some, t.load(table, *at(j))))


def _laid_down(t: TileBuilder, listed: ListedMatrix, row: Index, width: int, give: Given) -> None:
    """give(k, numbers) for the numbers of one row whose elements are listed, `width` at once."""
    size = -(-listed.depth // width) * width
    line = t.scratch((size,), "f32")
    t.loop(size, width, lambda j: t.store(line, [j], t.full(0, (width,), "f32")))
    first, end = listed.bounds(t, index(0), row)

    def some(j: Index) -> None:
        place, last = t.iota(j, (1, width), 1, "i32"), t.full(end, (1, 1), "i32")
        inside = t.apply("arith.cmpi", place, last, predicate="slt", dtype="i1")
        t.scatter(line, [listed.columns(t, j, width)], widened(t, listed.numbers(t, j, width)), inside)

    t.loop(end, width, some, lower=first)
    t.loop(listed.depth, width, lambda j: give(j, t.load(line, [j], [width])))


def _decoded(t: TileBuilder, coded: CodedMatrix, row: Index, width: int, give: Given) -> None:
    """give(k, numbers) for the numbers of one row, up to `width` at once that share their factors."""
    depth, span = index(coded.depth), coded.group or coded.depth
    size = gcd(width, coded.group) if coded.group else width

    def group(k: Index) -> None:
        made = coded.factors(t, row // coded.width, k, row % coded.width)

        def some(j: Index) -> None:
            numbers = made.real(t, coded.of_output(t, row, j, size))
            give(j, t.reshape(numbers, [size]))

        t.loop(chunk_end(k, span, depth), size, some, lower=k)

    t.loop(depth, span, group)
