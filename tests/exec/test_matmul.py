"""Matrix products, executed, against the reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from drystone import mlir
from drystone.codegen import families
from drystone.ir import build, dialect, interpreter
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Pack
from drystone.mlir import arith, ir, math
from drystone.targets import registry
from tests.exec.dry_cases import Case, kind_of, make, numbers
from tests.exec.families import shared_context
from tests.exec.kernels import compiled


def epilogue(op: Any, extras: int) -> None:
    """gelu(x + bias) + residual, as far as there are operands."""
    f32 = ir.F32Type.get()
    if not extras:
        build.identity_epilogue(op, f32)
        return
    block = op.epilogue.blocks[0] if len(op.epilogue.blocks) else op.epilogue.blocks.append()
    for _ in range(1 + extras):
        block.add_argument(f32, ir.Location.unknown())
    with ir.InsertionPoint(block):
        half, root, one = (arith.constant(f32, c) for c in (0.5, 0.5**0.5, 1.0))
        x = arith.addf(block.arguments[0], block.arguments[1])
        curve = arith.addf(math.erf(arith.mulf(x, root)), one)
        x = arith.mulf(arith.mulf(x, half), curve)
        dialect.Yield(arith.addf(x, block.arguments[2]) if extras > 1 else x)


def matmul(
    m: int,
    n: int,
    k: int,
    *,
    batch: Sequence[int] = (),
    b_batch: Sequence[int] | None = None,
    transposed: bool = False,
    pack: int = 0,
    extras: int = 0,
    dynamic: bool = False,
    seed: int = 0,
) -> Case:
    """A kernel of one product; `dynamic`: the batch and the rows."""
    rng = np.random.default_rng(seed)
    b_batch = batch if b_batch is None else b_batch
    a, b = numbers(rng, (*batch, m, k)), numbers(rng, (*b_batch, *((n, k) if transposed else (k, n))))
    out = np.zeros((*batch, m, n), np.float32)
    rank = out.ndim
    unknown = [d for d in range(rank - 1) if dynamic]
    with shared_context(), ir.Location.unknown():
        b_kind = kind_of(b)
        if pack:
            layout = Pack((0,), (pack,)) if transposed else Pack((1,), (pack,), (1, 0))
            b_kind = with_encoding(b_kind, Codes("f32", None, layout))
        inputs = [(a, kind_of(a, unknown)), (b, b_kind)]
        maps = []
        if extras:
            inputs.append((numbers(rng, (n,)), kind_of(np.zeros(n, np.float32))))
            maps.append(ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(rank - 1)]))
        if extras > 1:
            inputs.append((numbers(rng, out.shape), kind_of(out, unknown)))
            maps.append(ir.AffineMap.get_identity(rank))
        result = kind_of(out, unknown)

        def body(args: list[Any]) -> list[Any]:
            made = dialect.MatMul(
                result,
                args[0],
                args[1],
                list(args[2 : 2 + extras]),
                transpose_b=build.flag(transposed),
                extra_maps=build.maps(maps),
            )
            epilogue(made, extras)
            return [made.out]

        return make(inputs, [result], body)


def run(case: Case, target: str = "cpu") -> list[Any]:
    """Compile and call."""
    machine = registry.resolve(target)
    with shared_context(), ir.Location.unknown():
        program = families.tile_program_of(case.function, machine)
    assert program is not None and program.family == "matmul"
    results = [np.full(a.shape, 77, a.dtype) for a in case.expected]
    call = compiled(program, machine)
    for singly in (False, True):
        call([*case.stored, *results], singly=singly)
    return results


def check(case: Case, target: str = "cpu") -> None:
    """Executed against the reference."""
    case.check(run(case, target), 1e-5)


@pytest.mark.parametrize("target", ["cpu", "cpu:avx2"])
@pytest.mark.parametrize("extras", [0, 2])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 64, 96), (13, 32, 7), (50, 96, 33), (5, 40, 64)])
def test_packed_weights(m: int, n: int, k: int, extras: int, target: str) -> None:
    check(matmul(m, n, k, pack=32 if target == "cpu" else 16, transposed=True, extras=extras), target)


def test_weights_packed_from_either_order() -> None:
    check(matmul(20, 64, 24, pack=32, extras=1))


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_rows_known_at_the_call(batch: tuple[int, ...]) -> None:
    check(matmul(17, 48, 20, batch=batch, b_batch=(), pack=32, transposed=True, extras=2, dynamic=True))


@pytest.mark.parametrize("b_batch", [(2, 3), (1, 3), ()])
@pytest.mark.parametrize("transposed", [False, True])
def test_plain_and_batched(b_batch: tuple[int, ...], transposed: bool) -> None:
    check(matmul(9, 21, 37, batch=(2, 3), b_batch=b_batch, transposed=transposed, extras=2))


@pytest.mark.parametrize("seed", range(6))
def test_ragged_shapes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n, k = (int(x) for x in rng.integers(1, 45, 3))
    flags = rng.integers(0, 2, 3)
    check(
        matmul(m, n, k, pack=32 * int(flags[0]), transposed=bool(flags[1]), dynamic=bool(flags[2]), seed=seed)
    )


def test_a_column() -> None:
    check(matmul(11, 1, 70, batch=(2,), extras=1))


def test_long_sums_are_cut() -> None:
    check(matmul(30, 32, 20000, pack=32, transposed=True, extras=1))


@pytest.mark.parametrize(("m", "columns"), [(50, 320), (45, 64)])
def test_the_next_panel_is_asked_for(m: int, columns: int) -> None:
    """Panels that come from memory, the last one whole or not, and rows in several tiles."""
    case = matmul(m, columns, 3000, pack=32, transposed=True)
    machine = registry.resolve("cpu:avx512")
    with shared_context(), ir.Location.unknown():
        program = families.tile_program_of(case.function, machine)
    asked = 3000 * columns * 4 > machine.l2
    assert ("prefetch" in str(program)) == asked
    check(case)


MERGED = """
func.func private @k(%x: tensor<{m}x{k}xf32>, %w0: {w}, %w1: {w}, %w2: {w}, %r: tensor<{m}x64xf32>,
    %o0: tensor<{m}x64xf32>, %o1: tensor<{m}x64xf32>) -> (tensor<{m}x64xf32>, tensor<{m}x64xf32>) {{
  %g = "dry.matmul"(%x, %w0) ({{
  ^bb0(%a: f32):
    %b = math.tanh %a : f32
    "dry.yield"(%b) : (f32) -> ()
  }}) {{transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}}
    : (tensor<{m}x{k}xf32>, {w}) -> tensor<{m}x64xf32>
  %y = "dry.matmul"(%x, %w1, %g, %r) ({{
  ^bb0(%a: f32, %b: f32, %c: f32):
    %d = arith.mulf %a, %b : f32
    %e = arith.addf %d, %c : f32
    "dry.yield"(%e) : (f32) -> ()
  }}) {{transpose_b = true, extra_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0, 0>}}
    : (tensor<{m}x{k}xf32>, {w}, tensor<{m}x64xf32>, tensor<{m}x64xf32>) -> tensor<{m}x64xf32>
  %z = "dry.matmul"(%x, %w2) ({{
  ^bb0(%a: f32):
    "dry.yield"(%a) : (f32) -> ()
  }}) {{transpose_b = true, extra_maps = [],
      operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0, 0, 0, 0>}}
    : (tensor<{m}x{k}xf32>, {w}) -> tensor<{m}x64xf32>
  return %y, %z : tensor<{m}x64xf32>, tensor<{m}x64xf32>
}}
"""


def merged(m: int, k: int, *, dynamic: bool = False) -> Case:
    """A kernel of a product with another one in its epilogue, and a product beside it."""
    rng = np.random.default_rng(0)
    weight = f'tensor<64x{k}xf32, #dry.enc<"f32", unit, #dry.pack<[0], [32], [0, 1]>>>'
    module = mlir.parse(MERGED.format(m="?" if dynamic else m, k=k, w=weight), shared_context())
    (function,) = module.body.operations
    inputs = [numbers(rng, shape) for shape in ((m, k), (64, k), (64, k), (64, k), (m, 64))]
    case = Case(module, function, inputs)
    with shared_context(), ir.Location.unknown():
        blanks = [np.zeros((m, 64), np.float32)] * 2
        case.expected = interpreter.evaluate(function, [*inputs, *blanks], {}, {})
    return case


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("m", [1, 9, 33, 150])
def test_merged_products(m: int, dynamic: bool) -> None:
    case = merged(m, 24, dynamic=dynamic)
    check(case)
    case.check(case.interpreted()[1], 1e-5)


@pytest.mark.parametrize(("rows", "passes"), [(1, 1), (14, 1), (3, 2), (11, 3)])
def test_every_schedule_of_merged_products(rows: int, passes: int) -> None:
    case = merged(40, 12000)
    search = case.search()
    point = {**search.default, "rows": rows, "passes": passes}
    assert point in search.space
    with shared_context(), ir.Location.unknown():
        program = search.build(point)
    case.check(case.executed(program=program), 1e-4)
