"""Recurrent layers: by rows of the batch, or by hidden units where there are too few rows for the threads."""

from collections.abc import Callable
from typing import Any

from drystone.codegen.families.dry_op import pack_of
from drystone.codegen.families.recurrent.form import RecurrentForm, recurrent_form
from drystone.codegen.families.recurrent.rows import Rows
from drystone.codegen.families.recurrent.units import Units, by_units, divides_units, most_rows
from drystone.codegen.families.tiling import even, preferred
from drystone.codegen.search import Parameter, Point, Search, Space
from drystone.codegen.tile import TileBuilder, TileProgram, tile_program
from drystone.targets.target import Target

#: The most rows of the batch that are taken at once.
_MOST = 8
#: What an extent known at the call counts as for a cost model.
_UNKNOWN = 16


def recurrent(kernel: Any, target: Target) -> TileProgram | None:
    """The program of a `dry.recurrent`; None for a weight packed otherwise than along its gates."""
    found = search(kernel, target)
    return None if found is None else found.build(found.default)


def search(kernel: Any, target: Target) -> Search | None:
    """The schedules of a `dry.recurrent`: by hidden units or by rows of the batch, and how many rows at
    once."""
    form = recurrent_form(kernel)
    pack = pack_of(form.op.main.weight)
    if pack is not None and (pack.inner_dims != (0,) or pack.outer_perm not in ((), (0, 1))):
        return None

    def build(point: Point) -> TileProgram:
        body = _body(form, target, bool(point["units"]), point["rows"])
        return tile_program("recurrent", form.op.tensors, body, form.op.scalars)

    first = _default(form, target)
    batch = form.outs[0].shape[1]
    units = (first["units"], 1 - first["units"]) if divides_units(form, target) else (0,)
    rows = preferred(first["rows"], range(1, min(_MOST, batch or _MOST) + 1))
    sizes = {"steps": form.outs[0].shape[0], "batch": batch, "hidden": form.hidden, "gates": form.gates}
    features = {name: float(_UNKNOWN if size is None else size) for name, size in sizes.items()}
    space = Space(
        (Parameter("units", units), Parameter("rows", rows)),
        (lambda point: not point["units"] or point["rows"] <= most_rows(form, target),),
    )
    return Search(space, first, features, build)


def _default(form: RecurrentForm, target: Target) -> Point:
    """The point taken without tuning."""
    batch = form.outs[0].shape[1]
    if by_units(form, target):
        return {"units": 1, "rows": even(batch, most_rows(form, target))}
    return {"units": 0, "rows": 4 if batch is None else max(1, min(_MOST, -(-batch // target.threads)))}


def _body(form: RecurrentForm, target: Target, units: bool, rows: int) -> Callable[[TileBuilder], None]:
    lanes = target.lanes(32)

    def body(t: TileBuilder) -> None:
        steps, batches = form.projected.dim(0), form.projected.dim(1)
        for tensor in (*form.state, *form.outs[1:]):
            t.same(tensor.dim(0), batches)
        t.same(form.outs[0].dim(0), steps)
        t.same(form.outs[0].dim(1), batches)
        if units:
            Units.make(form, t, rows).run()
        else:
            t.grid([(batches, rows)], lambda first: Rows.make(form, t, target, lanes, rows, first).run(steps))

    return body
