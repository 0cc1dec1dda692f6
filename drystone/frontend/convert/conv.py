"""Convolutions, transposed ones too."""

from collections.abc import Sequence
from typing import Any

from drystone.frontend.convert.common import add, along, is_real, rank, spread
from drystone.frontend.importer import Converter
from drystone.frontend.types import Site
from drystone.ir import build
from drystone.ir.dialect import Conv


def _convolution(
    at: Site,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Sequence[Any] | None:
    spatial = rank(weight) - 2
    if not is_real(input, weight, bias) or not 1 <= spatial <= 3 or rank(input) != spatial + 2:
        return None
    strides, pads = spread(stride, spatial), spread(padding, spatial)
    dilations, output_pads = spread(dilation, spatial), spread(output_padding, spatial)
    if strides is None or pads is None or dilations is None or output_pads is None:
        return None
    out = at.out()
    extras = at.optional(bias)
    op = Conv(
        out,
        at.tensor(input),
        at.tensor(weight),
        extras,
        strides=build.integers(strides),
        padding=build.integers([p for p in pads for _ in range(2)]),
        dilation=build.integers(dilations),
        output_padding=build.integers(output_pads if transposed else [0] * spatial),
        groups=build.integer(groups),
        transposed=build.flag(transposed),
        layout=build.string("nchw"),
        extra_maps=build.maps([along(out.rank, 1)] if extras else []),
    )
    add(op, out.element_type, len(extras))
    return [op.out]


CONVERTERS: dict[str, Converter] = {"aten.convolution.default": _convolution}
