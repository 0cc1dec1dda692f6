"""The pass `observe-weights`: a program gives statistics of what weights are multiplied with."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from drystone.ir import build
from drystone.ir.build import mapped
from drystone.ir.dialect import MatMul
from drystone.ir.program import Program
from drystone.ir.shapes import channel_axis, layouts, spatial_axes
from drystone.ir.values import main_block, shape
from drystone.mlir import arith, ints, ir, tensor
from drystone.passes.dims import as_value, extent, sizes_of
from drystone.passes.generic import filled, last_dim, leading, widened_to
from drystone.passes.results import give
from drystone.passes.rewriting import erase_dead, tensor_type
from drystone.passes.weight_readers import Reader, asked
from drystone.passes.weights import drop_unused


@dataclass(frozen=True)
class ObserveWeights:
    """The results are statistics of the rows x [.., k], or columns, that weights which `QuantizeWeights`
    would round, or `SparsifyWeights` prune, are multiplied with: their number, as f32 [k], the sum of x [k]
    and of x^T x [k, k], and the sum, [k] times the same, of the squares of what lies between the ends of
    each.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<32x64xf32>) ; return %y
    After:   %n = linalg.generic ins(%x) {sum of 1} : tensor<64xf32>
             %s = linalg.generic ins(%x) {sum of x} : tensor<64xf32>
             %h = "dry.matmul"(transpose(%x), %x) : tensor<64x64xf32> ; return %n, %s, %h

    - They are named "rows", "total", "moment" and "spread" and, behind a space, by the keys of all weights
      that read x, a space between them.
    - What a convolution of one group sees is unfolded: taps times channels. Those of several groups, and
      embeddings, are left out: they are rounded without.
    - States keep their new values.
    """

    formats: Sequence[tuple[str, object | None]] = ()
    tables: bool = False
    others: frozenset[str] = frozenset()
    argument: str = "quantize"
    name: ClassVar[str] = "observe-weights"

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for a pattern that matches nothing."""
        found: dict[str, Any] = {}
        groups = asked(program, self.formats, tables=self.tables, others=self.others, argument=self.argument)
        for group in groups:
            reader = group[0][0]
            if reader.kind == "table" or (reader.kind == "conv" and _groups(reader) > 1):
                continue
            keys = " ".join(dict.fromkeys(each.key for each, _ in group))
            with ir.InsertionPoint(reader.op), reader.op.operation.location:
                x = widened_to(_rows(reader), ir.F32Type.get())
                for name, value in _statistics(x).items():
                    found[f"{name} {keys}"] = value
        give(program, found)
        erase_dead(main_block(program))
        drop_unused(program)


def _rows(reader: Reader) -> Any:
    """What a weight is multiplied with, [.., k]."""
    if reader.kind == "conv":
        return _unfolded(reader)
    attributes, x = reader.op.operation.attributes, reader.x
    return _turned(x) if reader.kind == "left" and not attributes["transpose_b"].value else x


def _turned(x: Any) -> Any:
    """A matrix with its axes swapped."""
    into = tensor.EmptyOp(sizes_of(x, [1, 0]), x.type.element_type).result
    maps = [ir.AffineMap.get_permutation([1, 0]), ir.AffineMap.get_identity(2)]
    return mapped([x], into, maps, lambda one, _: one)


def _groups(reader: Reader) -> int:
    return int(reader.op.operation.attributes["groups"].value)


def _statistics(x: Any) -> dict[str, Any]:
    """The four of a tensor [.., k], by name."""
    f32, rank, k = ir.F32Type.get(), x.type.rank, x.type.get_dim_size(x.type.rank - 1)
    maps = [ir.AffineMap.get_identity(rank), last_dim(rank)]
    iterators = ["reduction"] * (rank - 1) + ["parallel"]

    def sums(of: Any) -> Any:
        zero = filled(f32, 0.0, [k])
        return mapped([x], zero, maps, of, iterators)

    rows = sums(lambda _, total: arith.AddFOp(total, arith.ConstantOp(f32, 1.0).result).result)
    total = sums(lambda one, total: arith.AddFOp(total, one).result)
    return {"rows": rows, "total": total, "moment": _moment(x, k), "spread": spread(x, k)}


def spread(x: Any, k: int) -> Any:
    """The sum over rows of the squares of their ranges, k times."""
    f32, rank = ir.F32Type.get(), x.type.rank
    whole, rows = ir.AffineMap.get_identity(rank), leading(rank)

    def end(start: float, larger: Any) -> Any:
        init = filled(f32, start, sizes_of(x, range(rank - 1)))
        iterators = ["parallel"] * (rank - 1) + ["reduction"]
        return mapped([x], init, [whole, rows], lambda one, other: larger(one, other).result, iterators)

    def squared(high: Any, low: Any, total: Any) -> Any:
        range_ = arith.SubFOp(high, low).result
        return arith.AddFOp(total, arith.MulFOp(range_, range_).result).result

    ends = end(-float("inf"), arith.MaximumFOp), end(float("inf"), arith.MinimumFOp)
    zero = filled(f32, 0.0, [k])
    iterators = ["reduction"] * (rank - 1) + ["parallel"]
    return mapped(ends, zero, [rows, rows, last_dim(rank)], squared, iterators)


def _moment(x: Any, k: int) -> Any:
    """x^T x, over all dimensions but the last."""
    f32, rank = ir.F32Type.get(), x.type.rank
    if rank > 2:
        outer = shape(x)[:-1]
        rows = None if None in outer else prod(n for n in outer if n is not None)
        x = tensor.CollapseShapeOp(tensor_type([rows, k], f32), x, [list(range(rank - 1)), [rank - 1]]).result
    op = MatMul(
        tensor_type([k, k], f32), _turned(x), x, transpose_b=build.flag(False), extra_maps=build.array([])
    )
    build.identity_epilogue(op, f32)
    return op.out


def _unfolded(reader: Reader) -> Any:
    """What the taps of a convolution see, [n, *out, taps * C], at the insertion point."""
    op = reader.op.operation
    strides, padding, dilation = (ints(op.attributes[name]) for name in ("strides", "padding", "dilation"))
    given = layouts(op.attributes["layout"].value)[0]
    rank, result = reader.x.type.rank, op.results[0]
    x, channel, spatial = reader.x, channel_axis(given, rank), list(spatial_axes(given, rank))
    before, after = [0] * rank, [0] * rank
    for n, axis in enumerate(spatial):
        before[axis], after[axis] = padding[2 * n], padding[2 * n + 1]
    x = _padded(x, before, after) if any(padding) else x
    channels, *kernel = list(reader.weight.type.shape)[1:]
    places = spatial_axes(layouts(op.attributes["layout"].value)[1], rank)
    outer = [extent(result, 0), *(extent(result, axis) for axis in places)]
    dims = [ir.AffineDimExpr.get(d) for d in range(2 * rank - 2)]
    read = [dims[0]] * rank
    read[channel] = dims[-1]
    for n, axis in enumerate(spatial):
        tap = dims[rank - 1 + n] * dilation[n]
        read[axis] = dims[1 + n] * strides[n] + tap
    sizes = [as_value(n) if not isinstance(n, int) else n for n in (*outer, *kernel, channels)]
    into = tensor.EmptyOp(sizes, x.type.element_type).result
    maps = [ir.AffineMap.get(2 * rank - 2, 0, read), ir.AffineMap.get_identity(2 * rank - 2)]
    made = mapped([x], into, maps, lambda number, _: number)
    groups = [*([d] for d in range(rank - 1)), list(range(rank - 1, 2 * rank - 2))]
    extents = [None if made.type.is_dynamic_dim(d) else made.type.get_dim_size(d) for d in range(rank - 1)]
    kind = tensor_type([*extents, channels * prod(kernel)], x.type.element_type)
    return tensor.CollapseShapeOp(kind, made, groups).result


def _padded(x: Any, before: list[int], after: list[int]) -> Any:
    """The tensor with so many zeros around it."""
    extents = [None if n is None else n + a + b for n, a, b in zip(shape(x), before, after, strict=True)]
    made = tensor.PadOp(tensor_type(extents, x.type.element_type), x, [], [], before, after)
    inner = made.operation.regions[0].blocks.append(*[ir.IndexType.get()] * x.type.rank)
    with ir.InsertionPoint(inner):
        tensor.YieldOp(arith.ConstantOp(x.type.element_type, 0.0).result)
    return made.result
