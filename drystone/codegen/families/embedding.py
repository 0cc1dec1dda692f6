"""Rows of a table by their numbers: one copy of a row per index. A number outside the table is moved into it,
so that no memory but the table's is read."""

from typing import Any

from drystone.codegen.families.dry_op import dry_op
from drystone.codegen.families.rows import over_rows, split_at
from drystone.codegen.families.tiling import tile_width
from drystone.codegen.tile import Index, TileBuilder, TileProgram, tile_program
from drystone.targets.target import CpuTarget


def build(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The tile program of a kernel whose main operation is dry.embedding."""
    op = dry_op(kernel)
    table, indices, out = op.tensor(op.main.table), op.tensor(op.main.indices), op.inits[0]
    if table.dtype != out.dtype or len(table.shape) != 2:
        return None
    single = not indices.shape
    out, indices = split_at(out, len(out.shape) - 1), split_at(indices)
    columns = table.dim(1)
    width = tile_width(target, table.dtype, columns)

    def row(t: TileBuilder, r: Index) -> None:
        number = t.load(indices, [] if single else [r], [] if single else [None])
        place = t.element(number).min(table.dim(0) - 1).max(0)

        def part(j: Index) -> None:
            tile = t.load(table, [place, j], [None, width])
            t.store(out, [j] if single else [r, j], tile, [width] if single else [None, width])

        t.loop(columns, width, part)

    def body(t: TileBuilder) -> None:
        t.same(columns, out.dim(len(out.shape) - 1))
        if single:
            t.grid([(1, 1)], lambda r: row(t, r))
            return
        t.same(indices.dim(0), out.dim(0))
        over_rows(t, indices.dim(0), columns, lambda r: row(t, r))

    return tile_program("embedding", op.tensors, body, op.scalars)
