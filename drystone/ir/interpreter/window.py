"""Convolution and pooling: sums over the taps of a window, one strided view of the image per tap."""

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element
from drystone.ir.interpreter.machine import Machine, handles
from drystone.ir.interpreter.neural import finish, result_element, wide
from drystone.ir.shapes import layouts, transposed_extent, window_extent
from drystone.mlir import ints


def _channels_first(array: Array, layout: str) -> Array:
    return np.moveaxis(array, -1, 1) if layout == "nhwc" else array


def _as_layout(array: Array, layout: str) -> Array:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if layout == "nhwc" else array


def _padded(array: Array, padding: Sequence[int], value: Any) -> Array:
    """The image with `padding` elements before and after each spatial dimension; a negative amount cuts."""
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    grown = [(0, 0), (0, 0), *((max(a, 0), max(b, 0)) for a, b in pairs)]
    out = np.pad(array, grown, constant_values=value)
    cuts = [slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, out.shape[2:], strict=True)]
    return out[(slice(None), slice(None), *cuts)]


def _views(
    tap: Sequence[int], strides: Sequence[int], dilation: Sequence[int], extents: Sequence[int]
) -> Any:
    """The positions that one tap of the window visits."""
    starts = [t * d for t, d in zip(tap, dilation, strict=True)]
    spatial = (slice(a, a + s * n, s) for a, s, n in zip(starts, strides, extents, strict=True))
    return (slice(None), slice(None), *spatial)


def _tap(weight: Array, tap: tuple[int, ...]) -> Array:
    """The weights [G, O/G, C/G] of one tap."""
    at: tuple[Any, ...] = (..., *tap)
    return np.asarray(weight[at])


def _through(weight: Array, image: Array, groups: int) -> Array:
    """A 1x1 convolution: weight [G, O/G, C/G] on image [N, C, *S]."""
    n, _, *spatial = image.shape
    columns = image.reshape(n, groups, weight.shape[2], prod(spatial))
    return np.asarray(np.matmul(weight, columns)).reshape(n, groups * weight.shape[1], *spatial)


@handles("dry.conv")
def _conv(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    x, weight, *extras = args
    given, wanted = layouts(op.layout.value)
    image, kernel = wide(_channels_first(x, given)), wide(weight)
    element = np.result_type(np.int64 if image.dtype.kind in "iu" else image, kernel)
    image, kernel = image.astype(element), kernel.astype(element)
    convolve = _scattered if op.transposed.value else _gathered
    out = convolve(op, image, kernel, ints(op.strides), ints(op.padding), ints(op.dilation))
    return finish(machine, op, _as_layout(out, wanted), extras)


def _gathered(
    op: Any, image: Array, weight: Array, strides: list[int], padding: list[int], dilation: list[int]
) -> Array:
    """Each element of the result collects what its window sees."""
    groups, taps = op.groups.value, weight.shape[2:]
    split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    extents = [
        window_extent(n, taps[d], strides[d], padding[2 * d] + padding[2 * d + 1], dilation[d])
        for d, n in enumerate(image.shape[2:])
    ]
    padded = _padded(image, padding, 0)
    out = np.zeros((image.shape[0], weight.shape[0], *extents), image.dtype)
    for tap in product(*map(range, taps)):
        seen = padded[_views(tap, strides, dilation, extents)]
        out += _through(_tap(split, tap), seen, groups)
    return out


def _scattered(
    op: Any, image: Array, weight: Array, strides: list[int], padding: list[int], dilation: list[int]
) -> Array:
    """Each element of the image adds its multiple of the window to the result."""
    groups, taps, spatial = op.groups.value, weight.shape[2:], image.shape[2:]
    split = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:]).swapaxes(1, 2)
    more = ints(op.output_padding)
    extents = [
        transposed_extent(n, taps[d], strides[d], 0, dilation[d], more[d]) for d, n in enumerate(spatial)
    ]
    out = np.zeros((image.shape[0], groups * weight.shape[1], *extents), image.dtype)
    for tap in product(*map(range, taps)):
        out[_views(tap, strides, dilation, spatial)] += _through(_tap(split, tap), image, groups)
    return _padded(out, [-n for n in padding], 0)


@handles("dry.pool")
def _pool(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    image = wide(_channels_first(args[0], op.layout.value))
    kernel, strides, padding, dilation = map(ints, (op.kernel, op.strides, op.padding, op.dilation))
    extents = [
        window_extent(n, kernel[d], strides[d], padding[2 * d] + padding[2 * d + 1], dilation[d])
        for d, n in enumerate(image.shape[2:])
    ]
    largest = op.kind.value == "max"
    if not largest and result_element(op) == "f32" and image.dtype.kind == "i":
        image = image.astype(np.int64)
    least = -np.inf if image.dtype.kind == "f" else np.iinfo(image.dtype).min
    padded = _padded(image, padding, least if largest else 0)
    combine: Callable[[Array, Array], Array] = np.maximum if largest else np.add
    taps = product(*map(range, kernel))
    out = padded[_views(next(taps), strides, dilation, extents)]
    for tap in taps:
        out = combine(out, padded[_views(tap, strides, dilation, extents)])
    if not largest:
        out = out / _divisor(op.divisor.value, image.shape[2:], kernel, strides, padding, dilation, extents)
    return [to_element(_as_layout(out, op.layout.value), result_element(op))]


def _divisor(
    divisor: int,
    image: Sequence[int],
    kernel: list[int],
    strides: list[int],
    padding: list[int],
    dilation: list[int],
    extents: list[int],
) -> Array:
    """The number each window's sum is divided by; see `dry.pool`."""
    if divisor > 1:
        return np.asarray(divisor)
    counts = np.ones([1] * len(image))
    for d, n in enumerate(image):
        before = padding[2 * d]
        first, last = (before, before + n) if divisor == 0 else (0, n + 2 * before)
        taken = np.arange(extents[d])[:, None] * strides[d] + np.arange(kernel[d]) * dilation[d]
        inside = ((taken >= first) & (taken < last)).sum(1)
        counts = counts * inside.reshape([-1 if e == d else 1 for e in range(len(image))])
    return counts
