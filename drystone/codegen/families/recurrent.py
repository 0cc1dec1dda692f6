"""Recurrent layers: by rows of the batch, or by hidden units where there are too few rows for the threads."""

from typing import Any

from drystone.codegen.families.dry_op import pack_of
from drystone.codegen.families.recurrent_form import recurrent_form
from drystone.codegen.families.recurrent_rows import Rows
from drystone.codegen.families.recurrent_units import Units, by_units
from drystone.codegen.tile import TileBuilder, TileProgram, tile_program
from drystone.targets.target import CpuTarget


def recurrent(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The program of a `dry.recurrent`; None for a weight packed otherwise than along its gates."""
    form = recurrent_form(kernel)
    pack = pack_of(form.op.main.weight)
    if pack is not None and (pack.inner_dims != (0,) or pack.outer_perm not in ((), (0, 1))):
        return None
    lanes, batch = target.lanes(32), form.outs[0].shape[1]
    rows = 4 if batch is None else max(1, min(8, -(-batch // target.threads)))

    def body(t: TileBuilder) -> None:
        steps, batches = form.projected.dim(0), form.projected.dim(1)
        for tensor in (*form.state, *form.outs[1:]):
            t.same(tensor.dim(0), batches)
        t.same(form.outs[0].dim(0), steps)
        t.same(form.outs[0].dim(1), batches)
        if by_units(form, target):
            Units.make(form, t, target).run()
        else:
            t.grid([(batches, rows)], lambda first: Rows.make(form, t, target, lanes, rows, first).run(steps))

    return tile_program("recurrent", form.op.tensors, body, form.op.scalars)
