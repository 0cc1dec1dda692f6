"""What a scalar region of real numbers computes, as sums of integers."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir import scalars
from drystone.ir.values import constant_number
from drystone.mlir import arith, ir, ir_place
from drystone.passes.integers.code import Code
from drystone.passes.integers.fixed import (
    Chosen,
    Compared,
    Condition,
    Larger,
    Leaf,
    Lookup,
    Product,
    Quotient,
    Root,
    Sum,
)
from drystone.passes.quantizing.ranges import HUGE

#: Entries of a table whose argument has more than 8 bits.
_ENTRIES = 2048
_LARGER = ("arith.maximumf", "arith.maxnumf")
_SMALLER = ("arith.minimumf", "arith.minnumf")
#: Comparisons of numbers by comparisons of integers; there are no NaN.
_PREDICATES = {"eq": "eq", "ne": "ne", "gt": "sgt", "ge": "sge", "lt": "slt", "le": "sle"}


def is_real(value: Any) -> bool:
    """Whether a scalar is a float."""
    return isinstance(value.type, ir.FloatType)


class Native(Leaf):
    """An integer that the region computes of integers, or an entry of a tensor that it picks."""

    def __init__(self, copy: Callable[[Code], Any], low: float, high: float) -> None:
        super().__init__(-1, low, high)
        self.copy = copy

    def value(self, code: Code) -> Any:
        return code.once(("native", self), lambda: code.wide(self.copy(code)))


class NativeCondition(Condition):
    """An i1 that the region computes of integers, or of comparisons."""

    def __init__(self, copy: Callable[[Code], Any]) -> None:
        self.copy = copy

    def make(self, code: Code) -> Any:
        return self.copy(code)


class Region:
    """A region's values as sums. known: sums for arguments that are data, f64 arrays (of the rank of the
    result) for those that are weights; natives: by number the arguments that are integers; largest: what an
    infinity counts as; table: makes a tensor of a table's entries, None where the region can have none;
    picked: the sum for an entry that the region picks of a tensor."""

    def __init__(
        self,
        op: Any,
        known: Mapping[Any, Sum | Array],
        natives: Mapping[Any, int],
        largest: float,
        table: Callable[[Array], Any] | None,
        picked: Callable[[Any, "Region"], Sum] | None = None,
    ) -> None:
        self.op, self.known, self.natives, self.largest = op, dict(known), natives, largest
        self.table, self.picked = table, picked
        self.cuts: dict[Any, Any] = {}

    def sum(self, value: Any) -> Sum:
        """A real number."""
        found = self.known.get(value)
        if found is None:
            found = self.known[value] = self._found(value)
        return found if isinstance(found, Sum) else Sum.of(found)

    def array(self, value: Any) -> Array | None:
        """A number that is known when compiling; None for any other."""
        number = constant_number(value)
        if number is not None:
            huge = abs(number) > HUGE
            return np.asarray(np.copysign(self.largest, number) if huge else float(number))
        found = self.known.get(value)
        if found is None and not isinstance(value.owner, ir.Block) and is_real(value):
            operands = list(value.owner.operands)
            given = [self.array(each) if is_real(each) else None for each in operands]
            if operands and all(each is not None for each in given):
                found = self.known[value] = self._apply(value.owner, list(given))
        return None if isinstance(found, Sum) else found

    def _apply(self, op: Any, given: list[Any]) -> Array:
        shaped = np.broadcast_arrays(*given)
        attributes = (
            {"predicate": str(ir.IntegerAttr(op.attributes["predicate"]).value)}
            if ("predicate" in op.attributes)
            else {}
        )
        kind = str(op.results[0].type)
        made = scalars.apply(op.name, shaped, attributes, "f64" if kind.startswith(("f", "bf")) else kind)
        return np.asarray(made)

    def _found(self, value: Any) -> Sum | Array:
        known = self.array(value)
        if known is not None:
            return known
        if isinstance(value.owner, ir.Block):
            raise self.refused("reads a value that is no tensor")
        cut = self.cut(value)
        if cut is not None and cut != value and self._is_function(value, cut):
            return self._looked_up(value, cut)
        op = value.owner
        if op.name == "tensor.extract" and self.picked is not None:
            return self.picked(op, self)
        rule = _RULES.get(op.name)
        if rule is None:
            raise self.refused(f"computes {op.name} of several numbers at once")
        return rule(self, op)

    def refused(self, what: str) -> UserError:
        """The error for a region that has no integer form."""
        return refused(self.op, what)

    def cut(self, value: Any) -> Any:
        """The value that alone decides a real number, with numbers that are the same for all elements; the
        value itself where several do; None where the number is known."""
        if value not in self.cuts:
            self.cuts[value] = self._cut(value)
        return self.cuts[value]

    def _cut(self, value: Any) -> Any:
        known = self.array(value)
        if known is not None:
            return None if known.size == 1 else value
        if isinstance(value.owner, ir.Block) or value.owner.name in ("tensor.extract", "linalg.index"):
            return value
        if not is_real(value) and str(value.type) != "i1":
            return value
        found = {cut for each in value.owner.operands if (cut := self._side(each)) is not None}
        return found.pop() if len(found) == 1 else value

    def _side(self, value: Any) -> Any:
        return None if constant_number(value) is not None else self.cut(value)

    def _between(self, value: Any, cut: Any) -> list[Any]:
        """The operations that make a value of its cut, in order, each once."""
        found: list[Any] = []

        def follow(each: Any) -> None:
            if each == cut or isinstance(each.owner, ir.Block) or each.owner in found:
                return
            if constant_number(each) is not None or self._is_array(each):
                return
            for operand in each.owner.operands:
                follow(operand)
            found.append(each.owner)

        follow(value)
        return found

    def _is_array(self, value: Any) -> bool:
        return is_real(value) and self.array(value) is not None

    def _is_function(self, value: Any, cut: Any) -> bool:
        """Whether a value is more than arithmetic of its cut."""
        between = self._between(value, cut)
        if self.table is None or not is_real(cut):
            return False
        return any(op.name not in _ARITHMETIC for op in between)

    def _looked_up(self, value: Any, cut: Any) -> Sum:
        assert self.table is not None
        of = self.sum(cut)
        low, high = of.bounds
        plain = of.plain
        if plain is not None and plain[0].high - plain[0].low < 256:
            step, entries = plain[1], int(plain[0].high - plain[0].low) + 1
            low = plain[1] * (plain[0].low + plain[2])
        else:
            entries = _ENTRIES
            step = max(high - low, 1e-30) / (entries - 1)
        numbers = self._numbers(value, cut, low + step * np.arange(entries))
        return Sum.term(found := Lookup(of, low, step, numbers, self.table), found.unit)

    def _numbers(self, value: Any, cut: Any, numbers: Array) -> Array:
        """A value for numbers of its cut."""
        made: dict[Any, Array] = {cut: numbers}

        def of(each: Any) -> Array:
            if each in made:
                return made[each]
            known = self.array(each) if is_real(each) else None
            return np.asarray(constant_number(each) if known is None else known.reshape(-1)[0])

        for op in self._between(value, cut):
            given = [np.broadcast_to(of(each), numbers.shape) for each in op.operands]
            made[op.results[0]] = self._apply(op, given)
        found = np.nan_to_num(np.asarray(made[value], np.float64))
        return np.asarray(np.where(np.abs(found) > HUGE, np.copysign(self.largest, found), found))

    def condition(self, value: Any) -> Condition:
        """What an i1 says."""
        op = None if isinstance(value.owner, ir.Block) else value.owner
        if op is not None and op.name == "arith.cmpf":
            return Compared(predicate_of(op), self.sum(op.operands[0]) - self.sum(op.operands[1]))
        return NativeCondition(lambda code: self.native(code, value))

    def native(self, code: Code, value: Any) -> Any:
        """A value that is no real number, copied to the insertion point with what it is computed of."""
        return code.once(("copied", value), lambda: self._native(code, value))

    def _native(self, code: Code, value: Any) -> Any:
        if value in self.natives:
            return code.values and code.values[self.natives[value]]
        if (
            isinstance(value.owner, ir.Block)
            or value.owner.operation.block != self.op.operation.regions[0].blocks[0]
        ):
            return value
        if value.owner.name == "arith.cmpf":
            return self.condition(value).make(code)
        if any(is_real(each) for each in value.owner.operands):
            raise self.refused(f"makes an integer of a real number ({value.owner.name})")
        operands = [self.native(code, each) for each in value.owner.operands]
        if code.values is None:
            return None
        made = value.owner.clone()
        for number, operand in enumerate(operands):
            made.operation.operands[number] = operand
        return made.operation.results[list(value.owner.results).index(value)]


def functions(region: Region, block: Any) -> list[Any]:
    """The real numbers of a block that are computed of others by more than arithmetic."""
    return [
        op.operation.results[0]
        for op in list(block.operations)[:-1]
        if is_real(op.operation.results[0])
        and op.operation.name not in _ARITHMETIC | {"arith.divf", "math.rsqrt", "arith.constant"}
        and region.array(op.operation.results[0]) is None
    ]


def refused(op: Any, what: str) -> UserError:
    """The error for an operation that has no integer form."""
    return UserError(
        f"integers only: {op.operation.name} {what}, which has no integer form",
        where=ir_place(op),
        hint='leave integer=True out (quantize="int8" keeps such operations in f32), or write it otherwise',
    )


def predicate_of(op: Any) -> Any:
    """The comparison of integers that stands for one of real numbers, none of which is NaN."""
    name = _FLOATS[ir.IntegerAttr(op.attributes["predicate"]).value]
    if name[1:] not in _PREDICATES:
        raise refused(op.opview, f"asks whether numbers are NaN ({name})")
    return getattr(arith.CmpIPredicate, _PREDICATES[name[1:]])


def _negated(region: Region, op: Any) -> Sum:
    return region.sum(op.operands[0]) * -1.0


def _product(region: Region, op: Any) -> Sum:
    one, other = op.operands
    for factor, rest in ((one, other), (other, one)):
        array = region.array(factor)
        if array is not None:
            return region.sum(rest) * array
    first = region.sum(one)
    made = Product(first, first if one == other else region.sum(other))
    return Sum.term(made, made.unit)


def _quotient(region: Region, op: Any) -> Sum:
    top, bottom = op.operands
    array = region.array(bottom)
    if array is not None:
        return region.sum(top) * (1 / array)
    return Sum.term(Quotient(region.sum(top), region.sum(bottom)))


def _root(region: Region, op: Any) -> Sum:
    made = Root(region.sum(op.operands[0]))
    return Sum.term(made, made.unit)


def _inverse_root(region: Region, op: Any) -> Sum:
    return Sum.term(Quotient(Sum.of(1.0), _root(region, op)))


def _largest(region: Region, op: Any) -> Sum:
    return Sum.term(Larger(*map(region.sum, op.operands)))


def _smallest(region: Region, op: Any) -> Sum:
    one, other = (region.sum(each) * -1.0 for each in op.operands)
    return Sum.term(Larger(one, other), -1.0)


def _magnitude(region: Region, op: Any) -> Sum:
    of = region.sum(op.operands[0])
    return Sum.term(Larger(of, of * -1.0))


def _select(region: Region, op: Any) -> Sum:
    test, one, other = op.operands
    found = None if isinstance(test.owner, ir.Block) else test.owner
    if found is not None and found.name == "arith.cmpf":
        name = str(_FLOATS[ir.IntegerAttr(found.attributes["predicate"]).value])[1:]
        left, right = found.operands
        sides, same = (region.sum(one), region.sum(other)), {left, right} == {one, other}
        if same and name in ("gt", "ge", "lt", "le"):
            larger = (name[0] == "g") == (left == one)
            if larger:
                return Sum.term(Larger(*sides))
            return Sum.term(Larger(sides[0] * -1.0, sides[1] * -1.0), -1.0)
    return Sum.term(Chosen(region.condition(test), region.sum(one), region.sum(other)))


def _converted(region: Region, op: Any) -> Sum:
    value = op.operands[0]
    kind = str(value.type)
    low, high = (0, 1) if kind == "i1" else (-(2.0**31), 2.0**31)
    if kind in ("i8", "i16"):
        low, high = -(2.0 ** (value.type.width - 1)), 2.0 ** (value.type.width - 1) - 1
    return Sum.term(Native(lambda code: region.native(code, value), low, high))


_FLOATS = (
    *("false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord"),
    *("ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true"),
)
_RULES: dict[str, Callable[[Region, Any], Sum]] = {
    "arith.addf": lambda region, op: region.sum(op.operands[0]) + region.sum(op.operands[1]),
    "arith.subf": lambda region, op: region.sum(op.operands[0]) - region.sum(op.operands[1]),
    "arith.negf": _negated,
    "arith.mulf": _product,
    "arith.divf": _quotient,
    "arith.select": _select,
    "arith.extf": lambda region, op: region.sum(op.operands[0]),
    "arith.truncf": lambda region, op: region.sum(op.operands[0]),
    "arith.sitofp": _converted,
    "arith.uitofp": _converted,
    "math.sqrt": _root,
    "math.rsqrt": _inverse_root,
    "math.absf": _magnitude,
    **dict.fromkeys(_LARGER, _largest),
    **dict.fromkeys(_SMALLER, _smallest),
}
#: What is computed as it is rather than looked up in a table.
_ARITHMETIC = frozenset({*_RULES, "arith.cmpf"} - {"arith.divf", "math.rsqrt"})
