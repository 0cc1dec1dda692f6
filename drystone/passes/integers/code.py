"""Integer operations of one element, made in a block or only looked through beforehand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.mlir import arith, ir, tensor


def _integer(bits: int) -> Any:
    return ir.IntegerType.get_signless(bits)


class Code:
    """Makes operations on i64 at the insertion point.

    What is made needs arrays (multipliers, biases) that the operation around has to read, and an operation is
    made before its block: a first walk with `values` None makes nothing and notes the arrays in `arrays`, a
    second one is given what stands for them. Both walks ask for the same in the same order. values: the
    block's arguments that stand for leaves; numbers: those for arrays.
    """

    def __init__(self, values: Sequence[Any] | None = None, numbers: Sequence[Any] = ()) -> None:
        self.values, self.numbers = values, numbers
        self.arrays: list[Array] = []
        self.kept: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` gives, made once for a key."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def leaf(self, number: int) -> Any:
        """A leaf as i64."""
        return self.once(("leaf", number), lambda: self.wide(self.values and self.values[number]))

    def wide(self, value: Any) -> Any:
        """An integer (i1: 0 or 1) or index as i64."""
        if self.values is None or str(value.type) == "i64":
            return value
        if str(value.type) == "index":
            return arith.IndexCastOp(_integer(64), value).result
        make = arith.ExtUIOp if value.type.width == 1 else arith.ExtSIOp
        return make(_integer(64), value).result

    def number(self, array: Array) -> Any:
        """An integer, the same for all elements or one of an array that broadcasts against the result."""
        array = np.asarray(array, np.int64)
        if array.size == 1:
            return self.constant(int(array.reshape(-1)[0]))
        key = next((at for at, each in enumerate(self.arrays) if np.array_equal(each, array)), None)
        if key is None:
            key = len(self.arrays)
            self.arrays.append(array)
        return self.once(("number", key), lambda: self.wide(self.values is not None and self.numbers[key]))

    def constant(self, value: int, bits: int = 64) -> Any:
        """An integer constant."""
        if self.values is None:
            return None
        return arith.ConstantOp(_integer(bits), value).result

    def make(self, operation: Any, *operands: Any) -> Any:
        """The result of an operation of the dialect arith on these."""
        return None if self.values is None else operation(*operands).result

    def times(self, value: Any, array: Array) -> Any:
        """A value times an integer of an array."""
        if np.all(array == 1):
            return value
        return self.make(arith.MulIOp, value, self.number(array))

    def plus(self, value: Any, array: Array) -> Any:
        """A value and an integer of an array."""
        return value if not np.any(array) else self.make(arith.AddIOp, value, self.number(array))

    def shifted(self, value: Any, bits: int) -> Any:
        """floor(value / 2^bits)."""
        return value if bits == 0 else self.make(arith.ShRSIOp, value, self.constant(bits))

    def within(self, value: Any, low: int, high: int) -> Any:
        """The closest number of low .. high."""
        value = self.make(arith.MaxSIOp, value, self.constant(low))
        return self.make(arith.MinSIOp, value, self.constant(high))

    def narrow(self, value: Any, bits: int) -> Any:
        """The low bits of an i64."""
        if self.values is None or bits == 64:
            return value
        return arith.TruncIOp(_integer(bits), value).result

    def compare(self, predicate: Any, one: Any, other: Any) -> Any:
        """A comparison of signed numbers, as i1."""
        return None if self.values is None else arith.CmpIOp(predicate, one, other).result

    def select(self, condition: Any, one: Any, other: Any) -> Any:
        """One where the condition holds, else the other."""
        return self.make(arith.SelectOp, condition, one, other)

    def entry(self, table: Any, index: Any) -> Any:
        """An entry of a table that stands outside, at an i64 that is a place of it."""
        if self.values is None:
            return None
        place = arith.IndexCastOp(ir.IndexType.get(), index).result
        return self.wide(tensor.ExtractOp(table, [place]).result)
