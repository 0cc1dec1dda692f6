"""What products with sparse matrices take beside dense ones, as a line for each number of rows: the tables of
`drystone/passes/sparsifying/sparse_costs.py`.

    python -m benchmarks.sparse_costs [f32|bf16|left ...] [--only lists:128] [--seconds 0.2]

Matrices of 1024 x 1024 on two threads, with weights in the caches; calls of the compiled product, sparse and
dense, take turns. Ratios at several parts of the numbers that are held are fitted by base + slope * held.
Each entry of a table is printed with the one that is in the tree and the largest error of the line. f32:
products of f32 (`_LONG`); bf16: of bf16 in the units that this machine has (`_TILES`, or those of `_PAIRS`);
left: of a matrix to the left, by columns.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import nn

import drystone
from benchmarks.sparse import Layers, Work, zeroed
from drystone.autotune.trial import in_turns
from drystone.ir.encoding import Codes, Compressed, Encoding, Pattern, Sparse, Structured
from drystone.passes.sparsifying.sparse_costs import SparseProduct
from drystone.targets import resolve

#: By how kernels read a matrix: rows, and patterns with the part of zeros.
_LISTED = [(Compressed(0), zeros) for zeros in (0.95, 0.9, 0.8)]
_BLOCKS = [(Compressed(0, (16, 16)), zeros) for zeros in (0.9, 0.8, 0.5)]
_GROUPS = [(Structured(1, n, m), 1 - n / m) for n, m in ((1, 8), (1, 4), (2, 4))]
_Kind = tuple[Sequence[int], Sequence[tuple[Pattern, float]]]
PRODUCTS: dict[str, _Kind] = {
    "lists": ((1, 4, 16, 64, 128, 512), _LISTED),
    "blocks": ((1, 16, 128, 512), _BLOCKS),
    "groups": ((1, 4, 8, 16, 32, 128, 512), _GROUPS),
}
#: Of convolutions: the width of a square of taps.
CONVOLUTIONS = {"taps": 3, "points": 1}
TABLES = ("f32", "bf16", "left")


@dataclass(frozen=True)
class Case:
    """An entry of a table, by the element or "left", what kernels read, and rows or columns."""

    table: str
    kind: str
    rows: int

    def points(self, seconds: float) -> list[tuple[float, float]]:
        """Parts of the numbers that are held, and ratios of sparse to dense time."""
        if self.kind in CONVOLUTIONS:
            given = [(Compressed(0), zeros) for zeros in (0.97, 0.95, 0.9)]
        else:
            given = list(PRODUCTS[self.kind][1])
        return [(1 - zeros, self._ratio(pattern, zeros, seconds)) for pattern, zeros in given]

    @property
    def line(self) -> tuple[float, float] | None:
        """Base and slope in the tree; None where there are none."""
        target, element = resolve("cpu"), "bf16" if self.table == "bf16" else "f32"
        if self.kind in CONVOLUTIONS:
            pattern: Pattern = Compressed(1024)
        else:
            pattern = PRODUCTS[self.kind][1][0][0]
        kernel = (CONVOLUTIONS[self.kind],) * 2 if self.kind in CONVOLUTIONS else ()
        shape = (1024, 1024 * prod(kernel))
        held = Sparse(pattern, Codes(element))
        lines = SparseProduct(self.rows, shape, held, element, kernel, self.table == "left").lines(target)
        return lines[0][:2] if lines else None

    def _ratio(self, pattern: Pattern, zeros: float, seconds: float) -> float:
        """The time of the sparse product for one of the dense."""
        torch.manual_seed(0)
        element = "bf16" if self.table == "bf16" else "f32"
        work = Work(pattern, self.rows, zeros, Codes(element), left=self.table == "left")
        model, x = self._model(work)
        options = drystone.Options(compute=None if element == "f32" else element, threads=2, progress=False)
        encoding: Encoding = Sparse(pattern, work.values)
        both = (
            drystone.compile(
                model, (x,), quantize={".*": drystone.Quantize(encoding, method="nearest")}, options=options
            ),
            drystone.compile(model, (x,), sparsify={".*": None}, options=options),
        )

        def call(fitted: drystone.Fitted) -> Callable[[], float]:
            def timed() -> float:
                began = time.perf_counter()
                fitted.execute([x.numpy()], threads=2)
                return time.perf_counter() - began

            return timed

        found = in_turns(call(both[0]), call(both[1]), seconds)
        return found.seconds / found.baseline

    def _model(self, work: Work) -> tuple[nn.Module, torch.Tensor]:
        if self.kind not in CONVOLUTIONS:
            model = Layers(1, work.size, left=work.left).eval()
            zeroed(model.layers[0].weight.data, work)
            shape = (work.size, work.rows) if work.left else (work.rows, work.size)
            return model, torch.randn(shape)
        taps = CONVOLUTIONS[self.kind]
        conv = nn.Conv2d(128, 128, taps, padding=taps // 2, bias=False).eval()
        zeroed(conv.weight.data.flatten(1), work)
        return conv, torch.randn(1, 128, 28, 28)


def cases(tables: Sequence[str]) -> Iterator[Case]:
    """All entries of these tables."""
    for table in tables:
        for kind, (rows, _) in PRODUCTS.items():
            if table == "left" and kind == "groups":
                continue
            yield from (Case(table, kind, count) for count in rows if table != "left" or count != 4)
        if table == "f32":
            yield from (Case(table, kind, 1) for kind in CONVOLUTIONS)


def entry(case: Case, seconds: float) -> str:
    """A line of what is printed."""
    points = case.points(seconds)
    held, ratios = (np.array(each) for each in zip(*points, strict=True))
    slope, base = np.polyfit(held, ratios, 1)
    if base < 0:
        slope, base = float(held @ ratios / (held @ held)), 0.0
    off = np.abs(base + slope * held - ratios).max()
    own = case.line
    now = "none" if own is None else f"({own[0]:.2f}, {own[1]:.2f})"
    shown = ", ".join(f"{part:.3f}: {ratio:.2f}" for part, ratio in points)
    return (
        f'{case.table} "{case.kind}": ({case.rows}, {base:.2f}, {slope:.2f}),  '
        f"# now {now}; off by {off:.2f}; {shown}"
    )


def main() -> None:
    """Print the entries."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", default=TABLES, help=", ".join(TABLES))
    parser.add_argument("--only", default="", help="entries such as lists:128, with commas between them")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each ratio")
    arguments = parser.parse_args()
    wanted = [each for each in arguments.only.split(",") if each]
    for case in cases(arguments.tables):
        if not wanted or any(each in (case.kind, f"{case.kind}:{case.rows}") for each in wanted):
            print(entry(case, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
