"""Arithmetic on narrow elements in wider ones: halves for the digits, bytes because torch-mlir cannot."""

from collections.abc import Callable
from typing import Any

import torch

_aten = torch.ops.aten


def rules() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its rule, as in `decompositions`: None leaves the operation to what is known."""
    return {
        **{op: _in_i32(op) for op in _OF_BYTES},
        **{op: _largest(op) for op in (_aten.max.default, _aten.min.default)},
        **{op: _in_wider(op) for op in (_aten.mm.default, _aten.bmm.default, _aten.mv.default)},
        _aten._int_mm.default: _of_signed,
    }


def of_halves() -> dict[Any, Callable[..., Any]]:
    """ATen operation -> its rule for tensors of f16 and bf16, before any other rule."""
    return {op: _in_f32(op) for op in (*_SUMS, *_STEPS)}


#: What adds many products or elements up: torch does so in f32 also where they are of half the width.
_SUMS = (
    *(_aten.sum.default, _aten.sum.dim_IntList, _aten.mean.default, _aten.mean.dim, _aten.prod.default),
    *(_aten.prod.dim_int, _aten.addmm.default, _aten.baddbmm.default, _aten.convolution.default),
    *(_aten._softmax.default, _aten._log_softmax.default, _aten.linear.default, _aten.matmul.default),
    *(_aten.var.correction, _aten.var_mean.correction, _aten.layer_norm.default, _aten.rms_norm.default),
    *(_aten.native_group_norm.default, _aten.linalg_vector_norm.default, _aten.logsumexp.default),
    *(_aten.avg_pool1d.default, _aten.avg_pool2d.default, _aten.avg_pool3d.default),
    *(_aten.adaptive_avg_pool1d.default, _aten.adaptive_avg_pool2d.default),
    *(_aten._adaptive_avg_pool2d.default, _aten.scaled_dot_product_attention.default),
)
#: What torch computes in f32 and rounds once, and torch-mlir in several steps.
_STEPS = (
    *(_aten.sigmoid.default, _aten.silu.default, _aten.gelu.default, _aten.elu.default, _aten.mish.default),
    *(_aten.softplus.default, _aten.hardsigmoid.default, _aten.hardswish.default, _aten.tanh.default),
    *(_aten.log_sigmoid_forward.default, _aten.logit.default, _aten.rsqrt.default, _aten.sinc.default),
    *(_aten.pow.Tensor_Tensor, _aten.pow.Scalar, _aten.pow.Tensor_Scalar, _aten.expm1.default),
    *(_aten.log2.default, _aten.log10.default, _aten.exp2.default, _aten.logaddexp.default),
    *(_aten.tan.default, _aten.sinh.default, _aten.cosh.default, _aten.acosh.default, _aten.asinh.default),
)
_HALF = (torch.float16, torch.bfloat16)


def _of_signed(a: Any, b: Any) -> Any:
    """A product of unsigned bytes with signed ones, as torchao writes it for CPUs without tile registers, by
    that of signed ones."""
    if a.dtype != torch.uint8:
        return None
    signed = (a.to(torch.int32) - 128).to(torch.int8)
    return torch._int_mm(signed, b) + 128 * b.sum(0, keepdim=True, dtype=torch.int32)


def _in_f32(op: Any) -> Callable[..., Any]:
    """The operation in f32 on tensors of half the width, rounded once at the end."""

    def rule(*args: Any, **kwargs: Any) -> Any:
        half = next((x.dtype for x in args if isinstance(x, torch.Tensor) and x.dtype in _HALF), None)
        if half is None or kwargs.get("dtype") not in (None, half):
            return None
        kwargs.pop("dtype", None)

        def convert(x: Any, source: tuple[torch.dtype, ...], target: torch.dtype) -> Any:
            return x.to(target) if isinstance(x, torch.Tensor) and x.dtype in source else x

        wide = torch.utils._pytree.tree_map(lambda x: convert(x, _HALF, torch.float32), (args, kwargs))
        done = op(*wide[0], **wide[1])
        return torch.utils._pytree.tree_map(lambda x: convert(x, (torch.float32,), half), done)

    return rule


_NARROW = (torch.int8, torch.uint8, torch.int16)


def _in_wider(op: Any) -> Callable[..., Any]:
    """Products of halves as `_in_f32`; of narrow integers, which torch-mlir takes for quantized numbers, in
    i32: what overflows wraps all the same."""
    halves = _in_f32(op)

    def rule(a: Any, b: Any) -> Any:
        if a.dtype not in _NARROW:
            return halves(a, b)
        return op(a.to(torch.int32), b.to(torch.int32)).to(a.dtype)

    return rule


#: Arithmetic of bytes with numbers that torch-mlir ends the process over.
_OF_BYTES = (
    *(_aten.mul.Tensor, _aten.mul.Scalar, _aten.add.Scalar, _aten.sub.Scalar, _aten.rsub.Scalar),
    *(_aten.div.Tensor_mode, _aten.div.Scalar_mode, _aten.floor_divide.default, _aten.floor_divide.Scalar),
    *(_aten.remainder.Tensor, _aten.remainder.Scalar, _aten.fmod.Tensor),
)


def _in_i32(op: Any) -> Callable[..., Any]:
    """As `_in_wider`, for one element at a time."""

    def rule(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
        kind = torch.result_type(a, b)
        if kind not in _NARROW or (kwargs.get("rounding_mode", "") is None):
            return None
        wide = [x.to(torch.int32) if isinstance(x, torch.Tensor) else x for x in (a, b)]
        return op(*wide, *args, **kwargs).to(kind)

    return rule


def _largest(op: Any) -> Callable[..., Any]:
    return lambda x: op(x.to(torch.int32)).to(x.dtype) if x.dtype in _NARROW else None
