"""Operations and bytes of kernels, against counts made by hand."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest

from drystone.codegen.cost import Cost, cost_of
from drystone.ir import build, dialect
from drystone.ir.context import new_context
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Pack
from drystone.mlir import arith, func, ir, parse


@cache
def shared() -> Any:
    return new_context()


def kernel(inputs: Sequence[str], output: str, body: Callable[[Any, list[Any]], Any]) -> Any:
    """The module of one kernel: types as text, body(result type, arguments) makes the result."""
    module = ir.Module.create()
    kinds = [ir.Type.parse(text) for text in (*inputs, output)]
    with ir.InsertionPoint(module.body):
        function = func.FuncOp("k", ir.FunctionType.get(kinds, kinds[-1:]))
        with ir.InsertionPoint(function.add_entry_block()):
            func.ReturnOp([body(kinds[-1], list(function.entry_block.arguments))])
    return module


def cost(module: Any, extents: Sequence[Sequence[int]]) -> Cost:
    """The cost of the module's only kernel."""
    (function,) = module.body.operations
    return cost_of(function, extents)


def matmul(result: Any, args: list[Any]) -> Any:
    """a @ b with an epilogue that adds the third argument."""
    f32 = ir.F32Type.get()
    column = ir.AffineMap.get(2, 0, [ir.AffineDimExpr.get(1)])
    op = dialect.MatMul(
        result, args[0], args[1], args[2:3], transpose_b=build.flag(False), extra_maps=build.maps([column])
    )
    block = op.epilogue.blocks[0] if len(op.epilogue.blocks) else op.epilogue.blocks.append()
    for _ in range(2):
        block.add_argument(f32, ir.Location.unknown())
    with ir.InsertionPoint(block):
        dialect.Yield(arith.addf(*block.arguments))
    return op.out


def conv(groups: int, transposed: bool) -> Callable[[Any, list[Any]], Any]:
    def body(result: Any, args: list[Any]) -> Any:
        op = dialect.Conv(
            result,
            args[0],
            args[1],
            [],
            strides=build.integers([1, 1]),
            padding=build.integers([0, 0, 0, 0]),
            dilation=build.integers([1, 1]),
            output_padding=build.integers([0, 0]),
            groups=build.integer(groups),
            transposed=build.flag(transposed),
            layout=build.string("nchw"),
            extra_maps=build.maps([]),
        )
        build.identity_epilogue(op, ir.F32Type.get())
        return op.out

    return body


def attention(causal: bool) -> Callable[[Any, list[Any]], Any]:
    def body(result: Any, args: list[Any]) -> Any:
        return dialect.Attention(
            result,
            *args[:3],
            *([], [], [], [], []),
            scale=build.number(1.0),
            causal=build.flag(causal),
            sinks=build.integer(0),
            tile=build.integers([]),
            layout=build.string("bhsd"),
        ).out

    return body


def test_a_matrix_product_at_its_bounds() -> None:
    with shared(), ir.Location.unknown():
        made = kernel(["tensor<?x8xf32>", "tensor<8x16xf32>", "tensor<16xf32>"], "tensor<?x16xf32>", matmul)
        found = cost(made, [(4, 8), (8, 16), (16,), (4, 16)])
    assert found == Cost(2 * 4 * 8 * 16 + 4 * 16, 4 * (4 * 8 + 8 * 16 + 16 + 4 * 16))


def test_a_packed_weight_counts_the_bytes_it_is_stored_in() -> None:
    with shared(), ir.Location.unknown():
        kind = with_encoding(ir.Type.parse("tensor<8x20xf32>"), Codes("f32", None, Pack((1,), (16,), (1, 0))))
        made = kernel(["tensor<4x8xf32>", str(kind), "tensor<20xf32>"], "tensor<4x20xf32>", matmul)
        found = cost(made, [(4, 8), (8, 20), (20,), (4, 20)])
    assert found.bytes == 4 * (4 * 8 + 2 * 8 * 16 + 20 + 4 * 20)


@pytest.mark.parametrize(
    ("groups", "transposed", "x", "weight", "out", "flops"),
    [
        (1, False, (2, 6, 5, 5), (4, 6, 3, 3), (2, 4, 3, 3), 2 * (2 * 4 * 3 * 3) * 6 * 9),
        (6, False, (2, 6, 5, 5), (6, 1, 3, 3), (2, 6, 3, 3), 2 * (2 * 6 * 3 * 3) * 9),
        (1, True, (2, 6, 3, 3), (6, 4, 3, 3), (2, 4, 5, 5), 2 * (2 * 6 * 3 * 3) * 4 * 9),
    ],
)
def test_convolutions(groups: int, transposed: bool, x: Any, weight: Any, out: Any, flops: int) -> None:
    kinds = ["tensor<" + "x".join(map(str, shape)) + "xf32>" for shape in (x, weight, out)]
    with shared(), ir.Location.unknown():
        made = kernel(kinds[:2], kinds[2], conv(groups, transposed))
        assert cost(made, [x, weight, out]).flops == flops


@pytest.mark.parametrize(("causal", "scores"), [(False, 6 * 10), (True, 6 * 7 // 2)])
def test_causal_attention_counts_the_triangle_it_computes(causal: bool, scores: int) -> None:
    q, k = "tensor<2x3x6x4xf32>", "tensor<2x3x10x4xf32>"
    with shared(), ir.Location.unknown():
        made = kernel([q, k, k], q, attention(causal))
        found = cost(made, [(2, 3, 6, 4), (2, 3, 10, 4), (2, 3, 10, 4), (2, 3, 6, 4)])
    assert found.flops == 2 * 3 * (scores * (2 * 4 + 2 * 4 + 5) + 6 * 4)


def test_an_embedding_moves_only_the_rows_it_reads() -> None:
    with shared(), ir.Location.unknown():
        made = kernel(
            ["tensor<1000x8xf32>", "tensor<5xi64>"],
            "tensor<5x8xf32>",
            lambda result, args: dialect.Embedding(result, args[0], args[1]).out,
        )
        assert cost(made, [(1000, 8), (5,), (5, 8)]) == Cost(0, 2 * 5 * 8 * 4 + 5 * 8)


GATHER = """
func.func private @k(%table: tensor<1000xf32>, %at: tensor<5xi64>, %init: tensor<5xf32>) -> tensor<5xf32> {
  %r = linalg.generic {
      indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]
    } ins(%at : tensor<5xi64>) outs(%init : tensor<5xf32>) {
  ^bb0(%i: i64, %old: f32):
    %place = arith.index_cast %i : i64 to index
    %one = tensor.extract %table[%place] : tensor<1000xf32>
    linalg.yield %one : f32
  } -> tensor<5xf32>
  return %r : tensor<5xf32>
}
"""


def test_a_gather_moves_only_the_elements_it_reads() -> None:
    assert cost(parse(GATHER, shared()), [(1000,), (5,), (5,)]).bytes == 2 * 5 * 4 + 5 * 8


REDUCTION = """
func.func private @k(%x: tensor<?x8xf32>, %init: tensor<?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %start = linalg.fill ins(%zero : f32) outs(%init : tensor<?xf32>) -> tensor<?xf32>
  %r = linalg.generic {
      indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> (d0)>],
      iterator_types = ["parallel", "reduction"]
    } ins(%x : tensor<?x8xf32>) outs(%start : tensor<?xf32>) {
  ^bb0(%a: f32, %acc: f32):
    %square = arith.mulf %a, %a : f32
    %sum = arith.addf %acc, %square : f32
    linalg.yield %sum : f32
  } -> tensor<?xf32>
  return %r : tensor<?xf32>
}
"""


def test_a_generic_operation_counts_its_body_once_per_iteration() -> None:
    made = parse(REDUCTION, shared())
    assert cost(made, [(10, 8), (10,)]) == Cost(2 * 80, 4 * 90)


def test_the_roofline_is_the_slower_of_arithmetic_and_memory() -> None:
    assert Cost(100, 10).seconds(50.0, 10.0) == 2.0
    assert Cost(100, 100).seconds(50.0, 10.0) == 10.0
