"""Operations that torch-mlir does not lower, or lowers wrongly, in terms of those it does."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

_aten = torch.ops.aten


def rules() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its rule, as in `decompositions`: None leaves the operation to what is known."""
    return {
        _aten.gelu.default: _gelu,
        _aten.addmv.default: lambda c, a, x, beta=1, alpha=1: beta * c + alpha * torch.mv(a, x),
        _aten.fmax.default: lambda a, b: _prefer(a, b, torch.maximum(a, b)),
        _aten.fmin.default: lambda a, b: _prefer(a, b, torch.minimum(a, b)),
        _aten.signbit.default: _signbit,
        _aten.copysign.Tensor: _copysign,
        _aten.copysign.Scalar: lambda a, b: _copysign(a, torch.full_like(a, b)),
        _aten.fmod.Scalar: lambda x, number: torch.fmod(x, torch.full((), number, dtype=_with(x, number))),
        _aten.hypot.default: _hypot,
        _aten._conj.default: _conj,
        _aten._conj_physical.default: _conj,
        _aten.polar.default: lambda r, phi: torch.complex(r * torch.cos(phi), r * torch.sin(phi)),
        _aten.angle.default: _angle,
        _aten.frexp.Tensor: _frexp,
        _aten.logcumsumexp.default: _logcumsumexp,
        _aten.dist.default: lambda a, b, p=2: torch.linalg.vector_norm(a - b, p),
        _aten._cdist_forward.default: _cdist,
        _aten._pdist_forward.default: _pdist,
        _aten._trilinear.default: _trilinear,
        _aten._embedding_bag.default: _embedding_bag,
        _aten._embedding_bag_forward_only.default: _embedding_bag,
        _aten.empty_strided.default: lambda size, stride, **options: torch.empty(size, **options),
        _aten.new_empty_strided.default: lambda x, size, stride, **options: x.new_empty(size, **options),
        _aten.__lshift__.Tensor: torch.bitwise_left_shift,
        _aten.__lshift__.Scalar: torch.bitwise_left_shift,
        _aten.__rshift__.Tensor: torch.bitwise_right_shift,
        _aten.__rshift__.Scalar: torch.bitwise_right_shift,
        **{op: _compared(op) for op in _COMPARISONS},
        **{op: _copied(view) for op, view in _COPIES.items()},
        **{op: _with_row(op) for op in _OF_ROWS},
    }


_COPIES = {
    _aten.view_copy.default: _aten.view.default,
    _aten.permute_copy.default: _aten.permute.default,
    _aten.narrow_copy.default: _aten.narrow.default,
    _aten.unbind_copy.int: _aten.unbind.int,
    _aten.as_strided_copy.default: _aten.as_strided.default,
}

#: Reductions that torch-mlir does not lower for a tensor without dimensions.
_OF_ROWS = (
    _aten.amax.default,
    _aten.amin.default,
    _aten.all.dim,
    _aten.any.dim,
    _aten.argmax.default,
    _aten.max.dim,
    _aten.min.dim,
    _aten.sort.default,
    _aten.sort.stable,
    _aten.topk.default,
    _aten.cumsum.default,
    _aten.cumprod.default,
)


#: Comparisons with a number.
_COMPARISONS = (
    _aten.lt.Scalar,
    _aten.le.Scalar,
    _aten.gt.Scalar,
    _aten.ge.Scalar,
    _aten.eq.Scalar,
    _aten.ne.Scalar,
)


def _compared(op: Any) -> Callable[..., Any]:
    """Floating-point elements are compared with a floating-point number: with a whole one, torch-mlir folds
    the comparison of a constant wrongly."""

    def rule(x: Any, number: Any) -> Any:
        exact = isinstance(number, int) and abs(number) <= 1 << 24
        return op(x, float(number)) if exact and x.dtype.is_floating_point else None

    return rule


def _copied(view: Any) -> Callable[..., Any]:
    def rule(*args: Any, **kwargs: Any) -> Any:
        return torch.utils._pytree.tree_map(torch.clone, view(*args, **kwargs))

    return rule


def _with_row(op: Any) -> Callable[..., Any]:
    """Work on a tensor without dimensions as on a row of one element."""

    def rule(x: Any, *args: Any, **kwargs: Any) -> Any:
        if x.dim():
            return None
        names = [argument.name for argument in op._schema.arguments[1:]]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        if given.get("dim") is None and "dim" in names and op is not _aten.argmax.default:
            given.setdefault("dim", 0 if "List" not in str(op._schema.arguments[1].type) else [])
        done = op(x.reshape(1), **given)
        return torch.utils._pytree.tree_map(lambda part: part.reshape(()), done)

    return rule


def _gelu(x: Any, *, approximate: str = "none") -> Any:
    """torch-mlir's constant for the approximation by tanh is wrong in its fourth digit."""
    if approximate != "tanh":
        return None
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
    return 0.5 * x * (1 + torch.tanh(inner))


def _prefer(a: Any, b: Any, otherwise: Any) -> Any:
    """The number where one of two is NaN."""
    return torch.where(torch.isnan(a), b, torch.where(torch.isnan(b), a, otherwise))


def _signbit(x: Any) -> Any:
    if not x.dtype.is_floating_point:
        return x < 0
    return (x < 0) | ((x == 0) & (1 / x < 0))


def _copysign(a: Any, b: Any) -> Any:
    size = torch.abs(a)
    return torch.where(torch.signbit(b), -size, size)


def _with(x: Any, number: Any) -> torch.dtype:
    """The element type for a number that meets a tensor."""
    return torch.result_type(x, number)


def _hypot(a: Any, b: Any) -> Any:
    a, b = torch.abs(a), torch.abs(b)
    more, less = torch.maximum(a, b), torch.minimum(a, b)
    ratio = torch.where(more > 0, less / more, 0.0)
    return more * torch.sqrt(1 + ratio * ratio)


def _conj(x: Any) -> Any:
    return torch.complex(torch.real(x), -torch.imag(x)) if x.is_complex() else x.clone()


def _angle(x: Any) -> Any:
    if x.is_complex():
        return torch.atan2(torch.imag(x), torch.real(x))
    of_real = torch.where(x < 0, math.pi, 0.0).to(x.dtype if x.dtype.is_floating_point else torch.float32)
    return torch.where(torch.isnan(x), x, of_real) if x.dtype.is_floating_point else of_real


def _frexp(x: Any) -> tuple[Any, Any]:
    """x = mantissa * 2^exponent with 1/2 <= |mantissa| < 1; what the logarithm rounds is put right."""
    plain = (x == 0) | torch.isnan(x) | torch.isinf(x)
    exponent = torch.floor(torch.log2(torch.where(plain, 1.0, torch.abs(x)))) + 1
    # Two factors: one alone leaves the range of the element type for the smallest and largest numbers.
    half = torch.floor(exponent / 2)
    mantissa = x * torch.exp2(-half) * torch.exp2(half - exponent)
    size = torch.abs(mantissa)
    above, below = size >= 1, size < 0.5
    mantissa = torch.where(above, mantissa / 2, torch.where(below, mantissa * 2, mantissa))
    exponent = torch.where(above, exponent + 1, torch.where(below, exponent - 1, exponent))
    return torch.where(plain, x, mantissa), torch.where(plain, 0.0, exponent).to(torch.int32)


def _logcumsumexp(x: Any, dim: int) -> Any:
    if x.dim() == 0:
        return x.clone()
    most = torch.amax(x, dim, keepdim=True)
    most = torch.where(torch.isinf(most), 0.0, most)
    return torch.log(torch.cumsum(torch.exp(x - most), dim)) + most


def _cdist(a: Any, b: Any, p: float, compute_mode: int | None) -> Any:
    return torch.linalg.vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, dim=-1)


def _trilinear(
    a: Any,
    b: Any,
    c: Any,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Any:
    for dims, which in ((expand1, 0), (expand2, 1), (expand3, 2)):
        for dim in sorted(dims):
            if which == 0:
                a = a.unsqueeze(dim)
            elif which == 1:
                b = b.unsqueeze(dim)
            else:
                c = c.unsqueeze(dim)
    product = a * b * c
    return product.sum(list(sumdim)) if sumdim else product


def _pdist(x: Any, p: float = 2) -> Any:
    rows = x.shape[0]
    first, second = torch.triu_indices(rows, rows, 1).unbind(0)
    return torch.linalg.vector_norm(x.index_select(0, first) - x.index_select(0, second), p, dim=-1)


def _embedding_bag(
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Any:
    """Sums (mode 0), means (1) or maxima (2) of the rows in each bag, by a matrix of who is in which bag."""
    starts = offsets[:-1] if include_last_offset else offsets
    place = torch.arange(indices.shape[0], device=indices.device)
    bag = torch.sum((starts.unsqueeze(0) <= place.unsqueeze(1)).to(torch.int64), -1) - 1
    number = torch.arange(starts.shape[0], device=indices.device).unsqueeze(1)
    inside = (bag.unsqueeze(0) == number) & (indices != padding_idx).unsqueeze(0)
    count = torch.sum(inside.to(torch.int64), -1)
    rows = torch.index_select(weight, 0, indices)
    if mode == 2:
        out = torch.amax(torch.where(inside.unsqueeze(-1), rows.unsqueeze(0), -math.inf), 1)
        out = torch.where((count > 0).unsqueeze(-1), out, 0.0)
    else:
        share = inside.to(weight.dtype)
        if per_sample_weights is not None:
            share = share * per_sample_weights.unsqueeze(0)
        out = share.matmul(rows)
        if mode == 1:
            out = out / torch.clamp(count, min=1).to(weight.dtype).unsqueeze(-1)
    return out, bag, count, torch.zeros_like(count)
