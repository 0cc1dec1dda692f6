"""Tensors held as several: sums, products, and products of matrices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.binary_coding import alternate, scales_of_signs
from drystone.ir.encoding.parts import Encoding, Held, Parts, Search, all_inside, put, take


def named(children: Sequence[Encoding]) -> list[tuple[str, Encoding]]:
    """Encodings of one tensor with the names of their parts: "0", "1", .."""
    return [(str(number), child) for number, child in enumerate(children)]


@dataclass(frozen=True)
class Sum(Encoding):
    """The sum of terms, each of which holds what those before leave. The first n terms are an encoding of
    their own, see `prefix`. Where scales are searched, `refits` rounds follow, in which each term anew holds
    what all others leave (binary coding: Xu et al. 2018, section 3)."""

    terms: tuple[Encoding, ...]  #: of the shape of the tensor

    def prefix(self, count: int) -> "Sum":
        """The first terms alone: their parts are among those of the whole sum."""
        return replace(self, terms=self.terms[:count])

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Those of the terms."""
        return all_inside((name, term, tuple(shape)) for name, term in named(self.terms))

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """Term by term, then in rounds."""
        if search.refits and scales_of_signs(self.terms) and not given:
            held = alternate(numbers, self.terms, search.refits)
        else:
            held = self._term_by_term(numbers, given, search)
        found: Parts = {}
        for (name, _), parts in zip(named(self.terms), held, strict=True):
            found |= put(name, parts)
        return found

    def _term_by_term(self, numbers: Array, given: Parts, search: Search) -> list[Parts]:
        held: list[Parts] = []
        values: list[Array] = []
        left = numbers
        for name, term in named(self.terms):
            held.append(term.encode(left, take(name, given), search))
            values.append(term.decode(held[-1], numbers.shape))
            left = left - values[-1]
        for _ in range(search.refits if len(self.terms) > 1 else 0):
            for number, (name, term) in enumerate(named(self.terms)):
                own = left + values[number]
                parts = term.encode(own, take(name, given), search)
                value = term.decode(parts, numbers.shape)
                if np.square(own - value).sum() < np.square(left).sum():
                    held[number], values[number], left = parts, value, own - value
        return held

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The sum."""
        terms = [term.decode(take(name, parts), shape) for name, term in named(self.terms)]
        return sum(terms, np.zeros(tuple(shape)))

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not self.terms:
            yield "a sum of no terms"
        for name, term in named(self.terms):
            yield from (f"term {name}: {problem}" for problem in term.problems(shape))


@dataclass(frozen=True)
class Product(Encoding):
    """The product, element by element, of factors: each holds the quotient of the numbers and what those
    before hold, 0 where that is 0."""

    factors: tuple[Encoding, ...]  #: of the shape of the tensor

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Those of the factors."""
        return all_inside((name, factor, tuple(shape)) for name, factor in named(self.factors))

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """Factor by factor."""
        found: Parts = {}
        left = numbers
        for name, factor in named(self.factors):
            parts = factor.encode(left, take(name, given), search)
            value = factor.decode(parts, numbers.shape)
            left = np.divide(left, value, out=np.zeros(numbers.shape), where=value != 0)
            found |= put(name, parts)
        return found

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The product."""
        out = np.ones(tuple(shape))
        for name, factor in named(self.factors):
            out = out * factor.decode(take(name, parts), shape)
        return out

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if not self.factors:
            yield "a product of no factors"
        for name, factor in named(self.factors):
            yield from (f"factor {name}: {problem}" for problem in factor.problems(shape))


@dataclass(frozen=True)
class LowRank(Encoding):
    """A product of two matrices, [rows, rank] and [rank, columns], of a tensor whose first axis are the rows
    and whose others together the columns: by singular values, the largest first (Eckart and Young 1936)."""

    rank: int  #: columns of the left matrix
    left: Encoding  #: of the left matrix
    right: Encoding  #: of the right matrix

    def _children(self, shape: Sequence[int]) -> list[tuple[str, Encoding, tuple[int, int]]]:
        rows, columns = shape[0], prod(shape[1:])
        return [("left", self.left, (rows, self.rank)), ("right", self.right, (self.rank, columns))]

    def parts(self, shape: Sequence[int]) -> dict[str, Held]:
        """Those of both matrices."""
        return all_inside(self._children(shape))

    def encode(self, numbers: Array, given: Parts, search: Search) -> Parts:
        """Singular vectors, each times the root of its value."""
        u, values, v = np.linalg.svd(numbers.reshape(numbers.shape[0], -1), full_matrices=False)
        roots = np.sqrt(values[: self.rank])
        factors = u[:, : self.rank] * roots, roots[:, None] * v[: self.rank]
        found: Parts = {}
        for (name, child, _), factor in zip(self._children(numbers.shape), factors, strict=True):
            found |= put(name, child.encode(factor, take(name, given), search))
        return found

    def decode(self, parts: Parts, shape: Sequence[int]) -> Array:
        """The product of the matrices."""
        left, right = (c.decode(take(name, parts), extents) for name, c, extents in self._children(shape))
        return np.asarray((left @ right).reshape(tuple(shape)))

    def problems(self, shape: Sequence[int]) -> Iterator[str]:
        """What cannot be for a tensor of this shape."""
        if len(shape) < 2:
            yield f"a product of matrices of rank {len(shape)}"
        elif not 1 <= self.rank <= min(shape[0], prod(shape[1:])):
            yield f"{self.rank} columns and rows of the factors of a tensor {list(shape)}"
        else:
            for name, child, extents in self._children(shape):
                yield from (f"{name} matrix: {problem}" for problem in child.problems(extents))
