"""What a kernel call costs at given extents: arithmetic operations and bytes, and the least time they take.

Counts follow the operation's definition, not the code made for it: a multiply-add is two operations, every
other arithmetic or math operation on an element is one, exp included; conversions and comparisons of integers
count as well, constants do not. Every tensor is touched once, but of an embedding's table only the rows read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from drystone.codegen.families.outlined import main_operation
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import storage_bytes
from drystone.mlir import ints, ir

Extents = tuple[int, ...]

#: Per score: scaling, mask, subtraction of the peak, exp, sum; per element of a result: the final division.
_SOFTMAX = 5
#: Per element of the input: mean, centering, square, its sum, scaling, gain and shift.
_NORM = {"layer": 7, "rms": 5}
#: Per gate and step: addition of the two products, its function; and the new state's products and sums.
_CELL = {"lstm": 13, "gru": 12, "tanh": 2, "relu": 2}


@dataclass(frozen=True)
class Cost:
    """Arithmetic operations and bytes moved."""

    flops: int
    bytes: int

    def seconds(self, flops_per_second: float, bytes_per_second: float) -> float:
        """The least time on a machine of these peaks (the roofline)."""
        return max(self.flops / flops_per_second, self.bytes / bytes_per_second)


class _Kernel:
    """A kernel function whose tensor arguments have known extents."""

    def __init__(self, kernel: Any, extents: Sequence[Sequence[int]]) -> None:
        (block,) = kernel.regions[0].blocks
        arguments = [a for a in block.arguments if isinstance(a.type, ir.RankedTensorType)]
        results = list(list(block.operations)[-1].operation.operands)
        self.main = main_operation(kernel)
        self.tensors = [(a.type, tuple(e)) for a, e in zip(arguments, extents, strict=True)]
        self._extents = {a: tuple(e) for a, e in zip(arguments, extents, strict=True)}
        self._extents |= dict(zip(results, list(self._extents.values())[-len(results) :], strict=True))

    def extents(self, value: Any) -> Extents:
        """The extents of a tensor of the body; a dynamic one that no argument gives counts as 1."""
        while value not in self._extents and not isinstance(value.owner, ir.Block):
            owner = value.owner
            if owner.name == "tensor.cast":
                value = owner.operands[0]
            elif owner.name in ("linalg.fill", "linalg.copy"):
                value = owner.operands[-1]
            else:
                break
        if value in self._extents:
            return self._extents[value]
        kind = value.type
        return tuple(1 if kind.is_dynamic_dim(d) else kind.get_dim_size(d) for d in range(kind.rank))

    def operand(self, number: int) -> Extents:
        """The extents of an operand of the main operation."""
        return self.extents(self.main.operation.operands[number])

    @property
    def result(self) -> Extents:
        """The extents of the main operation's first result."""
        return self.extents(self.main.operation.results[0])

    def epilogue(self) -> int:
        """Operations of the main operation's epilogue on all elements."""
        return prod(self.result) * _body(self.main.operation.regions[0])


def cost_of(kernel: Any, extents: Sequence[Sequence[int]]) -> Cost:
    """The cost of one call of an outlined kernel function.

    extents: of its tensor arguments in order (inputs, then destinations), at the bounds of interest.
    """
    found = _Kernel(kernel, extents)
    name = "" if found.main is None else str(found.main.operation.name)
    sizes = [_bytes(kind, extent) for kind, extent in found.tensors]
    if name == "dry.embedding":
        sizes[_table(found)] = sizes[-1]
    return Cost(_FLOPS.get(name, _other)(found) if found.main is not None else 0, sum(sizes))


def _table(kernel: _Kernel) -> int:
    table = kernel.main.operation.operands[0]
    return [kind for kind, _ in kernel.tensors].index(table.type)


def _bytes(kind: Any, extents: Extents) -> int:
    if kind.encoding is not None and kind.has_static_shape:
        return storage_bytes(kind)
    return prod(extents) * int(np.dtype(numpy_dtype(str(kind.element_type))).itemsize)


def _body(region: Any) -> int:
    """Operations on one element in a region."""
    names = [op.operation.name for block in region.blocks for op in block.operations]
    return sum(
        name.startswith(("arith.", "math.", "complex.")) and name != "arith.constant" for name in names
    )


def _matmul(kernel: _Kernel) -> int:
    return 2 * prod(kernel.result) * kernel.operand(0)[-1] + kernel.epilogue()


def _conv(kernel: _Kernel) -> int:
    weight = kernel.operand(1)
    taps = prod(weight[2:]) * weight[1]
    transposed = ir.IntegerAttr(kernel.main.transposed).value
    return 2 * prod(kernel.operand(0) if transposed else kernel.result) * taps + kernel.epilogue()


def _attention(kernel: _Kernel) -> int:
    q, k, v = (kernel.operand(number) for number in range(3))
    heads, queries = (1, 2) if ir.StringAttr(kernel.main.layout).value == "bhsd" else (2, 1)
    rows, keys = q[0] * q[heads] * q[queries], k[queries]
    scores = rows * keys
    if ir.IntegerAttr(kernel.main.causal).value:
        # Query s sees the keys up to s: a triangle and, with more queries than keys, full rows.
        seen = min(q[queries], keys)
        scores = q[0] * q[heads] * (seen * (seen + 1) // 2 + (q[queries] - seen) * keys)
    return scores * (2 * q[3] + 2 * v[3] + _SOFTMAX) + rows * v[3]


def _norm(kernel: _Kernel) -> int:
    return prod(kernel.result) * _NORM[ir.StringAttr(kernel.main.kind).value]


def _softmax(kernel: _Kernel) -> int:
    return prod(kernel.result) * _SOFTMAX


def _pool(kernel: _Kernel) -> int:
    taps = prod(ints(kernel.main.kernel))
    return prod(kernel.result) * taps


def _recurrent(kernel: _Kernel) -> int:
    steps, batch, gates = kernel.operand(0)
    hidden = kernel.operand(1)[1]
    cell = _CELL[ir.StringAttr(kernel.main.cell).value]
    return steps * batch * (2 * gates * hidden + cell * hidden)


def _nothing(kernel: _Kernel) -> int:
    return 0


def _scan(kernel: _Kernel) -> int:
    return prod(kernel.result)


def _generic(kernel: _Kernel) -> int:
    """Operations of the body times the iterations, whose extents the indexing maps give."""
    operation = kernel.main.operation
    domain: dict[int, int] = {}
    for attribute, value in zip(operation.attributes["indexing_maps"], operation.operands, strict=True):
        for axis, expression in enumerate(ir.AffineMapAttr(attribute).value.results):
            if isinstance(value.type, ir.RankedTensorType) and isinstance(expression, ir.AffineDimExpr):
                extent = kernel.extents(value)[axis]
                domain[expression.position] = max(extent, domain.get(expression.position, 1))
    return prod(domain.values()) * _body(operation.regions[0])


def _other(kernel: _Kernel) -> int:
    """Of an operation without a rule: its bodies, once for each element of the largest tensor."""
    once = sum(_body(region) for region in kernel.main.operation.regions)
    return max((prod(extents) for _, extents in kernel.tensors), default=1) * once


_FLOPS: Mapping[str, Callable[[_Kernel], int]] = {
    "dry.matmul": _matmul,
    "dry.conv": _conv,
    "dry.attention": _attention,
    "dry.norm": _norm,
    "dry.softmax": _softmax,
    "dry.embedding": _nothing,
    "dry.pool": _pool,
    "dry.recurrent": _recurrent,
    "dry.scan": _scan,
    "linalg.generic": _generic,
    "linalg.fill": _nothing,
    "linalg.copy": _nothing,
    "linalg.transpose": _nothing,
    "linalg.broadcast": _nothing,
}
