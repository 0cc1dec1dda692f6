"""What a kernel call costs at given extents: arithmetic operations and bytes, and the least time they take.

Counts follow the operation's definition, not the code made for it: a multiply-add is two operations, every
other arithmetic or math operation on an element is one, exp included; conversions and comparisons of integers
count as well, constants do not. Every tensor is touched once, but where elements or rows are picked by
position (an embedding's table, a gather, a slice) only as many as the result has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from drystone.codegen.families.outlined import main_operations
from drystone.ir.bounds import Bounds
from drystone.ir.buffers import Buffers, buffers
from drystone.ir.encoded import own_bytes
from drystone.ir.program import Program
from drystone.ir.values import function, is_tensor, nested, shape, tensors, uncast
from drystone.mlir import ints, ir
from drystone.registry import Registry

Extents = tuple[int, ...]

#: Per score: scaling, mask, subtraction of the peak, exp, sum; per element of a result: the final division.
_SOFTMAX = 5
#: Per element of the input: mean, centering, square, its sum, scaling, gain and shift.
_NORM = {"layer": 7, "rms": 5}
#: Per element of rows that are rounded: its size, the largest, scaling, rounding and two bounds.
_ROUNDED = 6
#: Per gate and step: addition of the two products, its function; and the new state's products and sums.
_CELL = {"lstm": 13, "gru": 12, "tanh": 2, "relu": 2}


#: Operations that a core computes while it moves one byte, roughly.
_BALANCE = 4


@dataclass(frozen=True)
class Cost:
    """Arithmetic operations and bytes moved."""

    flops: int
    bytes: int

    def seconds(self, flops_per_second: float, bytes_per_second: float) -> float:
        """The least time on a machine of these peaks (the roofline)."""
        return max(self.flops / flops_per_second, self.bytes / bytes_per_second)


class SizedKernel:
    """A kernel function whose tensor arguments have known extents. main: its main operation."""

    def __init__(self, kernel: Any, extents: Sequence[Sequence[int]]) -> None:
        (block,) = kernel.regions[0].blocks
        arguments = tensors(block.arguments)
        results = list(list(block.operations)[-1].operation.operands)
        self.mains = main_operations(kernel)
        self.main: Any = self.mains[-1] if self.mains else None
        self.arguments = {a: tuple(e) for a, e in zip(arguments, extents, strict=True)}
        given = list(self.arguments.values())
        self._extents = self.arguments | dict(zip(results, given[len(given) - len(results) :], strict=True))

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
        return tuple(1 if extent is None else extent for extent in shape(value))

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
    found = SizedKernel(kernel, extents)
    sizes = {value: own_bytes(value.type, extent) for value, extent in found.arguments.items()}
    if found.main is None:
        return Cost(0, sum(sizes.values()))
    name = str(found.main.operation.name)
    for value in _picked(found.main.operation):
        whole = max(1, prod(found.arguments[value]))
        sizes[value] = sizes[value] * min(whole, _iterations(found)) // whole
    return Cost(FLOPS.get(name, _other)(found), sum(sizes.values()))


def costs_of(program: Program, found: Buffers) -> dict[str, Cost]:
    """The cost of every kernel call of an outlined program at the symbols' upper bounds, by its name."""
    bounds = Bounds(program)
    costs = {}
    for call in found.calls:
        kernel = function(program, call.op.attributes["callee"].value)
        costs[call.name] = cost_of(kernel, [bounds.extents(v) for v in call.op.operands if is_tensor(v)])
    return costs


def bytes_moved(program: Program) -> int:
    """Bytes that all kernels of an outlined program read and write, at the symbols' upper bounds."""
    return sum(cost.bytes for cost in costs_of(program, buffers(program)).values())


def work(program: Program) -> dict[str, int]:
    """What running each call of an outlined program takes, in bytes that could be moved meanwhile."""
    costs = costs_of(program, buffers(program))
    return {name: max(cost.bytes, cost.flops // _BALANCE) for name, cost in costs.items()}


def _picked(main: Any) -> list[Any]:
    """Tensors of which the main operation reads one element in each iteration."""
    extracts = [inner.operation for inner in nested(main) if inner.operation.name == "tensor.extract"]
    read = [uncast(extract.operands[0]) for extract in extracts]
    if main.name in ("dry.embedding", "tensor.extract_slice", "tm_tensor.gather"):
        read.append(uncast(main.operands[0]))
    return [value for value in dict.fromkeys(read) if isinstance(value.owner, ir.Block)]


def _body(region: Any) -> int:
    """Operations on one element in a region."""
    names = [op.operation.name for block in region.blocks for op in block.operations]
    return sum(
        name.startswith(("arith.", "math.", "complex.")) and name != "arith.constant" for name in names
    )


def _matmul(kernel: SizedKernel) -> int:
    """Of all products of the kernel: each has as many rows as the last one."""
    rows, depth = prod(kernel.result[:-1]), kernel.operand(0)[-1]
    columns = [(kernel.extents(op.operation.results[0])[-1], op.operation.regions[0]) for op in kernel.mains]
    return sum(rows * n * (2 * depth + _body(region)) for n, region in columns)


def _conv(kernel: SizedKernel) -> int:
    weight = kernel.operand(1)
    taps = prod(weight[2:]) * weight[1]
    transposed = ir.IntegerAttr(kernel.main.transposed).value
    return 2 * prod(kernel.operand(0) if transposed else kernel.result) * taps + kernel.epilogue()


def _attention(kernel: SizedKernel) -> int:
    q, k, v = (kernel.operand(number) for number in range(3))
    heads, queries = (1, 2) if ir.StringAttr(kernel.main.layout).value == "bhsd" else (2, 1)
    rows, keys = q[0] * q[heads] * q[queries], k[queries]
    scores = rows * keys
    if ir.IntegerAttr(kernel.main.causal).value:
        # Query s sees the keys up to s: a triangle and, with more queries than keys, full rows.
        seen = min(q[queries], keys)
        scores = q[0] * q[heads] * (seen * (seen + 1) // 2 + (q[queries] - seen) * keys)
    return scores * (2 * q[3] + 2 * v[3] + _SOFTMAX) + rows * v[3]


def _norm(kernel: SizedKernel) -> int:
    return prod(kernel.result) * (_NORM[ir.StringAttr(kernel.main.kind).value] + len(kernel.main.residual))


def _softmax(kernel: SizedKernel) -> int:
    return prod(kernel.result) * _SOFTMAX


def _logsumexp(kernel: SizedKernel) -> int:
    return prod(kernel.extents(kernel.main.x)) * (_SOFTMAX - 1)


def _row_stats(kernel: SizedKernel) -> int:
    """Of a product and of what is asked of its elements."""
    product = kernel.mains[0].operation
    (rows, depth), columns = kernel.extents(product.operands[0]), product.results[0].type.shape[1]
    asked = _SOFTMAX - 1 if len(kernel.main.rest) else 1
    return rows * int(columns) * (2 * depth + _body(product.regions[0]) + asked)


def _round_rows(kernel: SizedKernel) -> int:
    """Of the rounding and of a normalization before it."""
    first = kernel.mains[0].operation
    elements = prod(kernel.result)
    norm = _NORM[first.attributes["kind"].value] if first.name == "dry.norm" else 0
    return elements * (norm + _ROUNDED + 2 * len(kernel.main.factor))


def _write_rows(kernel: SizedKernel) -> int:
    """Of the rounding of rows, each number once for every pair of ends that is tried."""
    tries: int = ir.IntegerAttr(kernel.main.tries).value
    return prod(kernel.extents(kernel.main.rows)) * _ROUNDED * tries * tries


def _pool(kernel: SizedKernel) -> int:
    taps = prod(ints(kernel.main.kernel))
    return prod(kernel.result) * taps


def _recurrent(kernel: SizedKernel) -> int:
    steps, batch, gates = kernel.operand(0)
    hidden = kernel.operand(1)[1]
    cell = _CELL[ir.StringAttr(kernel.main.cell).value]
    return steps * batch * (2 * gates * hidden + cell * hidden)


def _nothing(kernel: SizedKernel) -> int:
    return 0


def _scan(kernel: SizedKernel) -> int:
    return prod(kernel.result)


def _linear_scan(kernel: SizedKernel) -> int:
    return 2 * prod(kernel.result)


def _selective_scan(kernel: SizedKernel) -> int:
    """The step of every state, its product and sum, and those of the result."""
    operation = kernel.main.operation
    own = 4 if operation.attributes["summed"].value else 2
    return _iterations(kernel) * (own + _body(operation.regions[0]))


def _iterations(kernel: SizedKernel) -> int:
    """Iterations of the main operation, whose extents its indexing maps give; without maps, the elements of
    its result."""
    operation = kernel.main.operation
    if "indexing_maps" not in operation.attributes:
        return prod(kernel.result)
    domain: dict[int, int] = {}
    for attribute, value in zip(operation.attributes["indexing_maps"], operation.operands, strict=True):
        for axis, expression in enumerate(ir.AffineMapAttr(attribute).value.results):
            if is_tensor(value) and isinstance(expression, ir.AffineDimExpr):
                extent = kernel.extents(value)[axis]
                domain[expression.position] = max(extent, domain.get(expression.position, 1))
    return prod(domain.values())


def _other(kernel: SizedKernel) -> int:
    """Of an operation without a rule of its own: its bodies once for each iteration; without maps, for each
    element of the largest tensor."""
    operation = kernel.main.operation
    largest = max(map(prod, kernel.arguments.values()), default=1)
    times = _iterations(kernel) if "indexing_maps" in operation.attributes else largest
    return times * sum(_body(region) for region in operation.regions)


#: By main operation the arithmetic operations of a call; others are as many as their region says.
FLOPS: Registry[Callable[[SizedKernel], int]] = Registry(
    "operation",
    {
        "dry.matmul": _matmul,
        "dry.conv": _conv,
        "dry.attention": _attention,
        "dry.norm": _norm,
        "dry.softmax": _softmax,
        "dry.logsumexp": _logsumexp,
        "dry.round_rows": _round_rows,
        "dry.write_rows": _write_rows,
        "dry.row_stats": _row_stats,
        "dry.embedding": _nothing,
        "dry.pool": _pool,
        "dry.recurrent": _recurrent,
        "dry.scan": _scan,
        "dry.linear_scan": _linear_scan,
        "dry.selective_scan": _selective_scan,
        "linalg.fill": _nothing,
        "linalg.copy": _nothing,
        "linalg.transpose": _nothing,
        "linalg.broadcast": _nothing,
    },
)
