"""Special functions in terms of elementary ones, computed in f64 and rounded once.

Sources: gamma: Lanczos' approximation (g = 7, nine terms); its logarithmic derivatives: the recurrence up to
large arguments, then the asymptotic series (Abramowitz & Stegun 6.3.18); zeta: Euler-Maclaurin (23.2).
"""

import math
from collections.abc import Callable
from typing import Any

import torch

from drystone.frontend import bessel

_aten = torch.ops.aten

_LANCZOS = (
    *(0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313),
    *(-176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6),
    1.5056327351493116e-7,
)
#: B(2k) for k = 1, 2, ..
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)


def rules() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its decomposition."""
    plain: dict[Any, Callable[..., Any]] = {
        _aten.lgamma.default: _log_gamma,
        _aten.digamma.default: _digamma,
        _aten.i0.default: lambda x: bessel.scaled_i(x, 0) * torch.exp(torch.abs(x)),
        _aten.special_i0e.default: lambda x: bessel.scaled_i(x, 0),
        _aten.special_i1.default: lambda x: bessel.scaled_i(x, 1) * torch.exp(torch.abs(x)),
        _aten.special_i1e.default: lambda x: bessel.scaled_i(x, 1),
        _aten.special_modified_bessel_i0.default: lambda x: bessel.scaled_i(x, 0) * torch.exp(torch.abs(x)),
        _aten.special_modified_bessel_i1.default: lambda x: bessel.scaled_i(x, 1) * torch.exp(torch.abs(x)),
        _aten.special_modified_bessel_k0.default: lambda x: bessel.scaled_k(x, 0) * torch.exp(-x),
        _aten.special_modified_bessel_k1.default: lambda x: bessel.scaled_k(x, 1) * torch.exp(-x),
        _aten.special_scaled_modified_bessel_k0.default: lambda x: bessel.scaled_k(x, 0),
        _aten.special_scaled_modified_bessel_k1.default: lambda x: bessel.scaled_k(x, 1),
        _aten.special_bessel_j0.default: lambda x: bessel.first_kind(x, 0),
        _aten.special_bessel_j1.default: lambda x: torch.sign(x) * bessel.first_kind(torch.abs(x), 1),
        _aten.special_bessel_y0.default: lambda x: bessel.second_kind(x, 0),
        _aten.special_bessel_y1.default: lambda x: bessel.second_kind(x, 1),
        _aten.erfinv.default: lambda p: _normal_quantile((p + 1) / 2) / math.sqrt(2),
        _aten.special_ndtri.default: lambda p: _normal_quantile(p),
        _aten.erfc.default: _erfc,
        _aten.special_erfcx.default: _scaled_erfc,
        _aten.special_spherical_bessel_j0.default: lambda x: torch.where(x == 0, 1.0, torch.sin(x) / x),
    }
    two: dict[Any, Callable[..., Any]] = {_aten.special_zeta.default: _zeta}
    for kind, chebyshev in {"t": _first, "u": _second, "v": _third, "w": _fourth}.items():
        two[getattr(_aten, f"special_chebyshev_polynomial_{kind}").default] = chebyshev
        shifted = getattr(_aten, f"special_shifted_chebyshev_polynomial_{kind}").default
        two[shifted] = _shifted(chebyshev)
    found = {op: _wide(rule) for op, rule in {**plain, **two}.items()}
    found[_aten.polygamma.default] = _polygamma
    return found


def _wide(rule: Callable[..., Any]) -> Callable[..., Any]:
    def decompose(*args: Any) -> Any:
        tensors = [x for x in args if isinstance(x, torch.Tensor)]
        kind = tensors[0].dtype
        for other in tensors[1:]:
            kind = torch.promote_types(kind, other.dtype)
        if not kind.is_floating_point:
            kind = torch.float32
        return rule(*(x.to(torch.float64) for x in args)).to(kind)

    return decompose


def _log_gamma(x: Any) -> Any:
    """log |gamma|; below 1/2 by reflection."""
    low = x < 0.5
    z = torch.where(low, 1 - x, x) - 1
    total = _LANCZOS[0] + 0 * z
    for i, c in enumerate(_LANCZOS[1:]):
        total = total + c / (z + i + 1)
    t = z + 7.5
    direct = 0.5 * math.log(2 * math.pi) + (z + 0.5) * torch.log(t) - t + torch.log(total)
    mirrored = math.log(math.pi) - torch.log(torch.abs(_sin_pi(x))) - direct
    found = torch.where(low, mirrored, direct)
    pole = (x <= 0) & (x == torch.floor(x)) | torch.isinf(x)
    return torch.where(pole, math.inf, found)


def _sin_pi(x: Any) -> Any:
    return torch.sin(math.pi * (x - 2 * torch.floor(x / 2)))


def _digamma(x: Any) -> Any:
    low = x < 0
    z = torch.where(low, 1 - x, x)
    found = torch.zeros_like(z)
    for _ in range(10):
        small = z < 10
        found = torch.where(small, found - 1 / z, found)
        z = torch.where(small, z + 1, z)
    square = 1 / (z * z)
    power = square
    found = found + torch.log(z) - 0.5 / z
    for k, b in enumerate(_BERNOULLI[:7], 1):
        found = found - b / (2 * k) * power
        power = power * square
    part = math.pi * (x - torch.floor(x))
    found = torch.where(low, found - math.pi * torch.cos(part) / torch.sin(part), found)
    found = torch.where(low & (x == torch.floor(x)), math.nan, found)
    return torch.where(x == 0, -math.inf / torch.where(1 / x > 0, 1.0, -1.0), found)


def _polygamma(n: int, x: Any) -> Any:
    if n == 0:
        return torch.digamma(x)
    sign = 1 if n % 2 else -1
    wide = x.to(torch.float64)
    found = sign * math.factorial(n) * _zeta(torch.full_like(wide, n + 1), wide)
    if n == 1:
        # Trigamma of a negative number by reflection.
        sine = torch.sin(math.pi * (wide - torch.floor(wide)))
        mirrored = (math.pi / sine) ** 2 - _zeta(torch.full_like(wide, 2), 1 - wide)
        found = torch.where(wide < 0.5, mirrored, found)
    return found.to(x.dtype if x.dtype.is_floating_point else torch.float32)


def _zeta(s: Any, q: Any) -> Any:
    """The sum of (q + k)^-s over k >= 0: some terms, then Euler-Maclaurin. NaN for s < 1."""
    found = torch.zeros_like(s + q)
    terms = 24
    for k in range(terms):
        found = found + _power(q + k, s)
    a = q + terms
    power = _power(a, s)
    found = found + a * power / (s - 1) + 0.5 * power
    rising, factor = s, power / a
    for k, b in enumerate(_BERNOULLI, 1):
        found = found + b / math.factorial(2 * k) * rising * factor
        rising = rising * (s + 2 * k - 1) * (s + 2 * k)
        factor = factor / (a * a)
    whole = q == torch.floor(q)
    found = torch.where((q <= 0) & whole, math.inf, found)
    found = torch.where((q <= 0) & ~whole & (s != torch.floor(s)), math.nan, found)
    found = torch.where(s == 1, math.inf, found)
    return torch.where(s < 1, math.nan, found)


def _power(base: Any, s: Any) -> Any:
    """base^-s; of a negative base for whole s."""
    size = torch.exp(-s * torch.log(torch.abs(base)))
    odd = torch.floor(s / 2) * 2 != s
    return torch.where((base < 0) & odd, -size, size)


def _scaled_erfc(x: Any) -> Any:
    """exp(x^2) erfc(x) = 2/sqrt(pi) times the integral of exp(-t^2 - 2xt) over t > 0, for x >= 0; of negative
    x by reflection."""
    size = torch.abs(x)
    step = 1 / 32
    u = torch.arange(8 * 32, device=x.device).to(torch.float64) * step
    # Substituting t = exp(u - exp(-u)) / (1 + x) makes the trapezoidal rule converge geometrically.
    v = u - 4.0
    t = torch.exp(v - torch.exp(-v)) / (1 + size.unsqueeze(-1))
    slope = 1 + torch.exp(-v)
    found = torch.sum(torch.exp(-t * t - 2 * t * size.unsqueeze(-1)) * t * slope, -1) * step
    found = found * 2 / math.sqrt(math.pi)
    return torch.where(x < 0, 2 * torch.exp(x * x) - found, found)


def _erfc(x: Any) -> Any:
    return torch.where(x < 0.5, 1 - torch.erf(x), _scaled_erfc(torch.abs(x)) * torch.exp(-x * x))


def _normal_quantile(p: Any) -> Any:
    """Where the normal distribution function is p: Newton's method on its logarithm, in the lower half."""
    half = torch.where(p < 0.5, p, 1 - p)
    log = torch.log(half)
    x = -torch.sqrt(torch.clamp(-2 * log - torch.log(torch.clamp(-2 * log, min=1.0)), min=0.0))
    for _ in range(8):
        tail = 0.5 * _scaled_erfc(-x / math.sqrt(2))
        # log of the distribution, and its slope.
        value = torch.log(tail) - 0.5 * x * x
        x = torch.clamp(x - (value - log) * tail * math.sqrt(2 * math.pi), max=0.0)
    x = torch.where(p < 0.5, x, -x)
    x = torch.where(p == 0, -math.inf, torch.where(p == 1, math.inf, x))
    return torch.where((p < 0) | (p > 1), math.nan, x)


def _chebyshev(x: Any, n: Any, inside: Callable[..., Any], outside: Callable[..., Any]) -> Any:
    """A polynomial by its angle: x = cos(angle) inside [-1, 1], +-cosh(angle) outside. 0 for n < 0."""
    n = torch.trunc(n)
    within = torch.abs(x) <= 1
    angle = torch.acos(torch.clamp(x, min=-1.0, max=1.0))
    far = torch.acosh(torch.clamp(torch.abs(x), min=1.0))
    found = torch.where(within, inside(angle, n), outside(far, n, x < 0))
    return torch.where(n < 0, 0.0, found)


def _alternating(n: Any, negative: Any) -> Any:
    """(-1)^n where negative, else 1."""
    return torch.where(negative & (torch.floor(n / 2) * 2 != n), -1.0, 1.0)


def _ratio(top: Any, bottom: Any, limit: Any) -> Any:
    return torch.where(torch.abs(bottom) < 1e-9, limit, top / bottom)


def _first(x: Any, n: Any) -> Any:
    return _chebyshev(
        x,
        n,
        lambda a, n: torch.cos(n * a),
        lambda a, n, negative: _alternating(n, negative) * torch.cosh(n * a),
    )


def _second(x: Any, n: Any) -> Any:
    return _chebyshev(
        x,
        n,
        lambda a, n: _ratio(torch.sin((n + 1) * a), torch.sin(a), (n + 1) * _alternating(n, a > 1)),
        lambda a, n, negative: (
            _alternating(n, negative) * _ratio(torch.sinh((n + 1) * a), torch.sinh(a), n + 1)
        ),
    )


def _third(x: Any, n: Any) -> Any:
    """cos((n + 1/2) a) / cos(a / 2), = U_n - U_(n-1)."""
    lower = torch.where(torch.trunc(n) > 0, _second(x, torch.trunc(n) - 1), 0.0)
    return _second(x, n) - lower


def _fourth(x: Any, n: Any) -> Any:
    """sin((n + 1/2) a) / sin(a / 2), = U_n + U_(n-1)."""
    lower = torch.where(torch.trunc(n) > 0, _second(x, torch.trunc(n) - 1), 0.0)
    return _second(x, n) + lower


def _shifted(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, n: rule(2 * x - 1, n)
