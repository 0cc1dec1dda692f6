"""Matrix products."""

from collections.abc import Sequence
from typing import Any

from drystone.frontend.convert.common import add, along, is_real, rank
from drystone.frontend.importer import Converter
from drystone.frontend.types import Site
from drystone.ir import build
from drystone.ir.dialect import MatMul


def _linear(at: Site, input: Any, weight: Any, bias: Any) -> Sequence[Any] | None:
    """x w^T + bias."""
    if not is_real(input, weight) or rank(input) < 2 or rank(weight) != 2:
        return None
    return _product(at, input, weight, transpose_b=True, bias=bias)


def _matmul(at: Site, self: Any, other: Any) -> Sequence[Any] | None:
    """a b; its decomposition keeps it whole only where dry.matmul has the broadcasting."""
    if not is_real(self, other) or rank(self) < 2 or rank(other) < 2:
        return None
    return _product(at, self, other)


def _mm(at: Site, self: Any, mat2: Any) -> Sequence[Any] | None:
    return _matmul(at, self, mat2)


def _int_mm(at: Site, self: Any, mat2: Any) -> Sequence[Any] | None:
    """Bytes, summed as i32."""
    return _product(at, self, mat2)


def _addmm(at: Site, self: Any, mat1: Any, mat2: Any, beta: Any, alpha: Any) -> Sequence[Any] | None:
    """bias + a b."""
    if not is_real(self, mat1, mat2) or rank(self) != 1 or beta != 1 or alpha != 1:
        return None
    if self.meta["val"].shape[0] != mat2.meta["val"].shape[1]:
        return None
    return _product(at, mat1, mat2, bias=self)


def _product(at: Site, a: Any, b: Any, *, transpose_b: bool = False, bias: Any = None) -> Sequence[Any]:
    out = at.out()
    extras = at.optional(bias)
    op = MatMul(
        out,
        at.tensor(a),
        at.tensor(b),
        extras,
        transpose_b=build.flag(transpose_b),
        extra_maps=build.maps([along(out.rank, out.rank - 1)] if extras else []),
    )
    add(op, out.element_type, len(extras))
    return [op.out]


CONVERTERS: dict[str, Converter] = {
    "aten.linear.default": _linear,
    "aten.matmul.default": _matmul,
    "aten.mm.default": _mm,
    "aten.bmm.default": _mm,
    "aten.addmm.default": _addmm,
    "aten._int_mm.default": _int_mm,
}
