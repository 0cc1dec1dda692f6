"""Attention of a single query."""

from drystone.codegen.families.attention.block import ranges
from drystone.codegen.families.attention.codes import CodedSingle
from drystone.codegen.families.attention.form import AttentionForm
from drystone.codegen.families.attention.rows import Rows
from drystone.codegen.families.attention.schedule import Schedule, reads_codes
from drystone.codegen.families.attention.single import Single
from drystone.codegen.families.dry_op import narrowed
from drystone.codegen.tile import Index, TileBuilder, index


def single_row(rows: Rows, lanes: int, cut: Schedule) -> Single:
    """How one row reads its keys and values."""
    return (CodedSingle if reads_codes(rows.form, lanes) else Single)(rows, lanes, cut)


def few_queries(
    form: AttentionForm, t: TileBuilder, cut: Schedule, lanes: int, b: Index, h: Index, s: Index
) -> None:
    """One query."""
    rows = Rows(form, t, b, h, h // form.repeat, s, 1)
    single = single_row(rows, lanes, cut)
    _, total, acc = single.swept(ranges(form, rows.seen()))
    factor = t.apply("arith.maximumf", single.whole(total), t.full(1e-30, (1, 1), form.dtype))
    tile = narrowed(t, t.apply("arith.divf", acc, factor), form.out.dtype)
    t.store(form.out, form.place(b, h, s, index(0)), tile, form.place(None, None, 1, form.depth_v))
