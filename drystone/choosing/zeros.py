"""Zeros that a weight can have, as kernels read it without them, and how far they move a model's results."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from drystone.dtypes import Array
from drystone.ir import formats
from drystone.ir.elements import to_element, widen
from drystone.ir.encoding import BY_RANGE, Codes, Per, Scale, Sparse, encode
from drystone.ir.sparse_tensors import GROUPS
from drystone.passes.pruning import SIMPLE, Blocks, Groups, Pruning, Zeros
from drystone.passes.rounding import Seen, output_error

#: Zeros that are chosen from: groups, blocks and zeros anywhere; and what numbers that are left may be held
#: in beside the weight's own element, in each of these. What no kernel reads is no candidate.
_BLOCK, _EACH = (16, 16), Scale(Per.block((1, 0, 0)))
CANDIDATES: tuple[tuple[tuple[Zeros, ...], Mapping[str, Codes]], ...] = (
    (
        tuple(Groups(n, m) for n, m in GROUPS),
        {"bf16": Codes("bf16"), "int8": formats.int8_row(), "w4": formats.w4()},
    ),
    (
        tuple(Blocks(level, _BLOCK) for level in (0.25, 0.5, 0.75, 0.9)),
        {"bf16": Codes("bf16"), "int8": Codes("int8", _EACH), "int4": Codes("int4", _EACH)},
    ),
    (
        tuple(Blocks(level) for level in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)),
        {"bf16": Codes("bf16"), "int8": formats.int8_tensor(), "int4": Codes("int4", Scale())},
    ),
)


@dataclass(frozen=True)
class Held:
    """A way in which a weight can be held without zeros: where these are, and what the other numbers are held
    in; and what both are called."""

    zeros: Zeros
    values: Codes
    name: str

    def encoding(self, shape: tuple[int, int]) -> Sparse:
        """Of a matrix [outputs, inputs]."""
        return Sparse(self.zeros.pattern(*shape), self.values)

    def rounded(self, pruned: Array) -> Array:
        """A weight with these zeros, each number that is left at the nearest there is, f64 [n, k]."""
        if not self.values.coded:
            return widen(to_element(pruned, self.values.held_as)).astype(np.float64)
        encoding = self.encoding((pruned.shape[0], pruned.shape[1]))
        return encoding.decode(encode(pruned, encoding, search=BY_RANGE), pruned.shape)


def candidates(element: str, shape: tuple[int, int]) -> Iterator[Held]:
    """All ways that a weight of this element and shape could be held in, whether kernels read them or not."""
    for family, values in CANDIDATES:
        for zeros in family:
            if zeros.problem(*shape) or zeros.holds_all(*shape):
                continue
            yield Held(zeros, Codes(element), str(zeros))
            for name, held in values.items():
                if held != Codes(element):
                    yield Held(zeros, held, f"{zeros} of {name}")


@dataclass(frozen=True)
class Way:
    """A candidate that kernels read, its bytes, and the seconds of a product."""

    held: Held
    size: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """A weight, f64 [n, k], what calibration showed of its inputs, how it is to be pruned, but for where, and
    how far the model's results move where it is another matrix."""

    matrix: Array
    seen: Seen | None
    pruning: Pruning
    effect: Callable[[Array], float]

    def simple(self, zeros: Zeros) -> Array:
        """The weight with zeros for which nothing makes up."""
        method = self.pruning.method if self.pruning.method in SIMPLE else None
        return Pruning(zeros, method).pruned(self.matrix, self.seen)

    def error(self, found: Array) -> float:
        """The squared error that another matrix leaves of the layer's outputs."""
        return output_error(found - self.matrix, self._moment)

    def slope(self, zeros: Iterable[Zeros]) -> float:
        """How much the model's results move for an error of the layer's outputs: measured with the first of
        these zeros that leave one."""
        for each in zeros:
            found = self.simple(each)
            error = self.error(found)
            if error > 0:
                return self.effect(found) / error
        return 0.0

    def left(self, zeros: Zeros) -> float:
        """What making up for zeros leaves of the error; it is much the same at all levels."""
        if not self.pruning.refit and self.pruning.method != "sparsegpt":
            return 1.0
        error = self.error(self.simple(zeros))
        best = replace(self.pruning, zeros=zeros).pruned(self.matrix, self.seen)
        return min(1.0, self.error(best) / error) if error > 0 else 1.0

    def changes(self, ways: Mapping[str, Way]) -> dict[str, float]:
        """By the names of ways to hold the weight how far they move the model's results. Zeros, and the
        rounding of what is left, are taken for independent, and the latter of each number too."""
        read = {way.held.zeros for way in ways.values()}
        families = [own for family, _ in CANDIDATES if (own := [each for each in family if each in read])]
        if not families:
            return {}
        slope, found = self.slope(_upper(families[-1])), dict[str, float]()
        for family in families:
            left = self.left(_upper(family)[0])
            for zeros in family:
                pruned = self.simple(zeros)
                error = left * self.error(pruned)
                for name, way in ways.items():
                    if way.held.zeros == zeros:
                        off = np.square(way.held.rounded(pruned) - pruned) @ np.diag(self._moment)
                        found[name] = slope * (error + float(off.sum()))
        return found

    @cached_property
    def _moment(self) -> Array:
        return np.eye(self.matrix.shape[1]) if self.seen is None else self.seen.moment


def _upper(family: Sequence[Zeros]) -> Sequence[Zeros]:
    """The upper half."""
    return family[len(family) // 2 :]
