"""The operations of the dialect dry that are no convolution, pooling or recurrence, and epilogues."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.elements import to_element, widen
from drystone.ir.interpreter.caches import numbers_of
from drystone.ir.interpreter.machine import Machine, element_name, fault, handles
from drystone.ir.interpreter.structured import extents_of, points_of, read
from drystone.mlir import ints, ir


def wide(array: Array) -> Array:
    """Real numbers in float64; integers as they are."""
    numbers = widen(array)
    return numbers.astype(np.float64) if numbers.dtype.kind == "f" else numbers


def result_element(op: Any) -> str:
    """The element of an operation's first result."""
    return element_name(op.operation.results[0].type)


def finish(machine: Machine, op: Any, value: Array, extras: list[Array]) -> list[Array]:
    """The result of an operation: its epilogue on every element of `value`."""
    block = op.operation.regions[0].blocks[0]
    points, maps = points_of(value.shape), op.operation.attributes["extra_maps"]
    elements = [read(each, ir.AffineMapAttr(m).value, points) for each, m in zip(extras, maps, strict=True)]
    (out,) = machine.block(block, [to_element(value, str(block.arguments[0].type)), *elements])
    return [np.array(np.broadcast_to(out, value.shape))]


@handles("dry.matmul")
def _matmul(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    a, b = (x.astype(np.int64) if x.dtype.kind in "iu" else x for x in map(wide, args[:2]))
    return finish(machine, op, np.matmul(a, b.swapaxes(-1, -2) if op.transpose_b.value else b), args[2:])


@handles("dry.attention")
def _attention(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    values = args[3 + len(op.mask) + len(op.span) + len(op.blocks) + len(op.key_peaks) :]
    keys = args[len(args) - len(values) - len(op.key_peaks) : len(args) - len(values)]
    q, k, v = (
        wide(x) if op.layout.value == "bhsd" else wide(x).swapaxes(1, 2)
        for x in (
            args[0],
            _scaled(numbers_of(op.k.type, args[1]), keys),
            _scaled(numbers_of(op.v.type, args[2]), values),
        )
    )
    repeat = q.shape[1] // k.shape[1]
    shape = (*q.shape[:3], k.shape[2])
    masks = [np.broadcast_to(mask, shape) for mask in [*args[3 : 3 + len(op.mask)], *_seen(op, args, shape)]]
    out = np.zeros((*q.shape[:3], v.shape[3]))
    for batch, head in np.ndindex(q.shape[:2]):
        scores = op.scale.value * q[batch, head] @ k[batch, head // repeat].T
        for mask in masks:
            here = mask[batch, head]
            scores = np.where(here, scores, -np.inf) if here.dtype == np.bool_ else scores + wide(here)
        out[batch, head] = _weights(scores) @ v[batch, head // repeat]
    return [to_element(out if op.layout.value == "bhsd" else out.swapaxes(1, 2), result_element(op))]


def _scaled(x: Array, peaks: list[Array]) -> Array:
    """Keys or values; of bytes, whose peaks are given, the numbers they stand for."""
    return x / 127 * wide(peaks[0])[..., None] if peaks else x


def _seen(op: Any, args: list[Array], shape: tuple[int, ...]) -> Iterator[Array]:
    """Which keys each query sees by position: flags that broadcast to [B, H, S, T]."""
    queries, keys = np.arange(shape[2])[:, None], np.arange(shape[3])
    rest = iter(args[3 + len(op.mask) :])
    if op.causal.value:
        yield keys <= queries
    for _ in op.span:
        first, end = (side[:, None, :, None] for side in next(rest))
        yield ((first <= keys) | (keys < op.sinks.value)) & (keys < end)
    for _ in op.blocks:
        rows, columns = ints(op.tile)
        yield next(rest).repeat(rows, 1).repeat(columns, 2)[:, : shape[2], : shape[3]]


def _weights(scores: Array) -> Array:
    """Softmax over the last dimension; a row that may look at nothing weighs nothing."""
    peak = scores.max(-1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        grown = np.exp(scores - np.where(np.isneginf(peak), 0, peak))
    total = grown.sum(-1, keepdims=True)
    return np.asarray(grown / np.where(total == 0, 1, total))


@handles("dry.norm")
def _norm(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    x, axes = wide(args[0]), tuple(range(-op.axes.value, 0))
    for residual in args[len(args) - len(op.residual) :]:
        x = x + wide(residual)
    total = [to_element(x, element_name(value.type)) for value in op.outs[1:]]
    if op.kind.value == "layer":
        x = x - x.mean(axes, keepdims=True)
    out = x / np.sqrt(np.square(x).mean(axes, keepdims=True) + op.eps.value)
    has_gain = len(op.gain)
    for gain in args[1 : 1 + has_gain]:
        out = out * wide(gain)
    for shift in args[1 + has_gain : 1 + has_gain + len(op.shift)]:
        out = out + wide(shift)
    return [to_element(out, result_element(op)), *total]


@handles("dry.softmax")
def _softmax(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    x, dim = wide(args[0]), op.dim.value
    with np.errstate(all="ignore"):
        x = x - x.max(dim, keepdims=True, initial=-np.inf)
        total = np.exp(x).sum(dim, keepdims=True)
        out = x - np.log(total) if op.log.value else np.exp(x) / total
    return [to_element(out, result_element(op))]


@handles("dry.logsumexp")
def _logsumexp(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    x, dim, element = wide(args[0]), op.dim.value, result_element(op)
    peak = x.max(dim, keepdims=True, initial=np.finfo(widen(args[0]).dtype).min)
    with np.errstate(all="ignore"):
        rest = np.log(np.exp(x - peak).sum(dim))
    return [to_element(part, element) for part in (peak.squeeze(dim), rest)]


@handles("dry.row_stats")
def _row_stats(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    x, picks = wide(args[0]), [pick[:, None] for pick in args[1:]]
    element = element_name(op.operation.operands[0].type)
    peak = x.max(1, initial=np.finfo(widen(args[0]).dtype).min if len(op.rest) else -np.inf)
    with np.errstate(all="ignore"):
        rest = np.log(np.exp(x - peak[:, None]).sum(1))
    found = [to_element(peak, element), *([to_element(rest, element)] if len(op.rest) else [])]
    found += [x.argmax(1)] if len(op.place) else []
    inside = [(pick >= 0) & (pick < x.shape[1]) for pick in picks]
    for pick, there in zip(picks, inside, strict=True):
        one = np.take_along_axis(x, np.where(there, pick, 0), 1)
        found.append(to_element(np.where(there, one, 0)[:, 0], element))
    found += [to_element(x.sum(1), element)] if len(op.summed) else []
    return found


@handles("dry.round_rows")
def _round_rows(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    x, half = args[0].astype(np.float32), np.float32(0.5)
    for factor in args[1:]:
        x = x * factor.astype(np.float32)
    with np.errstate(all="ignore"):
        peak, zeros = np.abs(x).max(-1, initial=0), list[Array]()
        if len(op.zero):
            high, low = (x.max(-1) * half, x.min(-1) * half) if x.shape[-1] else (peak, peak)
            peak, zeros = high - low, [high + low]
            x = x - zeros[0][..., None]
        inverse = np.where(peak < 2.0**-120, np.float32(0), np.float32(127) / peak)
        codes = np.rint(x.astype(np.float64) * inverse[..., None])
        if len(op.zero):
            peak = np.where(np.isfinite(peak), peak, np.float32(np.nan))
    return [np.clip(np.nan_to_num(codes), -127, 127).astype(np.int8), peak, *zeros]


@handles("dry.embedding")
def _embedding(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    table, indices = args
    if indices.size and not (indices.min() >= 0 and indices.max() < table.shape[0]):
        raise fault(op, f"reads row {indices.min()} or {indices.max()} of {table.shape[0]}")
    return [table[indices]]


@handles("dry.scan")
def _scan(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    combine = np.cumsum if op.kind.value == "sum" else np.cumprod
    with np.errstate(all="ignore"):
        return [to_element(combine(wide(args[0]), op.dim.value), result_element(op))]


@handles("dry.linear_scan")
def _linear_scan(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [to_element(_recurrence(args[1], args[0], op.dim.value), result_element(op))]


def _recurrence(factor: Array, x: Array, dim: int) -> Array:
    """h[t] = factor[t] * h[t - 1] + x[t] along `dim`, in float64."""
    by, out = (np.moveaxis(a, dim, 0) for a in (wide(factor), np.array(wide(x))))
    with np.errstate(all="ignore"):
        for t in range(1, len(out)):
            out[t] += by[t] * out[t - 1]
    return np.moveaxis(out, 0, dim)


@handles("dry.selective_scan")
def _selective_scan(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    maps = [ir.AffineMapAttr(item).value for item in op.operation.attributes["indexing_maps"]]
    extents = [n or 0 for n in extents_of(maps, args)]
    points = points_of(extents)
    elements = [read(array, map_, points) for array, map_ in zip(args, maps, strict=True)]
    found = machine.block(op.step.blocks[0], elements)
    factor, x, *weight = (np.broadcast_to(each, extents) for each in found)
    h = _recurrence(factor, x, op.dim.value)
    return [to_element((h * wide(weight[0])).sum(-1) if weight else h, result_element(op))]
