"""Operations that quantize and dequantize, of torch's PT2E (quantized_decomposed) and of torchao, in terms of
ATen's: as each library computes them itself, step by step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.ao.quantization.fx import _decomposed as given

_own = torch.ops.quantized_decomposed
#: Operations of torchao, which has them taken apart itself; where it is not loaded there are none.
_TORCHAO = (
    *("quantize_affine", "dequantize_affine", "choose_qparams_affine"),
    *("quantize_affine_no_zero_point", "dequantize_affine_no_zero_point", "quantize_affine_tinygemm"),
    *("dequantize_affine_tinygemm", "choose_qparams_affine_with_min_max"),
)


def rules() -> dict[Any, Callable[..., Any]]:
    """Operation -> its rule, as in `decompositions`."""
    return {
        _own.quantize_per_tensor.default: given.quantize_per_tensor,
        _own.quantize_per_tensor.tensor: _quantize,
        _own.quantize_per_tensor.tensor2: _quantize,
        _own.dequantize_per_tensor.default: given.dequantize_per_tensor,
        _own.dequantize_per_tensor.tensor: _dequantize,
        _own.dequantize_per_tensor.tensor2: _dequantize,
        _own.quantize_per_channel.default: given.quantize_per_channel,
        _own.dequantize_per_channel.default: given.dequantize_per_channel,
        _own.quantize_per_token.default: given.quantize_per_token,
        _own.dequantize_per_token.default: given.dequantize_per_token,
        _own.quantize_per_channel_group.default: _quantize_groups,
        _own.dequantize_per_channel_group.default: given.dequantize_per_channel_group,
        _own.choose_qparams.tensor: _choose,
        _own.choose_qparams_symmetric.tensor: _choose_symmetric,
        _own.choose_qparams_per_token.default: given.choose_qparams_per_token,
        _own.choose_qparams_per_token_asymmetric.default: given.choose_qparams_per_token_asymmetric,
        _own.convert_element_type.no_fuse: lambda x, dtype: x.to(dtype),
        **_torchao(),
    }


def _torchao() -> dict[Any, Callable[..., Any]]:
    """The operations of torchao that are there, as it hands them to Inductor."""
    there = [
        getattr(torch.ops.torchao, name).default for name in _TORCHAO if hasattr(torch.ops.torchao, name)
    ]
    if not there:
        return {}
    from torch._inductor.decomposition import decompositions

    return {op: decompositions[op] for op in there}


def _quantize(x: Any, scale: Any, zero_point: Any, low: Any, high: Any, dtype: torch.dtype) -> Any:
    """One scale, known when the model runs."""
    inverse = (1.0 / scale.reshape(()).to(torch.float64)).to(torch.float32)
    whole = torch.round(x.to(torch.float32) * inverse) + zero_point.reshape(())
    low, high = (b.reshape(()).to(whole.dtype) if isinstance(b, torch.Tensor) else b for b in (low, high))
    return torch.clamp(whole, low, high).to(dtype)


def _dequantize(
    codes: Any,
    scale: Any,
    zero_point: Any,
    low: Any,
    high: Any,
    dtype: torch.dtype,
    *,
    out_dtype: torch.dtype | None = None,
) -> Any:
    out = out_dtype or torch.float32
    centred = (codes.to(out) - zero_point.reshape(())).to(torch.float32)
    return (centred * scale.reshape(()).to(torch.float32)).to(out)


def _quantize_groups(
    x: Any, scales: Any, zero_points: Any, low: int, high: int, dtype: torch.dtype, group_size: int = 128
) -> Any:
    """Groups along the last axis of a matrix."""
    size = x.shape[-1] if group_size > x.shape[-1] and scales.shape[-1] == 1 else group_size
    whole = x.reshape(-1, size) * (1.0 / scales.reshape(-1, 1)) + zero_points.reshape(-1, 1)
    return whole.round().clamp(low, high).to(dtype).reshape(x.shape)


def _choose(x: Any, low: int, high: int, eps: float, dtype: torch.dtype) -> Any:
    """The scale and zero point of the range of a tensor and 0."""
    least, most = x.amin().clamp(max=0), x.amax().clamp(min=0)
    scale = ((most - least) / float(high - low)).to(torch.float32).clamp(min=_f32(eps))
    zero_point = torch.clamp(low - torch.round(least / scale).to(torch.int32), low, high)
    return scale.reshape(1).to(torch.float64), zero_point.reshape(1).to(torch.int64)


def _choose_symmetric(x: Any, low: int, high: int, eps: float, dtype: torch.dtype) -> Any:
    """The scale of the largest magnitude."""
    scale = (x.abs().amax() / (float(high - low) / 2)).to(torch.float32).clamp(min=_f32(eps))
    zero = 128 if dtype == torch.uint8 else 0
    return scale.reshape(1).to(torch.float64), torch.full((1,), zero, dtype=torch.int64)


def _f32(number: float) -> float:
    """A number as f32 holds it."""
    return float(np.float32(number))
