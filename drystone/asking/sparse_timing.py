"""Which products are faster with sparse matrices: both are compiled and measured in turns."""

import time
from collections.abc import Callable

import numpy as np

from drystone import machine, mlir
from drystone.dtypes import Array
from drystone.ir.context import new_context
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import encode, part_key
from drystone.ir.program import Program, Signature, TensorSpec, WeightStore
from drystone.mlir import ir
from drystone.passes import SparseProduct, Timed
from drystone.runtime.fitted import Fitted
from drystone.targets.target import Target

#: A product alone in a program.
_PRODUCT = """
func.func @main(%x: {x}) -> {y} {{
  %w = "dry.weight"() {{key = "w"}} : () -> {w}
  %y = "dry.matmul"(%x, %w) ({{
  ^bb0(%s: f32):
    "dry.yield"(%s) : (f32) -> ()
  }}) {{transpose_b = true, extra_maps = [],
    operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}} : ({x}, {w}) -> {y}
  return %y : {y}
}}
"""
#: Rows that are measured where they may be any number; seconds that both are measured for.
_ROWS, _SECONDS = 16, 0.1


def measured(target: Target, threads: int, build: Callable[[Program], Fitted]) -> Timed | None:
    """What measures products with sparse matrices beside dense ones on this machine, with weights in the
    caches; `build` compiles programs as their weights are held. None where the target is another machine."""
    if machine.missing_features(target.required):
        return None
    # Loads what measures.
    from drystone.autotune.trial import in_turns

    known = dict[SparseProduct, float]()

    def timed(product: SparseProduct, matrix: Array) -> float:
        if product not in known:
            both = [build(_alone(product, matrix, sparse)) for sparse in (True, False)]
            shape = product.rows or _ROWS, product.shape[1]
            x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

            def call(fitted: Fitted) -> Callable[[], float]:
                def seconds() -> float:
                    began = time.perf_counter()
                    fitted.execute([x], threads=threads)
                    return time.perf_counter() - began

                return seconds

            found = in_turns(call(both[0]), call(both[1]), _SECONDS)
            known[product] = found.seconds / found.baseline
        return known[product]

    return timed


def _alone(product: SparseProduct, matrix: Array, sparse: bool) -> Program:
    """A program of one product in f32, with a sparse matrix or the same one plain."""
    context, (n, k), rows = new_context(), product.shape, product.rows or _ROWS
    store, array = WeightStore(), matrix.astype(np.float32)
    with context, ir.Location.unknown():
        plain = ir.RankedTensorType.get([n, k], ir.F32Type.get())
        kind = with_encoding(plain, product.encoding) if sparse else plain
    parts = encode(array, product.encoding) if sparse else {"codes": array}
    for name, part in parts.items():
        store.add(part_key("w", name), part)
    x, y = f"tensor<{rows}x{k}xf32>", f"tensor<{rows}x{n}xf32>"
    specs = (TensorSpec("x", "f32", (rows, k)),), (TensorSpec("y", "f32", (rows, n)),)
    return Program(
        mlir.parse(_PRODUCT.format(x=x, y=y, w=kind), context), store, Signature(*specs, None, None)
    )
