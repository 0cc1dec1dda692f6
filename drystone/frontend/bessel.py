"""Bessel functions of order 0 and 1, of f64 tensors.

Sources (Abramowitz & Stegun): the trapezoidal rule on their integrals, which converges geometrically (9.1.21,
9.6.16, 9.6.24), Hankel's series for large arguments (9.2.5), Neumann's series for the second kind (9.1.88).
"""

import math
from typing import Any

import torch

#: Points of the trapezoidal rules, and where Hankel's series takes over from them.
_POINTS, _LARGE = 96, 25.0


def _angles(points: int, like: Any) -> Any:
    """The middles of equal parts of (0, pi)."""
    return (torch.arange(points, device=like.device).to(torch.float64) + 0.5) * (math.pi / points)


def scaled_i(x: Any, n: int) -> Any:
    """exp(-|x|) I_n(x), n 0 or 1."""
    size = torch.abs(x)
    theta = _angles(_POINTS, x)
    near = torch.mean(torch.exp(size.unsqueeze(-1) * (torch.cos(theta) - 1)) * torch.cos(n * theta), -1)
    # Hankel's series.
    term, far = torch.ones_like(size), torch.ones_like(size)
    for k in range(1, 12):
        term = -term * (4 * n * n - (2 * k - 1) ** 2) / (8 * k * size)
        far = far + term
    far = far / torch.sqrt(2 * math.pi * size)
    found = torch.where(size < _LARGE, near, far)
    return found if n == 0 else torch.sign(x) * found


def scaled_k(x: Any, n: int) -> Any:
    """exp(x) K_n(x); infinite at 0, NaN below."""
    step = 0.0625
    t = torch.arange(512, device=x.device).to(torch.float64) * step
    growth = torch.cosh(t) - 1
    weight = torch.where(t == 0, 0.5, 1.0)
    # cosh(n t) exp(-x growth), where neither factor overflows.
    terms = torch.exp(torch.clamp(n * t - x.unsqueeze(-1) * growth, min=-700.0))
    terms = terms * (torch.exp(-2 * n * t) + 1) / 2 * weight
    found = torch.sum(terms, -1) * step
    return torch.where(x > 0, found, torch.where(x == 0, math.inf, math.nan))


def _j(x: Any, n: Any) -> Any:
    """J_n(x) by its integral, for moderate x; n: an integer, or a tensor broadcast with x."""
    theta = _angles(_POINTS, x)
    order = n.unsqueeze(-1) if isinstance(n, torch.Tensor) else n
    return torch.mean(torch.cos(order * theta - x.unsqueeze(-1) * torch.sin(theta)), -1)


def _hankel(x: Any, n: int) -> tuple[Any, Any]:
    """J_n and Y_n for large x."""
    p, q, term = torch.ones_like(x), torch.zeros_like(x), torch.ones_like(x)
    for k in range(1, 13):
        term = term * (4 * n * n - (2 * k - 1) ** 2) / (8 * k * x)
        sign = -1 if k % 4 in (2, 3) else 1
        if k % 2:
            q = q + sign * term
        else:
            p = p + sign * term
    turn = x - (n / 2 + 0.25) * math.pi
    size = torch.sqrt(2 / (math.pi * x))
    cos, sin = torch.cos(turn), torch.sin(turn)
    return size * (p * cos - q * sin), size * (p * sin + q * cos)


def first_kind(x: Any, n: int) -> Any:
    size = torch.abs(x)
    far = _hankel(torch.clamp(size, min=1.0), n)[0]
    return torch.where(size < _LARGE, _j(size, n), far)


def second_kind(x: Any, n: int) -> Any:
    """Neumann's series over J_k; minus infinity at 0, NaN below."""
    size = torch.clamp(torch.abs(x), min=1e-300)
    k = torch.arange(1, 33, device=x.device).to(torch.float64)
    sign = torch.where(torch.floor(k / 2) * 2 == k, 1.0, -1.0)
    near = torch.clamp(size, max=_LARGE)
    log = torch.log(near / 2) + 0.57721566490153286
    if n == 0:
        rest = torch.sum(sign / k * _j(near.unsqueeze(-1), 2 * k), -1)
        found = (2 * log * _j(near, 0) - 4 * rest) / math.pi
    else:
        # Minus the derivative of the series for n = 0.
        wide = near.unsqueeze(-1)
        rest = torch.sum(sign / k * (_j(wide, 2 * k - 1) - _j(wide, 2 * k + 1)), -1)
        found = 2 * (log * _j(near, 1) + rest - _j(near, 0) / near) / math.pi
    found = torch.where(size < _LARGE, found, _hankel(torch.clamp(size, min=1.0), n)[1])
    return torch.where(x > 0, found, torch.where(x == 0, -math.inf, math.nan))
