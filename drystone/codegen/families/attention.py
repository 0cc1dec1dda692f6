"""Attention with an online softmax: one pass over the keys, nothing of the size of the scores.

The method is FlashAttention's (Dao et al., NeurIPS 2022; the running peak and total of Milakov and
Gimelshein, "Online normalizer calculation for softmax", 2018). One grid step takes one head and a block of
queries. With a few queries only (decoding) the query heads that share keys are taken together, so that keys
and values are read once, and the keys are shared out between threads where heads are few
(`attention_parts`). Keys that no query of a block sees are never read.
"""

from typing import Any

from drystone.codegen.families.attention_block import Block
from drystone.codegen.families.attention_few import few_queries
from drystone.codegen.families.attention_form import AttentionForm, attention_form
from drystone.codegen.families.attention_pairs import in_pairs, pairs
from drystone.codegen.families.attention_parts import in_parts, parts_of
from drystone.codegen.families.attention_rows import MOST_TOGETHER, Rows
from drystone.codegen.tile import Index, TileBuilder, TileProgram, tile_program
from drystone.targets import CpuTarget

#: With fewer rows than this, lanes along the rows would be mostly empty.
FEW = MOST_TOGETHER + 1


def attention(kernel: Any, target: CpuTarget) -> TileProgram | None:
    """The program of a `dry.attention`."""
    form = attention_form(kernel, target)
    lanes = target.lanes(32)
    queries = form.known(form.q, 2)
    grouped = form.repeat > 1 and (form.blocks is None or form.blocks.shape[0] == 1)
    if in_pairs(form):
        body = pairs(form, target, _width(form, lanes, target))
    elif queries is None or queries >= FEW:
        body = _whole(form, lanes, _width(form, lanes, target), grouped)
    else:
        rows = queries * (form.repeat if grouped else 1)
        parts = parts_of(form, target)
        width = 0 if rows < FEW else lanes if rows <= lanes or target.registers < 32 else 2 * lanes
        body = (
            in_parts(form, lanes, width, parts, grouped) if parts > 1 else _few(form, lanes, width, grouped)
        )
    return tile_program("attention", form.op.tensors, body, form.op.scalars)


def _width(form: AttentionForm, lanes: int, target: CpuTarget) -> int:
    """Queries of a block."""
    known = form.known(form.q, 2)
    narrow = (known is not None and known <= lanes) or target.registers < 32
    uneven = bool(form.tile) and form.tile[0] % (2 * lanes) != 0
    return lanes if narrow or uneven else 2 * lanes


def _whole(form: AttentionForm, lanes: int, width: int, grouped: bool) -> Any:
    """A grid of heads and blocks of queries, which may turn out to be few."""
    known = form.known(form.q, 2)

    def step(t: TileBuilder, b: Index, h: Index, first: Index) -> None:
        group = h // form.repeat
        block = Block(Rows(form, t, b, h, group, first, width), lanes)
        if known is not None:
            block.run()
            return

        def together() -> None:
            def rows(at: Index) -> None:
                Block(Rows(form, t, b, h, group, at, width, together=True), lanes).run()

            t.loop(form.queries * form.repeat, width, rows)

        def few() -> None:
            if grouped and form.repeat >= FEW:
                t.when(h % form.repeat, 1, together)
                return
            end = form.queries.min(first + width)
            t.loop(end, 1, lambda row: few_queries(form, t, lanes, b, h, row), lower=first)

        t.when(FEW - 1, form.queries, block.run)
        t.when(form.queries, FEW, few)

    def body(t: TileBuilder) -> None:
        form.promise(t)
        axes = [(form.images, 1), (form.extent(form.out, 1), 1), (form.queries, width)]
        t.grid(axes, lambda b, h, first: step(t, b, h, first))

    return body


def _few(form: AttentionForm, lanes: int, width: int, grouped: bool) -> Any:
    """A grid of heads of keys with all their rows; width 0: of single queries."""

    def body(t: TileBuilder) -> None:
        form.promise(t)
        if not width:
            axes = [(form.images, 1), (form.extent(form.out, 1), 1), (form.queries, 1)]
            t.grid(axes, lambda b, h, s: few_queries(form, t, lanes, b, h, s))
            return
        assert grouped
        rows = form.queries * form.repeat
        t.grid(
            [(form.images, 1), (form.groups, 1), (rows, width)],
            lambda b, g, first: Block(
                Rows(form, t, b, g * form.repeat, g, first, width, together=True), lanes
            ).run(),
        )

    return body
