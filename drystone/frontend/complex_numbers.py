"""Arithmetic on complex tensors as arithmetic on their parts.

torch-mlir moves complex elements around, and takes them apart and together; of the arithmetic it lowers some,
refuses some, and ends the process over some.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch

from drystone.errors import UserError
from drystone.frontend.origin import place

_aten, _prims = torch.ops.aten, torch.ops.prims

_REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}

#: Operations that take or give complex elements as they are.
_MOVES = frozenset(
    (
        "alias",
        "as_strided",
        "cat",
        "clone",
        "complex",
        "constant_pad_nd",
        "contiguous",
        "copy",
        "detach",
        "diagonal",
        "empty",
        "expand",
        "flip",
        "flatten",
        "gather",
        "getitem",
        "imag",
        "index",
        "index_select",
        "lift_fresh_copy",
        "permute",
        "real",
        "repeat",
        "reshape",
        "roll",
        "select",
        "slice",
        "slice_scatter",
        "split",
        "split_with_sizes",
        "squeeze",
        "stack",
        "t",
        "tile",
        "transpose",
        "unbind",
        "unfold",
        "unsqueeze",
        "view",
        "view_as_complex",
        "view_as_real",
        "_unsafe_view",
        "_reshape_alias",
    )
)


def rules() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its rule for complex tensors; None where it is given none."""
    found: dict[Any, Callable[..., Any]] = {
        _aten.add.Tensor: lambda a, b, *, alpha=1: _sum(a, b, alpha),
        _aten.add.Scalar: lambda a, b, alpha=1: _sum(a, b, alpha),
        _aten.sub.Tensor: lambda a, b, *, alpha=1: _sum(a, b, -alpha),
        _aten.sub.Scalar: lambda a, b, alpha=1: _sum(a, b, -alpha),
        _aten.rsub.Scalar: lambda a, b, alpha=1: _sum(_negative(a), b * alpha, 1),
        _aten.mul.Tensor: _product,
        _aten.mul.Scalar: _product,
        _aten.div.Tensor: _quotient,
        _aten.div.Scalar: _quotient,
        _aten.reciprocal.default: lambda x: _quotient(1.0, x),
        _aten.neg.default: _negative,
        _aten.abs.default: lambda x: torch.hypot(torch.real(x), torch.imag(x)),
        _aten.square.default: lambda x: _product(x, x),
        _aten.pow.Tensor_Scalar: _power,
        _aten.exp.default: _exponential,
        _aten.sum.default: lambda x, *, dtype=None: _each(lambda part: part.sum(), x, dtype),
        _aten.sum.dim_IntList: lambda x, dim, keepdim=False, *, dtype=None: _each(
            lambda part: part.sum(dim, keepdim), x, dtype
        ),
        _aten.mean.default: lambda x, *, dtype=None: _each(lambda part: part.mean(), x, dtype),
        _aten.mean.dim: lambda x, dim, keepdim=False, *, dtype=None: _each(
            lambda part: part.mean(dim, keepdim), x, dtype
        ),
        _aten.cumsum.default: lambda x, dim, *, dtype=None: _each(lambda part: part.cumsum(dim), x, dtype),
        _aten.eq.Tensor: _equal,
        _aten.eq.Scalar: _equal,
        _aten.ne.Tensor: lambda a, b: ~_equal(a, b),
        _aten.ne.Scalar: lambda a, b: ~_equal(a, b),
        _aten.isnan.default: lambda x: torch.isnan(torch.real(x)) | torch.isnan(torch.imag(x)),
        _aten.isinf.default: lambda x: torch.isinf(torch.real(x)) | torch.isinf(torch.imag(x)),
        _aten.where.self: _choice,
        _prims.convert_element_type.default: _converted,
        _aten._to_copy.default: lambda x, *, dtype=None, **options: _converted(x, dtype or x.dtype),
    }
    products = (_aten.mm.default, _aten.bmm.default, _aten.mv.default, _aten.dot.default)
    found.update({op: functools.partial(_matrices, op) for op in (*products, _aten.matmul.default)})
    made: dict[Any, Callable[..., Any]] = {_aten.scalar_tensor.default: _scalar, _aten.full.default: _full}
    return {**{op: _of_complex(rule) for op, rule in found.items()}, **made}


def refuse(graph: Any) -> None:
    """Raise UserError for operations on complex tensors that are left and do more than move elements."""
    lines = []
    for node in graph.nodes:
        if node.op != "call_function" or getattr(node.target, "__name__", "").split(".")[0] in _MOVES:
            continue
        values = [n.meta.get("val") for n in (node, *node.all_input_nodes)]
        if any(isinstance(v, torch.Tensor) and v.is_complex() for v in values):
            lines.append(f"  {node.target} at {place(node) or 'an unknown place'}")
    if lines:
        raise UserError(
            "the model uses operations on complex numbers that drystone cannot compile:\n"
            + "\n".join(dict.fromkeys(lines)),
            hint="say it with torch.view_as_real(x), a real tensor",
        )


def _of_complex(rule: Callable[..., Any]) -> Callable[..., Any]:
    def decompose(*args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        tensor = any(isinstance(x, torch.Tensor) and x.is_complex() for x in given)
        wanted = any(isinstance(x, torch.dtype) and x in _REAL for x in given)
        return rule(*args, **kwargs) if tensor or wanted else None

    return decompose


def _parts(x: Any, kind: torch.dtype) -> tuple[Any, Any]:
    """Real and imaginary part in the real element type of a complex one, of a tensor or number."""
    real = _REAL[kind]
    if not isinstance(x, torch.Tensor):
        return complex(x).real, complex(x).imag
    if x.is_complex():
        return torch.real(x).to(real), torch.imag(x).to(real)
    return x.to(real), torch.zeros_like(x, dtype=real)


def _both(a: Any, b: Any) -> tuple[torch.dtype, tuple[Any, Any], tuple[Any, Any]]:
    kind = torch.result_type(a, b)
    return kind, _parts(a, kind), _parts(b, kind)


def _each(action: Callable[[Any], Any], x: Any, dtype: torch.dtype | None = None) -> Any:
    """The action on both parts."""
    real, imaginary = _parts(x, dtype or x.dtype)
    return torch.complex(action(real), action(imaginary))


def _sum(a: Any, b: Any, alpha: Any) -> Any:
    _, (a_re, a_im), (b_re, b_im) = _both(a, b)
    if alpha != 1:
        factor = complex(alpha)
        b_re, b_im = b_re * factor.real - b_im * factor.imag, b_re * factor.imag + b_im * factor.real
    return torch.complex(a_re + b_re, a_im + b_im)


def _product(a: Any, b: Any) -> Any:
    _, (a_re, a_im), (b_re, b_im) = _both(a, b)
    return torch.complex(a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re)


def _quotient(a: Any, b: Any) -> Any:
    """a conj(b) / |b|^2, b scaled to about 1 first."""
    _, (a_re, a_im), (b_re, b_im) = _both(a, b)
    if not isinstance(b_re, torch.Tensor):
        return _product(a, 1 / complex(b))
    size = torch.maximum(torch.abs(b_re), torch.abs(b_im))
    b_re, b_im = b_re / size, b_im / size
    square = (b_re * b_re + b_im * b_im) * size
    return torch.complex((a_re * b_re + a_im * b_im) / square, (a_im * b_re - a_re * b_im) / square)


def _negative(x: Any) -> Any:
    return torch.complex(-torch.real(x), -torch.imag(x))


def _power(x: Any, exponent: Any) -> Any:
    return _product(x, x) if exponent == 2 else None


def _exponential(x: Any) -> Any:
    size, angle = torch.exp(torch.real(x)), torch.imag(x)
    return torch.complex(size * torch.cos(angle), size * torch.sin(angle))


def _equal(a: Any, b: Any) -> Any:
    _, (a_re, a_im), (b_re, b_im) = _both(a, b)
    return (a_re == b_re) & (a_im == b_im)


def _choice(condition: Any, a: Any, b: Any) -> Any:
    _, (a_re, a_im), (b_re, b_im) = _both(a, b)
    return torch.complex(torch.where(condition, a_re, b_re), torch.where(condition, a_im, b_im))


def _converted(x: Any, dtype: torch.dtype) -> Any:
    """To a real element type the imaginary part is dropped; to bool, anything but zero is true."""
    if dtype in _REAL:
        return torch.complex(*_parts(x, dtype))
    if dtype == torch.bool:
        return (torch.real(x) != 0) | (torch.imag(x) != 0)
    return torch.real(x).to(dtype)


def _matrices(op: Any, a: Any, b: Any) -> Any:
    _, (a_re, a_im), (b_re, b_im) = _both(a, b)
    return torch.complex(op(a_re, b_re) - op(a_im, b_im), op(a_re, b_im) + op(a_im, b_re))


def _filled(size: Any, value: Any, kind: torch.dtype) -> Any:
    number = complex(value)
    return torch.complex(
        torch.full(size, number.real, dtype=_REAL[kind]), torch.full(size, number.imag, dtype=_REAL[kind])
    )


def _scalar(value: Any, *, dtype: torch.dtype | None = None, **options: Any) -> Any:
    return _filled((), value, dtype) if dtype in _REAL else None


def _full(size: Any, value: Any, *, dtype: torch.dtype | None = None, **options: Any) -> Any:
    if dtype is None and isinstance(value, complex):
        dtype = torch.complex64
    return _filled(size, value, dtype) if dtype in _REAL else None
