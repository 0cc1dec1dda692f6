"""Attention with an online softmax: one pass over the keys, nothing of the size of the scores.

The method is FlashAttention's (Dao et al., NeurIPS 2022; the running peak and total of Milakov and
Gimelshein, "Online normalizer calculation for softmax", 2018). One grid step takes one head and a block of
queries. With a few queries only (decoding) the query heads that share keys are taken together, so that keys
and values are read once, and the keys are shared out between threads where heads are few
(`parts`). Keys that no query of a block sees are never read.
"""

from collections.abc import Callable
from typing import Any

from drystone.codegen.families.attention.block import Block
from drystone.codegen.families.attention.few import few_queries
from drystone.codegen.families.attention.form import AttentionForm, attention_form
from drystone.codegen.families.attention.pairs import pairs
from drystone.codegen.families.attention.parts import in_parts
from drystone.codegen.families.attention.rows import Rows
from drystone.codegen.families.attention.schedule import (
    FEW,
    Schedule,
    default,
    features,
    few_rows,
    grouped,
    in_pairs,
    single,
    space,
)
from drystone.codegen.search import Point, Search
from drystone.codegen.tile import Index, TileBuilder, TileProgram, tile_program
from drystone.targets import Target


def attention(kernel: Any, target: Target) -> TileProgram | None:
    """The program of a `dry.attention`."""
    found = search(kernel, target)
    return found.build(found.default)


def search(kernel: Any, target: Target) -> Search:
    """The schedules of a `dry.attention`."""
    form = attention_form(kernel, target)

    def build(point: Point) -> TileProgram:
        body = _body(form, Schedule(**point), target)
        return tile_program("attention", form.op.tensors, body, form.op.scalars)

    return Search(space(form, target), default(form, target), features(form), build)


def _body(form: AttentionForm, cut: Schedule, target: Target) -> Callable[[TileBuilder], None]:
    lanes = target.lanes(32)
    if in_pairs(form, target):
        return pairs(form, target, cut)
    if few_rows(form) is None:
        return _whole(form, target, cut)
    return in_parts(form, lanes, cut) if cut.parts > 1 else _few(form, lanes, cut)


def _whole(form: AttentionForm, target: Target, cut: Schedule) -> Callable[[TileBuilder], None]:
    """A grid of heads and blocks of queries, which may turn out to be few."""
    known, width, lanes = form.queries.constant, cut.width, target.lanes(32)

    def step(t: TileBuilder, b: Index, h: Index, first: Index) -> None:
        group = h // form.repeat
        block = Block(Rows(form, t, b, h, group, first, width), lanes, cut)
        if known is not None:
            block.run()
            return

        def together() -> None:
            def rows(at: Index) -> None:
                Block(Rows(form, t, b, h, group, at, width, together=True), lanes, cut).run()

            t.loop(form.queries * form.repeat, width, rows)

        def few() -> None:
            if grouped(form) and form.repeat >= FEW:
                t.when(h % form.repeat, 1, together)
                return
            end = form.queries.min(first + width)
            t.loop(
                end, 1, lambda row: few_queries(form, t, single(form, target), lanes, b, h, row), lower=first
            )

        t.when(FEW - 1, form.queries, block.run)
        t.when(form.queries, FEW, few)

    def body(t: TileBuilder) -> None:
        form.promise(t)
        axes = [(form.images, 1), (form.extent(form.out, 1), 1), (form.queries, width)]
        t.grid(axes, lambda b, h, first: step(t, b, h, first))

    return body


def _few(form: AttentionForm, lanes: int, cut: Schedule) -> Callable[[TileBuilder], None]:
    """A grid of heads of keys with all their rows, or of single queries."""
    width = cut.width

    def body(t: TileBuilder) -> None:
        form.promise(t)
        if not width:
            axes = [(form.images, 1), (form.extent(form.out, 1), 1), (form.queries, 1)]
            t.grid(axes, lambda b, h, s: few_queries(form, t, cut, lanes, b, h, s))
            return
        rows = form.queries * form.repeat
        t.grid(
            [(form.images, 1), (form.groups, 1), (rows, width)],
            lambda b, g, first: Block(
                Rows(form, t, b, g * form.repeat, g, first, width, together=True), lanes, cut
            ).run(),
        )

    return body
