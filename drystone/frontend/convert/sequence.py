"""Operations over positions: attention, embedding, recurrence, scans."""

from collections.abc import Sequence
from typing import Any

import torch

from drystone.frontend.convert.common import axis, is_real, rank
from drystone.frontend.importer import Converter
from drystone.frontend.types import Site
from drystone.ir import build
from drystone.ir.dialect import Attention, Embedding, LinearScan, Recurrent, Scan


def _attention(
    at: Site,
    q: Any,
    k: Any,
    v: Any,
    mask: Any,
    span: Any,
    blocks: Any,
    scale: float,
    causal: bool,
    sinks: int,
    tile: Sequence[int],
) -> Sequence[Any] | None:
    op = Attention(
        at.out(),
        at.tensor(q),
        at.tensor(k),
        at.tensor(v),
        at.optional(_unexpanded(mask)),
        at.optional(span),
        at.optional(blocks),
        *([], []),
        scale=build.number(scale),
        causal=build.flag(causal),
        sinks=build.integer(sinks),
        tile=build.integers(tile),
        layout=build.string("bhsd"),
    )
    return [op.out]


def _unexpanded(mask: Any) -> Any:
    """The mask before it was broadcast: attention broadcasts it without a copy."""
    while mask is not None and mask.target == torch.ops.aten.expand.default and rank(mask.args[0]) == 4:
        mask = mask.args[0]
    return mask


def _embedding(
    at: Site, weight: Any, indices: Any, padding_idx: int, scale_grad_by_freq: bool, sparse: bool
) -> Sequence[Any] | None:
    if indices.meta["val"].dtype not in (torch.int64, torch.int32):
        return None
    return [Embedding(at.out(), at.tensor(weight), at.tensor(indices)).out]


def _recurrent(
    at: Site, projected: Any, weight: Any, bias: Any, state: Sequence[Any], cell: str, reverse: bool
) -> Sequence[Any] | None:
    op = Recurrent(
        [at.out(i) for i in range(1 + len(state))],
        at.tensor(projected),
        at.tensor(weight),
        at.optional(bias),
        [at.tensor(s) for s in state],
        cell=build.string(cell),
        reverse=build.flag(reverse),
    )
    return list(op.operation.results)


def _cumsum(at: Site, self: Any, dim: int, dtype: Any) -> Sequence[Any] | None:
    return _scan(at, "sum", self, dim)


def _cumprod(at: Site, self: Any, dim: int, dtype: Any) -> Sequence[Any] | None:
    return _scan(at, "prod", self, dim)


def _scan(at: Site, kind: str, x: Any, dim: int) -> Sequence[Any] | None:
    same = x.meta["val"].dtype == at.node.meta["val"].dtype
    whole = x.meta["val"].dtype in (torch.int64, torch.int32)
    if rank(x) == 0 or not same or not (is_real(x) or whole):
        return None
    return [Scan(at.out(), at.tensor(x), dim=build.integer(axis(dim, x)), kind=build.string(kind)).out]


def _linear_scan(at: Site, factor: Any, x: Any, dim: int) -> Sequence[Any] | None:
    op = LinearScan(at.out(), at.tensor(x), at.tensor(factor), dim=build.integer(axis(dim, x)))
    return [op.out]


CONVERTERS: dict[str, Converter] = {
    "drystone.attention.default": _attention,
    "drystone.recurrent.default": _recurrent,
    "drystone.linear_scan.default": _linear_scan,
    "aten.embedding.default": _embedding,
    "aten.cumsum.default": _cumsum,
    "aten.cumprod.default": _cumprod,
}
