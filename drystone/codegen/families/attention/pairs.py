"""Attention of queries, keys and values in a short element, by a unit that sums pairs of them in a lane.

Keys are read as they are, in pairs along the depth; values are wanted in pairs of keys. So a first round
transposes them once for all blocks of queries. The weights are rounded to the element, sums stay in f32.
Tile registers take the same operands, where depths and keys are whole tiles.
"""

from collections.abc import Callable

from drystone.codegen.families.attention.block import Block
from drystone.codegen.families.attention.form import AttentionForm
from drystone.codegen.families.attention.rows import Rows
from drystone.codegen.families.attention.schedule import SQUARE, Schedule, tile_unit
from drystone.codegen.families.attention.tiles import TiledBlock
from drystone.codegen.families.dry_op import widened
from drystone.codegen.tile import Index, Tensor, TileBuilder, index
from drystone.targets.target import Target


def pairs(form: AttentionForm, target: Target, cut: Schedule) -> Callable[[TileBuilder], None]:
    """Two rounds: values transposed, then blocks of queries."""
    heads, lanes, width = form.extent(form.out, 1), target.lanes(32), cut.width
    unit = tile_unit(form, target, width)

    def body(t: TileBuilder) -> None:
        form.promise(t)
        assert form.short is not None
        shape: list[Index | int] = [form.depth_v, form.keys]
        if unit is not None:  # what goes into a tile register at a time lies together
            shape = [form.keys.ceildiv(unit.depth), form.depth_v, unit.depth]
        values = t.shared([form.images, form.groups, *shape], form.short)
        keys: Tensor | None = None
        if unit is not None and (form.keys.constant or 1) % unit.depth:
            padded = form.keys.ceildiv(unit.depth) * unit.depth
            keys = t.shared([form.images, form.groups, padded, form.depth], form.short)

        def prepare(b: Index, group: Index, first: Index) -> None:
            _transpose(form, t, values, b, group, first, width)
            if keys is not None and unit is not None:
                _fill_up(form, t, keys, unit.depth, b, group, first, width)

        def step(r: Index, b: Index, h: Index, first: Index) -> None:
            group = h // form.repeat
            t.when(
                r,
                1,
                lambda: t.when(h % form.repeat, 1, lambda: prepare(b, group, first)),
            )
            rows = Rows(form, t, b, h, group, first, width)
            block = Block(rows, lanes, cut, values)
            if unit is not None:
                block = TiledBlock(rows, lanes, cut, values, unit, keys)
            t.when(0, r, block.run)

        axes = [(form.images, 1), (heads, 1), (form.queries, width)]
        t.rounds(2, lambda r: t.grid(axes, lambda b, h, first: step(r, b, h, first)))

    return body


def _share(form: AttentionForm, first: Index, width: int, keys: int) -> tuple[Index, Index]:
    """The keys, from and to, that go with the block of queries at `first`: so many at a time."""
    blocks = form.queries.ceildiv(width)
    share = form.keys.ceildiv(keys).ceildiv(blocks) * keys
    start = (first // width) * share
    return start, (start + share).min(form.keys)


def _fill_up(
    form: AttentionForm,
    t: TileBuilder,
    copy: Tensor,
    whole: int,
    b: Index,
    g: Index,
    first: Index,
    width: int,
) -> None:
    """Keys copied, with zeros behind them to whole tiles."""
    start, end = _share(form, first, width, whole)

    def rows(k: Index) -> None:
        tile = t.load(form.k, form.place(b, g, k, index(0)), form.place(None, None, 8, form.depth), held=True)
        t.store(copy, [b, g, k, 0], tile, [None, None, 8, form.depth])

    t.loop(end, whole, lambda k: t.loop(k + whole, 8, rows, lower=k) and None, lower=start)


def _transpose(
    form: AttentionForm, t: TileBuilder, values: Tensor, b: Index, g: Index, first: Index, width: int
) -> None:
    """The share of the keys that goes with the block of queries at `first`."""
    tiles = len(values.shape) == 5
    keys = (values.shape[4] or 0) if tiles else SQUARE
    start, end = _share(form, first, width, keys)

    def square(k: Index, e: Index) -> None:
        tile = widened(t, t.load(form.v, form.place(b, g, k, e), form.place(None, None, keys, SQUARE)))
        short = t.apply("arith.truncf", t.transpose(tile), dtype=values.dtype)
        place: list[Index | int] = [k // keys, e, 0] if tiles else [e, k]
        t.store(values, [b, g, *place], short, [None] * len(place) + [SQUARE, keys])

    t.loop(
        end,
        keys,
        lambda k: t.loop(index(form.depth_v), SQUARE, lambda e: square(k, e)) and None,
        lower=start,
    )
