"""How much a kernel call has to do: bytes it touches and operations it computes, at the upper bounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from drystone.ir.bounds import Bounds
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import storage_bytes
from drystone.mlir import ints, ir, walk

#: What one thread does in a nanosecond, roughly and on the slow side, for deciding what is worth sharing.
_FLOPS_PER_NS = 40
_BYTES_PER_NS = 10


@dataclass(frozen=True)
class Work:
    """Bytes touched and arithmetic operations."""

    bytes: int
    flops: int

    @property
    def ns(self) -> float:
        """About the time on one thread."""
        return self.flops / _FLOPS_PER_NS + self.bytes / _BYTES_PER_NS


def work(kernel: Any, call: Any, bounds: Bounds) -> Work:
    """The work of one call of an outlined kernel function."""
    tensors = [v for v in call.operands if isinstance(v.type, ir.RankedTensorType)]
    extents = dict(
        zip(kernel.regions[0].blocks[0].arguments, map(_extents(bounds), call.operands), strict=True)
    )
    total = sum(_bytes(value, bounds) for value in dict.fromkeys(tensors))
    results = [bounds.extents(value) for value in call.results]
    flops = sum(_flops(op.operation, extents, results) for op in kernel.regions[0].blocks[0].operations)
    return Work(total, flops)


def _extents(bounds: Bounds) -> Any:
    return lambda v: bounds.extents(v) if isinstance(v.type, ir.RankedTensorType) else ()


def _bytes(value: Any, bounds: Bounds) -> int:
    if value.type.encoding is not None:
        return storage_bytes(value.type)
    return prod(bounds.extents(value)) * int(np.dtype(numpy_dtype(str(value.type.element_type))).itemsize)


def _result(results: list[tuple[int, ...]]) -> tuple[int, ...]:
    return results[0] if results else ()


def _flops(op: Any, known: dict[Any, tuple[int, ...]], results: list[tuple[int, ...]]) -> int:
    """Operations of one operation of a kernel's body; 0 for what only moves data."""
    shapes = [known.get(value) or _static(value) for value in op.operands]
    out = _result(results)
    match op.name:
        case "dry.matmul":
            return 2 * prod(out) * shapes[0][-1]
        case "dry.conv":
            taps = prod(shapes[1][1:])
            transposed = op.attributes["transposed"].value
            return 2 * (prod(shapes[0]) if transposed else prod(out)) * taps
        case "dry.attention":
            keys, positions = shapes[1], 2 if op.attributes["layout"].value == "bhsd" else 1
            return 2 * prod(out) // max(1, out[-1]) * keys[positions] * (shapes[0][-1] + out[-1])
        case "dry.recurrent":
            return 2 * prod(shapes[0][:-1]) * prod(shapes[1])
        case "dry.pool":
            return prod(out) * prod(ints(op.attributes["kernel"]))
        case "dry.norm" | "dry.softmax":
            return 8 * prod(out)
        case "dry.scan":
            return prod(out)
    if op.name.startswith("linalg.") and op.name not in ("linalg.fill", "linalg.copy", "linalg.transpose"):
        return _linalg(op, shapes)
    return 0


def _linalg(op: Any, shapes: Sequence[tuple[int, ...]]) -> int:
    """Steps of a linalg operation times the arithmetic in its body."""
    inner = [o.operation.name for o in walk(op)]
    each = len([n for n in inner if n.startswith(("arith.", "math.")) and n != "arith.constant"])
    if "indexing_maps" not in op.attributes:
        return each * max(map(prod, shapes), default=0)
    extents: dict[int, int] = {}
    for attribute, shape in zip(op.attributes["indexing_maps"], shapes, strict=False):
        for expr, extent in zip(attribute.value.results, shape, strict=True):
            loop = expr.maybe_downcast()
            if isinstance(loop, ir.AffineDimExpr):
                extents.setdefault(loop.position, extent)
    return each * prod(extents.values())


def _static(value: Any) -> tuple[int, ...]:
    """Extents by the type alone, 1 where it does not say."""
    kind = value.type
    if not isinstance(kind, ir.RankedTensorType):
        return ()
    return tuple(1 if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in range(kind.rank))
