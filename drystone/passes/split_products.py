"""The pass `split-products`: a product with a matrix that is held as a sum is a sum of products."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.ir import build
from drystone.ir.dialect import MAX_EXTRAS, MatMul
from drystone.ir.elements import to_element
from drystone.ir.encoded import encoding_of, with_encoding
from drystone.ir.encoding import (
    Codes,
    Compressed,
    Diagonal,
    Encoding,
    LowRank,
    Mixed,
    OutlierColumns,
    OutlierElements,
    Parts,
    Permuted,
    Sparse,
    Sum,
)
from drystone.ir.encoding.parts import put, take
from drystone.ir.program import Program
from drystone.ir.values import main_block
from drystone.mlir import arith, ir, linalg, tensor
from drystone.passes.dims import empty_like, sizes_of
from drystone.passes.fusing.epilogues import extras_of, remade, take_epilogue
from drystone.passes.generic import last_dim
from drystone.passes.layout.pack_weights import panel_width, panels_of
from drystone.passes.layout.panels import Panels
from drystone.passes.quantizing.quantize_products import Formats, holds_bytes
from drystone.passes.rewriting import erase_dead, ops, tensor_type
from drystone.passes.weight_readers import products_of
from drystone.passes.weights import coded_weight, drop_unused, new_weight, weight_key, weight_parts
from drystone.targets.target import Target

#: Columns with elements that are kept apart, of all: where there are more, they are no few.
_FEW = 4


@dataclass(frozen=True)
class SplitProducts:
    """A product with a matrix that is held as a sum, with outliers kept apart, by ranges of its inputs, or in
    other coordinates along them, becomes products with the parts, which kernels read as they are.

    Before:  %w = "dry.weight"() : tensor<64x256xf32, #dry.outlier_columns<#dry.enc<"int8", ..>, .., 1, 5>>
             %y = "dry.matmul"(%x, %w) {epilogue}
    After:   %o = linalg.generic ins(%index) {%x[m, index]} : tensor<..x5xf32>
             %p = "dry.matmul"(%o, %kept : tensor<64x5xf32, #dry.enc<"f16", ..>>)
             %y = "dry.matmul"(%x, %base, %p) {epilogue of the sum and p}

    - Sums: a product for every term. Low rank: two thin ones, one after the other.
    - Outlier columns, and outlier elements that lie in few columns (a quarter at most): those of x times what
      is kept of them, for elements with zeros in between. Elements that are spread over more: x times the
      sparse matrix of what is kept of them.
    - Ranges along the inputs: products of ranges of x. Permuted along the inputs (groups by activations'
      size): x in that order. Diagonal along them: x times its reciprocal.
    - All to any depth, where each part is one that kernels of `target` read, and x and the result are of f32.
      Others, and those of which `formats` make bytes, are left to `decode-weights`.
    """

    target: Target | None = None
    formats: Formats = ()
    name: ClassVar[str] = "split-products"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        if self.target is None:
            return
        block = main_block(program)
        for op in ops(block, "dry.weight"):
            value = op.operation.results[0]
            if isinstance(encoding_of(value.type), Codes) or holds_bytes(
                program, self.formats, str(weight_key(value))
            ):
                continue
            for user in products_of(value):
                _split(program, user, value, self.target)
        erase_dead(block)
        drop_unused(program)


@dataclass(frozen=True)
class _Columns:
    """Some columns of x, in an order."""

    index: Array


@dataclass(frozen=True)
class _Times:
    """The columns of x times numbers."""

    factors: Array


@dataclass(frozen=True)
class _Matrix:
    """A matrix as a product has it, and the axis of its outputs."""

    parts: Parts
    encoding: Encoding
    shape: tuple[int, int]
    outputs: int


#: What becomes of x before a product: some of its columns, these times numbers, or their product.
_Step = _Columns | _Times | _Matrix


@dataclass(frozen=True)
class _Term:
    """A product of what becomes of x in these steps."""

    matrix: _Matrix
    steps: tuple[_Step, ...] = ()


def _split(program: Program, op: Any, weight: Any, target: Target) -> None:
    """Replace one product, where its weight is a sum that kernels read."""
    x, panels = op.operands[0], panels_of(op, target)
    plain = all(v.type.encoding is None and str(v.type.element_type) == "f32" for v in (x, op.results[0]))
    if panels is None or not plain or len(extras_of(op)) >= MAX_EXTRAS:
        return
    whole = _Matrix(weight_parts(program, weight), encoding_of(weight.type), panels.shape, panels.axis)
    terms = _terms(whole, ())
    if terms and all(_is_read(each, target) for term in terms for each in (term.matrix, *term.steps)):
        with ir.InsertionPoint(op), op.location:
            _Builder(program, str(weight_key(weight)), op).replace(terms)


def _is_read(step: _Step, target: Target) -> bool:
    """Whether kernels read a matrix as it is held."""
    if not isinstance(step, _Matrix):
        return True
    encoding = step.encoding
    if isinstance(encoding, Codes) and not encoding.coded:
        return encoding.layout is None
    width = panel_width(target, step.shape[step.outputs])
    return not Panels(step.shape, step.outputs, width).problem(step.parts, encoding)


def _terms(matrix: _Matrix, steps: tuple[_Step, ...]) -> list[_Term]:
    """The products that make up one with a matrix; none where it is held in another way."""
    encoding, parts, shape, axis = matrix.encoding, matrix.parts, matrix.shape, 1 - matrix.outputs
    found: list[list[_Term]] = []

    def inner(name: str, child: Encoding, n: int, *more: _Step) -> None:
        extents = (shape[0], n) if axis else (n, shape[1])
        found.append(
            _terms(replace(matrix, parts=take(name, parts), encoding=child, shape=extents), (*steps, *more))
        )

    match encoding:
        case Codes():
            return [_Term(matrix, steps)]
        case Sum():
            for number, term in enumerate(encoding.terms):
                inner(str(number), term, shape[axis])
        case LowRank():
            found.append(_thin(matrix, encoding, steps))
        case OutlierColumns() if encoding.axis == axis:
            inner("base", encoding.base, shape[axis])
            if encoding.count:
                inner("kept", encoding.kept, encoding.count, _Columns(parts["index"]))
        case OutlierElements() if axis == 1:
            inner("base", encoding.base, shape[axis])
            found.append(_elements(matrix, encoding, steps))
        case Mixed() if encoding.axis == axis:
            ends = np.cumsum(encoding.sizes)
            for number, (child, size) in enumerate(zip(encoding.ranges, encoding.sizes, strict=True)):
                if size:
                    inner(str(number), child, size, _Columns(np.arange(ends[number] - size, ends[number])))
        case Permuted() if encoding.axis == axis:
            inner("base", encoding.base, shape[axis], _Columns(parts["order"]))
        case Diagonal() if encoding.axis == axis:
            numbers = encoding.held.decode(take("diagonal", parts), (shape[axis],))
            if numbers.all():
                inner("base", encoding.base, shape[axis], _Times((1 / numbers).astype(np.float32)))
    return [term for terms in found for term in terms] if all(found) else []


def _thin(matrix: _Matrix, encoding: LowRank, steps: tuple[_Step, ...]) -> list[_Term]:
    """Two products with the factors of a matrix [rows, columns]."""
    (rows, columns), outputs, rank = matrix.shape, matrix.outputs, encoding.rank
    left = _Matrix(take("left", matrix.parts), encoding.left, (rows, rank), outputs)
    right = _Matrix(take("right", matrix.parts), encoding.right, (rank, columns), outputs)
    first, last = (left, right) if outputs else (right, left)
    return [_Term(last, (*steps, first))]


def _elements(matrix: _Matrix, encoding: OutlierElements, steps: tuple[_Step, ...]) -> list[_Term]:
    """The product with elements, of the columns they lie in where these are few."""
    rows, columns = matrix.shape
    index, counts = np.unique(matrix.parts["index"]), np.diff(matrix.parts["starts"])
    if not len(index):
        return []
    row, kept = np.repeat(np.arange(rows), counts), take("kept", matrix.parts)
    elements = encoding.kept.decode(kept, (encoding.count,))
    held = encoding.kept.element if isinstance(encoding.kept, Codes) and not encoding.kept.coded else "f32"
    assert isinstance(held, str)
    if len(index) <= columns // _FEW:
        numbers = np.zeros((rows, len(index)))
        numbers[row, np.searchsorted(index, matrix.parts["index"])] = elements
        dense = Codes(held)
        parts = {"codes": to_element(numbers, held)}
        return [_Term(_Matrix(parts, dense, (rows, len(index)), matrix.outputs), (*steps, _Columns(index)))]
    pattern = Compressed(encoding.count)
    listed = put("values", Codes(held).laid(to_element(elements, held)))
    listed |= {name: matrix.parts[name] for name in pattern.parts(matrix.shape)}
    return [_Term(replace(matrix, parts=listed, encoding=Sparse(pattern, Codes(held))), steps)]


@dataclass
class _Builder:
    """Makes products at the insertion point. moved: what became of x, by the steps."""

    program: Program
    key: str
    op: Any
    moved: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def replace(self, terms: Sequence[_Term]) -> None:
        """Put the sum of products in the place of the one: the first term, mostly the largest, last, with the
        epilogue; each product adds up what those before gave."""
        op, total = self.op, None
        identity = ir.AffineMap.get_identity(op.results[0].type.rank)
        main, *others = terms
        for term in others:
            total = self.product(self.moved_by(term.steps), term.matrix, total)
        given = [self.moved_by(main.steps), self.weight(main.matrix)]
        more = [] if total is None else [(total, identity)]
        made, block = remade(op.opview, given, [*extras_of(op), *more])
        whole = None
        if more:
            with ir.InsertionPoint(block):
                whole = arith.AddFOp(block.arguments[0], list(block.arguments)[-1]).result
        take_epilogue(op.opview, made, total=whole)

    def moved_by(self, steps: tuple[_Step, ...]) -> Any:
        """What becomes of x in these steps."""
        if not steps:
            return self.op.operands[0]
        known = tuple(map(id, steps))
        if known not in self.moved:
            before, last = self.moved_by(steps[:-1]), steps[-1]
            match last:
                case _Columns():
                    self.moved[known] = self.columns(before, last.index)
                case _Times():
                    self.moved[known] = self.times(before, last.factors)
                case _Matrix():
                    self.moved[known] = self.product(before, last)
        return self.moved[known]

    def weight(self, matrix: _Matrix) -> Any:
        """The weight that a matrix is."""
        kind = with_encoding(tensor_type(matrix.shape, ir.F32Type.get()), matrix.encoding)
        return coded_weight(self.program, f"{self.key}.term", matrix.parts, kind)

    def product(self, x: Any, matrix: _Matrix, total: Any = None) -> Any:
        """The product of x and a matrix, and what it is added to."""
        f32, n = ir.F32Type.get(), matrix.shape[matrix.outputs]
        extents = [*(x.type.shape[: x.type.rank - 1]), n]
        extras = [] if total is None else [total]
        identity = ir.AffineMap.get_identity(len(extents))
        made = MatMul(
            ir.RankedTensorType.get(extents, f32),
            x,
            self.weight(matrix),
            extras,
            transpose_b=build.flag(matrix.outputs == 0),
            extra_maps=build.maps([identity] * len(extras)),
        )
        block = made.epilogue.blocks.append(*[f32] * (1 + len(extras)))
        with ir.InsertionPoint(block):
            first, *more = block.arguments
            for each in more:
                first = arith.AddFOp(first, each).result
            ir.Operation.create("dry.yield", operands=[first])
        return made.out

    def columns(self, x: Any, index: Array) -> Any:
        """Some columns of x."""
        rank, i64 = x.type.rank, ir.IntegerType.get_signless(64)
        kind = tensor_type([len(index)], i64)
        held = new_weight(self.program, f"{self.key}.columns", index.astype(np.int64), kind)
        sizes = [*sizes_of(x, range(rank - 1)), len(index)]
        empty = tensor.EmptyOp(sizes, x.type.element_type).result
        maps = [last_dim(rank), ir.AffineMap.get_identity(rank)]
        return build.mapped([held], empty, maps, lambda column, _: _picked(x, column))

    def times(self, x: Any, factors: Array) -> Any:
        """The columns of x times numbers."""
        rank = x.type.rank
        kind = tensor_type([len(factors)], ir.F32Type.get())
        held = new_weight(self.program, f"{self.key}.factors", factors, kind)
        identity = ir.AffineMap.get_identity(rank)
        last = last_dim(rank)
        maps = [identity, last, identity]
        return build.mapped([x, held], empty_like(x), maps, lambda a, b, _: arith.MulFOp(a, b).result)


def _picked(x: Any, column: Any) -> Any:
    """An element of x, inside an operation whose first loops go over all its dimensions but the last."""
    places = [linalg.IndexOp(d).result for d in range(x.type.rank - 1)]
    return tensor.ExtractOp(x, [*places, arith.IndexCastOp(ir.IndexType.get(), column).result]).result
