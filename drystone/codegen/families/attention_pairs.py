"""Attention of queries, keys and values in a short element, by a unit that sums pairs of them in a lane.

Keys are read as they are, in pairs along the depth; values are wanted in pairs of keys. So a first round
transposes them once for all blocks of queries. The weights are rounded to the element, sums stay in f32.
"""

from collections.abc import Callable

from drystone.codegen.families.attention_block import Block
from drystone.codegen.families.attention_form import AttentionForm
from drystone.codegen.families.attention_rows import Rows
from drystone.codegen.tile import Index, Tensor, TileBuilder, index

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


def pairs(form: AttentionForm, lanes: int, width: int) -> Callable[[TileBuilder], None]:
    """Two rounds: values transposed, then blocks of queries."""
    heads = form.extent(form.out, 1)

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
            block = Block(Rows(form, t, b, h, group, first, width), lanes, values)
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
