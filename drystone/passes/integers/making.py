"""Operations of integers in the place of those of real numbers: what all rewrites share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError
from drystone.ir.build import mapped
from drystone.ir.program import Program
from drystone.ir.values import dims_of, producer_name
from drystone.mlir import arith, ir, linalg, math, tensor
from drystone.passes.dims import sizes_of
from drystone.passes.generic import dims_map
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import Leaf, Sum, lookup
from drystone.passes.integers.held import Held, Holding, filled
from drystone.passes.rewriting import tensor_type
from drystone.passes.weights import new_weight, weight_key

#: What computes the integer of an element.
Element = Callable[[Code], Any]


@dataclass
class Maker:
    """Makes tensors of codes. codes: those there are, by value and bits; at: the operation that is being
    replaced."""

    program: Program
    holding: Holding
    codes: dict[tuple[Any, int], Any] = field(default_factory=dict)
    at: Any = None

    def code(self, value: Any, held: Held | None = None) -> Any:
        """The codes of a tensor as it is made or, with `held`, as something else is to read it."""
        held = self.holding.of(value) if held is None else held
        if (value, held.bits) not in self.codes:
            self.codes[value, held.bits] = self._code(value, held)
        return self.codes[value, held.bits]

    def _code(self, value: Any, held: Held) -> Any:
        key = weight_key(value)
        if key is not None:
            array = held.encoded(np.asarray(self.program.weights[key]))
            return self.weight(f"{key}.codes", array)
        if isinstance(value.owner, ir.Block):
            return self._rounded(value, held)
        if producer_name(value) == "tensor.empty":
            return self.empty(value, integer(held.bits))
        number = filled(value)
        if number is not None:
            one = arith.ConstantOp(integer(held.bits), int(held.encoded(np.asarray(number)))).result
            return linalg.fill(one, outs=[self.empty(value, integer(held.bits))])
        made = self.holding.of(value)
        if made == held or (value, made.bits) not in self.codes:
            raise InternalError(f"no codes were made of {value}")
        total = self.leaf(made, 0)
        whole = ir.AffineMap.get_identity(value.type.rank)
        reads = [(self.codes[value, made.bits], whole)]
        return self.map(value, reads, whole, lambda code: stored(code, total, held), held.bits)

    def _rounded(self, value: Any, held: Held) -> Any:
        """The codes of what the caller gives: to nearest, ties to even, of a NaN the least. A product is
        rounded by itself, so that no compiler makes one operation of it and what follows."""
        whole, kind = ir.AffineMap.get_identity(value.type.rank), integer(held.bits)
        low, high = held.limits

        def of(x: Any, _: Any) -> Any:
            scaled = arith.MulFOp(_single(x), _number(1 / held.unit)).result
            for predicate, bound in ((arith.CmpFPredicate.OGT, low), (arith.CmpFPredicate.OLT, high)):
                limit = _number(bound - held.zero)
                scaled = arith.SelectOp(arith.CmpFOp(predicate, scaled, limit).result, scaled, limit).result
            code = arith.FPToSIOp(integer(32), math.RoundEvenOp(scaled).result).result
            if held.zero:
                code = arith.AddIOp(code, arith.ConstantOp(integer(32), held.zero).result).result
            return narrowed(code, held.bits)

        return mapped([value], self.empty(value, kind), [whole, whole], of)

    def decoded(self, value: Any) -> Any:
        """The real numbers of a tensor's codes."""
        held, whole = self.holding.of(value), ir.AffineMap.get_identity(value.type.rank)
        codes, element = self.code(value), value.type.element_type

        def of(x: Any, _: Any) -> Any:
            wide = arith.ExtSIOp(integer(32), x).result
            if held.zero:
                wide = arith.SubIOp(wide, arith.ConstantOp(integer(32), held.zero).result).result
            real = arith.SIToFPOp(ir.F32Type.get(), wide).result
            real = arith.MulFOp(real, _number(held.unit)).result
            return real if str(element) == "f32" else arith.TruncFOp(element, real).result

        return mapped([codes], self.empty(value, element), [whole, whole], of)

    def empty(self, like: Any, element: Any) -> Any:
        """A tensor.empty of the extents of another tensor."""
        return tensor.EmptyOp(sizes_of(like), element).result

    def leaf(self, held: Held, number: int) -> Sum:
        """The real number of argument `number`, a code."""
        low, high = held.limits
        return Sum.term(Leaf(number, low, high), held.unit) + Sum.of(-held.zero * held.unit)

    def weight(self, name: str, array: Array) -> Any:
        """A tensor of integers from the store."""
        kind = integer(array.dtype.itemsize * 8)
        return new_weight(self.program, name, np.ascontiguousarray(array), tensor_type(array.shape, kind))

    def reads(self, element: Element, rank: int, name: str = "integers") -> list[tuple[Any, Any]]:
        """The tensors of numbers, with maps, that an element of a result of this rank is computed with."""
        look = Code()
        element(look)
        return [self._numbers(each, rank, name) for each in look.arrays]

    def _numbers(self, array: Array, rank: int, name: str) -> tuple[Any, Any]:
        array = array.reshape((1,) * (rank - array.ndim) + array.shape)
        kept = [axis for axis, n in enumerate(array.shape) if n != 1]
        small = np.abs(array).max(initial=0) < 2**31
        array = array.reshape([array.shape[axis] for axis in kept]).astype(np.int32 if small else np.int64)
        return self.weight(name, array), dims_map(rank, kept)

    def table(self, entries: Array) -> Any:
        """A table of integers, made before the operation that is being replaced."""
        with ir.InsertionPoint(self.at):
            return self.weight("table", entries)

    def map(
        self,
        result: Any,
        reads: Sequence[tuple[Any, Any]],
        out: Any,
        element: Element,
        bits: int,
        iterators: Sequence[str] | None = None,
    ) -> Any:
        """A tensor with the extents of `result` whose elements are computed of those of others; with
        `iterators` their sum over the loops that reduce."""
        return self._computed(self.empty(result, integer(bits)), reads, out, element, iterators)

    def reduced(
        self,
        like: Any,
        dims: Sequence[int],
        reads: Sequence[tuple[Any, Any]],
        element: Element,
        bits: int,
    ) -> Any:
        """Sums along some dimensions of a tensor of what is computed of its elements, or of those of others
        read alongside; the result is without these dimensions."""
        rank = like.type.rank
        kept = [d for d in range(rank) if d not in dims]
        rows = dims_map(rank, kept)
        kinds = ["reduction" if d in dims else "parallel" for d in range(rank)]
        init = tensor.EmptyOp(sizes_of(like, kept), integer(bits)).result
        return self._computed(init, reads, rows, element, kinds)

    def _computed(
        self,
        init: Any,
        reads: Sequence[tuple[Any, Any]],
        out: Any,
        element: Element,
        iterators: Sequence[str] | None,
    ) -> Any:
        given, count = [*reads, *self.reads(element, out.n_dims)], len(reads)
        kind = init.type.element_type
        if iterators is not None:
            init = linalg.fill(arith.ConstantOp(kind, 0).result, outs=[init])

        def of(*arguments: Any) -> Any:
            made = narrowed(element(Code(arguments[:count], arguments[count:-1])), kind.width)
            return made if iterators is None else arith.AddIOp(made, arguments[-1]).result

        return mapped([each for each, _ in given], init, [*(m for _, m in given), out], of, iterators)


def integer(bits: int) -> Any:
    """The type of integers of so many bits."""
    return ir.IntegerType.get_signless(bits)


def narrowed(value: Any, bits: int) -> Any:
    """The low bits of an integer."""
    return value if bits == value.type.width else arith.TruncIOp(integer(bits), value).result


def _single(value: Any) -> Any:
    f32 = ir.F32Type.get()
    if value.type == f32:
        return value
    return (arith.ExtFOp if value.type.width < 32 else arith.TruncFOp)(f32, value).result


def _number(value: float) -> Any:
    return arith.ConstantOp(ir.F32Type.get(), float(value)).result


def stored(code: Code, total: Sum, held: Held) -> Any:
    """The code of a sum, as i64: rounded once and within the limits. The code of a function that a table has
    is an entry of a table of codes."""
    found = lookup(total)
    if found is not None:
        ((_, factor),) = total.terms
        return found.entry(
            code, held.encoded((found.numbers / found.unit * factor + total.constant).reshape(-1))
        )
    moved = total + Sum.of(held.zero * held.unit)
    return code.within(moved.rounded(code, held.unit), *held.limits)


def spread(array: Array, map_: Any) -> Array | None:
    """An array that is read through a map, in the rank of the loops; None where the map is no projection."""
    dims = dims_of(map_)
    if any(d is None and n != 1 for d, n in zip(dims, array.shape, strict=True)):
        return None
    kept = [d for d in dims if d is not None]
    if len(set(kept)) != len(kept):
        return None
    array = np.asarray(array, np.float64).reshape(
        [n for d, n in zip(dims, array.shape, strict=True) if d is not None]
    )
    order = sorted(range(len(kept)), key=kept.__getitem__)
    extents = [1] * map_.n_dims
    for d, n in zip(kept, array.shape, strict=True):
        extents[d] = n
    return array.transpose(order).reshape(extents)
