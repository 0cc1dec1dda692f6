"""How ATen operations are taken apart before import: as little as possible where `dry` has the operation
whole, torch-mlir's way for all others."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch._export import utils
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.export import ExportedProgram
from torch.export.exported_program import _decompose_exported_program

from drystone.frontend import affine, complex_numbers, composed, fourier, ordering, special, widths
from drystone.frontend.attention import scaled_dot_product_attention
from drystone.frontend.importer import decompositions
from drystone.frontend.pooling import adaptive_average, adaptive_maximum, average, maximum
from drystone.frontend.recurrent import gru, lstm, rnn_relu, rnn_tanh
from drystone.frontend.shapes import equal

#: Rewrites an operation; NotImplemented keeps it whole, None leaves it to the decomposition given as first
#: argument.
Rule = Callable[..., Any]

_aten = torch.ops.aten


def taken_apart(program: ExportedProgram) -> ExportedProgram:
    """The program in the operations that `table` leaves.

    That is what `program.run_decompositions(table())` gives, but for composite operations of other libraries,
    which are taken apart here. It replaces how 500 composite operations are dispatched, again at every call,
    though nine of ten of them are to do what they do by themselves: that takes longer than the tracing.
    """
    found, known = table(), utils._collect_all_valid_cia_ops_for_aten_namespace()
    composite = dict.fromkeys(known - found.keys(), _keep)
    for op in list(found):
        if op in known or (not utils._is_aten_op(op) and utils._is_preservable_cia_op(op)):
            rule = found.pop(op)
            if not _is_own(rule, op):
                composite[op] = rule
    with unset_fake_temporarily():
        return _decompose_exported_program(
            program,
            cia_to_decomp=composite,
            python_decomp_table=found,
            joint_loss_index=None,
            decompose_custom_triton_ops=False,
        )


def _is_own(rule: Callable[..., Any], op: Any) -> bool:
    """Whether a decomposition is the operation's own, as torch lists it."""
    return isinstance(rule, partial) and rule.keywords.get("kernel") is op


def table() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its decomposition, for ExportedProgram.run_decompositions."""
    found = decompositions()
    families = [family.rules() for family in (affine, composed, widths, ordering, special, fourier)]
    for group in (*families, _rules(), complex_numbers.rules(), widths.of_halves()):
        for op, rule in group.items():
            found[op] = _with_fallback(rule, found.get(op), op)
    return found


def _with_fallback(rule: Rule, otherwise: Callable[..., Any] | None, op: Any) -> Callable[..., Any]:
    def decompose(*args: Any, **kwargs: Any) -> Any:
        result = rule(*args, **kwargs)
        if result is not None:
            return result
        return NotImplemented if otherwise is None else otherwise(*args, **kwargs)

    return decompose


def _rules() -> dict[Any, Rule]:
    return {
        _aten.linear.default: _linear,
        _aten.matmul.default: _matmul,
        _aten.addmm.default: _addmm,
        _aten.layer_norm.default: _norm,
        _aten.native_layer_norm.default: _native_layer_norm,
        _aten.rms_norm.default: _norm,
        _aten._native_batch_norm_legit_no_training.default: _batch_norm,
        _aten.reciprocal.default: _reciprocal,
        _aten.roll.default: _roll,
        _aten.linalg_vector_norm.default: _vector_norm,
        _aten.pow.Tensor_Scalar: _power,
        _aten.argmin.default: _argmin,
        _aten.isfinite.default: _isfinite,
        _aten._softmax.default: _whole,
        _aten._log_softmax.default: _whole,
        _aten.embedding.default: _keep,
        _aten.cumsum.default: _scan(_aten.cumsum.default),
        _aten.cumprod.default: _scan(_aten.cumprod.default),
        _aten.scaled_dot_product_attention.default: scaled_dot_product_attention,
        _aten.lstm.input: lstm,
        _aten.gru.input: gru,
        _aten.rnn_tanh.input: rnn_tanh,
        _aten.rnn_relu.input: rnn_relu,
        **{op: maximum(op) for op in (_aten.max_pool1d.default, _aten.max_pool2d.default)},
        _aten.max_pool3d.default: maximum(_aten.max_pool3d.default),
        **{
            op: average(op)
            for op in (_aten.avg_pool1d.default, _aten.avg_pool2d.default, _aten.avg_pool3d.default)
        },
        _aten.adaptive_max_pool2d.default: adaptive_maximum,
        _aten.adaptive_avg_pool1d.default: adaptive_average(_aten.avg_pool1d.default),
        _aten.adaptive_avg_pool2d.default: adaptive_average(_aten.avg_pool2d.default),
        _aten.adaptive_avg_pool3d.default: adaptive_average(_aten.avg_pool3d.default),
    }


def _keep(*args: Any, **kwargs: Any) -> Any:
    return NotImplemented


def _whole(x: torch.Tensor, *args: Any) -> Any:
    return NotImplemented if x.dtype == torch.float32 and x.dim() else None


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
    return NotImplemented if _f32(x, weight) and x.dim() >= 2 and weight.dim() == 2 else None


def _matmul(a: torch.Tensor, b: torch.Tensor) -> Any:
    if not _f32(a, b) or a.dim() < 2 or b.dim() < 2:
        return None
    if b.dim() == 2:
        return NotImplemented
    if a.dim() != b.dim():
        return None
    # A batch of a that is broadcast would make the result larger than a.
    fits = all(n == 1 or equal(m, n) for m, n in zip(a.shape[:-2], b.shape[:-2], strict=True))
    return NotImplemented if fits else None


def _addmm(c: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: Any = 1, alpha: Any = 1) -> Any:
    fits = _f32(a, b, c) and beta == 1 and alpha == 1 and c.dim() == 1 and equal(c.shape[0], b.shape[1])
    return NotImplemented if fits else None


def _norm(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    return NotImplemented if x.dtype == torch.float32 else None


def _native_layer_norm(
    x: torch.Tensor, axes: list[int], gain: torch.Tensor | None, shift: torch.Tensor | None, eps: float
) -> Any:
    """The norm whole; the statistics beside it, which are dropped where nobody reads them."""
    if x.dtype != torch.float32:
        return None
    dims = list(range(x.dim() - len(axes), x.dim()))
    variance, mean = torch.var_mean(x, dim=dims, correction=0, keepdim=True)
    return _aten.layer_norm.default(x, axes, gain, shift, eps), mean, torch.rsqrt(variance + eps)


def _batch_norm(
    x: torch.Tensor,
    gain: torch.Tensor | None,
    shift: torch.Tensor | None,
    mean: torch.Tensor,
    variance: torch.Tensor,
    momentum: float,
    eps: float,
) -> Any:
    """x * scale + offset with one number each per channel, which are known before the model runs."""
    if x.dtype != torch.float32 or x.dim() < 2:
        return None
    scale = torch.rsqrt(variance + eps)
    scale = scale if gain is None else gain * scale
    offset = -mean * scale if shift is None else shift - mean * scale
    per_channel = [-1] + [1] * (x.dim() - 2)
    out = x * scale.reshape(per_channel) + offset.reshape(per_channel)
    return out, x.new_empty(0), x.new_empty(0)


def _reciprocal(x: torch.Tensor) -> Any:
    """1 / x: torch-mlir's own lowering of the reciprocal stops the program at a zero."""
    return torch.div(x.new_ones(()), x) if x.dtype == torch.float32 else None


def _vector_norm(
    x: torch.Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Any:
    """The Euclidean norm without powers."""
    if ord != 2 or x.dtype != torch.float32 or dtype not in (None, torch.float32):
        return None
    axes = list(range(x.dim())) if dim is None or dim == [] else dim
    return torch.sqrt((x * x).sum(axes, keepdim))


def _power(x: torch.Tensor, exponent: Any) -> Any:
    """The powers that need none, as torch itself computes them."""
    if not x.dtype.is_floating_point:
        return _whole_power(x, exponent)
    known = {2: lambda: x * x, 3: lambda: x * x * x, 0.5: lambda: torch.sqrt(x), -0.5: lambda: torch.rsqrt(x)}
    return known[exponent]() if exponent in known else None


def _whole_power(x: torch.Tensor, exponent: Any) -> Any:
    """By squaring, for elements and exponents that are whole."""
    if x.is_complex() or not isinstance(exponent, int) or exponent < 0:
        return None
    power = x.to(torch.int64) if x.dtype == torch.bool else x
    found = torch.ones_like(power)
    while exponent:
        if exponent & 1:
            found = found * power
        power, exponent = power * power, exponent >> 1
    return found


def _argmin(x: torch.Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The place of the largest of -x: the first of equal ones, and NaN before all, as for argmax."""
    return torch.argmax(-x, dim, keepdim) if x.dtype.is_floating_point else None


def _isfinite(x: torch.Tensor) -> Any:
    return x.abs() < float("inf") if x.dtype.is_floating_point else None


def _roll(x: torch.Tensor, shifts: Any, dims: Any = ()) -> Any:
    """Without dimensions, the elements roll as one row."""
    if 0 in x.shape:
        return x.clone()
    return None if dims else _aten.roll.default(x.flatten(), shifts, [0]).reshape(x.shape)


def _scan(op: Any) -> Rule:
    """Scans keep their element: a conversion comes before, as an operation of its own."""

    def rule(x: torch.Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Any:
        wanted = dtype or (x.dtype if x.dtype.is_floating_point or x.dtype.is_complex else torch.int64)
        if x.dtype == wanted:
            return NotImplemented if dtype is None else op(x, dim)
        return op(x.to(wanted), dim)

    return rule


def _f32(*tensors: torch.Tensor) -> bool:
    return all(tensor.dtype == torch.float32 for tensor in tensors)
