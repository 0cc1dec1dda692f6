"""Every dry operation means what torch means by it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from drystone.ir import dialect as dry
from drystone.ir.encoded import with_encoding
from drystone.ir.encoding import Codes, Pack, encode
from drystone.ir.interpreter import run
from drystone.mlir import arith, ir
from tests.unit.ir_cases import make, program, row_stats, selective_scan, tensor, types_of

functional = torch.nn.functional
torch.manual_seed(0)


def execute(arrays: Sequence[np.ndarray], body: Callable[..., Sequence[Any]]) -> list[np.ndarray]:
    return run(program(lambda: types_of(arrays), body), arrays)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def close(ours: np.ndarray, theirs: torch.Tensor) -> None:
    assert ours.dtype == theirs.numpy().dtype
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


def check(what: Any, args: Sequence[torch.Tensor], expected: torch.Tensor, **attributes: Any) -> None:
    arrays = [arg.numpy() for arg in args]
    out = list(expected.shape)
    element = "i64" if expected.dtype == torch.int64 else "f64"
    (ours,) = execute(arrays, lambda *xs: [make(what, tensor(out, element), *xs, **attributes).out])
    close(ours, expected)


@pytest.mark.parametrize(
    ("a", "b", "transpose"),
    [
        ((3, 4), (4, 5), False),
        ((3, 4), (5, 4), True),
        ((2, 3, 4), (4, 5), False),
        ((2, 6, 3, 4), (2, 1, 5, 4), True),
    ],
)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...], transpose: bool) -> None:
    x, y = random(*a), random(*b)
    check(dry.MatMul, [x, y], x @ (y.mT if transpose else y), transpose_b=transpose)


def test_an_epilogue_applies_to_every_element_with_its_extras() -> None:
    a, b, bias = random(3, 4), random(4, 5), random(5)
    scale = random(1, 3)

    def body(x: Any, y: Any, shift: Any, factor: Any) -> list[Any]:
        d0, d1 = ir.AffineExpr.get_dim(0), ir.AffineExpr.get_dim(1)
        zero = ir.AffineExpr.get_constant(0)
        maps = [ir.AffineMap.get(2, 0, [d1]), ir.AffineMap.get(2, 0, [zero, d0])]
        return [
            make(
                dry.MatMul,
                tensor([3, 5], "f64"),
                x,
                y,
                extras=[shift, factor],
                extra_maps=maps,
                body=lambda e: arith.mulf(arith.addf(e[0], e[1]), e[2]),
                transpose_b=False,
            ).out
        ]

    (ours,) = execute([t.numpy() for t in (a, b, bias, scale)], body)
    close(ours, (a @ b + bias) * scale.T)


CONVOLUTIONS: list[dict[str, Any]] = [
    {"image": (2, 3, 9), "weight": (4, 3, 3)},
    {"image": (2, 4, 9, 8), "weight": (6, 2, 3, 2), "groups": 2, "stride": 2, "padding": 1},
    {"image": (1, 4, 9, 8), "weight": (8, 1, 3, 3), "groups": 4, "dilation": 2, "padding": 2},
    {"image": (1, 2, 5, 6, 7), "weight": (3, 2, 2, 3, 1), "stride": (1, 2, 3), "padding": (1, 0, 1)},
    {"image": (2, 3, 5), "weight": (3, 4, 3), "transposed": True, "stride": 2},
    {
        "image": (2, 4, 5, 4),
        "weight": (4, 3, 3, 2),
        "transposed": True,
        "groups": 2,
        "stride": 3,
        "padding": 1,
        "dilation": 2,
        "output_padding": (2, 1),
    },
    {"image": (1, 2, 3, 4, 2), "weight": (2, 2, 2, 2, 2), "transposed": True, "padding": 1},
]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: dict[str, Any], layout: str) -> None:
    x, weight = random(*case["image"]), random(*case["weight"])
    rank = x.ndim - 2
    steps = {
        name: list(value) if isinstance(value := case.get(name, default), tuple) else [value] * rank
        for name, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
    }
    transposed, groups = case.get("transposed", False), case.get("groups", 1)
    expected = torch.ops.aten.convolution(
        x, weight, None, *(steps[n] for n in ("stride", "padding", "dilation")), transposed,
        steps["output_padding"], groups,
    )  # fmt: skip
    if layout == "nhwc":
        x, expected = x.movedim(1, -1).contiguous(), expected.movedim(1, -1).contiguous()
    check(
        dry.Conv,
        [x, weight],
        expected,
        strides=steps["stride"],
        padding=[n for n in steps["padding"] for _ in range(2)],
        dilation=steps["dilation"],
        output_padding=steps["output_padding"],
        groups=groups,
        transposed=transposed,
        layout=layout,
    )


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("masking", ["none", "causal", "bool", "float"])
def test_attention(layout: str, groups: int, masking: str) -> None:
    q, k, v = random(2, 4, 5, 6), random(2, groups, 7, 6), random(2, groups, 7, 3)
    masks = {"bool": torch.rand(2, 1, 5, 7) > 0.3, "float": random(1, 4, 1, 7)}
    mask = masks.get(masking)
    expected = functional.scaled_dot_product_attention(
        q, k, v, mask, is_causal=masking == "causal", scale=0.3, enable_gqa=True
    )
    if layout == "bshd":
        q, k, v, expected = (t.transpose(1, 2).contiguous() for t in (q, k, v, expected))
    arrays = [t.numpy() for t in (q, k, v, *([] if mask is None else [mask]))]
    (ours,) = execute(
        arrays,
        lambda q, k, v, *m: [
            make(
                dry.Attention,
                tensor(expected.shape, "f64"),
                *(q, k, v),
                *(list(m), [], [], [], []),
                scale=0.3,
                causal=masking == "causal",
                sinks=0,
                tile=[],
                layout=layout,
            ).out
        ],
    )
    close(ours, expected)


SPAN = torch.tensor([[[0, 1, 2, 3, 4]], [[2, 3, 4, 7, 6]]])
BLOCKS = torch.tensor([[[True, False, True], [False, True, True]]])


@pytest.mark.parametrize("what", ["span", "sinks", "blocks"])
def test_attention_leaves_out_keys(what: str) -> None:
    q, k, v = random(1, 2, 20, 6), random(1, 2, 20, 6), random(1, 2, 20, 3)
    span, blocks = SPAN.repeat(1, 1, 4), BLOCKS
    keys = torch.arange(20)
    seen = (span[0, 0][:, None] <= keys) & (keys < span[1, 0][:, None])
    if what == "sinks":
        seen = (seen | (keys < 2)) & (keys < span[1, 0][:, None])
    if what == "blocks":
        seen = blocks[0].repeat_interleave(16, 0)[:20].repeat_interleave(8, 1)[:, :20]
    expected = functional.scaled_dot_product_attention(q, k, v, seen, scale=1.0)
    (ours,) = execute(
        [q.numpy(), k.numpy(), v.numpy(), (blocks if what == "blocks" else span).numpy()],
        lambda q, k, v, m: [
            make(
                dry.Attention,
                tensor(expected.shape, "f64"),
                *(q, k, v, []),
                *(([], [m]) if what == "blocks" else ([m], [])),
                *([], []),
                scale=1.0,
                causal=False,
                sinks=2 if what == "sinks" else 0,
                tile=[16, 8] if what == "blocks" else [],
                layout="bhsd",
            ).out
        ],
    )
    close(ours, expected)


def test_a_query_that_may_look_at_nothing_gives_zero() -> None:
    q = random(1, 1, 2, 4).numpy()
    mask = np.array([[[[False, False], [True, False]]]])
    (ours,) = execute(
        [q, q, q, mask],
        lambda q, k, v, m: [
            make(
                dry.Attention,
                tensor((1, 1, 2, 4), "f64"),
                *(q, k, v),
                *([m], [], [], [], []),
                scale=1.0,
                causal=False,
                sinks=0,
                tile=[],
                layout="bhsd",
            ).out
        ],
    )
    np.testing.assert_array_equal(ours[0, 0], [np.zeros(4), q[0, 0, 0]])


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
def test_attention_reads_bytes_by_their_peaks(layout: str) -> None:
    rng = np.random.default_rng(0)
    q, codes = rng.standard_normal((2, 3, 3, 8)), rng.integers(-127, 128, (2, 2, 3, 3, 8), np.int8)
    peaks = rng.uniform(1, 2, (2, 2, 3, 3))
    k, v = codes * peaks[..., None] / 127

    def attention(q: Any, k: Any, v: Any, *peaks: Any) -> list[Any]:
        own = [[each] for each in peaks] or [[], []]
        made = make(
            dry.Attention,
            tensor((2, 3, 3, 8), "f64"),
            *(q, k, v, [], [], [], *own),
            scale=0.3,
            causal=False,
            sinks=0,
            tile=[],
            layout=layout,
        )
        return [made.out]

    (ours,), (numbers,) = execute([q, *codes, *peaks], attention), execute([q, k, v], attention)
    np.testing.assert_allclose(ours, numbers, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_norm(kind: str, axes: int) -> None:
    x, gain, shift = random(3, 4, 5), random(*(4, 5)[2 - axes :]), random(*(4, 5)[2 - axes :])
    over = functional.layer_norm if kind == "layer" else functional.rms_norm
    expected = over(x, gain.shape, gain, eps=1e-3) + shift
    (ours,) = execute(
        [t.numpy() for t in (x, gain, shift)],
        lambda x, g, s: [
            make(dry.Norm, [tensor((3, 4, 5), "f64")], x, [g], [s], [], kind=kind, axes=axes, eps=1e-3).out
        ],
    )
    close(ours, expected)


@pytest.mark.parametrize("log", [False, True])
def test_softmax(log: bool) -> None:
    x = random(3, 4, 5) * 50
    check(dry.Softmax, [x], torch.log_softmax(x, 1) if log else torch.softmax(x, 1), dim=1, log=log)


def test_logsumexp() -> None:
    x = random(3, 4, 5) * 50
    x[1, :, 2] = -torch.inf

    def body(x: Any) -> list[Any]:
        kind = tensor((3, 5), "f64")
        op = make(dry.LogSumExp, kind, kind, x, dim=1)
        return [op.peak, op.rest]

    peak, rest = execute([x.numpy()], body)
    close(peak + rest, torch.logsumexp(x, 1))
    assert (peak[1, 2], rest[1, 2]) == (np.finfo(np.float64).min, -np.inf)


def test_row_stats() -> None:
    x, pick = random(3, 5) * 50, torch.tensor([4, 0, 5])
    x[1, 3] = -torch.inf
    peak, rest, place, picked, summed = execute([x.numpy(), pick.numpy()], row_stats)
    close(peak + rest, torch.logsumexp(x, 1))
    np.testing.assert_array_equal(place, x.argmax(1))
    close(picked, torch.tensor([x[0, 4], x[1, 0], 0]).double())
    close(summed, x.sum(1))


def test_embedding() -> None:
    table, indices = random(7, 4), torch.randint(0, 7, (2, 3))
    check(dry.Embedding, [table, indices], table[indices])


POOLS: list[dict[str, Any]] = [
    {"image": (2, 3, 9), "kernel": [3], "strides": [2], "pad": [1]},
    {"image": (2, 3, 9, 8), "kernel": [3, 2], "strides": [2, 1], "pad": [1, 0]},
    {"image": (2, 3, 9, 8), "kernel": [3, 3], "strides": [2, 3], "pad": [1, 1], "ceil": True},
    {"image": (1, 2, 5, 6, 7), "kernel": [2, 3, 2], "strides": [2, 2, 2], "pad": [0, 1, 1], "ceil": True},
]


def pool_attributes(case: dict[str, Any], expected: torch.Tensor) -> dict[str, Any]:
    """The attributes of dry.pool, ceil mode as more padding behind."""
    padding = []
    for d, pad in enumerate(case["pad"]):
        reach = (expected.shape[2 + d] - 1) * case["strides"][d] + case["kernel"][d]
        behind = max(reach - case["image"][2 + d] - pad, pad)
        padding += [pad, behind if case.get("ceil") else pad]
    return {"kernel": case["kernel"], "strides": case["strides"], "padding": padding}


@pytest.mark.parametrize("divisor", [0, 1, 5])
@pytest.mark.parametrize("case", POOLS)
def test_average_pooling(case: dict[str, Any], divisor: int) -> None:
    x = random(*case["image"])
    rank = x.ndim - 2
    if rank == 1 and divisor == 5:
        pytest.skip("torch has no divisor_override in one dimension")
    over = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[rank - 1]
    more = {"divisor_override": 5} if divisor == 5 else {}
    expected = over(
        x, case["kernel"], case["strides"], case["pad"], case.get("ceil", False), divisor != 0, **more
    )
    check(
        dry.Pool,
        [x],
        expected,
        kind="avg",
        **pool_attributes(case, expected),
        dilation=[1] * rank,
        divisor=divisor,
        layout="nchw",
    )


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("case", POOLS)
def test_max_pooling(case: dict[str, Any], layout: str) -> None:
    x = random(*case["image"])
    rank = x.ndim - 2
    over = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[rank - 1]
    expected = over(x, case["kernel"], case["strides"], case["pad"], ceil_mode=case.get("ceil", False))
    attributes = pool_attributes(case, expected)
    if layout == "nhwc":
        x, expected = x.movedim(1, -1).contiguous(), expected.movedim(1, -1).contiguous()
    check(dry.Pool, [x], expected, kind="max", **attributes, dilation=[1] * rank, divisor=0, layout=layout)


def test_dilated_max_pooling() -> None:
    x = random(1, 2, 9, 9)
    check(
        dry.Pool, [x], functional.max_pool2d(x, 2, 1, 1, 3),
        kind="max", kernel=[2, 2], strides=[1, 1], padding=[1] * 4, dilation=[3, 3], divisor=0, layout="nchw",
    )  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "tanh", "relu"])
def test_recurrent(cell: str, reverse: bool) -> None:
    steps, batch, width, hidden = 5, 2, 3, 4
    layers: dict[str, Any] = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    options = {} if cell in layers else {"nonlinearity": cell}
    layer = layers.get(cell, torch.nn.RNN)(width, hidden, dtype=torch.float64, **options)
    x = random(steps, batch, width)
    states = [random(batch, hidden) for _ in range(2 if cell == "lstm" else 1)]
    given = tuple(s[None] for s in states)
    with torch.no_grad():
        every, last = layer(x.flip(0) if reverse else x, given if cell == "lstm" else given[0])
        projected = functional.linear(x, layer.weight_ih_l0, layer.bias_ih_l0)
    expected = [every.flip(0) if reverse else every, *(s[0] for s in (last if cell == "lstm" else [last]))]
    operands = [projected, layer.weight_hh_l0.detach(), layer.bias_hh_l0.detach(), *states]
    kinds = [tuple(t.shape) for t in expected]
    ours = execute(
        [t.numpy() for t in operands],
        lambda p, w, b, *s: (
            make(
                dry.Recurrent,
                [tensor(k, "f64") for k in kinds],
                p,
                w,
                [b],
                list(s),
                cell=cell,
                reverse=reverse,
            ).outs
        ),
    )
    for mine, theirs in zip(ours, expected, strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("kind", ["sum", "prod"])
def test_scan(kind: str) -> None:
    x, whole = random(3, 4, 2), torch.arange(1, 9)
    over = torch.cumsum if kind == "sum" else torch.cumprod
    check(dry.Scan, [x], over(x, 1), dim=1, kind=kind)
    check(dry.Scan, [whole], over(whole, 0), dim=0, kind=kind)


@pytest.mark.parametrize("dim", [0, 1])
def test_linear_scan(dim: int) -> None:
    x, factor = random(4, 4, 2), random(4, 4, 2)
    state, states = torch.zeros(4, 2), []
    for t in range(4):
        state = factor.select(dim, t) * state + x.select(dim, t)
        states.append(state)
    check(dry.LinearScan, [x, factor], torch.stack(states, dim), dim=dim)


@pytest.mark.parametrize("summed", [True, False])
def test_selective_scan(summed: bool) -> None:
    factor, x = random(2, 5, 3), random(4, 5)
    state, states = torch.zeros(2, 4, 3), []
    for t in range(5):
        state = factor[:, t, None] * state + x[:, t, None]
        states.append(state)
    h = torch.stack(states, 2)
    expected = (h * (factor[:, None] + x[..., None])).sum(-1) if summed else h
    reads = [(0, 2, 3), (1, 2)]
    (ours,) = execute(
        [factor.numpy(), x.numpy()],
        lambda *xs: [selective_scan(xs, reads, 2, tensor(list(expected.shape), "f64"), summed=summed)],
    )
    close(ours, expected)


def test_a_weight_is_decoded() -> None:
    array = np.arange(30, dtype=np.float32).reshape(6, 5)
    encoding = Codes("f32", None, Pack((0,), (4,)))
    stored = encode(array, encoding)["codes"]
    held = program(
        list,
        lambda: [make(dry.Weight, with_encoding(tensor((6, 5)), encoding), key="w").out],
        {"w": stored},
    )
    (ours,) = run(held, [])
    np.testing.assert_array_equal(ours, array)


def test_single_precision_is_rounded_once() -> None:
    x = np.random.default_rng(0).standard_normal((4, 300)).astype(np.float32)
    (ours,) = execute([x, x], lambda a, b: [make(dry.MatMul, tensor((4, 4)), a, b, transpose_b=True).out])
    np.testing.assert_array_equal(ours, (x.astype(np.float64) @ x.astype(np.float64).T).astype(np.float32))
