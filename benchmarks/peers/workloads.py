"""What is measured: models, inputs, useful work, and the ratio to the best peer that is wanted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.models import Decoder, build, inputs

Inputs = tuple[Tensor, ...]
SIZES = {"fp32": 4, "bf16": 2, "int8": 1}  # bytes of an element in each arithmetic
IMAGES = 8  # on which int8 models are calibrated, and as many others by which they are judged
BEYOND_CACHES = 2**30  # a working set of this many bytes is in no cache


@dataclass(frozen=True)
class Built:
    """A model in eval mode and inputs for its calls, taken in turn.

    flops: of one call; None where torch's counter sees all of them. read: bytes of weights and keys that one
    call must read. working_set: bytes that the calls read in turn before they come to the same ones again.
    products: how many independent products of the label's size one call does. caches: the buffers that the
    model changes, with what they hold before the first call; its inputs are then the steps of a generation.
    calibration: the calls on which peers see how large the numbers get of a float model that they are to
    quantize; none where the model is computed as it is.
    """

    model: nn.Module
    inputs: tuple[Inputs, ...]
    flops: float | None = None
    read: float = 0.0
    working_set: float = 0.0
    products: int = 1
    caches: Mapping[str, Tensor] = field(default_factory=dict)
    calibration: tuple[Inputs, ...] = ()

    def rewind(self) -> None:
        """Let the model's buffers be as they are before the first call."""
        for name, held in self.caches.items():
            self.model.get_buffer(name).copy_(held)


@dataclass(frozen=True)
class Target:
    """The largest ratio to the best peer's time, and the least share of the measured peak."""

    ratio: float
    share: float | None = None


@dataclass(frozen=True)
class Workload:
    """label: what it is, for people. make: of an arithmetic ("fp32", "bf16", "int8"). wanted: by arithmetic.

    bound: "compute", judged by its operations, or "memory", by the bytes it reads. exact: whether the error
    is against float64 (True) or float32 (False), for models too large to hold in float64. further: peers that
    compute nothing but this.
    """

    label: str
    make: Callable[[str], Built]
    wanted: Mapping[str, Target | None] = field(default_factory=dict)
    bound: str = "compute"
    exact: bool = True
    further: tuple[str, ...] = ()


class IntegerProduct(nn.Module):
    """int8 [m, k] times a constant int8 [k, n], in int32."""

    def __init__(self, k: int, n: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randint(-128, 128, (k, n), dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        return torch._int_mm(x, self.weight)


class Products(nn.Module):
    """Independent linear layers, one for each input: what reads every weight once and none twice."""

    def __init__(self, k: int, n: int, count: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(k, n, bias=False) for _ in range(count))

    def forward(self, *rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(layer(row) for layer, row in zip(self.layers, rows, strict=True))


class Attention(nn.Module):
    """softmax(q k^T / sqrt(d)) v of inputs [batch, heads, length, d]."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)


def _product(m: int, k: int, n: int) -> Callable[[str], Built]:
    def make(arithmetic: str) -> Built:
        if arithmetic == "int8":
            model: nn.Module = IntegerProduct(k, n)
            x = torch.randint(-128, 128, (m, k), dtype=torch.int8)
        else:
            model, x = nn.Linear(k, n, bias=False), torch.randn(m, k)
        return Built(model, ((x,),), 2.0 * m * k * n)

    return make


def _vector_product(k: int, n: int) -> Callable[[str], Built]:
    def make(arithmetic: str) -> Built:
        size = SIZES[arithmetic] * k * n
        count = BEYOND_CACHES // size + 1
        rows = tuple(torch.randn(1, k) for _ in range(count))
        return Built(Products(k, n, count), (rows,), 2.0 * k * n * count, size * count, size * count, count)

    return make


def _attention(causal: bool) -> Callable[[str], Built]:
    def make(arithmetic: str) -> Built:
        q, k, v = (torch.randn(1, 16, 4096, 64) for _ in range(3))
        return Built(Attention(causal), ((q, k, v),), 4.0 * 16 * 4096 * 4096 * 64 / (2 if causal else 1))

    return make


def _decode_attention(keys: int = 8192) -> Callable[[str], Built]:
    def make(arithmetic: str) -> Built:
        read = 2 * 16 * keys * 64 * SIZES[arithmetic]
        count = BEYOND_CACHES // read + 1
        inputs = tuple(
            (torch.randn(1, 16, 1, 64), torch.randn(1, 16, keys, 64), torch.randn(1, 16, keys, 64))
            for _ in range(count)
        )
        return Built(Attention(False), inputs, 4.0 * 16 * keys * 64, read, read * count)

    return make


def _model(name: str, batch: int = 1, flops: float | None = None) -> Callable[[str], Built]:
    def make(arithmetic: str) -> Built:
        model, first = build(name, batch)
        if arithmetic != "int8":
            return Built(model, (first,), flops)
        calls = [first, *(inputs(name, batch) for _ in range(2 * max(1, IMAGES // batch) - 1))]
        half = len(calls) // 2
        return Built(model, tuple(calls[:half]), flops, calibration=tuple(calls[half:]))

    return make


def _decoder(layers: Mapping[str, int], prompt: int, steps: int = 0) -> Callable[[str], Built]:
    """A prompt through an empty cache, or the steps after it, each with the token the one before gives."""

    def make(arithmetic: str) -> Built:
        model = Decoder(layers=layers[arithmetic], room=prompt + 32).eval()
        inputs: Inputs = (torch.randint(0, 32000, (1, prompt)), torch.arange(prompt))
        if not steps:
            return Built(model, (inputs,), caches=_caches(model))
        token = model(*inputs).argmax(-1, keepdim=True)
        caches, calls = _caches(model), []
        for at in range(prompt, prompt + steps):
            calls.append((token, torch.tensor([at])))
            token = model(*calls[-1]).argmax(-1, keepdim=True)
        weights = sum(p.numel() for p in model.parameters()) - model.embed.weight.numel()
        read = (weights + sum(held.numel() for held in caches.values())) * SIZES[arithmetic]
        return Built(model, tuple(calls), read=read, working_set=read, caches=caches)

    return make


def _caches(model: Decoder) -> dict[str, Tensor]:
    return {name: held.clone() for name, held in model.named_buffers() if name.endswith(("keys", "values"))}


def _recurrent(gates: int, layers: int = 3, width: int = 256, steps: int = 160) -> float:
    return 2.0 * steps * layers * gates * width * 2 * width


def _wanted(
    *ratios: float, shares: tuple[float | None, ...] = (None, None, None)
) -> dict[str, Target | None]:
    return {
        arithmetic: Target(ratio, share)
        for arithmetic, ratio, share in zip(SIZES, ratios, shares, strict=False)
    }


_BOTH: dict[str, Target | None] = {"fp32": None, "bf16": None}
_PRODUCT = _wanted(1.0, 0.6, 0.5, shares=(0.8, 0.5, 0.4))
_VISION = _wanted(0.85, 0.6, 0.7)

WORKLOADS = {
    "gemm_1024": Workload("product 1024 x 1024 x 1024", _product(1024, 1024, 1024), _PRODUCT),
    "gemm_128x4096": Workload("product 128 x 4096 x 4096", _product(128, 4096, 4096), _PRODUCT),
    "gemv_4096": Workload("product 1 x 4096 x 4096", _vector_product(4096, 4096), _BOTH, "memory", False),
    "gemv_11008": Workload(
        "product 1 x 4096 x 11008", _vector_product(4096, 11008), _wanted(1.0, 1.0), "memory", False
    ),
    "attention": Workload(
        "attention [1, 16, 4096, 64]", _attention(False), _wanted(0.7, 0.4), further=("flex",)
    ),
    "attention_causal": Workload("the same, causal", _attention(True), _wanted(0.7, 0.4), further=("flex",)),
    "attention_decode": Workload(
        "1 query against 8192 keys, 16 heads of 64",
        _decode_attention(),
        _wanted(0.8, 0.8),
        "memory",
        further=("flex",),
    ),
    "minilm": Workload("MiniLM-L6, 128 tokens", _model("minilm"), _wanted(0.7, 0.45, 0.45)),
    "minilm-32": Workload("the same, batch 32", _model("minilm", 32), _wanted(0.85, 0.5, 0.5)),
    "resnet50": Workload("ResNet-50", _model("resnet50"), _VISION),
    "resnet50-16": Workload("the same, batch 16", _model("resnet50", 16), _VISION),
    "mobilenet_v2": Workload("MobileNetV2", _model("mobilenet_v2"), _VISION),
    "vit_tiny": Workload("ViT-Tiny/16", _model("vit_tiny"), _wanted(0.85, 0.6)),
    "lstm": Workload(
        "LSTM 3 x 256, 160 steps",
        _model("lstm", 1, _recurrent(4)),
        {"fp32": Target(0.5), "bf16": None},
    ),
    "gru": Workload("GRU 3 x 256, 160 steps", _model("gru", 1, _recurrent(3)), _BOTH),
    "prefill": Workload(
        "4 layers of TinyLlama's widths, prompt of 512",
        _decoder({"fp32": 4, "bf16": 4}, 512),
        {"fp32": None, "bf16": Target(0.6)},
        exact=False,
    ),
    "decode": Workload(
        "layers of TinyLlama's widths (fp32 6, bf16 11), one token after 512",
        _decoder({"fp32": 6, "bf16": 11}, 512, steps=8),
        {"fp32": None, "bf16": Target(0.9, 0.85)},
        "memory",
        exact=False,
    ),
}
