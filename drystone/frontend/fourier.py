"""Fourier transforms as products with matrices of sines and cosines, which are exact to the element type.

They take n^2 operations for n elements, and no more precision than a fast transform.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

_aten = torch.ops.aten

_NAMES = (
    *("fft", "fft2", "fftn", "fftshift", "hfft", "hfft2", "hfftn", "ifft", "ifft2", "ifftn", "ifftshift"),
    *("ihfft", "ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftn"),
)

_MORE = ("ihfft2", "ihfftn", "irfft", "irfft2", "irfftn", "rfft2", "rfftn", "fft", "ifft", "rfft")


@cache
def rules() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its decomposition: torch's own down to one transform, that one by matrices.

    Kept: torch goes through all operators there are for its table, longer than it takes to import a layer.
    """
    torchs = torch.export.default_decompositions()
    composed = [getattr(_aten, f"fft_{name}").default for name in _NAMES]
    composed += [_aten.stft.default, _aten.stft.center, _aten.istft.default]
    return {
        **{op: torchs[op] for op in composed},
        _aten._fft_c2c.default: _complex,
        _aten._fft_r2c.default: _from_real,
        _aten._fft_c2r.default: _to_real,
    }


def _scale(extents: Sequence[int], normalization: int) -> float:
    """torch's numbers for the factor: 0 none, 1 by the root of the count, 2 by the count."""
    count = math.prod(extents)
    return (1.0, 1 / math.sqrt(count), 1 / count)[normalization]


def _waves(count: int, frequencies: int, like: Any, sign: int) -> tuple[Any, Any]:
    """cos and sign * sin of 2 pi j k / count as [count, frequencies]."""
    j = torch.arange(count, device=like.device).unsqueeze(1)
    k = torch.arange(frequencies, device=like.device).unsqueeze(0)
    # Angles stay small: the product is taken modulo a full turn.
    angle = ((j * k) % count).to(torch.float64) * (2 * math.pi / count)
    return torch.cos(angle).to(like.dtype), (torch.sin(angle) * sign).to(like.dtype)


def _turn(real: Any, imaginary: Any, dim: int, sign: int) -> tuple[Any, Any]:
    """The transform along one dimension, unscaled."""
    cos, sin = _waves(real.shape[dim], real.shape[dim], real, sign)
    real, imaginary = real.movedim(dim, -1), imaginary.movedim(dim, -1)
    turned = _times(real, cos) - _times(imaginary, sin), _times(real, sin) + _times(imaginary, cos)
    return turned[0].movedim(-1, dim), turned[1].movedim(-1, dim)


def _times(x: Any, matrix: Any) -> Any:
    return (x.unsqueeze(0) if x.dim() == 1 else x).matmul(matrix).reshape((*x.shape[:-1], matrix.shape[1]))


def _complex(x: Any, dim: Sequence[int], normalization: int, forward: bool) -> Any:
    real, imaginary = torch.real(x), torch.imag(x)
    for axis in dim:
        real, imaginary = _turn(real, imaginary, axis, -1 if forward else 1)
    factor = _scale([x.shape[axis] for axis in dim], normalization)
    return torch.complex(real * factor, imaginary * factor)


def _from_real(x: Any, dim: Sequence[int], normalization: int, onesided: bool) -> Any:
    *others, last = dim
    count = x.shape[last]
    cos, sin = _waves(count, count // 2 + 1 if onesided else count, x, -1)
    moved = x.movedim(last, -1)
    real, imaginary = _times(moved, cos).movedim(-1, last), _times(moved, sin).movedim(-1, last)
    for axis in others:
        real, imaginary = _turn(real, imaginary, axis, -1)
    factor = _scale([x.shape[axis] for axis in dim], normalization)
    return torch.complex(real * factor, imaginary * factor)


def _to_real(x: Any, dim: Sequence[int], normalization: int, last_dim_size: int) -> Any:
    """The half spectrum along the last of `dim` stands for its mirror image too."""
    *others, last = dim
    real, imaginary = torch.real(x), torch.imag(x)
    for axis in others:
        real, imaginary = _turn(real, imaginary, axis, 1)
    half = last_dim_size // 2 + 1
    cos, sin = (wave.t() for wave in _waves(last_dim_size, half, real, 1))
    k = torch.arange(half, device=x.device)
    once = (k == 0) | (2 * k == last_dim_size)
    weight = torch.where(once, 1.0, 2.0).to(real.dtype).unsqueeze(1)
    real = real.narrow(last, 0, half).movedim(last, -1)
    imaginary = imaginary.narrow(last, 0, half).movedim(last, -1)
    out = _times(real, cos * weight) - _times(imaginary, sin * weight)
    extents = [last_dim_size, *(x.shape[axis] for axis in others)]
    return (out * _scale(extents, normalization)).movedim(-1, last)
