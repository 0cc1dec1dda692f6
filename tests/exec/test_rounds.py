"""Kernels of several rounds in a whole program: their barriers, and the memory their threads share."""

from typing import Any

import numpy as np
import pytest

from drystone.codegen import families
from drystone.codegen.cpu import driver
from drystone.codegen.families.dry_op import dry_op
from drystone.codegen.tile import Index, TileBuilder, TileProgram, tile_program
from drystone.targets.target import CpuTarget
from tests.exec.outlined import Model

ROUNDS, WIDTH = 50, 16
TEXT = """
func.func private @k(%x: tensor<?x16xf32>, %o: tensor<?x16xf32>, %n: i64) -> tensor<?x16xf32> {
  %r = "dry.softmax"(%x) {dim = 1 : i64, log = false} : (tensor<?x16xf32>) -> tensor<?x16xf32>
  return %r : tensor<?x16xf32>
}
func.func @main(%x: tensor<?x16xf32>) -> tensor<?x16xf32> {
  %axis = arith.constant 0 : index
  %rows = tensor.dim %x, %axis : tensor<?x16xf32>
  %e = tensor.empty(%rows) : tensor<?x16xf32>
  %n = arith.constant 7 : i64
  %r = call @k(%x, %e, %n) : (tensor<?x16xf32>, tensor<?x16xf32>, i64) -> tensor<?x16xf32>
  %s = call @k(%r, %e, %n) : (tensor<?x16xf32>, tensor<?x16xf32>, i64) -> tensor<?x16xf32>
  return %s : tensor<?x16xf32>
}
"""


def _turns(kernel: Any, target: CpuTarget) -> TileProgram:
    """Every row becomes its neighbour on the right plus one, ROUNDS - 1 times."""
    op = dry_op(kernel)
    x, out = op.tensor(op.main.x), op.inits[0]

    def body(t: TileBuilder) -> None:
        kept = t.shared([2, x.dim(0), WIDTH], "f32")

        def cell(r: Index, i: Index) -> None:
            row = [None, None, WIDTH]

            def start() -> None:
                t.store(kept, [0, i, 0], t.load(x, [i, 0], [None, WIDTH]), row)

            def turn() -> None:
                old = t.load(kept, [(r + 1) % 2, (i + 1) % x.dim(0), 0], row)
                new = t.apply("arith.addf", old, t.full(1, (1,), "f32"))
                t.store(kept, [r % 2, i, 0], new, row)
                t.when(ROUNDS - 2, r, lambda: t.store(out, [i, 0], new, [None, WIDTH]))

            t.when(r, 1, start)
            t.when(0, r, turn)

        t.same(x.dim(0), out.dim(0))
        t.rounds(ROUNDS, lambda r: t.grid([(x.dim(0), 1)], lambda i: cell(r, i)))

    return tile_program("turns", op.tensors, body, op.scalars)


@pytest.mark.parametrize("threads", [None, 2, 3, 7])
def test_rounds_share_memory_that_the_plan_has_a_place_for(
    threads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_SHARE_RUN", 0)
    monkeypatch.setattr(driver, "_SHARE_KERNEL", 0)
    monkeypatch.setattr(
        families, "FAMILIES", {**families.FAMILIES, "dry.softmax": (families.Family(_turns),)}
    )
    model = Model(TEXT, ["n,16 f32"], ["n,16 f32"], {"n": (1, 9)})
    # The result of the first call, and a workspace of each call.
    assert len(model.arena) == 64 + sum(n for n in (9 * 64, 2 * 9 * 64, 2 * 9 * 64))
    x = np.arange(5 * WIDTH, dtype=np.float32).reshape(5, WIDTH)
    expected = np.roll(x, -2 * (ROUNDS - 1), axis=0) + 2 * (ROUNDS - 1)
    pool = None if threads is None else model.pool(threads)
    for _ in range(20):
        np.testing.assert_array_equal(model(x, n=5, pool=pool)[0], expected)
    if pool is not None:
        model.close(pool)
