"""What products with sparse matrices take beside the same ones dense: what decides whether a weight with
zeros is held without them where nothing is measured.

A model of the kernels, fitted to measurements of 1024 x 1024 beside the dense kernel on two threads
(`python -m benchmarks.sparse_costs`): for so many rows the ratio is `base + slope * held`, where `held` is
the part of the numbers that is, zeros of blocks and groups included. Between rows that were measured it is
interpolated in their logarithm.
Of lists the base is what turning x and the result takes, which is shared by fewer numbers in a small matrix.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Any

from drystone.ir.encoding import Codes, Compressed, Joined, Sparse, Structured, by_taps
from drystone.ir.values import shape_of
from drystone.passes.layout.lists import matrix_of
from drystone.passes.layout.pack_weights import panel_width, panels_of_convolution
from drystone.passes.layout.panels import Panels
from drystone.targets.target import Target

#: Rows, base and slope.
_Line = tuple[int, float, float]
#: By what a kernel reads, of numbers in f32 or where no unit sums shorter ones several at a time.
_LONG: dict[str, Sequence[_Line]] = {
    "lists": (
        (1, 0.21, 1.56),
        (4, 0.2, 3.9),
        (16, 0.1, 3.8),
        (64, 0.13, 1.6),
        (128, 0.16, 1.3),
        (512, 0.13, 1.6),
    ),
    "blocks": ((1, 0.16, 0.7), (16, 0.12, 0.98), (128, 0.05, 1.63), (512, 0.14, 1.85)),
    "groups": (
        (1, 0.14, 0.62),
        (4, 0.3, 0.64),
        (8, 0.4, 0.8),
        (16, 0.35, 1.9),
        (32, 1.1, 0.2),
        (512, 1.0, 0.05),
    ),
    "laid down": ((1, 1.07, 0.0),),
    "taps": ((1, 0.35, 2.1),),
    "points": ((1, 0.5, 3.5),),
    "blocks by taps": ((1, 0.3, 1.3),),
    "blocks by points": ((1, 0.6, 0.75),),
}
#: Of numbers in bf16 that a vector unit sums in pairs, and that tile registers sum besides.
_PAIRS: dict[str, Sequence[_Line]] = {
    kind: tuple((rows, base, 2 * slope) for rows, base, slope in line) for kind, line in _LONG.items()
}
#: Of a matrix that is the left operand, by columns of the right one.
_LEFT: dict[str, Sequence[_Line]] = {
    "lists": ((1, 0.22, 2.2), (16, 0.0, 4.0), (64, 0.02, 1.8), (128, 0.05, 1.65), (512, 0.05, 0.77)),
    "blocks": ((1, 0.19, 1.6), (16, 0.08, 0.73), (128, 0.01, 1.01), (512, 0.0, 0.81)),
}
_TILES: dict[str, Sequence[_Line]] = {
    "lists": ((1, 0.61, 8.2), (4, 0.27, 7.0), (16, 0.73, 8.5), (128, 0.75, 7.2), (512, 0.55, 9.2)),
    "blocks": ((1, 0.37, 1.08), (16, 0.66, 0.23), (128, 0.35, 1.14), (512, 0.53, 1.48)),
    "groups": (
        (1, 0.26, 1.3),
        (4, 0.28, 1.3),
        (8, 0.6, 2.8),
        (16, 1.0, 4.5),
        (32, 1.2, 1.0),
        (128, 1.1, 0.3),
        (512, 1.1, 0.15),
    ),
}
#: Rows that stand for any number.
_ANY = (1, 16, 128)
#: Extents that the bases of lists are those of; how they grow for others with the share that turning has of
#: the work, for some rows and for more.
_SQUARE, _SOME, _SHARED = 1024, 16, 0.7


@dataclass(frozen=True)
class SparseProduct:
    """rows [m, k] (0: any number) times a constant matrix [outputs n, inputs k] in a sparse encoding, which
    products would be of plain numbers of the `element`, dense, instead; or a convolution with a `kernel` of
    so many taps along each dimension, whose inputs are these times channels; or the matrix times as many
    columns, where it is on the `left`."""

    rows: int
    shape: tuple[int, int]
    encoding: Sparse
    element: str
    kernel: tuple[int, ...] = ()
    left: bool = False

    @staticmethod
    def of(
        op: Any,
        extents: tuple[int, int],
        encoding: Sparse,
        element: str,
        target: Target,
        *,
        left: bool = False,
    ) -> "SparseProduct | None":
        """That of a dry.matmul, or a dry.conv, with its weight of these extents in an encoding; None where no
        kernel reads it."""
        if op.name == "dry.matmul":
            result = shape_of(op.results[0].type)
            rows = result[-1:] if left else result[:-1]
            known = 0 if None in rows else prod(n or 0 for n in rows)
            return SparseProduct(known, extents, encoding, element, left=left)
        panels = panels_of_convolution(op, target)
        if panels is None or (element != "f32" and not isinstance(encoding.pattern, Structured)):
            return None
        return SparseProduct(0, extents, encoding, element, panels.kernel)

    @property
    def tensor(self) -> tuple[int, ...]:
        """The shape of the weight as its operation has it."""
        return Panels(self.shape, 0, 1, kernel=self.kernel).tensor

    @property
    def size(self) -> int:
        """Bytes, as it is encoded."""
        return self.encoding.bytes(self.shape)

    def joined(self, target: Target, rows: int | None = None) -> Joined | str:
        """The encoding in which a kernel for `target` reads it; or why none does."""
        width = panel_width(target, self.shape[0])
        group = target.neighbours(self.element, self.element)
        vectors = self.rows if rows is None else rows
        group = 1 if self.left else group
        panels = Panels(self.shape, 0, width, vectors, group, self.kernel, self.left)
        return panels.joined(by_taps(self.encoding, len(panels.tensor)) if self.kernel else self.encoding)

    def estimated(self, target: Target) -> float | None:
        """The seconds for one of the dense product; of any number of rows the most of some. None where no
        kernel reads it."""
        lines = self.lines(target)
        return None if not lines else max(base + slope * held for base, slope, held in lines)

    def pays_from(self, target: Target, limit: float) -> float | None:
        """The part of the numbers, or of the blocks, that would have to be zeros for the estimate to be below
        a limit; None where that is not free, or no part is enough."""
        if isinstance(self.encoding.pattern, Structured):
            return None
        held = min(((limit - base) / slope for base, slope, _ in self.lines(target)), default=0.0)
        return 1 - held if held > 0 else None

    def lines(self, target: Target) -> list[tuple[float, float, float]]:
        """Base, slope, and the part of the numbers that is held, for its rows or those that stand for any;
        none where no kernel reads it."""
        found = []
        for rows in (self.rows,) if self.rows or self.kernel else _ANY:
            joined = self.joined(target, rows)
            if isinstance(joined, str):
                return []
            read = matrix_of(joined.base)
            kind, table = read_as(read, prod(self.kernel) if self.kernel else 0), self._table(target)
            if kind not in table:
                return []
            base, slope = _between(table[kind], rows)
            if kind == "lists" and not self.left:
                base *= (_SQUARE / 2 * sum(1 / n for n in self.shape)) ** (1 if rows <= _SOME else _SHARED)
            found.append((base, slope, prod(read.pattern.kept(self.shape)) / prod(self.shape)))
        return found

    def _table(self, target: Target) -> dict[str, Sequence[_Line]]:
        if self.left:
            return _LEFT
        unit = target.dot(self.element, self.element)
        if self.element == "f32" or unit is None or unit.group == 1:
            return _LONG
        return _TILES if target.dot(self.element, self.element, tiles=True) else _PAIRS


def read_as(encoding: Sparse, taps: int = 0) -> str:
    """What a kernel reads that has a sparse matrix in panels: "groups", "blocks" or "lists"; of a convolution
    "laid down", "taps" of lists or, where it has one, "points", or "blocks by" these."""
    pattern = encoding.pattern
    if isinstance(pattern, Structured):
        return "laid down" if taps else "groups"
    blocks = isinstance(pattern, Compressed) and pattern.block != (1, 1)
    if not taps:
        return "blocks" if blocks else "lists"
    read = "taps" if taps > 1 else "points"
    return f"blocks by {read}" if blocks else read


def named(encoding: Sparse, joined: Joined) -> str:
    """How a matrix in this encoding is read, for people: "lists", "blocks 16x16", "2:4"; with the element of
    its numbers where that is not f32."""
    own, pattern = encoding.pattern, matrix_of(joined.base).pattern
    if isinstance(pattern, Structured):
        name = f"{pattern.kept_of}:{pattern.of}"
    elif isinstance(pattern, Compressed) and pattern.block != (1, 1):
        name = f"blocks {pattern.block[0]}x{pattern.block[1]}"
    else:
        name = f"lists ({own.kept_of}:{own.of})" if isinstance(own, Structured) else "lists"
    held = encoding.values
    short = isinstance(held, Codes) and held.element != "f32"
    return f"{name} of {held.element}" if short and isinstance(held, Codes) else name


def _between(lines: Sequence[_Line], rows: int) -> tuple[float, float]:
    """Base and slope for so many rows."""
    at = bisect_left([line[0] for line in lines], rows)
    if at in (0, len(lines)) or lines[at][0] == rows:
        return lines[min(at, len(lines) - 1)][1:]
    (low, *first), (high, *second) = lines[at - 1], lines[at]
    part = (log2(rows) - log2(low)) / (log2(high) - log2(low))
    base, slope = (a + part * (b - a) for a, b in zip(first, second, strict=True))
    return base, slope
