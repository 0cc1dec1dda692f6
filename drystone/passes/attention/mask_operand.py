"""The mask of a `dry.attention` in fewer words: the keys each query sees, or tiles that are not empty."""

from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir import build
from drystone.ir.dialect import Attention
from drystone.ir.program import Program
from drystone.ir.values import operand_groups, shape
from drystone.mlir import ir
from drystone.passes.attention.positions import Read, cases, element, flag
from drystone.passes.attention.spans import NEVER, Seen, kept, seen, span_tensor
from drystone.passes.dims import extent
from drystone.passes.rewriting import tensor_type
from drystone.passes.weights import new_weight, weight_key

#: Queries and keys of a tile that is left out where a constant mask drops all of it; and the part of the
#: tiles that may be left for blocks to be worth a look at each.
_TILE, _WORTH = (64, 64), 0.8


def simplified(program: Program, op: Any) -> None:
    """Replace the operation's mask by `causal`, `span`, `sinks` and `blocks` where these say the same."""
    q, k, _, masks, spans, blocks, *_ = operand_groups(op)
    if not masks or spans or blocks:
        return
    (mask,) = masks
    with ir.InsertionPoint(op), op.operation.location:
        heads_first = op.operation.attributes["layout"].value == "bhsd"
        at = (0, 1, 2) if heads_first else (0, 2, 1)
        extents = [*(shape(q[0])[d] for d in at), shape(k[0])[at[2]]]
        sees = _by_position(mask, extents)
        if sees is not None:
            span = [span_tensor(sees, extent(q[0], 0), extent(q[0], at[2]), 4)] if sees.spans else []
            _remade(op, [], span, [], causal=sees.causal, sinks=sees.sinks)
            return
        key = weight_key(mask)
        flags = None if key is None else _flags(program.weights[key])
        if flags is not None and None not in extents:
            _constant(program, op, flags, [n or 0 for n in extents])


def _by_position(mask: Any, extents: list[int | None]) -> Seen | None:
    """What queries see by a mask that is computed from positions."""
    dims = [
        ir.AffineExpr.get_dim(d) if n != 1 or extents[d] == 1 else ir.AffineExpr.get_constant(0)
        for d, n in enumerate(shape(mask))
    ]
    here = element(mask, ir.AffineMap.get(4, 0, dims))
    if isinstance(here, Read):
        return None
    if str(mask.type.element_type) == "i1":
        region = flag(here)
    else:
        split = cases(here)
        region = None if split is None else kept(split, extents)
    return None if region is None else seen(region, 4)


def _flags(mask: Array) -> Array | None:
    """Which scores a constant mask keeps, where it changes no other."""
    if mask.dtype == np.bool_:
        return mask
    keeps = mask == 0
    dropped = mask[~keeps]
    sure = bool(np.isneginf(dropped).all()) or bool((dropped <= NEVER).all() and keeps.any(-1).all())
    return keeps if mask.dtype.kind == "f" and sure else None


def _constant(program: Program, op: Any, flags: Array, extents: list[int]) -> None:
    """A mask that is known now."""
    queries, keys = extents[2:]
    rows = np.broadcast_to(flags, (*flags.shape[:2], queries, keys))
    found = seen_in(rows)
    if found is not None:
        span, sinks = found
        position = np.arange(queries)
        causal = not sinks and (span[0] == 0).all() and (span[1] == np.minimum(position + 1, keys)).all()
        if causal or (not sinks and (span[0] == 0).all() and (span[1] == keys).all()):
            _remade(op, [], [], [], causal=bool(causal), sinks=0)
            return
        kind = tensor_type(span.shape, ir.IntegerType.get_signless(64))
        _remade(op, [], [new_weight(program, "span", span, kind)], [], causal=False, sinks=sinks)
        return
    if flags.shape[0] != 1:
        return
    tiles = tiles_of(rows[0])
    if tiles.mean() > _WORTH:
        return
    whole = tiles.repeat(_TILE[0], 1).repeat(_TILE[1], 2)[:, :queries, :keys]
    kind = tensor_type(tiles.shape, ir.IntegerType.get_signless(1))
    mask = [] if (whole == rows[0]).all() else operand_groups(op)[3]
    blocks = new_weight(program, "blocks", tiles, kind)
    _remade(op, mask, [], [blocks], causal=False, sinks=0)


def tiles_of(flags: Array) -> Array:
    """Which tiles of flags [H, S, T] hold any."""
    sides = [(0, 0), *((0, -n % size) for n, size in zip(flags.shape[1:], _TILE, strict=True))]
    padded = np.pad(flags, sides)
    rows, columns = (n // size for n, size in zip(padded.shape[1:], _TILE, strict=True))
    return np.asarray(padded.reshape(-1, rows, _TILE[0], columns, _TILE[1]).any((2, 4)))


def _remade(
    op: Any, mask: list[Any], span: list[Any], blocks: list[Any], *, causal: bool, sinks: int
) -> None:
    """The operation with other masks in its place; a causal flag stays."""
    operation = op.operation
    made = Attention(
        operation.results[0].type,
        *list(operation.operands)[:3],
        *(mask, span, blocks, [], []),
        scale=operation.attributes["scale"],
        causal=build.flag(causal or bool(operation.attributes["causal"].value)),
        sinks=build.integer(sinks),
        tile=build.integers(_TILE if blocks else []),
        layout=operation.attributes["layout"],
    )
    operation.results[0].replace_all_uses_with(made.out)
    operation.erase()


def seen_in(mask: Array) -> tuple[Array, int] | None:
    """The span [2, B or 1, S] and the sinks of a mask [B or 1, 1, S, T] of flags; None where it has none."""
    if mask.shape[1] != 1:
        return None
    mask = mask[:, 0]
    keys = np.arange(mask.shape[-1])
    end = np.where(mask, keys + 1, 0).max(-1)
    first = np.where(mask | (keys >= end[..., None]), -1, keys).max(-1) + 1
    first = np.minimum(first, end)
    before = mask & (keys < first[..., None])
    leading = np.cumprod(before, -1).sum(-1)
    sinks = int(leading.max(initial=0))
    found = ((keys >= first[..., None]) | (keys < sinks)) & (keys < end[..., None])
    return (np.stack([first, end]).astype(np.int64), sinks) if (found == mask).all() else None
