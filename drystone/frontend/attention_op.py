"""Attention with masks that have no name in torch: windows, sinks, lengths, packed sequences, blocks."""

from typing import Any

import torch

from drystone.errors import UserError
from drystone.frontend.operators import operators
from drystone.frontend.shapes import equal


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    scale: float | None = None,
    causal: bool = False,
    window: int | None = None,
    sinks: int = 0,
    lengths: torch.Tensor | None = None,
    offsets: torch.Tensor | None = None,
    blocks: torch.Tensor | None = None,
    tile: tuple[int, int] = (64, 64),
) -> torch.Tensor:
    """softmax(scale * q k^T + mask) v over the keys that a query sees; the others are never read.

    q [B, H, S, D], k [B, G, T, D], v [B, G, T, E] -> [B, H, S, E]; H is a multiple of G. scale: 1/sqrt(D)
    unless given. All the limits given hold together:

    - causal: a query sees keys up to its own position. The S queries are the last of the T keys (of
      `lengths` keys where given), as in a cache.
    - window: it sees the `window` keys up to its own position, with `causal`; else those nearer than `window`
      on both sides.
    - sinks: besides the window, the first `sinks` keys (StreamingLLM, Xiao et al. 2023).
    - lengths [B]: how many keys of each sequence there are; those behind them are padding.
    - offsets [N + 1]: several sequences lie one after the other in one row (B = 1, S = T), sequence i from
      offsets[i] to offsets[i + 1]; a query sees keys of its own.
    - blocks [H or 1, ceil(S / tile[0]), ceil(T / tile[1])] of flags: which tiles are computed.
    - mask, broadcast to [B, H, S, T]: added where it is float, kept where it is true.

    A query that sees nothing gives zeros. Runs in torch as it is (slowly), and compiles to one kernel. Raises
    UserError where the arguments do not fit together.
    """
    _check(q, k, v, window, sinks, lengths, offsets, blocks, tile)
    span, flag = None, causal and equal(q.shape[2], k.shape[2]) and lengths is None
    if window is not None or lengths is not None or offsets is not None or (causal and not flag):
        span = _span(q, k, causal and not flag, causal, window, lengths, offsets)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    grid = [] if blocks is None else list(tile)
    while mask is not None and mask.dim() < 4:
        mask = mask.unsqueeze(0)
    found: torch.Tensor = operators().attention(q, k, v, mask, span, blocks, factor, flag, sinks, grid)
    return found


def _check(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    window: int | None,
    sinks: int,
    lengths: Any,
    offsets: Any,
    blocks: Any,
    tile: tuple[int, int],
) -> None:
    problem = None
    if q.dim() != 4 or k.dim() != 4 or v.dim() != 4:
        ranks = f"{q.dim()}, {k.dim()} and {v.dim()}"
        problem = f"q, k and v have ranks {ranks}, not 4: [batch, heads, positions, width]"
    elif window is not None and window < 1:
        problem = f"a window of {window} keys"
    elif sinks and window is None:
        problem = "sinks are keys besides a window, and there is no window"
    elif offsets is not None and (lengths is not None or sinks):
        problem = "packed sequences (offsets) have neither lengths nor sinks"
    elif offsets is not None and not (equal(q.shape[0], 1) and equal(q.shape[2], k.shape[2])):
        problem = "packed sequences (offsets) lie in one row, with as many queries as keys"
    elif blocks is not None and (tile[0] % 16 or tile[1] % 8):
        problem = f"a tile of {tile[0]} queries and {tile[1]} keys: these are multiples of 16 and 8"
    if problem is not None:
        raise UserError(
            f"drystone.ops.attention: {problem}", hint="docs/attention.md says what goes together"
        )


def _span(
    q: torch.Tensor,
    k: torch.Tensor,
    ends: bool,
    causal: bool,
    window: int | None,
    lengths: torch.Tensor | None,
    offsets: torch.Tensor | None,
) -> torch.Tensor:
    """The first key and the end of what each query sees: [2, B or 1, S or 1]."""
    queries, keys = q.shape[2], k.shape[2]
    at = torch.arange(queries, device=q.device)[None]
    end: Any = torch.full_like(at[:, :1], keys) if lengths is None else lengths.to(torch.int64)[:, None]
    first: Any = torch.zeros_like(at[:, :1])
    position = at + (end - queries)
    if window is not None:
        first = torch.clamp(position - (window - 1), min=0)
        if not causal:
            end = torch.minimum(end, position + window)
    if ends:
        end = torch.minimum(end, position + 1)
    if offsets is not None:
        inside = (offsets[None, 1:-1] <= at[0][:, None]).sum(1)
        first = torch.maximum(first, offsets.to(torch.int64)[inside][None])
        end = torch.minimum(end, offsets.to(torch.int64)[inside + 1][None])
    return torch.stack(torch.broadcast_tensors(first, end))
