"""Attention of queries, keys and values in a short element, by a unit that sums pairs of them in a lane.

Keys are read as they are, in pairs along the depth; values are wanted in pairs of keys. So a first round
transposes them once for all blocks of queries. The weights are rounded to the element, sums stay in f32.
Tile registers take the same operands, where depths and keys are whole tiles.
"""

from collections.abc import Callable

from drystone.codegen.families.attention_block import Block
from drystone.codegen.families.attention_form import AttentionForm
from drystone.codegen.families.attention_rows import Rows
from drystone.codegen.tile import Index, Tensor, TileBuilder, index
from drystone.targets.dots import DotUnit
from drystone.targets.target import CpuTarget

#: Fewer queries than this do not pay for transposing the values.
LEAST = 64
#: Keys and depth of a square that is transposed at a time, which keys are a multiple of.
_SQUARE = 16


def in_pairs(form: AttentionForm) -> bool:
    """Whether `pairs` takes it."""
    queries, keys = form.queries.constant, form.keys.constant
    known = queries is not None and keys is not None and form.depth_v % _SQUARE == 0
    # The window starts with a whole tile of keys, also behind the sinks.
    known = known and form.sinks % 8 == 0
    return known and form.short is not None and (queries or 0) >= LEAST and (keys or 1) % _SQUARE == 0


def tile_unit(form: AttentionForm, target: CpuTarget, width: int) -> DotUnit | None:
    """The unit with tile registers that can do both products; None without one."""
    assert form.short is not None
    unit = target.dot(form.short, form.short, tiles=True)
    # Blocks of keys are whole tiles from the first key on: no row has a first key of its own.
    plain = form.sinks == 0 and form.span is None and form.blocks is None
    if unit is None or not plain or width not in (unit.columns, 2 * unit.columns):
        return None
    extents = (form.depth, form.depth_v, form.keys.constant or 1)
    return None if any(extent % unit.depth for extent in extents) else unit


def pairs(form: AttentionForm, target: CpuTarget, width: int) -> Callable[[TileBuilder], None]:
    """Two rounds: values transposed, then blocks of queries."""
    heads, lanes, unit = form.extent(form.out, 1), target.lanes(32), tile_unit(form, target, width)

    def body(t: TileBuilder) -> None:
        form.promise(t)
        assert form.short is not None
        values = t.shared([form.images, form.groups, form.depth_v, form.keys], form.short)

        def step(r: Index, b: Index, h: Index, first: Index) -> None:
            group = h // form.repeat
            t.when(
                r,
                1,
                lambda: t.when(
                    h % form.repeat, 1, lambda: _transpose(form, t, values, b, group, first, width)
                ),
            )
            block = Block(Rows(form, t, b, h, group, first, width), lanes, values, unit)
            t.when(0, r, block.run)

        axes = [(form.images, 1), (heads, 1), (form.queries, width)]
        t.rounds(2, lambda r: t.grid(axes, lambda b, h, first: step(r, b, h, first)))

    return body


def _transpose(
    form: AttentionForm, t: TileBuilder, values: Tensor, b: Index, g: Index, first: Index, width: int
) -> None:
    """The share of the keys that goes with the block of queries at `first`."""
    blocks = form.queries.ceildiv(width)
    share = form.keys.ceildiv(_SQUARE).ceildiv(blocks) * _SQUARE
    start = (first // width) * share

    def square(k: Index, e: Index) -> None:
        tile = t.load(form.v, form.place(b, g, k, e), form.place(None, None, _SQUARE, _SQUARE))
        short = t.apply("arith.truncf", t.transpose(tile), dtype=values.dtype)
        t.store(values, [b, g, e, k], short, [None, None, _SQUARE, _SQUARE])

    t.loop(
        (start + share).min(form.keys),
        _SQUARE,
        lambda k: t.loop(index(form.depth_v), _SQUARE, lambda e: square(k, e)) and None,
        lower=start,
    )
