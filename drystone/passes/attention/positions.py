"""Masks as conditions on positions: where what is computed from aranges, comparisons and selects is true.

A form is a whole number that depends on the position linearly; a region is the positions where one of several
alternatives holds, each a set of forms that are not negative there. What is read through a map that does not
name the last dimension (a position given at run time) may be part of a form.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from drystone.ir.values import (
    constant_number,
    constant_value,
    dims_of,
    is_tensor,
    number_of,
    producer,
    splat,
    uncast,
)
from drystone.mlir import ir
from drystone.passes.generic import body, composed, is_parallel, maps_of, read_by, without_units


@dataclass(frozen=True)
class Read:
    """An element of a tensor of whole numbers: the one at `map` of the position."""

    value: Any
    map: Any


@dataclass(frozen=True)
class Form:
    """constant + the sum of factor * term; a term is the number of a dimension (its position) or a Read."""

    terms: tuple[tuple[int | Read, int], ...] = ()
    constant: int = 0

    def plus(self, other: "Form", factor: int = 1) -> "Form":
        """The sum, `other` taken `factor` times."""
        terms = dict(self.terms)
        for term, times in other.terms:
            terms[term] = terms.get(term, 0) + factor * times
        kept = sorted(((t, n) for t, n in terms.items() if n), key=lambda item: _order(item[0]))
        return Form(tuple(kept), self.constant + factor * other.constant)

    def factor(self, dim: int) -> int:
        """How often the position along a dimension is part of it."""
        return dict(self.terms).get(dim, 0)


def _order(term: int | Read) -> tuple[int, str]:
    return (-1, str(term.map)) if isinstance(term, Read) else (term, "")


#: Alternatives, each of forms that are all 0 or above. () holds nowhere, ((),) everywhere.
Region = tuple[tuple[Form, ...], ...]
NOWHERE: Region = ()
EVERYWHERE: Region = ((),)
#: More alternatives than this are not followed.
_MOST = 8


def both(a: Region, b: Region) -> Region:
    """Where both hold."""
    return _tidy(tuple(dict.fromkeys([*one, *other])) for one, other in product(a, b))


def either(a: Region, b: Region) -> Region:
    """Where one of them holds."""
    return _tidy([*a, *b])


def outside(a: Region) -> Region:
    """Where it does not hold."""
    found = EVERYWHERE
    for forms in a:
        found = both(found, tuple((Form().plus(form, -1).plus(Form((), -1)),) for form in forms))
    return found


def _tidy(alternatives: Any) -> Region:
    """Without forms that are numbers, and without alternatives that others include."""
    found: list[tuple[Form, ...]] = []
    for forms in alternatives:
        if any(not form.terms and form.constant < 0 for form in forms):
            continue
        kept = _strictest([form for form in forms if form.terms])
        if kept is not None:
            found.append(kept)
    return tuple(one for one in dict.fromkeys(found) if not any(set(o) < set(one) for o in found))


def _strictest(forms: list[Form]) -> tuple[Form, ...] | None:
    """Of forms that differ by a number the smallest; None where two contradict each other."""
    least: dict[Any, int] = {}
    for form in forms:
        least[form.terms] = min(form.constant, least.get(form.terms, form.constant))
    for terms, constant in least.items():
        against = Form().plus(Form(terms), -1).terms
        if against in least and least[against] + constant < 0:
            return None
    return tuple(Form(terms, constant) for terms, constant in least.items())


def compared(predicate: str, a: Form, b: Form) -> Region | None:
    """Where a comparison of two forms holds."""
    up, down = a.plus(b, -1), b.plus(a, -1)
    one = Form((), -1)
    found: dict[str, Region] = {
        "sge": ((up,),),
        "sle": ((down,),),
        "sgt": ((up.plus(one),),),
        "slt": ((down.plus(one),),),
        "eq": ((up, down),),
        "ne": ((up.plus(one),), (down.plus(one),)),
    }
    return _tidy(found[predicate]) if predicate in found else None


_CMPI = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "slt": operator.lt,
    "sle": operator.le,
    "sgt": operator.gt,
    "sge": operator.ge,
}
#: Predicates of cmpf by their number, as those of cmpi: numbers that are compared here are no NaN.
_CMPF = {1: "eq", 2: "sgt", 3: "sge", 4: "slt", 5: "sle", 6: "ne", 8: "eq", 9: "sgt", 10: "sge", 11: "slt"}
_CMPF |= {12: "sle", 13: "ne"}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "arith.addf": operator.add,
    "arith.subf": operator.sub,
    "arith.mulf": operator.mul,
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
}
_CONVERSIONS = ("arith.index_cast", "arith.extsi", "arith.trunci", "arith.extf", "arith.truncf")

#: A partition of all positions: where, and the number there.
Cases = list[tuple[Region, float]]


@dataclass(frozen=True)
class Element:
    """A scalar of the body of `op`, whose loops stand at `loops` of the position."""

    scalar: Any
    op: Any
    loops: Any

    def at(self, scalar: Any) -> "Element | Read | None":
        """Another scalar of the same body; where that is an input, what is read there."""
        value, map_ = read_by(self.op, scalar)
        if value is None:
            return Element(scalar, self.op, self.loops)
        if not is_tensor(value):
            return Element(value, self.op, self.loops)
        return element(value, composed(map_, self.loops))


def element(value: Any, map_: Any) -> Element | Read:
    """What a tensor holds at `map_` of the position: a scalar that a map computes, or what is read."""
    value, map_ = without_units(uncast(value), map_)
    op = producer(value)
    if op is None or op.operation.name != "linalg.generic" or not is_parallel(op):
        return Read(value, map_)
    out = maps_of(op)[-1]
    carries = any(True for _ in body(op).arguments[len(op.operation.operands) - 1].uses)
    if not out.is_permutation or carries or len(op.operation.results) != 1:
        return Read(value, map_)
    place = {d: k for k, d in enumerate(dims_of(out))}
    results = list(map_.results)
    loops = ir.AffineMap.get(map_.n_dims, 0, [results[place[d]] for d in range(out.n_dims)])
    last = list(body(op).operations)[-1].operation
    found = Element(last.operands[0], op, loops).at(last.operands[0])
    assert found is not None
    return found


def number(found: Element | Read | None) -> Form | None:
    """The whole number an element is, as a form; None where it is none."""
    if isinstance(found, Read):
        kind = found.value.type.element_type
        one = splat(constant_value(found.value))
        if one is not None:
            return _whole(number_of(one))
        return Form(((found, 1),)) if str(kind) in ("i64", "i32") else None
    if found is None:
        return None
    constant = _whole(constant_number(found.scalar))
    if constant is not None or isinstance(found.scalar.owner, ir.Block):
        return constant
    made = found.scalar.owner.operation
    if made.name == "linalg.index":
        return _position(found.loops.results[made.attributes["dim"].value])
    if made.name in ("arith.index_cast", "arith.extsi", "arith.trunci"):
        return number(found.at(made.operands[0]))
    if made.name not in ("arith.addi", "arith.subi", "arith.muli"):
        return None
    a, b = (number(found.at(operand)) for operand in made.operands)
    if a is None or b is None:
        return None
    if made.name == "arith.muli":
        a, b = (b, a) if not a.terms else (a, b)
        return Form().plus(a, b.constant) if not b.terms else None
    return a.plus(b, 1 if made.name == "arith.addi" else -1)


def _whole(found: float | int | None) -> Form | None:
    return Form((), found) if isinstance(found, int) else None


def _position(expr: Any) -> Form | None:
    kind = expr.maybe_downcast()
    if isinstance(kind, ir.AffineDimExpr):
        return Form(((kind.position, 1),))
    return Form((), kind.value) if isinstance(kind, ir.AffineConstantExpr) else None


def flag(found: Element | Read | None) -> Region | None:
    """Where an element of i1 is true; None where that is no condition on positions."""
    if isinstance(found, Read):
        one = splat(constant_value(found.value))
        return None if one is None else EVERYWHERE if number_of(one) else NOWHERE
    if found is None:
        return None
    constant = constant_number(found.scalar)
    if constant is not None or isinstance(found.scalar.owner, ir.Block):
        return None if constant is None else EVERYWHERE if constant else NOWHERE
    made = found.scalar.owner.operation
    if made.name in ("arith.cmpi", "arith.cmpf"):
        return _comparison(found, made)
    if made.name not in ("arith.andi", "arith.ori", "arith.xori", "arith.select"):
        return None
    parts = [flag(found.at(operand)) for operand in made.operands]
    known = [part for part in parts if part is not None and len(part) <= _MOST]
    if len(known) != len(parts):
        return None
    if made.name == "arith.select":
        c, a, b = known
        return either(both(c, a), both(outside(c), b))
    a, b = known
    if made.name == "arith.xori":
        return either(both(a, outside(b)), both(outside(a), b))
    return both(a, b) if made.name == "arith.andi" else either(a, b)


def _comparison(found: Element, made: Any) -> Region | None:
    kind = made.attributes["predicate"].value
    whole = made.name == "arith.cmpi"
    predicate = _CMPI[kind] if whole else _CMPF.get(kind, "")
    sides = [found.at(operand) for operand in made.operands]
    if whole and str(made.operands[0].type) != "i1":
        a, b = (number(side) for side in sides)
        if a is not None and b is not None:
            return compared(predicate, a, b)
    pairs = [cases(side) for side in sides]
    if pairs[0] is None or pairs[1] is None or predicate not in _COMPARE:
        return None
    region = NOWHERE
    for (here, a_), (there, b_) in product(pairs[0], pairs[1]):
        if _COMPARE[predicate](a_, b_):
            region = either(region, both(here, there))
    return region


def cases(found: Element | Read | None) -> Cases | None:
    """The numbers an element is, each with where it is that; None where they are not few."""
    if isinstance(found, Read):
        one = number_of(splat(constant_value(found.value)))
        return None if one is None else [(EVERYWHERE, one)]
    if found is None:
        return None
    constant = constant_number(found.scalar)
    if constant is not None or isinstance(found.scalar.owner, ir.Block):
        return None if constant is None else [(EVERYWHERE, constant)]
    made = found.scalar.owner.operation
    operands = [found.at(operand) for operand in made.operands]
    if str(found.scalar.type) == "i1" or made.name in ("arith.extui", "arith.uitofp"):
        region = flag(found if str(found.scalar.type) == "i1" else operands[0])
        return None if region is None else [(region, 1), (outside(region), 0)]
    if made.name == "arith.select":
        region, a, b = flag(operands[0]), cases(operands[1]), cases(operands[2])
        if region is None or a is None or b is None:
            return None
        return _few([*_within(a, region), *_within(b, outside(region))])
    if made.name in _CONVERSIONS:
        return cases(operands[0])
    if made.name not in _ARITHMETIC:
        return None
    a, b = cases(operands[0]), cases(operands[1])
    if a is None or b is None:
        return None
    do = _ARITHMETIC[made.name]
    return _few([(both(here, there), do(x, y)) for (here, x), (there, y) in product(a, b)])


def _within(found: Cases, region: Region) -> Cases:
    return [(both(here, region), value) for here, value in found]


def _few(found: Cases) -> Cases | None:
    kept = [(region, value) for region, value in found if region]
    return kept if len(kept) <= _MOST else None
