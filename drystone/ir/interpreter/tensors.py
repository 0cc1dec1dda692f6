"""Tensors moved and made: dialects tensor and bufferization."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.interpreter.machine import Machine, element_name, fault, handles, undefined
from drystone.mlir import ints, ir


def _sizes(kind: Any, dynamic: Sequence[Array]) -> list[int]:
    """The shape of a type, its dynamic dimensions taken from `dynamic` in order."""
    rest = iter(dynamic)
    return [int(next(rest)) if n == ir.ShapedType.get_dynamic_size() else n for n in kind.shape]


def _segments(op: Any, args: Sequence[Array]) -> list[list[Array]]:
    """The operands in their groups."""
    rest = iter(args)
    return [[next(rest) for _ in range(n)] for n in op.operation.attributes["operandSegmentSizes"]]


def _mixed(op: Any, name: str, dynamic: Sequence[Array]) -> list[int]:
    """A list of static and dynamic numbers: the attribute `name` with its gaps filled."""
    rest, gap = iter(dynamic), ir.ShapedType.get_dynamic_size()
    return [int(next(rest)) if n == gap else n for n in op.operation.attributes[name]]


@handles("tensor.empty", "bufferization.alloc_tensor")
def _empty(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    kind = op.operation.results[0].type
    return [undefined(_sizes(kind, args), element_name(kind))]


@handles("tensor.cast", "bufferization.materialize_in_destination", "tensor.bitcast")
def _same(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    kind = op.operation.results[0].type
    fixed = [n for n in kind.shape if n != ir.ShapedType.get_dynamic_size()]
    stated = [
        m for n, m in zip(kind.shape, args[0].shape, strict=True) if n != ir.ShapedType.get_dynamic_size()
    ]
    if fixed != stated:
        raise fault(op, f"an array of shape {args[0].shape} is no {kind}")
    return [args[0]]


@handles("tensor.dim")
def _dim(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [np.asarray(args[0].shape[int(args[1])], np.int64)]


@handles("tensor.rank")
def _rank(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [np.asarray(args[0].ndim, np.int64)]


@handles("tensor.extract")
def _extract(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    source, *index = args
    limits = zip(index, source.shape, strict=True)
    if machine.guarded and source.size:
        index = [np.clip(i, 0, n - 1) for i, n in limits]
    elif any(np.any((i < 0) | (i >= n)) for i, n in limits):
        raise fault(op, f"reads outside a tensor of shape {source.shape}")
    return [np.asarray(source[tuple(index)])]


@handles("tensor.insert")
def _insert(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    scalar, target, *index = args
    out = target.copy()
    out[tuple(int(i) for i in index)] = scalar
    return [out]


def _window(op: Any, dynamic: Sequence[Sequence[Array]], source: Sequence[int]) -> tuple[slice, ...]:
    """The slices that offsets, sizes and strides state."""
    names = ("static_offsets", "static_sizes", "static_strides")
    triples = zip(*(_mixed(op, name, group) for name, group in zip(names, dynamic, strict=True)), strict=True)
    window = []
    for (offset, size, stride), extent in zip(triples, source, strict=True):
        last = offset + (size - 1) * stride
        if size and not (0 <= offset < extent and 0 <= last < extent):
            raise fault(op, f"slice [{offset}, size {size}, stride {stride}] of {extent} elements")
        window.append(slice(offset, offset + size * stride, stride))
    return tuple(window)


@handles("tensor.extract_slice")
def _extract_slice(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    (source,), *dynamic = _segments(op, args)
    found = source[_window(op, dynamic, source.shape)]
    return [found.reshape(_reduced_shape(op.operation.results[0].type, found.shape))]


def _reduced_shape(kind: Any, shape: Sequence[int]) -> list[int]:
    """`shape` without the unit dimensions that a rank-reduced type drops."""
    rest = list(shape)
    out: list[int] = []
    for n in kind.shape:
        dynamic = n == ir.ShapedType.get_dynamic_size()
        while len(rest) > kind.rank - len(out) and rest[0] == 1 and (dynamic or n != 1):
            rest.pop(0)
        out.append(rest.pop(0))
    return out


@handles("tensor.insert_slice", "tensor.parallel_insert_slice")
def _insert_slice(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    (source,), (target,), *dynamic = _segments(op, args)
    out = target.copy()
    window = _window(op, dynamic, target.shape)
    out[window] = source.reshape(out[window].shape)
    return [out]


@handles("tensor.pad")
def _pad(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    (source,), low, high = _segments(op, args)
    before, after = _mixed(op, "static_low", low), _mixed(op, "static_high", high)
    shape = [a + n + b for a, n, b in zip(before, source.shape, after, strict=True)]
    out = _generated(machine, op, shape, element_name(op.operation.results[0].type))
    # A negative amount cuts.
    inside = tuple(
        slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0))
        for a, n, b in zip(before, source.shape, after, strict=True)
    )
    kept = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for a, n, b in zip(before, source.shape, after, strict=True)
    )
    out[inside] = source[kept]
    return [out]


def _generated(machine: Machine, op: Any, shape: Sequence[int], dtype: str) -> Array:
    """What the region yields at every position, as an array of its own."""
    points = [
        np.arange(n).reshape([-1 if e == d else 1 for e in range(len(shape))]) for d, n in enumerate(shape)
    ]
    (value,) = machine.region(op, points)
    return np.array(np.broadcast_to(value, tuple(shape)))


@handles("tensor.generate")
def _generate(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    kind = op.operation.results[0].type
    return [_generated(machine, op, _sizes(kind, args), element_name(kind))]


@handles("tensor.concat")
def _concat(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [np.concatenate(args, op.operation.attributes["dim"].value)]


@handles("tensor.collapse_shape")
def _collapse(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    groups = [ints(group) for group in op.operation.attributes["reassociation"]]
    return [args[0].reshape([prod(args[0].shape[d] for d in group) for group in groups])]


@handles("tensor.expand_shape")
def _expand(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [args[0].reshape(_mixed(op, "static_output_shape", args[1:]))]


@handles("tensor.reshape")
def _reshape(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [args[0].reshape(tuple(int(n) for n in args[1]))]


@handles("tensor.from_elements")
def _from_elements(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [np.array(args).reshape(_sizes(op.operation.results[0].type, []))]


@handles("tensor.splat")
def _splat(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    return [np.full(_sizes(op.operation.results[0].type, args[1:]), args[0])]


@handles("tensor.gather")
def _gather(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    source, indices = args
    found = source[_gathered(op, source.shape, indices)]
    return [found.reshape(_sizes(op.operation.results[0].type, indices.shape[:-1]))]


@handles("tensor.scatter")
def _scatter(machine: Machine, op: Any, args: list[Array]) -> list[Array]:
    source, target, indices = args
    out = target.copy()
    where = _gathered(op, target.shape, indices, "scatter_dims")
    out[where] = source.reshape(out[where].shape)
    return [out]


def _gathered(op: Any, shape: Sequence[int], indices: Array, name: str = "gather_dims") -> tuple[Array, ...]:
    """Index arrays: leading dimensions those of the indices, then one per dimension of the tensor."""
    dims = list(op.operation.attributes[name])
    lead = indices.ndim - 1
    where = []
    for d, n in enumerate(shape):
        if d in dims:
            where.append(indices[..., dims.index(d)].reshape(indices.shape[:-1] + (1,) * len(shape)))
        else:
            where.append(np.arange(n).reshape([-1 if e == lead + d else 1 for e in range(lead + len(shape))]))
    return tuple(where)
