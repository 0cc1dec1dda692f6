"""The verifier accepts what is sound; of what is not it names operation, line of the model and fault."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from drystone.errors import InternalError
from drystone.ir import dialect as dry
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Pack, Per, Scale
from drystone.ir.program import Program, TensorSpec
from drystone.ir.verifier import verify
from drystone.mlir import arith, ir, math, scf
from tests.unit.every_op import ONE, every_op
from tests.unit.ir_cases import from_text, make, program, row_stats, tensor


def test_a_sound_program_passes() -> None:
    verify(every_op())


def unary(what: Any, shape: tuple[int, ...], out: tuple[int, ...], **attributes: Any) -> Program:
    return program(lambda: [tensor(shape)], lambda x: [make(what, tensor(out), x, **attributes).out])


def binary(what: Any, shapes: list[tuple[int, ...]], out: tuple[int, ...], **attributes: Any) -> Program:
    return program(
        lambda: [tensor(shape) for shape in shapes],
        lambda *xs: [make(what, tensor(out), *xs, **attributes).out],
    )


def residual(shape: tuple[int, ...] | None) -> Program:
    """A normalization that gives the sum too, with a residual of this shape or none."""

    def body(x: Any, *residual: Any) -> list[Any]:
        op = make(dry.Norm, [x.type, x.type], x, [], [], list(residual), kind="layer", axes=1, eps=1e-5)
        return list(op.outs)

    return program(lambda: [tensor((2, 4)), *([] if shape is None else [tensor(shape)])], body)


def rounding(factor: int, peak: tuple[int, ...]) -> Program:
    """Rows of 2 x 4 rounded to bytes, with so many factors and peaks of this shape."""

    def body(x: Any, factor: Any) -> list[Any]:
        op = make(dry.RoundRows, tensor((2, 4), "i8"), tensor(peak), [tensor((2,))], x, [factor])
        return [op.codes, op.peak, *op.zero]

    return program(lambda: [tensor((2, 4)), tensor((factor,))], body)


def logsumexp(shape: tuple[int, ...], out: tuple[int, ...]) -> Program:
    return program(
        lambda: [tensor(shape)], lambda x: [make(dry.LogSumExp, tensor(out), tensor(out), x, dim=1).peak]
    )


def attention(
    q: tuple[int, ...], k: tuple[int, ...], mask: tuple[int, ...], what: str = "mask", **attributes: Any
) -> Program:
    """One of its three ways to leave out keys: what a mask of this shape is to be."""
    elements = {"mask": "f32", "span": "i64", "blocks": "i1"}
    given = {"scale": 1.0, "causal": False, "sinks": 0, "tile": [], "layout": "bhsd", **attributes}

    def body(q: Any, k: Any, m: Any) -> list[Any]:
        groups = [*([m] if name == what else [] for name in elements), [], []]
        return [make(dry.Attention, q.type, q, k, k, *groups, **given).out]

    return program(lambda: [tensor(q), tensor(k), tensor(mask, elements[what])], body)


def conv(weight: tuple[int, ...], out: tuple[int, ...], **attributes: Any) -> Program:
    given = {**ONE, "groups": 1, "transposed": False, "output_padding": [0, 0], **attributes}
    return binary(dry.Conv, [(1, 4, 6, 6), weight], out, **given)


def recurrent(weight: tuple[int, ...], cell: str) -> Program:
    def body(x: Any, w: Any, h: Any) -> Any:
        outs = [tensor((5, 2, 4)), tensor((2, 4))]
        return make(dry.Recurrent, outs, x, w, [], [h], cell=cell, reverse=False).outs

    return program(lambda: [tensor((5, 2, 12)), tensor(weight), tensor((2, 4))], body)


def norm(gain: tuple[int, ...]) -> Program:
    def body(x: Any, g: Any) -> list[Any]:
        return [make(dry.Norm, [x.type], x, [g], [], [], kind="layer", axes=1, eps=1e-5).out]

    return program(lambda: [tensor((2, 4)), tensor(gain)], body)


def weight(kind: Callable[[], Any], held: np.ndarray | None) -> Program:
    store = {} if held is None else {"w": held}
    return program(list, lambda: [make(dry.Weight, kind(), key="w").out], store)


def epilogue(body: Callable[[Any], Any], read: int = 0, extra: tuple[int, ...] = (3,)) -> Program:
    def built(a: Any, b: Any, c: Any) -> list[Any]:
        read_map = ir.AffineMap.get(2, 0, [ir.AffineExpr.get_dim(read)])
        return [
            make(
                dry.MatMul,
                tensor((3, 5)),
                a,
                b,
                extras=[c],
                extra_maps=[read_map],
                body=body,
                transpose_b=False,
            ).out
        ]

    return program(lambda: [tensor((3, 4)), tensor((4, 5)), tensor(extra)], built)


def outside() -> Program:
    def built(a: Any, b: Any) -> list[Any]:
        one = arith.constant(ir.F32Type.get(), 1.0)
        two = arith.addf(one, one)
        op = make(dry.MatMul, tensor((3, 5)), a, b, body=lambda e: arith.addf(e[0], two), transpose_b=False)
        return [op.out]

    return program(lambda: [tensor((3, 4)), tensor((4, 5))], built)


def branch(arguments: Any) -> Any:
    true = arith.constant(ir.IntegerType.get_signless(1), 1)
    chosen = scf.IfOp(true, [arguments[0].type], has_else=True)
    for block in (chosen.then_block, chosen.else_block):
        with ir.InsertionPoint(block):
            scf.YieldOp([arguments[0]])
    return chosen.results[0]


F32 = np.zeros
BROKEN: dict[str, tuple[Callable[[], Program], str]] = {
    "contraction": (lambda: binary(dry.MatMul, [(3, 4), (5, 6)], (3, 6), transpose_b=False), "4 columns"),
    "batch": (
        lambda: binary(dry.MatMul, [(2, 3, 4), (3, 4, 5)], (2, 3, 5), transpose_b=False),
        "batch dimensions 2 and 3",
    ),
    "result": (lambda: binary(dry.MatMul, [(3, 4), (4, 6)], (3, 5), transpose_b=False), "expected 3x6"),
    "channels": (lambda: conv((6, 3, 3, 3), (1, 6, 4, 4)), "4 channels"),
    "groups": (lambda: conv((5, 2, 3, 3), (1, 5, 4, 4), groups=2), "2 groups do not divide 5"),
    "image": (lambda: conv((6, 4, 3, 3), (1, 6, 6, 6)), "expected 1x6x4x4"),
    "stride": (lambda: conv((6, 4, 3, 3), (1, 6, 4, 4), strides=[1]), "strides has 1 entries"),
    "output padding": (lambda: conv((6, 4, 3, 3), (1, 6, 4, 4), output_padding=[1, 0]), "transposed"),
    "heads": (lambda: attention((1, 4, 3, 8), (1, 3, 3, 8), (1, 1, 3, 3)), "4 heads of queries on 3"),
    "width": (lambda: attention((1, 4, 3, 8), (1, 4, 3, 6), (1, 1, 3, 3)), "do not fit"),
    "mask": (lambda: attention((1, 4, 3, 8), (1, 4, 5, 8), (1, 1, 3, 3)), "does not broadcast"),
    "span": (lambda: attention((1, 4, 3, 8), (1, 4, 5, 8), (2, 1, 5), "span"), "span [2, 1, 5] does not"),
    "sinks": (lambda: attention((1, 4, 3, 8), (1, 4, 5, 8), (1, 1, 3, 5), sinks=2), "2 sinks beside 0 spans"),
    "blocks": (
        lambda: attention((1, 4, 20, 8), (1, 4, 20, 8), (1, 2, 2), "blocks", tile=[16, 8]),
        "blocks [1, 2, 2] does not broadcast to [4, 2, 3]",
    ),
    "tile of blocks": (
        lambda: attention((1, 4, 20, 8), (1, 4, 20, 8), (1, 2, 2), "blocks", tile=[10, 10]),
        "multiple of 16 queries and 8 keys",
    ),
    "gain": (lambda: norm((2,)), "gain or shift 0"),
    "residual": (lambda: residual((2, 3)), "the residual is tensor<2x3xf32>, expected 2x4"),
    "sum": (lambda: residual(None), "2 results with 0 residuals"),
    "softmax": (lambda: unary(dry.Softmax, (2, 3), (2, 3), dim=2, log=False), "dim 2"),
    "logsumexp": (lambda: logsumexp((2, 3), (2, 1)), "result 0 has rank 2, expected 1"),
    "factors": (lambda: rounding(3, (2,)), "factor is tensor<3xf32>, expected 4"),
    "peaks": (lambda: rounding(4, (2, 1)), "result 1 has rank 2, expected 1"),
    "row stats": (lambda: program(lambda: [tensor((2, 3)), tensor((3,), "i64")], row_stats), "pick is"),
    "scan": (lambda: unary(dry.Scan, (2, 3), (2, 3), dim=0, kind="max"), 'kind is "max"'),
    "linear scan": (
        lambda: binary(dry.LinearScan, [(2, 3), (2, 4)], (2, 3), dim=0),
        "factors of tensor<2x4xf32>",
    ),
    "table": (lambda: binary(dry.Embedding, [(5, 4), (2, 3)], (2, 3, 4)), "indices are f32"),
    "pool": (
        lambda: unary(dry.Pool, (1, 2, 6, 6), (1, 2, 6, 6), kind="max", kernel=[2, 2], divisor=0, **ONE),
        "expected 1x2x5x5",
    ),
    "gates": (lambda: recurrent((12, 4), "lstm"), "projected"),
    "recurrent weight": (lambda: recurrent((9, 4), "gru"), "weight"),
    "missing weight": (lambda: weight(lambda: tensor((2, 3)), None), "no weight w"),
    "weight shape": (lambda: weight(lambda: tensor((2, 3)), F32((3, 2), np.float32)), "held as float32"),
    "weight layout": (
        lambda: weight(
            lambda: with_encoding(tensor((6, 3)), Codes("f32", None, Pack((0,), (4,)))),
            F32((6, 3), np.float32),
        ),
        "is f32[2, 3, 4]",
    ),
    "tile": (
        lambda: weight(
            lambda: with_encoding(tensor((6, 3)), Codes("f32", None, Pack((2,), (4,)))),
            F32((6, 3), np.float32),
        ),
        "tiled dimensions (2,)",
    ),
    "scale": (
        lambda: weight(
            lambda: with_encoding(tensor((6, 3)), Codes("int8", Scale(Per.axis(2)))), F32((6, 3), np.float32)
        ),
        "along axes (2,)",
    ),
    "epilogue operation": (lambda: epilogue(branch), "the epilogue holds scf.if"),
    "epilogue value": (outside, "uses a value from outside"),
    "epilogue map": (lambda: epilogue(lambda e: math.exp(e[0]), read=1), "extent 3 is read along one of 5"),
    "epilogue rank": (lambda: epilogue(lambda e: e[0], extra=(3, 5)), "does not index"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_program_is_refused(name: str) -> None:
    make_program, fault = BROKEN[name]
    with pytest.raises(InternalError) as error:
        verify(make_program())
    assert fault in str(error.value)
    assert "dry." in str(error.value)
    assert "model.py:7" in str(error.value)


def test_the_signature_is_that_of_main() -> None:
    sound = from_text(
        "func.func @main(%a: tensor<2x?xf32>) -> tensor<2x?xf32> { return %a : tensor<2x?xf32> }"
    )
    verify(sound)
    right = TensorSpec("a", "f32", (2, "n"))
    for inputs in [(), (right, right), (replace(right, dtype="f64"),), (replace(right, shape=(3, "n")),)]:
        with pytest.raises(InternalError, match=r"signature states|@main has"):
            verify(Program(sound.module, sound.weights, replace(sound.signature, inputs=inputs)))
