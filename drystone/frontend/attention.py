"""scaled_dot_product_attention as one operation over [batch, heads, positions, features]."""

from typing import Any

import torch

from drystone.frontend.operators import operators
from drystone.frontend.shapes import equal


def scaled_dot_product_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """The operation whole; None where it is no plain f32 attention over one set of batch dimensions."""
    tensors = (query, key, value)
    if dropout_p or any(t.dtype != torch.float32 for t in tensors) or not isinstance(query.shape[-1], int):
        return None
    if query.dim() < 2 or not _same_batches(query, key, value, enable_gqa):
        return None
    if attn_mask is not None and attn_mask.dtype not in (torch.float32, torch.bool):
        return None
    if query.dim() > 4 and attn_mask is not None and attn_mask.dim() > 2:
        return None
    mask = None if attn_mask is None else _mask(attn_mask, query.dim())
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    q, k, v = (_rank4(t) for t in tensors)
    out = operators().attention.default(q, k, v, mask, None, None, factor, is_causal, 0, [])
    return out if query.dim() == 4 else out.reshape((*query.shape[:-1], value.shape[-1]))


def _same_batches(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, grouped: bool) -> bool:
    """Whether the dimensions before positions and features agree; the heads of keys may be fewer."""
    if not query.dim() == key.dim() == value.dim():
        return False
    leading = range(query.dim() - 2)
    heads = query.dim() - 3
    for d in leading:
        same = equal(key.shape[d], value.shape[d])
        if grouped and d == heads and query.dim() == 4:
            same = same and equal(query.shape[d] % key.shape[d], 0)
        else:
            same = same and equal(query.shape[d], key.shape[d])
        if not same:
            return False
    return True


def _rank4(x: torch.Tensor) -> torch.Tensor:
    """[S, D] -> [1, 1, S, D], [B, S, D] -> [B, 1, S, D], [.., H, S, D] -> [prod, H, S, D]."""
    if x.dim() == 2:
        return x.unsqueeze(0).unsqueeze(0)
    if x.dim() == 3:
        return x.unsqueeze(1)
    return x if x.dim() == 4 else x.flatten(0, x.dim() - 4)


def _mask(mask: torch.Tensor, rank: int) -> torch.Tensor:
    """A mask for queries of this rank, aligned with them as `_rank4` reshapes them."""
    if rank == 3 and mask.dim() == 3:
        return mask.unsqueeze(1)
    while mask.dim() < 4:
        mask = mask.unsqueeze(0)
    return mask
