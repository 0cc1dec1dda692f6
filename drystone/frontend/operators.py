"""Torch operators of our own: what a model's graph holds for operations that ATen has no single name for.

Decompositions write them into the graph; converters turn them into the `dry` operation of the same name.
"""

import functools
from typing import Any

import torch

_SCHEMAS = (
    "attention(Tensor q, Tensor k, Tensor v, Tensor? mask, Tensor? span, Tensor? blocks, float scale,"
    " bool causal, int sinks, int[] tile) -> Tensor",
    "recurrent(Tensor projected, Tensor weight, Tensor? bias, Tensor[] state, str cell, bool reverse)"
    " -> Tensor[]",
    "linear_scan(Tensor factor, Tensor x, int dim) -> Tensor",
)


@functools.cache
def operators() -> Any:
    """The operators, as torch.ops.drystone; registered with torch by the first call."""
    library = torch.library.Library("drystone", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    library.impl("attention", _attention_in_torch, "CompositeExplicitAutograd")
    torch.library.register_fake("drystone::attention", _attention, lib=library)
    torch.library.register_fake("drystone::recurrent", _recurrent, lib=library)
    torch.library.register_fake("drystone::linear_scan", _linear_scan, lib=library)
    library.impl("linear_scan", _linear_scan_in_torch, "CompositeExplicitAutograd")
    # The registrations live as long as the library object does.
    _libraries.append(library)
    return torch.ops.drystone


_libraries: list[Any] = []


def _attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    span: torch.Tensor | None,
    blocks: torch.Tensor | None,
    scale: float,
    causal: bool,
    sinks: int,
    tile: list[int],
) -> torch.Tensor:
    """q [B, H, S, D], k [B, G, T, D], v [B, G, T, E], the others as in `dry.attention` -> [B, H, S, E]."""
    return q.new_empty((*q.shape[:-1], v.shape[-1]))


def _attention_in_torch(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    span: torch.Tensor | None,
    blocks: torch.Tensor | None,
    scale: float,
    causal: bool,
    sinks: int,
    tile: list[int],
) -> torch.Tensor:
    """The operation with all its scores in memory, for models that run in torch."""
    repeat = q.shape[1] // k.shape[1]
    scores = scale * (q @ k.repeat_interleave(repeat, 1).transpose(2, 3))
    rows, keys = torch.arange(q.shape[2])[:, None], torch.arange(k.shape[2])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if causal:
        scores = scores.masked_fill(keys > rows, -torch.inf)
    if span is not None:
        first, end = span[:, :, None, :, None]
        scores = scores.masked_fill(((keys < first) & (keys >= sinks)) | (keys >= end), -torch.inf)
    if blocks is not None:
        live = blocks.repeat_interleave(tile[0], 1).repeat_interleave(tile[1], 2)
        scores = scores.masked_fill(~live[:, : q.shape[2], : k.shape[2]], -torch.inf)
    return torch.nan_to_num(scores.softmax(-1), nan=0.0) @ v.repeat_interleave(repeat, 1)


def _recurrent(
    projected: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    state: list[torch.Tensor],
    cell: str,
    reverse: bool,
) -> list[torch.Tensor]:
    """projected [T, B, gates*H], state: h, for "lstm" also c, [B, H] -> all h [T, B, H], the last state."""
    steps = projected.new_empty((*projected.shape[:2], weight.shape[1]))
    return [steps, *(torch.empty_like(s, memory_format=torch.contiguous_format) for s in state)]


def _linear_scan(factor: torch.Tensor, x: torch.Tensor, dim: int) -> torch.Tensor:
    """factor and x of one shape -> out[t] = factor[t] * out[t - 1] + x[t] along `dim`."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _linear_scan_in_torch(factor: torch.Tensor, x: torch.Tensor, dim: int) -> torch.Tensor:
    """The same where torch runs it: step by step."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    state = torch.zeros_like(x.select(dim, 0))
    for t in range(x.shape[dim]):
        state = torch.addcmul(x.select(dim, t), factor.select(dim, t), state)
        out.select(dim, t).copy_(state)
    return out
