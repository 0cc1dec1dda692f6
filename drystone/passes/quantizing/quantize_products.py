"""The pass `quantize-products`: products with weights are computed in bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir.build import mapped
from drystone.ir.dialect import MAX_EXTRAS, Embedding, RoundRows
from drystone.ir.encoding import encode
from drystone.ir.formats import int8_row
from drystone.ir.program import Program
from drystone.ir.values import is_tensor, main_block, producer, shape
from drystone.mlir import arith, ir, tensor
from drystone.passes.dims import sizes_of
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import is_parallel, last_dim, leading
from drystone.passes.integers.held import Held
from drystone.passes.quantizing.byte_arithmetic import code_of, real_of
from drystone.passes.quantizing.observe_ranges import Point
from drystone.passes.quantizing.ranges import STEPS, Extremes, Observer, Range, Tails
from drystone.passes.rewriting import erase_dead, ops, tensor_type
from drystone.passes.weight_readers import asked_of, first_match, no_match
from drystone.passes.weights import drop_unused, model_names, new_weight, stored_weight, weight_key
from drystone.targets.target import Target

#: The largest code of activations.
_LARGEST = 127
#: Operands of the epilogue of a product of bytes: scales and sums of columns, peaks and zeros of rows.
_EXTRAS = 4
#: k that a dot unit sums in a lane: others would be summed one by one.
_GROUP = 4
#: By how much static scales may make the squared error of outputs larger where they are not asked for.
_HARDLY = 1.1
#: The codes of a weight, and numbers for its outputs.
_Weight = tuple[Any, list[Any]]
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
    - A table that embeddings look rows up in, whose product it is too (tied heads), is one of the same codes:

      Before:  %e = "dry.embedding"(%w, %i) : tensor<7x64xf32>
      After:   %q = "dry.embedding"(%c, %i) : tensor<7x64xi8>
               %r = "dry.embedding"(%scales, %i) : tensor<7x1xf32>
               %e = linalg.generic ins(%q, %r) {q * r}

      Products with it are then of x as it is, without c[k] (below).

    - Only products in f32 whose k is a multiple of 4 and whose epilogue has room for four operands more.
    - A row with a NaN or an infinity gives NaN; one of zeros, zeros.
    - With `ranges`, the extremes of every k of x by the names of `points`, what is large in x is
      made small: x[k] / c[k] and c[k] w[k] are rounded in place of x and w, with c[k] = sqrt(max |x[k]| / max
      |w[k]|), the maximum over all weights that read x (SmoothQuant, Xiao et al. 2023, with an alpha of 1/2).
    - With `tails` too, scales can be static: x has one scale and zero point, fixed by the ends that
      `observer` finds; what is beyond becomes the end of the codes. Rounding is then a map, which becomes
      part of the kernel that makes x, and rows have no scales:

      After:   %q = linalg.generic ins(%x) {round(x / 0.02) - 4} : tensor<8x64xi8>
               %y = "dry.matmul"(%q, %c, %s, %t) {sums * s[n] + t[n]}

      `dynamic` says so by weights' names (False); None: where that is the faster, which it is but behind a
      normalization, whose kernel rounds rows anyway, and the squared error of the outputs is not expected to
      be larger by more than a tenth. What several products read is static where none is to be dynamic.
    - A pattern that matches no such weight is the user's mistake, or with `convolutions`, which are rounded
      by another pass, no weight of a convolution either.
    """

    formats: Formats = ()
    ranges: Mapping[str, Extremes] = field(default_factory=dict)
    convolutions: bool = False
    dynamic: tuple[tuple[str, bool | None], ...] = ()
    tails: Mapping[str, Tails] = field(default_factory=dict)
    observer: Observer = field(default_factory=Observer)
    name: ClassVar[str] = "quantize-products"

    def points(self, program: Program, target: Target | None = None) -> dict[str, Point]:
        """What is to be observed: what products that would be ones of bytes read, by the first weight it is
        multiplied with. Raises UserError for a pattern that matches nothing."""
        points = {}
        for group in _groups(program, self):
            factors = group.factors()
            points[group.name] = Point(group.x, True, None if factors is None else 1 / factors)
        return points

    def run(self, program: Program) -> None:
        """Rewrite the program. Raises UserError for a pattern that matches nothing."""
        for group in _groups(program, self):
            group.replace()
        erase_dead(main_block(program))
        drop_unused(program)


def _chosen(program: Program, formats: Formats, convolutions: bool) -> dict[Any, list[tuple[Any, str]]]:
    """By the value they read, the products that are to be products of bytes and the keys of their weights, in
    order. Raises UserError for a pattern that matches nothing."""
    found: dict[Any, list[tuple[Any, str]]] = {}
    keys, matched, patterns = [], set[str | None](), [each for each, _ in formats]
    for op in ops(main_block(program), "dry.conv") if formats and convolutions else []:
        key = weight_key(op.operation.operands[1])
        matched.add(None if key is None else first_match(patterns, model_names(program, key)))
    for op in ops(main_block(program), "dry.matmul") if formats else []:
        key = weight_key(op.operation.operands[1])
        if key is None or not is_quantizable(op):
            continue
        keys.append(key)
        matched.add(first_match(patterns, model_names(program, key)))
        if holds_bytes(program, formats, key):
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


def holds_bytes(program: Program, formats: Formats, key: str) -> bool:
    """Whether these formats ask for bytes where a weight of this key is multiplied."""
    return asked_of(formats, model_names(program, key)) == INT8


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
    of: QuantizeProducts
    name: str

    def replace(self) -> None:
        """Put products of bytes in the place of all."""
        first, factors = self.products[0][0], self.factors()
        held = self._held(factors)
        with ir.InsertionPoint(first), first.operation.location:
            rows = self._rows(factors) if held is None else self._codes(factors, held)
        made: dict[tuple[str, int], _Weight] = {}
        for op, key in self.products:
            if (key, _outputs(op)) not in made:
                with ir.InsertionPoint(op), op.operation.location:
                    made[key, _outputs(op)] = self._weight(op, key, factors, held)
            weight = made[key, _outputs(op)]
            if held is None:
                _replace(op, rows.codes, weight, [rows.peak, *rows.zero], _dynamic_sum)
            else:
                _replace(op, rows, weight, [], _static_sum)

    def factors(self) -> Array | None:
        """What every k of the weights is multiplied by, f32 [k]; None where nothing is known of x."""
        if self.name not in self.of.ranges:
            return None
        if any(_lookups(self.program, key) for _, key in self.products):
            op, key = self.products[0]  # rows of a table are no columns of one product's
            return np.ones(self._array(key).shape[1 - _outputs(op)], np.float32)
        large = self.of.ranges[self.name].peaks
        weights = [np.abs(self._array(key)).max(_outputs(op)) for op, key in self.products]
        least = np.finfo(np.float32).tiny ** 0.5
        factors = np.sqrt(np.maximum(large, least) / np.maximum(np.max(weights, axis=0), least))
        return np.where((large > 0) & np.isfinite(factors), factors, 1).astype(np.float32)

    def _held(self, factors: Array | None) -> Held | None:
        """How x is held where its scale is fixed beforehand; None where rows have their own."""
        tails = self.of.tails.get(self.name)
        asked = {asked_of(self.of.dynamic, model_names(self.program, key)) for _, key in self.products}
        if tails is None or factors is None or True in asked:
            return None
        seen = Point(self.x, True, 1 / factors).range(self.of.ranges[self.name])
        if False not in asked and not self._is_better_static(factors, seen, tails):
            return None
        return Held.of(self.of.observer.range(seen, tails), 8, centred=False)

    def _is_better_static(self, factors: Array, seen: Range, tails: Tails) -> bool:
        """Whether a fixed scale is faster, and the squared error of the outputs hardly larger."""
        if tails.square is None or is_normalized(self.x):
            return False
        weights, energy = 0.0, 0.0
        for op, key in self.products:
            matrix = self._scaled(op, key, factors).astype(np.float64)
            steps = np.abs(matrix).max(1 - _outputs(op)) / _LARGEST
            weights += float(np.square(steps).sum() * tails.square.sum()) / 12
            energy += float(np.square(matrix).sum())
        # What x is off by on the mean of its columns, of all rows.
        static = self.of.observer.error(seen, tails) / len(factors)
        dynamic = tails.spread / STEPS**2 / 12
        return weights + energy * static <= _HARDLY * (weights + energy * dynamic)

    def _rows(self, factors: Array | None) -> Any:
        """Rows with scales of their own."""
        return rounded_rows(self.x, None if factors is None else self._smooth(1 / factors), zero=True)

    def _codes(self, factors: Array | None, held: Held) -> Any:
        """Rows with a scale and a zero point that are fixed: one map."""
        assert factors is not None
        smooth, rank = self._smooth((1 / factors / held.unit).astype(np.float32)), self.x.type.rank
        whole, column = ir.AffineMap.get_identity(rank), last_dim(rank)
        low, high = (limit - held.zero for limit in (-128, 127))
        into = tensor.EmptyOp(sizes_of(self.x), ir.IntegerType.get_signless(8)).result

        def rounded(x: Any, factor: Any, _: Any) -> Any:
            return code_of(arith.MulFOp(x, factor).result, low, high, held.zero)

        return mapped([self.x, smooth], into, [whole, column, whole], rounded)

    def _smooth(self, factors: Array) -> Any:
        kind = tensor_type(factors.shape, ir.F32Type.get())
        return new_weight(self.program, f"{self.products[0][1]}.smooth", factors, kind)

    def _weight(self, op: Any, key: str, factors: Array | None, held: Held | None) -> _Weight:
        """The codes of a weight, and what its products are scaled with: for every output a scale, which
        divides rows by their largest code as well, and the sum of its codes times that; with static codes of
        x, a scale, and what the zero point adds to results, negated."""
        axis = _outputs(op)
        parts = encode(self._scaled(op, key, factors), int8_row(1 - axis))
        codes, scales = np.ascontiguousarray(parts["codes"]), parts["scale"].reshape(-1)
        sums = codes.sum(1 - axis, dtype=np.int64)
        if held is None:
            columns = {"scale": scales / np.float32(_LARGEST), "sum": _LARGEST * sums}
        else:
            wide = scales.astype(np.float64) * held.unit
            columns = {"scale": wide, "shift": -held.zero * wide * sums} if held.zero else {"scale": wide}
        byte, real = ir.IntegerType.get_signless(8), ir.F32Type.get()
        made = new_weight(self.program, f"{key}.int8", codes, tensor_type(codes.shape, byte))
        if axis == 0:
            _look_up(self.program, key, made, scales)
        return made, [
            new_weight(self.program, f"{key}.{name}", each.astype(np.float32), tensor_type(each.shape, real))
            for name, each in columns.items()
        ]

    def _scaled(self, op: Any, key: str, factors: Array | None) -> Array:
        """A weight times the factors."""
        array = self._array(key)
        return array if factors is None else array * (factors if _outputs(op) == 0 else factors[:, None])

    def _array(self, key: str) -> Array:
        return np.asarray(self.program.weights[key])


def _lookups(program: Program, key: str) -> list[Any]:
    """The embeddings whose table a weight is."""
    lookups = ops(main_block(program), "dry.embedding")
    return [op for op in lookups if weight_key(op.operation.operands[0]) == key]


def _look_up(program: Program, key: str, made: Any, scales: Array) -> None:
    """Let the embeddings whose table a weight is read its codes, and a scale for each of its rows."""
    real, rows, kind = ir.F32Type.get(), "", tensor_type([len(scales), 1], ir.F32Type.get())
    for op in _lookups(program, key):
        result, indices = op.operation.results[0], op.operation.operands[1]
        extents, rank = shape(result), result.type.rank
        with ir.InsertionPoint(op), op.operation.location:
            table = stored_weight(str(weight_key(made)), made.type)
            if rows:
                scale = stored_weight(rows, kind)
            else:
                scale = new_weight(program, f"{key}.rows", scales.reshape(-1, 1), kind)
                rows = str(weight_key(scale))
            codes = Embedding(tensor_type(extents, table.type.element_type), table, indices).out
            factors = Embedding(tensor_type([*extents[:-1], 1], real), scale, indices).out
            dims = [ir.AffineDimExpr.get(d) for d in range(rank - 1)]
            first = ir.AffineMap.get(rank, 0, [*dims, ir.AffineConstantExpr.get(0)])
            whole, into = ir.AffineMap.get_identity(rank), tensor.EmptyOp(sizes_of(codes), real).result
            numbers = mapped(
                [codes, factors],
                into,
                [whole, first, whole],
                lambda code, factor, _: arith.MulFOp(real_of(code), factor).result,
            )
        result.replace_all_uses_with(numbers)
        op.operation.erase()


def _groups(program: Program, of: QuantizeProducts) -> list[_Group]:
    """The products that are to be products of bytes, by what they read, in order, and a name for each: its
    first weight's, with a number where another has it."""
    found, seen = [], dict[str, int]()
    for x, products in _chosen(program, of.formats, of.convolutions).items():
        key = products[0][1]
        seen[key] = seen.get(key, 0) + 1
        name = key if seen[key] == 1 else f"{key} ({seen[key]})"
        found.append(_Group(program, x, products, of, name))
    return found


def _replace(
    op: Any, rows: Any, weight: _Weight, scales: Sequence[Any], total_of: Callable[..., Any]
) -> None:
    """Put the product of the codes of rows (with their scales and zero points, where they have some) and of a
    weight in the place of a product; `total_of` makes a number of a sum and of the scales of columns and
    rows."""
    rank = op.operation.results[0].type.rank
    codes, columns = weight
    more = [(each, last_dim(rank)) for each in columns] + [(each, leading(rank)) for each in scales]
    wide = ir.IntegerType.get_signless(32)
    with ir.InsertionPoint(op), op.operation.location:
        made, block = remade(op, [rows, codes], [*extras_of(op), *more], sums=wide)
        with ir.InsertionPoint(block):
            total, *given = block.arguments
            real = total_of(real_of(total), *given[len(given) - len(more) :])
    take_epilogue(op, made, total=real)


def _dynamic_sum(total: Any, column: Any, summed: Any, peak: Any, zero: Any) -> Any:
    shifted = arith.AddFOp(arith.MulFOp(total, peak).result, arith.MulFOp(zero, summed).result).result
    return arith.MulFOp(shifted, column).result


def _static_sum(total: Any, column: Any, shift: Any | None = None) -> Any:
    real = arith.MulFOp(total, column).result
    return real if shift is None else arith.AddFOp(real, shift).result


def is_normalized(x: Any) -> bool:
    """Whether a tensor is what a normalization gives: one of `dry.norm`, or maps of sums along dimensions of
    what else they read, whose kernel rounds rows as it makes them."""
    op = producer(x)
    if op is None:
        return False
    name, operands = op.operation.name, list(op.operation.operands)
    if name == "dry.norm":
        return True
    if name in ("tensor.expand_shape", "tensor.collapse_shape"):
        return is_normalized(operands[0])
    if name != "linalg.generic":
        return False
    if not is_parallel(op):
        return True
    whole = [value for value in operands[:-1] if is_tensor(value) and weight_key(value) is None]
    return any(map(is_normalized, whole))


def rounded_rows(x: Any, smooth: Any | None = None, *, zero: bool = False) -> Any:
    """The rounding of a tensor's rows, times `smooth` [k] where that is given; around 0 or, with `zero`,
    around the middle of each."""
    extents = shape(x)
    codes = tensor_type(extents, ir.IntegerType.get_signless(8))
    row = tensor_type(extents[:-1], ir.F32Type.get())
    return RoundRows(codes, row, [row] if zero else [], x, [] if smooth is None else [smooth])
