"""Linear forms of index expressions, and proofs of bounds: what lies inside its tensor."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from drystone.codegen.tile import Grid, Index, Loop, index

Number = int | Fraction


@dataclass(frozen=True)
class Linear:
    """constant + sum of coefficient * atom. Atoms are expressions that are not sums: variables, extents,
    quotients, products of two unknowns, ..."""

    terms: tuple[tuple[Index, Number], ...] = ()
    constant: Number = 0

    def __add__(self, other: "Linear") -> "Linear":
        terms = dict(self.terms)
        for atom, factor in other.terms:
            terms[atom] = terms.get(atom, 0) + factor
        kept = tuple((atom, factor) for atom, factor in terms.items() if factor)
        return Linear(kept, self.constant + other.constant)

    def __sub__(self, other: "Linear") -> "Linear":
        return self + other * -1

    def __mul__(self, by: Number) -> "Linear":
        if by == 0:
            return Linear()
        return Linear(tuple((atom, factor * by) for atom, factor in self.terms), self.constant * by)

    def split(self, atom: Index) -> tuple[Number, "Linear"]:
        """The coefficient of an atom, and the rest."""
        rest = tuple((a, factor) for a, factor in self.terms if a != atom)
        return dict(self.terms)[atom], Linear(rest, self.constant)


@dataclass(frozen=True)
class Facts:
    """What is known: the inclusive bounds of variables, inner ones later; which extents are equal; numbers
    that variables are multiples of."""

    bounds: dict[Index, tuple[Linear, Linear]] = field(default_factory=dict)
    equal: dict[Index, Index] = field(default_factory=dict)
    steps: dict[Index, int] = field(default_factory=dict)
    #: Answers so far; loops inside loops ask the same again.
    _forms: dict[Index, Linear] = field(default_factory=dict, compare=False)
    _proofs: dict[Linear, bool] = field(default_factory=dict, compare=False)
    _outside: dict[tuple[Index, int, Index], tuple[bool, bool]] = field(default_factory=dict, compare=False)
    _inner: dict[tuple[Index, Linear, Linear, int], "Facts"] = field(default_factory=dict, compare=False)

    def linear(self, e: Index) -> Linear:
        """The linear form of an expression; equal extents by one name."""
        found = self._forms.get(e)
        if found is None:
            found = self._forms[e] = self._linear(self.equal.get(e, e))
        return found

    def _linear(self, e: Index) -> Linear:
        match e.kind:
            case "const":
                return Linear((), e.args[0])
            case "add":
                return self.linear(e.args[0]) + self.linear(e.args[1])
            case "sub":
                return self.linear(e.args[0]) - self.linear(e.args[1])
            case "mul":
                a, b = (self.linear(arg) for arg in e.args)
                if not a.terms or not b.terms:
                    return b * a.constant if not a.terms else a * b.constant
                return Linear(((Index("mul", e.args), 1),))
        return Linear(((e, 1),))

    def within(self, var: Index, lower: Linear, upper: Linear, step: int) -> "Facts":
        """These facts and those of one more variable, which goes from `lower` to `upper` in steps."""
        key = var, lower, upper, step
        if key not in self._inner:
            known = step if self.multiple(lower, step) else 1
            bounds, steps = {**self.bounds, var: (lower, upper)}, {**self.steps, var: known}
            self._inner[key] = Facts(bounds, self.equal, steps, self._forms)
        return self._inner[key]

    def multiple(self, form: Linear, step: int) -> bool:
        """Whether every value of the form is proven to be a multiple of `step`."""
        return form.constant % step == 0 and all(
            factor * self.steps.get(atom, 1) % step == 0
            or (
                atom.kind in ("min", "max")
                and isinstance(factor, int)
                and all(self.multiple(self.linear(arg), step) for arg in atom.args)
            )
            for atom, factor in form.terms
        )

    def outside(self, at: Index, span: int, extent: Index) -> tuple[bool, bool]:
        """Whether the `span` positions from `at` on are not proven to be 0 and more, and below `extent`."""
        key = at, span, extent
        if key not in self._outside:
            first = self.linear(at)
            end = self.linear(extent) - first - Linear((), span)
            self._outside[key] = not self.nonnegative(first), not self.nonnegative(end)
        return self._outside[key]

    def nonnegative(self, form: Linear) -> bool:
        """Whether the form, a whole number, is proven to be never below 0. False says nothing."""
        if form not in self._proofs:
            self._proofs[form] = self._proves(form, 60)
        return self._proofs[form]

    def _proves(self, form: Linear, effort: int) -> bool:
        atom = self._next(form)
        if atom is None:
            extents = all(a.kind == "dim" and factor > 0 for a, factor in form.terms)
            # Bounds of quotients are fractions, but a whole number above -1 is not below 0.
            return extents and form.constant > -1
        factor, rest = form.split(atom)
        if effort == 0:
            return False
        return any(
            all(self._proves(rest + bound * factor, effort - 1) for bound in together)
            for together in self._bounds(atom, lower=factor > 0)
        )

    def _next(self, form: Linear) -> Index | None:
        """The atom to eliminate first: compound ones, then variables from the innermost out, whose bounds
        may have elements in them, then those."""
        atoms = [atom for atom, _ in form.terms]
        for atom in atoms:
            if atom.kind not in ("var", "dim", "element"):
                return atom
        for var in reversed(self.bounds):
            if var in atoms:
                return var
        return next((atom for atom in atoms if atom.kind in ("var", "element")), None)

    def _bounds(self, atom: Index, *, lower: bool) -> Iterable[list[Linear]]:
        """Ways to bound an atom from below or above; a way of several bounds holds only if each suffices."""
        if atom in self.bounds:
            return [[self.bounds[atom][0 if lower else 1]]]
        if atom.kind == "element" and atom.args[1:]:
            return [[Linear((), atom.args[1 if lower else 2])]]
        if atom.kind not in ("min", "max", "floordiv", "ceildiv", "mod", "mul"):
            return []
        a, b = (self.linear(arg) for arg in atom.args)
        if atom.kind in ("min", "max"):
            return [[a, b]] if (atom.kind == "min") == lower else [[a], [b]]
        if atom.kind == "mul":
            return [[Linear()]] if lower and self._proves(a, 8) and self._proves(b, 8) else []
        divisor = b.constant
        if b.terms or divisor <= 0:
            return []
        slack = Linear((), divisor - 1)
        match atom.kind, lower:
            case "mod", True:
                return [[Linear()]]
            case "mod", False:
                return [[slack]]
            case ("floordiv", False) | ("ceildiv", True):
                return [[a * Fraction(1, int(divisor))]]
        if not lower:
            return [[(a + slack) * Fraction(1, int(divisor))]]
        floor = [[(a - slack) * Fraction(1, int(divisor))]]
        return [*floor, [Linear()]] if self._proves(a, 8) else floor

    def eliminate(self, form: Linear, keep: Iterable[Index], *, lower: bool) -> Linear | None:
        """A bound of the form in which no variable but those of `keep` is left; None where none is found."""
        kept = set(keep)
        for var in reversed(self.bounds):
            if var in kept or var not in dict(form.terms):
                continue
            factor, rest = form.split(var)
            form = rest + self.bounds[var][0 if (factor > 0) == lower else 1] * factor
        return form if all(_only(atom, kept) for atom, _ in form.terms) else None


def _only(e: Index, variables: set[Index]) -> bool:
    """Whether an expression can be computed from these variables and the kernel's parameters."""
    if e.kind == "element" or (e.kind == "var" and e not in variables):
        return False
    return e.kind in ("var", "const", "dim", "scalar", "distinct") or all(
        _only(arg, variables) for arg in e.args
    )


def loop_facts(facts: Facts, loop: Loop, *, full: bool = False) -> Facts:
    """Facts inside a loop's body; `full`: only of the iterations that end at or before the upper bound."""
    lower = facts.linear(loop.lower)
    last = facts.linear(loop.upper - loop.step) if full else _last(facts, lower, loop.upper, loop.step)
    return facts.within(loop.var, lower, last, loop.step)


def _last(facts: Facts, lower: Linear, upper: Index, step: int) -> Linear:
    """A bound of the last start below `upper`, counted from `lower` in steps."""
    if upper.kind == "min":
        a, b = (index_of(_last(facts, lower, arg, step)) for arg in upper.args)
        return facts.linear(a.min(b))
    end = facts.linear(upper)
    span = end - lower
    if not span.terms:
        return lower + Linear((), (max(0, -(-int(span.constant) // step)) - 1) * step)
    return end - Linear((), step if facts.multiple(span, step) else 1)


def grid_facts(facts: Facts, grid: Grid, *, full: bool = False) -> Facts:
    """Facts inside a grid's body; `full`: only of the steps that lie wholly inside."""
    for var, extent, step in zip(grid.vars, grid.extents, grid.steps, strict=True):
        last = facts.linear(extent - step) if full else _last(facts, Linear(), extent, step)
        facts = facts.within(var, Linear(), last, step)
    return facts


def equalities(pairs: Iterable[tuple[Index, Index]]) -> dict[Index, Index]:
    """One name for each class of equal extents: a constant where there is one."""
    names: dict[Index, Index] = {}
    for left, right in pairs:
        a, b = names.get(left, left), names.get(right, right)
        if a == b:
            continue
        keep, drop = (b, a) if b.constant is not None else (a, b)
        names = {key: keep if value == drop else value for key, value in names.items()}
        names[drop] = keep
    return names


def index_of(form: Linear) -> Index:
    """The expression of a form with integer coefficients."""
    total: Index | None = None
    for atom, factor in form.terms:
        term = atom * int(factor)
        total = term if total is None else total + term
    constant = index(int(form.constant))
    return constant if total is None else total + constant
