"""Integers only: what `compile(..., quantize=Quantize("int8", integer=True))` computes, beside f32 and, bit
for bit, beside the interpreter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import drystone
from drystone import compiler, mlir, passes
from drystone.ir.interpreter import run as interpret
from drystone.ir.program import Program
from tests.exec.families import relative_error
from tests.exec.test_quantize_convolutions import network

INTEGER = drystone.Quantize("int8", integer=True)


@dataclass
class Made:
    """A compiled model, and its program: after `check-integers`, and as it was compiled."""

    fitted: Any
    plain: Program
    whole: Program

    def check(self, *args: torch.Tensor) -> None:
        """What the compiled model computes is, bit for bit, what the interpreter does before and after
        operations are fused."""
        got = self.fitted(*args)
        arrays = [arg.numpy() for arg in args]
        for program in (self.plain, self.whole):
            for one, other in zip(as_list(got), interpret(program, arrays), strict=True):
                np.testing.assert_array_equal(np.asarray(one), other)


def as_list(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple | list) else [results]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compiles a model and keeps its program."""
    kept: list[Program] = []
    run = passes.run

    def watched(program: Program, listed: Sequence[Any], **more: Any) -> Any:
        names = [each.name for each in listed]
        if "to-integers" in names:
            copy = passes.copy_of(program)
            run(copy, listed[: names.index("check-integers") + 1])
            kept.append(copy)
        found = run(program, listed, **more)
        if "to-integers" in names:
            kept.append(passes.copy_of(program))
        return found

    monkeypatch.setattr(compiler.passes, "run", watched)

    def build(model: nn.Module, args: Any, calls: Any, *more: Any, **options: Any) -> Made:
        kept.clear()
        model = model.eval()
        fitted = drystone.compile(model, args, *more, quantize=INTEGER, calibration=calls, **options)
        plain, whole = kept
        return Made(fitted, plain, whole)

    return build


def calls_of(x: torch.Tensor) -> list[tuple[torch.Tensor]]:
    """Every image of a batch by itself."""
    return [(each[None],) for each in x]


class Residual(nn.Module):
    """Two convolutions whose sum is added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16)),
        )

    def forward(self, x: Any) -> Any:
        return torch.relu(x + self.body(x))


class Concatenated(nn.Module):
    """Parts with ranges of their own, put together."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 4, 3, 1, 1)

    def forward(self, x: Any) -> Any:
        return torch.cat([self.one(x), torch.relu(self.two(x)) * 3], 1)[:, 1:7].transpose(2, 3)


class Batched(nn.Module):
    """Products with weights of several matrices, and a weight put beside what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.row = (
            nn.Parameter(torch.randn(16, 8, 6)),
            nn.Parameter(torch.randn(1, 16, 1, 6) * 9),
        )

    def forward(self, x: Any) -> Any:
        return torch.cat([torch.relu(x) @ self.weight, self.row.expand(len(x), 16, 1, 6)], 2)


class Arithmetic(nn.Module):
    """Quotients, roots, squares, sums and comparisons."""

    def forward(self, x: Any) -> Any:
        scaled = x / (x * x).mean((2, 3), keepdim=True).sqrt()
        return torch.where(x > 0.5, scaled, -x.abs()) + x.amax((2, 3), keepdim=True) * x


LAYERS = {
    "convolution": nn.Conv2d(16, 24, 3, 1, 1),
    "strided": nn.Conv2d(16, 24, 3, 2, 1, dilation=2),
    "grouped": nn.Conv2d(16, 32, 3, 1, 1, groups=4),
    "depthwise": nn.Conv2d(16, 16, 3, 1, 1, groups=16),
    "transposed": nn.Sequential(nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU()),
    "depthwise with a zero point": nn.Sequential(nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16)),
    "pointwise with a zero point": nn.Sequential(
        nn.ReLU(), nn.Conv2d(16, 24, 1), nn.ReLU6(), nn.Conv2d(24, 8, 1)
    ),
    "hard swish": nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.Hardswish()),
    "a function in an epilogue": nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.SiLU(), nn.Conv2d(16, 8, 1)),
    "a function": nn.Tanh(),
    "residual": Residual(),
    "average": nn.AvgPool2d(3, 2, 1),
    "average of what is inside": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "average of all": nn.AdaptiveAvgPool2d(1),
    "maximum": nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(16, 8, 1)),
    "linear": nn.Sequential(nn.Flatten(), nn.Linear(16 * 80, 30), nn.ReLU(), nn.Linear(30, 10)),
    "concatenated": Concatenated(),
    "arithmetic": Arithmetic(),
    "batched": Batched(),
    "padded": nn.ZeroPad2d((1, 2, 0, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(made: Any, name: str) -> None:
    torch.manual_seed(len(name))
    model, x = LAYERS[name].eval(), torch.randn(4, 16, 10, 8)
    model(x)
    found = made(model, (x[:1],), calls_of(x))
    assert relative_error(found.fitted(x[:1]), model(x[:1]).detach()) < 0.02
    found.check(x[:1])
    found.check(3 * torch.randn(1, 16, 10, 8))


class Attention(nn.Module):
    """Attention with a mask of each kind: by position, of keys that count, none; a query that sees no key."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Any, kept: Any) -> Any:
        q, k, v = (x * n for n in (1.0, 2.0, 0.5))
        if self.kind == "grouped":
            return F.scaled_dot_product_attention(q, k[:, :2], v[:, :2], is_causal=True, enable_gqa=True)
        if self.kind == "kept":
            return F.scaled_dot_product_attention(q, k, v, attn_mask=kept[:, None, None])
        if self.kind == "added":
            added = torch.where(kept, 0.0, torch.finfo(torch.float32).min)[:, None, None]
            scores = q @ k.transpose(-1, -2) * 0.25 + added
            return scores.softmax(-1) @ v
        return F.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize("kind", ["plain", "grouped", "kept", "added"])
def test_attention(made: Any, kind: str) -> None:
    torch.manual_seed(0)
    model, x = Attention(kind), torch.randn(2, 4, 12, 16)
    kept = torch.arange(12) < torch.tensor([[9], [12]])
    found = made(model, (x, kept), [(x, kept)])
    assert relative_error(found.fitted(x, kept), model(x, kept)) < 0.025
    found.check(x, kept)
    found.check(3 * x, ~kept)


class Gated(nn.Module):
    """A gated MLP behind an RMS norm, added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.down = nn.RMSNorm(32), nn.Linear(48, 32)
        self.gate, self.up = nn.Linear(32, 48), nn.Linear(32, 48)

    def forward(self, x: Any) -> Any:
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Encoder(nn.Module):
    """Token embeddings, two layers of a transformer and the mean over the tokens that count."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, activation="gelu", batch_first=True)
        self.tokens, self.places = nn.Embedding(100, 32), nn.Parameter(torch.randn(9, 32))
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, ids: Any, kept: Any) -> Any:
        x = self.layers(self.tokens(ids) + self.places, src_key_padding_mask=~kept)
        weights = kept[..., None].to(x.dtype)
        mean = (x * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return F.normalize(mean, dim=1)


ROWS = {
    "layer norm": nn.LayerNorm(32),
    "layer norm of two dimensions": nn.LayerNorm((10, 32), elementwise_affine=False),
    "rms norm": nn.RMSNorm(32),
    "softmax": nn.Softmax(-1),
    "softmax of another dimension": nn.Softmax(1),
    "gated": Gated(),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(made: Any, name: str) -> None:
    torch.manual_seed(len(name))
    model, x = ROWS[name].eval(), torch.randn(2, 10, 32) * torch.rand(2, 10, 1)
    found = made(model, (x,), [(x,)])
    assert relative_error(found.fitted(x), model(x).detach()) < 0.01
    found.check(x)
    found.check(torch.zeros_like(x))
    found.check(1000 * x)


def test_an_encoder(made: Any) -> None:
    torch.manual_seed(0)
    model, ids = Encoder().eval(), torch.randint(0, 100, (4, 9))
    kept = torch.arange(9) < torch.tensor([[9], [5], [7], [2]])
    found = made(model, (ids, kept), [(ids, kept)])
    wanted = model(ids, kept).detach()
    assert F.cosine_similarity(torch.as_tensor(found.fitted(ids, kept)), wanted).min() > 0.995
    found.check(ids, kept)


def test_a_network_of_all_kinds(made: Any) -> None:
    torch.manual_seed(0)
    model, images = network(), torch.randn(6, 3, 40, 40)
    found = made(model, (images[:1],), calls_of(images[1:]))
    assert relative_error(found.fitted(images[:1]), model(images[:1]).detach()) < 0.05
    found.check(images[:1])
    kinds = set(element_types(found.whole))
    assert not {kind for kind in kinds if kind.startswith("f")} - {"f32"}


@pytest.mark.parametrize("target", ["cpu:avx2", "cpu:avx512"])
def test_every_target_computes_the_same(made: Any, target: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), Residual(), nn.MaxPool2d(2), nn.Flatten())
    x = torch.randn(3, 3, 20, 20)
    made(model, (x[:1],), calls_of(x), target).check(x[:1])


def test_batches_of_any_number(made: Any) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.randn(4, 16, 8, 8)
    batch = torch.export.Dim("batch", min=1, max=8)
    found = made(model, (x,), [(x,)], dynamic_shapes=({0: batch},))
    assert relative_error(found.fitted(x[:3]), model(x[:3]).detach()) < 0.03
    found.check(x[:3])


def test_numbers_beyond_what_was_seen_are_the_ends(made: Any) -> None:
    model, x = nn.ReLU(), torch.linspace(-1, 1, 8)[None]
    found = made(model, (x,), [(x,)])
    given = torch.tensor([[float("nan"), float("inf"), -float("inf"), 5.0, -5.0, 0.0, 0.5, 1e-9]])
    wanted = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.0]
    np.testing.assert_allclose(found.fitted(given)[0], wanted, atol=1e-4)


@pytest.mark.slow
def test_digits_are_told_apart_as_well(made: Any) -> None:
    from benchmarks.quality.digits import data, trained

    model, (seen, _, held, classes) = trained(0), data()
    batch = torch.export.Dim("batch", min=1, max=1024)
    found = made(model, (held,), [(seen[:64],)], dynamic_shapes=({0: batch},))
    right = [
        float((torch.as_tensor(each(held)).argmax(1) == classes).float().mean())
        for each in (model, found.fitted)
    ]
    assert right[0] > 0.97
    assert right[1] > right[0] - 0.01
    found.check(held[:20])


def element_types(program: Program) -> list[str]:
    """The elements of all tensors that a program's operations make."""
    return [
        str(value.type.element_type)
        for op in mlir.walk(program.module)
        for value in op.operation.results
        if hasattr(value.type, "element_type")
    ]


@pytest.mark.parametrize(
    ("model", "x", "text"),
    [
        (nn.LSTM(8, 8), torch.randn(3, 1, 8), "dry.recurrent is an operation"),
        (nn.ConvTranspose2d(8, 8, 3, groups=2), torch.randn(1, 8, 6, 6), "transposed convolution"),
    ],
)
def test_what_has_no_integer_form_is_refused_with_its_place(model: Any, x: Any, text: str) -> None:
    with pytest.raises(drystone.UserError, match=text) as found:
        drystone.compile(model.eval(), (x,), quantize=INTEGER, calibration=[(x,)])
    assert "integers only" in str(found.value) and ".py:" in str(found.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"quantize": INTEGER}, "calibration="),
        ({"quantize": {".*": INTEGER}, "calibration": [(torch.randn(1, 8),)]}, "whole model"),
        ({"quantize": drystone.Quantize("w4", integer=True), "calibration": [(torch.randn(1, 8),)]}, "bytes"),
        ({"quantize": INTEGER, "calibration": [(torch.randn(1, 8),)], "caches": "int8"}, "caches="),
        ({"quantize": INTEGER, "calibration": []}, "no calls"),
    ],
)
def test_what_is_asked_for_wrongly(options: Any, text: str) -> None:
    with pytest.raises(drystone.UserError, match=text):
        drystone.compile(nn.Linear(8, 8).eval(), (torch.randn(1, 8),), **options)
