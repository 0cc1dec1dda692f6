"""What formats cost and keep: bits a weight and squared error on two distributions, beside reference figures.

python -m benchmarks.formats            # prints the table
python -m benchmarks.formats --write    # writes it into docs/formats.md

The figures are normalized squared errors ||e||^2 / ||w||^2 of 1024 x 1024 numbers of numpy's
`default_rng(0)`: of `standard_normal`, then of `standard_t(4)`.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drystone.dtypes import Array
from drystone.ir import formats
from drystone.ir.elements import to_bf16
from drystone.ir.encoding import (
    BY_RANGE,
    NEXT_POWERS,
    SEARCHED,
    Codes,
    Encoding,
    Huffman,
    Search,
    columns_beyond,
    decode,
    elements_beyond,
    encode,
)

PAGE = Path(__file__).parents[1] / "docs" / "formats.md"
_MARK = "<!-- figures: python -m benchmarks.formats --write -->"
#: Rounds of least squares and nearest signs.
_ROUNDS = Search(refits=15)


@dataclass(frozen=True)
class Row:
    """A format, how its scales are chosen, and reference figures for both distributions."""

    name: str
    encoding: Encoding
    search: Search = BY_RANGE
    reference: tuple[float, float] | None = None


#: Formats with figures of an independent implementation (numpy, written before this one).
REFERENCE = (
    Row("q8_0", formats.q8_0(), BY_RANGE, (2.86e-5, 5.43e-5)),
    Row("int8_row", formats.int8_row(), BY_RANGE, (6.19e-5, 3.86e-4)),
    Row("mxfp8", formats.mxfp8(), BY_RANGE, (8.62e-4, 1.03e-3)),
    Row("fp6", formats.fp6(), BY_RANGE, (2.77e-3, 2.57e-3)),
    Row("q4_k", formats.q4_k(), BY_RANGE, (6.14e-3, 8.88e-3)),
    Row("q4_k, searched", formats.q4_k(), SEARCHED, (5.07e-3, 7.42e-3)),
    Row("nvfp4", formats.nvfp4(), BY_RANGE, (9.03e-3, 8.38e-3)),
    Row("nvfp4, searched", formats.nvfp4(), SEARCHED, (6.59e-3, 6.80e-3)),
    Row("q4_0, farthest is -8", formats.q4_0(), Search((7 / 8,)), (7.39e-3, 1.33e-2)),
    Row("q4_0, searched", formats.q4_0(), SEARCHED, (6.59e-3, 1.23e-2)),
    Row("nf4", formats.nf4(), BY_RANGE, (8.45e-3, 1.23e-2)),
    Row("bitmod4", formats.bitmod4(), BY_RANGE, (9.58e-3, 1.27e-2)),
    Row("w4", formats.w4(), BY_RANGE, (1.01e-2, 2.10e-2)),
    Row("mxfp4", formats.mxfp4(), BY_RANGE, (1.32e-2, 1.72e-2)),
    Row("mxfp4, best of 3 powers", formats.mxfp4(), NEXT_POWERS, (1.25e-2, 1.62e-2)),
    Row("bcq(3), 15 rounds", formats.bcq(3), _ROUNDS, (3.49e-2, 5.84e-2)),
    Row("bitmod3", formats.bitmod3(), BY_RANGE, (3.81e-2, 6.20e-2)),
    Row("w3", formats.w3(), BY_RANGE, (4.65e-2, 9.23e-2)),
    Row("bcq(2), 15 rounds", formats.bcq(2), _ROUNDS, (0.114, 0.183)),
    Row("w2", formats.w2(), BY_RANGE, (0.254, 0.364)),
    Row("ternary(64), searched", formats.ternary(64), SEARCHED, (0.184, 0.269)),
    Row("ternary(64)", formats.ternary(64), BY_RANGE, (0.259, 0.404)),
    Row("q1_0", formats.q1_0(), BY_RANGE, (0.361, 0.500)),
    Row("q2_0, as ggml encodes it", formats.q2_0(), Search((2.0,)), (0.516, 0.529)),
)


def distributions() -> tuple[Array, Array]:
    """The two arrays of numbers."""
    random = np.random.default_rng(0)
    shape = 1024, 1024
    return random.standard_normal(shape).astype(np.float32), random.standard_t(4, shape).astype(np.float32)


def error(array: Array, encoding: Encoding, search: Search = BY_RANGE) -> float:
    """The squared error of an array's numbers once they are held so, over that of zeros."""
    exact = array.astype(np.float64)
    back = decode(encode(array, encoding, search=search), encoding, array.shape, "f64")
    return float(np.square(back - exact).sum() / np.square(exact).sum())


def others(array: Array) -> Iterator[Row]:
    """Formats without reference figures, those whose size depends on the numbers made for these."""
    columns, outliers = columns_beyond(array, 4.8, 1), elements_beyond(array, 3.5)
    sized = {
        "int8_tensor": formats.int8_tensor(),
        "int4_row": formats.int4_row(),
        "dynamic8": formats.dynamic8(),
        "llm_int8": formats.llm_int8(columns),
        "spqr": formats.spqr(outliers),
        "shiftadd(3), 15 rounds": formats.shiftadd(),
        "bipolar(4)": formats.bipolar(4),
        "fp8": formats.fp8(),
        "fp8_block": formats.fp8_block(),
        "bfp": formats.bfp(),
        "dgq": formats.dgq(),
        "comet, 1 of 8 blocks wide": formats.comet(128, 896),
        "adadim, along outputs": formats.adadim(True),
        "bitstack, 4 blocks": formats.bitstack(),
        "palettized(4)": formats.palettized(),
        "palettized(3)": formats.palettized(3),
        "ternary_base3": formats.ternary_base3(),
        "binary": formats.binary(),
        "denseshift": formats.denseshift(),
        "int21, rank 16": formats.int21(),
        "hgf, rank 16": formats.hgf(),
        "q6_k": formats.q6_k(),
        "bf16": Codes("bf16"),
        "dfloat11": formats.dfloat11(Huffman.of(to_bf16(array))),
    }
    for name, encoding in sized.items():
        yield Row(name, encoding, _ROUNDS if "rounds" in name else BY_RANGE)


def table() -> list[str]:
    """The rows of the page."""
    normal, tailed = distributions()
    lines = [
        "| format | bits | N(0, 1) | reference | t4 | reference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    pairs = [(row, row) for row in REFERENCE] + list(zip(others(normal), others(tailed), strict=True))
    for row, heavy in pairs:
        found = error(normal, row.encoding, row.search), error(tailed, heavy.encoding, heavy.search)
        near = ["" if row.reference is None else f"{figure:.3g}" for figure in row.reference or (0, 0)]
        bits = [each.encoding.bits(normal.shape) for each in (row, heavy)]
        shown = f"{bits[0]:.3f}" if bits[0] == bits[1] else f"{bits[0]:.3f}, {bits[1]:.3f}"
        lines.append(f"| {row.name} | {shown} | {found[0]:.3g} | {near[0]} | {found[1]:.3g} | {near[1]} |")
    return lines


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the table into docs/formats.md")
    lines = table()
    if not parser.parse_args().write:
        print("\n".join(lines))
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_MARK)
    after = rest.split("\n\n", 2)[2] if rest.count("\n\n") > 1 else ""
    PAGE.write_text("\n".join([before + _MARK, "", *lines, "", after]).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
