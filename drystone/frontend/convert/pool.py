"""Pooling."""

from collections.abc import Sequence
from typing import Any

from drystone.frontend.convert.common import is_real, rank, spread
from drystone.frontend.importer import Converter
from drystone.frontend.shapes import fixed
from drystone.frontend.types import Site
from drystone.ir import build
from drystone.ir.dialect import Pool


def _max(
    at: Site, self: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Sequence[Any] | None:
    return _pool(at, "max", self, kernel_size, stride, padding, dilation, ceil_mode, 0)


def _average(
    at: Site,
    self: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> Sequence[Any] | None:
    if divisor_override == 1:
        return None
    divisor = divisor_override or int(count_include_pad)
    return _pool(at, "avg", self, kernel_size, stride, padding, 1, ceil_mode, divisor)


def _pool(
    at: Site,
    kind: str,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    divisor: int,
) -> Sequence[Any] | None:
    spatial = rank(x) - 2
    if not is_real(x) or not 1 <= spatial <= 3:
        return None
    kernel, pads = spread(kernel_size, spatial), spread(padding, spatial)
    # An empty list of strides means the kernel's extents.
    strides, dilations = spread(stride or kernel_size, spatial), spread(dilation, spatial)
    if kernel is None or pads is None or strides is None or dilations is None:
        return None
    behind = pads
    if ceil_mode:
        extents, results = x.meta["val"].shape[2:], at.node.meta["val"].shape[2:]
        if not fixed(*extents, *results):
            return None
        behind = [
            max(p, (m - 1) * s + (k - 1) * d + 1 - n - p)
            for p, m, s, k, d, n in zip(pads, results, strides, kernel, dilations, extents, strict=True)
        ]
    op = Pool(
        at.out(),
        at.tensor(x),
        kind=build.string(kind),
        kernel=build.integers(kernel),
        strides=build.integers(strides),
        padding=build.integers([side for pair in zip(pads, behind, strict=True) for side in pair]),
        dilation=build.integers(dilations),
        divisor=build.integer(divisor),
        layout=build.string("nchw"),
    )
    return [op.out]


CONVERTERS: dict[str, Converter] = {
    **{f"aten.max_pool{n}d.default": _max for n in (1, 2, 3)},
    **{f"aten.avg_pool{n}d.default": _average for n in (1, 2, 3)},
}
