"""Pooling operations brought to one form: a batch dimension, every argument spelled out."""

from collections.abc import Callable
from typing import Any

import torch

from drystone.frontend.shapes import equal, fixed


def maximum(op: Any) -> Callable[..., Any]:
    """The rule for aten.max_pool{1,2,3}d."""
    rank = int(str(op).split("pool")[1][0])

    def rule(
        x: torch.Tensor,
        kernel: list[int],
        stride: Any = (),
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> Any:
        if not _fits(x, rank, ceil_mode):
            return None
        if x.dim() == rank + 2:
            return NotImplemented
        return op(x.unsqueeze(0), kernel, stride, padding, dilation, ceil_mode).squeeze(0)

    return rule


def average(op: Any) -> Callable[..., Any]:
    """The rule for aten.avg_pool{1,2,3}d."""
    rank = int(str(op).split("pool")[1][0])

    def rule(
        x: torch.Tensor,
        kernel: list[int],
        stride: Any = (),
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        # A divisor of 1 has no spelling in `dry.pool`.
        if not _fits(x, rank, ceil_mode) or divisor_override == 1:
            return None
        if x.dim() == rank + 2:
            return NotImplemented
        more = [divisor_override] if rank > 1 else []
        return op(x.unsqueeze(0), kernel, stride, padding, ceil_mode, count_include_pad, *more).squeeze(0)

    return rule


def adaptive_average(pool: Any) -> Callable[..., Any]:
    """The rule for aten.adaptive_avg_pool{1,2,3}d: a plain pool where all windows are alike."""

    def rule(x: torch.Tensor, output_size: list[int]) -> Any:
        extents = list(x.shape[-len(output_size) :])
        if x.dtype != torch.float32 or not fixed(*extents, *output_size) or 0 in output_size:
            return None
        if any(n % out for n, out in zip(extents, output_size, strict=True)):
            return None
        kernel = [n // out for n, out in zip(extents, output_size, strict=True)]
        return pool(x, kernel, kernel)

    return rule


def adaptive_maximum(x: torch.Tensor, output_size: list[int]) -> Any:
    """aten.adaptive_max_pool2d: the largest element of each window and its place in the plane."""
    height, width = x.shape[-2:]
    if not fixed(height, width, *output_size) or 0 in (height, width, *output_size):
        return None
    values, places = [], []
    for top, bottom in _windows(height, output_size[0]):
        for left, right in _windows(width, output_size[1]):
            window = x[..., top:bottom, left:right].flatten(-2)
            value, place = torch.max(window, -1)
            across = right - left
            values.append(value)
            places.append((top + place // across) * width + left + place % across)
    shape = (*x.shape[:-2], *output_size)
    return torch.stack(values, -1).reshape(shape), torch.stack(places, -1).reshape(shape)


def _windows(extent: int, count: int) -> list[tuple[int, int]]:
    return [(i * extent // count, -(-(i + 1) * extent // count)) for i in range(count)]


def _fits(x: torch.Tensor, rank: int, ceil_mode: bool) -> bool:
    if x.dtype != torch.float32 or x.dim() not in (rank + 1, rank + 2):
        return False
    # Ceil mode becomes padding, whose amount must be known; empty inputs are torch-mlir's.
    return (not ceil_mode or fixed(*x.shape[-rank:])) and not any(equal(n, 0) for n in x.shape)
