"""Embeddings: rows of bytes, each with a multiplier."""

from typing import Any

import numpy as np

from drystone.ir.dialect import Embedding
from drystone.ir.encoded import encoding_of
from drystone.ir.encoding import decode, encode
from drystone.ir.formats import int8_row
from drystone.ir.values import shape
from drystone.mlir import ir
from drystone.passes.integers.fixed import Leaf, Product, Sum
from drystone.passes.integers.making import Maker, integer, stored
from drystone.passes.integers.regions import refused
from drystone.passes.rewriting import tensor_type
from drystone.passes.weights import weight_key, weight_parts

#: The multiplier of the row with the largest numbers.
_MOST = 2**22


def make_embedding(maker: Maker, op: Any) -> None:
    """Put an embedding of codes in the place of one of real numbers."""
    table, indices = list(op.operation.operands)[:2]
    result, key = op.operation.results[0], weight_key(table)
    if key is None:
        raise refused(op, "has a table that is computed")
    numbers = decode(weight_parts(maker.program, table), encoding_of(table.type), table.type.shape, "f32")
    parts = encode(numbers, int8_row(1))
    scales = np.asarray(parts["scale"], np.float64).reshape(-1, 1)
    unit = max(float(scales.max()), 1e-30) / _MOST
    extents, rank = shape(result), result.type.rank
    codes = Embedding(
        tensor_type(extents, integer(8)), maker.weight(f"{key}.int8", parts["codes"]), indices
    ).out
    multipliers = maker.weight(f"{key}.integers", np.rint(scales / unit).astype(np.int32))
    rows = Embedding(tensor_type([*extents[:-1], 1], integer(32)), multipliers, indices).out
    dims = [ir.AffineDimExpr.get(d) for d in range(rank)]
    whole = ir.AffineMap.get_identity(rank)
    first = ir.AffineMap.get(rank, 0, [*dims[:-1], ir.AffineConstantExpr.get(0)])
    held = maker.holding.of(result)
    made = Product(Sum.term(Leaf(0, -127, 127)), Sum.term(Leaf(1, 0, _MOST), unit))
    total = Sum.term(made, made.unit)
    reads = [(codes, whole), (rows, first)]
    maker.codes[result, held.bits] = maker.map(
        result, reads, whole, lambda code: stored(code, total, held), held.bits
    )
