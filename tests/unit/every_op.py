"""One module that holds every dry operation, with encodings, for the tests of text and verifier."""

from typing import Any

import numpy as np

from drystone.ir import dialect as dry
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Joined, Pack, Per, Recent, Scale, Strings, encode
from drystone.ir.program import Program
from drystone.mlir import arith, ir
from tests.unit.ir_cases import make, program, row_stats, selective_scan, tensor

LINEAR = Codes("int4", Scale(Per.group(1, 4), zero_point=Codes("int4")), Pack((0,), (4,), (1, 0)))
KERNEL = Codes("f32", None, Pack((0, 1), (2, 2)))
HALF = Codes("f16")
KEYS = Codes("uint2", Scale(Per.group(2, 16), HALF, minimum=HALF), Strings(2))
CACHE = Joined(Recent(KEYS, 2, 16, Codes("bf16")))
ONE = {"strides": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "layout": "nchw"}


def types() -> list[Any]:
    """An image of any batch, tokens, a sequence and its state, a cache and its rows."""
    cache = with_encoding(tensor((1, 2, 32, 4)), CACHE)
    rows = tensor((2, 1, 2, 4))
    return [tensor((-1, 4, 6, 6)), tensor((2, 3), "i64"), tensor((5, 2, 12)), tensor((2, 4)), cache, rows]


def body(image: Any, tokens: Any, sequence: Any, state: Any, cache: Any, new: Any) -> list[Any]:
    """Every operation of the dialect."""
    kernel = make(dry.Weight, with_encoding(tensor((6, 4, 3, 3)), KERNEL), key="conv").out
    linear = make(dry.Weight, with_encoding(tensor((6, 8)), LINEAR), key="linear").out
    bias = make(dry.Weight, tensor((6,)), key="bias").out
    channel = ir.AffineMap.get(4, 0, [ir.AffineExpr.get_dim(1)])
    convolved = make(
        dry.Conv,
        tensor((-1, 6, 4, 4)),
        image,
        kernel,
        extras=[bias],
        extra_maps=[channel],
        body=lambda e: arith.addf(e[0], e[1]),
        **ONE,
        output_padding=[0, 0],
        groups=1,
        transposed=False,
    ).out
    pooled = make(dry.Pool, tensor((-1, 6, 3, 3)), convolved, kind="max", kernel=[2, 2], divisor=0, **ONE).out
    attended = make(
        dry.Attention,
        tensor((-1, 6, 3, 3)),
        *(pooled, pooled, pooled),
        *([], [], [], [], []),
        scale=0.5,
        causal=True,
        sinks=0,
        tile=[],
        layout="bhsd",
    ).out
    image = tensor((-1, 6, 3, 3))
    added = [image, image], attended, [], [], [pooled]
    normal, total = make(dry.Norm, *added, kind="rms", axes=1, eps=1e-5).outs
    rows = make(dry.Embedding, tensor((2, 3, 8)), linear, tokens).out
    product = make(dry.MatMul, tensor((2, 3, 6)), rows, linear, transpose_b=True).out
    chances = make(dry.Softmax, tensor((2, 3, 6)), product, dim=2, log=False).out
    parts = make(dry.LogSumExp, tensor((2, 6)), tensor((2, 6)), product, dim=1)
    first = arith.constant(tensor((2,), "i64"), ir.DenseElementsAttr.get(np.array([1, 0])))
    stats = row_stats(make(dry.MatMul, tensor((2, 2)), state, state, transpose_b=True).out, first)
    each = tensor((2, 3))
    coded = make(dry.RoundRows, tensor((2, 3, 6), "i8"), each, [each], product, [bias])
    sums = make(dry.Scan, tensor((2, 3, 6)), chances, dim=1, kind="sum").out
    decayed = make(dry.LinearScan, tensor((2, 3, 6)), sums, chances, dim=1).out
    selected = selective_scan([decayed, bias], [(0, 1, 2), (2,)], 1, tensor((2, 3)))
    again = make(dry.Weight, tensor((12, 4)), key="hidden").out
    at = arith.constant(tensor((2, 1), "i64"), ir.DenseElementsAttr.get(np.array([[3], [15]])))
    kept = make(dry.WriteRows, cache.type, cache, new, at, axis=2, tries=2).out
    outs = [tensor((5, 2, 4)), tensor((2, 4))]
    steps = make(dry.Recurrent, outs, sequence, again, [], [state], cell="gru", reverse=True).outs
    return [
        normal,
        total,
        selected,
        coded.codes,
        coded.peak,
        *coded.zero,
        parts.peak,
        parts.rest,
        *stats,
        *steps,
        kept,
    ]


def arrays() -> dict[str, np.ndarray]:
    """The weights, in storage form."""
    random = np.random.default_rng(1)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32)

    parts = encode(normal(6, 8), LINEAR)
    return {
        "conv": encode(normal(6, 4, 3, 3), KERNEL)["codes"],
        "linear": parts["codes"],
        "linear.scale": parts["scale"],
        "linear.zero_point": parts["zero_point"],
        "bias": normal(6),
        "hidden": normal(12, 4),
    }


def every_op() -> Program:
    """The program."""
    return program(types, body, arrays())


def inputs() -> list[np.ndarray]:
    """Arguments of its @main."""
    random = np.random.default_rng(2)
    shapes = [(3, 4, 6, 6), (5, 2, 12), (2, 4)]
    image, sequence, state = (random.standard_normal(shape).astype(np.float32) for shape in shapes)
    cache = encode(random.standard_normal((1, 2, 32, 4)), CACHE)["codes"]
    rows = random.standard_normal((2, 1, 2, 4)).astype(np.float32)
    return [image, random.integers(0, 6, (2, 3)), sequence, state, cache, rows]
