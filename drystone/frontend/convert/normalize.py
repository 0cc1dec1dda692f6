"""Normalizations and softmax."""

from collections.abc import Sequence
from typing import Any

import torch

from drystone.frontend.convert.common import axis, is_real, rank
from drystone.frontend.importer import Converter
from drystone.frontend.types import Site
from drystone.ir import build
from drystone.ir.dialect import Norm, Softmax


def _layer_norm(
    at: Site,
    input: Any,
    normalized_shape: Sequence[int],
    weight: Any,
    bias: Any,
    eps: float,
    cudnn_enable: bool,
) -> Sequence[Any] | None:
    return _norm(at, "layer", input, normalized_shape, weight, bias, eps)


def _rms_norm(
    at: Site, input: Any, normalized_shape: Sequence[int], weight: Any, eps: float | None
) -> Sequence[Any] | None:
    epsilon = torch.finfo(torch.float32).eps if eps is None else eps
    return _norm(at, "rms", input, normalized_shape, weight, None, epsilon)


def _norm(
    at: Site, kind: str, x: Any, axes: Sequence[int], gain: Any, shift: Any, eps: float
) -> Sequence[Any] | None:
    if not is_real(x, gain, shift):
        return None
    op = Norm(
        [at.out()],
        at.tensor(x),
        at.optional(gain),
        at.optional(shift),
        [],
        kind=build.string(kind),
        axes=build.integer(len(axes)),
        eps=build.number(eps),
    )
    return [op.out]


def _softmax(at: Site, self: Any, dim: int, half_to_float: bool) -> Sequence[Any] | None:
    return _exponentials(at, self, dim, log=False)


def _log_softmax(at: Site, self: Any, dim: int, half_to_float: bool) -> Sequence[Any] | None:
    return _exponentials(at, self, dim, log=True)


def _exponentials(at: Site, x: Any, dim: int, *, log: bool) -> Sequence[Any] | None:
    if not is_real(x) or rank(x) == 0:
        return None
    op = Softmax(at.out(), at.tensor(x), dim=build.integer(axis(dim, x)), log=build.flag(log))
    return [op.out]


CONVERTERS: dict[str, Converter] = {
    "aten.layer_norm.default": _layer_norm,
    "aten.rms_norm.default": _rms_norm,
    "aten._softmax.default": _softmax,
    "aten._log_softmax.default": _log_softmax,
}
