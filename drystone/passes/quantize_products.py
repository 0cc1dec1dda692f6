"""The pass `quantize-products`: products with weights are computed in bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import mapped
from drystone.ir.dialect import MAX_EXTRAS, RoundRows
from drystone.ir.encoding import encode
from drystone.ir.formats import int8_row
from drystone.ir.program import Program
from drystone.ir.values import main_block, shape
from drystone.mlir import arith, ir, linalg, math, tensor
from drystone.passes.dims import empty_like, sizes_of
from drystone.passes.epilogues import extras_of, remade, take_epilogue
from drystone.passes.results import give
from drystone.passes.rewriting import erase_dead, ops, tensor_type
from drystone.passes.weight_readers import first_match, no_match
from drystone.passes.weights import drop_unused, model_name, new_weight, weight_key

#: The largest code of activations.
_LARGEST = 127
#: Operands of the epilogue of a product of bytes: scales and sums of columns, peaks and zeros of rows.
_EXTRAS = 4
#: k that a dot unit sums in a lane: others would be summed one by one.
_GROUP = 4
#: The format that stands for products of bytes.
INT8 = "int8"

#: Regular expressions of weights' names, and the format of each (None: as it is; others than "int8" are what
#: other passes do); the first match counts.
Formats = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class QuantizeProducts:
    """Products with constant matrices are products of bytes, summed in 32 bits, where `formats`, pairs of a
    regular expression and a format, name "int8": the first that matches all of what the model calls a weight.

    Before:  %y = "dry.matmul"(%x, %w) {identity} : (tensor<8x64xf32>, tensor<32x64xf32>)
    After:   %q, %p, %z = "dry.round_rows"(%x) : tensor<8x64xi8>, tensor<8xf32>, tensor<8xf32>
             %y = "dry.matmul"(%q, %c, %s, %t, %p, %z) {(sums * p[m] + z[m] * t[n]) * s[n]}

    - The weight has a scale for every output (`formats.int8_row`), the other factor a scale and a zero point
      for every row, found when the model runs: the vector-wise quantization of LLM.int8() (Dettmers et al.
      2022). t are sums of the weight's codes times 127, which the scales are divided by. What several
      products read is rounded once.
    - Only products in f32 whose k is a multiple of 4 and whose epilogue has room for four operands more.
    - A row with a NaN or an infinity gives NaN; one of zeros, zeros.
    - With `ranges`, by a weight's key the largest |x| of every k in its products, what is large in x is made
      small: x[k] / c[k] and c[k] w[k] are rounded in place of x and w, with c[k] = sqrt(max |x[k]| / max
      |w[k]|), the maximum over all weights that read x (SmoothQuant, Xiao et al. 2023, with an alpha of 1/2).
    - A pattern that matches no such weight is the user's mistake, or with `convolutions`, which are rounded
      by another pass, no weight of a convolution either.
    """

    formats: Formats = ()
    ranges: Mapping[str, Array] = field(default_factory=dict)
    convolutions: bool = False
    name: ClassVar[str] = "quantize-products"

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for a pattern that matches nothing."""
        for x, products in _chosen(program, self.formats, self.convolutions).items():
            _Group(program, x, products, self.ranges).replace()
        erase_dead(main_block(program))
        drop_unused(program)


@dataclass(frozen=True)
class ObserveProducts:
    """The results are, by weight, the largest |x| of every k in the products that `QuantizeProducts` would
    make products of bytes.

    Before:  %y = "dry.matmul"(%x, %w) : (tensor<8x64xf32>, tensor<32x64xf32>) ; return %y
    After:   %p = linalg.generic ins(%x) {max over m of |x|} : tensor<64xf32> ; return %p

    - States keep their new values.
    """

    formats: Formats = ()
    convolutions: bool = False
    name: ClassVar[str] = "observe-products"

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for a pattern that matches nothing."""
        found: dict[str, Any] = {}
        for x, products in _chosen(program, self.formats, self.convolutions).items():
            op = products[0][0]
            with ir.InsertionPoint(op), op.operation.location:
                peak = peaks(x)
                found |= {key: _larger(peak, found[key]) if key in found else peak for _, key in products}
        give(program, found)
        erase_dead(main_block(program))
        drop_unused(program)


def _chosen(program: Program, formats: Formats, convolutions: bool) -> dict[Any, list[tuple[Any, str]]]:
    """By the value they read, the products that are to be products of bytes and the keys of their weights, in
    order. Raises UserError for a pattern that matches nothing."""
    found: dict[Any, list[tuple[Any, str]]] = {}
    keys, matched = [], set[str | None]()
    for op in ops(main_block(program), "dry.conv") if formats and convolutions else []:
        key = weight_key(op.operation.operands[1])
        matched.add(None if key is None else first_match((each for each, _ in formats), model_name(key)))
    for op in ops(main_block(program), "dry.matmul") if formats else []:
        key = weight_key(op.operation.operands[1])
        if key is None or not is_quantizable(op):
            continue
        keys.append(key)
        matched.add(first_match((each for each, _ in formats), model_name(key)))
        if holds_bytes(formats, key):
            found.setdefault(op.operation.operands[0], []).append((op, key))
    # Where other formats are there too, a weight that stays may be any.
    alone = all(held in (INT8, None) for _, held in formats)
    for pattern, held in formats:
        if pattern not in matched and (held == INT8 or (held is None and alone)):
            none = "the model has no product in f32 with a weight whose inputs are a multiple of 4"
            none += (
                "" if convolutions else "; convolutions need calibration=, which says how large numbers get"
            )
            raise no_match(pattern, keys, "whose products can be computed in bytes", none)
    return found


def holds_bytes(formats: Formats, key: str) -> bool:
    """Whether these formats ask for bytes where a weight of this key is multiplied."""
    pattern = first_match((each for each, _ in formats), model_name(key))
    return pattern is not None and dict(formats)[pattern] == INT8


def is_quantizable(op: Any) -> bool:
    """Whether a product of a weight can be one of bytes."""
    a, b = list(op.operation.operands)[:2]
    plain = all(str(v.type.element_type) == "f32" and v.type.encoding is None for v in (a, b))
    return (
        plain
        and b.type.rank == 2
        and b.type.get_dim_size(1 - _outputs(op)) % _GROUP == 0
        and len(extras_of(op)) + _EXTRAS <= MAX_EXTRAS
    )


def _outputs(op: Any) -> int:
    """The axis of the outputs in the weight."""
    return 0 if op.operation.attributes["transpose_b"].value else 1


@dataclass(frozen=True)
class _Group:
    """Products, with the keys of their weights, that read one value."""

    program: Program
    x: Any
    products: Sequence[tuple[Any, str]]
    ranges: Mapping[str, Array]

    def replace(self) -> None:
        """Put products of bytes in the place of all."""
        first, factors = self.products[0][0], self._factors()
        smooth = None
        with ir.InsertionPoint(first), first.operation.location:
            if factors is not None:
                name, kind = f"{self.products[0][1]}.smooth", tensor_type(factors.shape, ir.F32Type.get())
                smooth = new_weight(self.program, name, 1 / factors, kind)
            rows = rounded_rows(self.x, smooth, zero=True)
        made: dict[tuple[str, int], tuple[Any, Any, Any]] = {}
        for op, key in self.products:
            if (key, _outputs(op)) not in made:
                with ir.InsertionPoint(op), op.operation.location:
                    made[key, _outputs(op)] = self._weight(op, key, factors)
            _replace(op, rows, made[key, _outputs(op)])

    def _factors(self) -> Array | None:
        """What every k of the weights is multiplied by, f32 [k]; None where nothing is known of x."""
        if not all(key in self.ranges for _, key in self.products):
            return None
        large = np.max([self.ranges[key] for _, key in self.products], axis=0)
        weights = [np.abs(self._array(key)).max(_outputs(op)) for op, key in self.products]
        least = np.finfo(np.float32).tiny ** 0.5
        factors = np.sqrt(np.maximum(large, least) / np.maximum(np.max(weights, axis=0), least))
        return np.where((large > 0) & np.isfinite(factors), factors, 1).astype(np.float32)

    def _weight(self, op: Any, key: str, factors: Array | None) -> tuple[Any, Any, Any]:
        """Codes, and for every output a scale, which divides rows by their largest code as well, and the sum
        of its codes times that."""
        axis, array = _outputs(op), self._array(key)
        if factors is not None:
            array = array * (factors if axis == 0 else factors[:, None])
        parts = encode(array, int8_row(1 - axis))
        codes = np.ascontiguousarray(parts["codes"])
        sums = (_LARGEST * codes.sum(1 - axis, dtype=np.int64)).astype(np.float32)
        byte, real = ir.IntegerType.get_signless(8), ir.F32Type.get()
        made = (
            (f"{key}.int8", codes, byte),
            (f"{key}.scale", parts["scale"].reshape(-1) / np.float32(_LARGEST), real),
            (f"{key}.sum", sums, real),
        )
        codes_, scales, sums_ = (
            new_weight(self.program, name, held, tensor_type(held.shape, kind)) for name, held, kind in made
        )
        return codes_, scales, sums_

    def _array(self, key: str) -> Array:
        return np.asarray(self.program.weights[key])


def _replace(op: Any, rows: Any, weight: Sequence[Any]) -> None:
    """Put the product of the codes of rows (with their scales and zero points) and of a weight (with its
    scales, and the sums of its codes) in the place of a product."""
    result, (codes, columns, sums) = op.operation.results[0], weight
    rank = result.type.rank
    last = ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(rank - 1)])
    (zeros,) = rows.zero
    more = [(columns, last), (sums, last), (rows.peak, leading(rank)), (zeros, leading(rank))]
    wide = ir.IntegerType.get_signless(32)
    with ir.InsertionPoint(op), op.operation.location:
        made, block = remade(op, [rows.codes, codes], [*extras_of(op), *more], sums=wide)
        with ir.InsertionPoint(block):
            total, *_, column, summed, peak, zero = block.arguments
            real = arith.MulFOp(arith.SIToFPOp(column.type, total).result, peak).result
            real = arith.AddFOp(real, arith.MulFOp(zero, summed).result).result
            real = arith.MulFOp(real, column).result
    take_epilogue(op, made, total=real)


def rounded_rows(x: Any, smooth: Any | None = None, *, zero: bool = False) -> Any:
    """The rounding of a tensor's rows, times `smooth` [k] where that is given; around 0 or, with `zero`,
    around the middle of each."""
    extents = shape(x)
    codes = tensor_type(extents, ir.IntegerType.get_signless(8))
    row = tensor_type(extents[:-1], ir.F32Type.get())
    return RoundRows(codes, row, [row] if zero else [], x, [] if smooth is None else [smooth])


def peaks(x: Any) -> Any:
    """The largest |x| of each place in the last dimension."""
    rank, f32 = x.type.rank, ir.F32Type.get()
    whole, column = (
        ir.AffineMap.get_identity(rank),
        ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(rank - 1)]),
    )
    zero = linalg.fill(arith.ConstantOp(f32, 0.0), outs=[tensor.EmptyOp(sizes_of(x, [rank - 1]), f32)])
    iterators = ["reduction"] * (rank - 1) + ["parallel"]
    return mapped([x], zero, [whole, column], _largest, iterators)


def _largest(x: Any, peak: Any) -> Any:
    return arith.MaximumFOp(math.AbsFOp(x).result, peak).result


def _larger(one: Any, other: Any) -> Any:
    """The larger of each two numbers."""
    same = ir.AffineMap.get_identity(one.type.rank)
    return mapped([one, other], empty_like(one), [same] * 3, lambda a, b, _: arith.MaximumFOp(a, b).result)


def leading(rank: int) -> Any:
    """The map to all dimensions but the last."""
    return ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(d) for d in range(rank - 1)])
