"""Products in tile registers, on machines that have them and, emulated, on those that have not."""

from dataclasses import replace
from math import gcd
from typing import Any

import pytest
import torch
from torch import nn

import drystone
import drystone.ops
from drystone import machine, targets
from drystone.codegen.families.matmul.schedule import Product, default, schedule
from tests.exec.emulator import Emulator
from tests.exec.families import relative_error

FLAGS = ("amx_tile", "amx_int8", "amx_bf16")
TARGET = replace(
    targets.resolve("cpu:zen4"),
    name="cpu:tiles",
    # LLVM's tuning for zen4 renames registers late: tile registers too, which are not all of one shape.
    llvm_cpu="sapphirerapids",
    features=(
        *targets.resolve("cpu:zen4").features,
        *("-avxvnni", "-avx512fp16", "+amx-tile", "+amx-int8", "+amx-bf16"),
    ),
    required=(*targets.resolve("cpu:zen4").required, *FLAGS),
)

pytestmark = pytest.mark.skipif(
    bool(machine.missing_features(targets.resolve("cpu:avx512").required))
    or bool(machine.missing_features(("avx512_bf16", "avx512_vnni"))),
    reason="few rows are computed by AVX512_BF16 and AVX512_VNNI",
)


@pytest.fixture(autouse=True)
def tiles(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """`cpu:tiles` is a target; what the machine lacks of it is emulated."""
    known: dict[str, Any] = {"cpu:tiles": lambda: TARGET, "cpu:zen4": lambda: targets.cpu.NAMED[2]}
    monkeypatch.setattr("drystone.targets.registry.TARGETS", known)
    return Emulator(FLAGS)


@pytest.mark.parametrize(("k", "n"), [(64, 64), (96, 40), (24, 16), (40, 64), (136, 32), (6, 32)])
@pytest.mark.parametrize("rows", [(1, 4), (5,), (16, 17, 32, 45, 70)])
def test_bf16_products(tiles: Emulator, rows: tuple[int, ...], k: int, n: int) -> None:
    torch.manual_seed(k)
    layer, given = nn.Linear(k, n).eval(), tuple(torch.randn(count, k) for count in rows)

    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, *x: Any) -> Any:
            return [nn.functional.gelu(self.layer(each)) for each in x]

    before = tiles.executed()
    fitted = drystone.compile(Products(), given, "cpu:tiles", options=drystone.Options(compute="bf16"))
    weight, bias = layer.weight.bfloat16().double(), layer.bias.double()
    for x, got in zip(given, fitted.call(given, threads=1), strict=True):
        wanted = nn.functional.linear(x.bfloat16().double(), weight, bias)
        assert relative_error(got, nn.functional.gelu(wanted)) < 1e-5
    used = not tiles.needed or tiles.executed() > before
    assert used == (not tiles.needed or (rows[0] > 4 and k > 6))


class Apart(nn.Module):
    """Several products of the same rows."""

    def __init__(self, k: int, *columns: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(k, n) for n in columns)

    def forward(self, x: Any) -> Any:
        return [nn.functional.gelu(layer(x)) for layer in self.layers]


@pytest.mark.parametrize("columns", [(256,), (300,), (192, 128)])
@pytest.mark.parametrize("rows", [192, 205])
def test_tiles_of_rows_go_through_several_panels(
    tiles: Emulator, rows: int, columns: tuple[int, ...]
) -> None:
    torch.manual_seed(rows)
    k, target = 72, replace(TARGET, threads=2)
    unit = target.dot("bf16", "bf16", tiles=True)
    shared = gcd(*columns) if len(columns) > 1 else 0
    product = Product(rows, sum(columns), k, 32, 32, 2, unit, shared=shared)
    assert schedule(product, default(product, target), target).wide > 32
    model, x = Apart(k, *columns).eval(), torch.randn(rows, k)
    fitted = drystone.compile(model, (x,), "cpu:tiles", options=drystone.Options(compute="bf16"))
    for got, layer in zip(fitted.call((x,), threads=2), model.layers, strict=True):
        rounded = nn.functional.linear(
            x.bfloat16().double(), layer.weight.bfloat16().double(), layer.bias.double()
        )
        assert relative_error(got, nn.functional.gelu(rounded)) < 1e-5


@pytest.mark.parametrize(("rows", "k", "n"), [(77, 1600, 96), (300, 4096, 32), (70, 1608, 40)])
def test_long_sums_are_made_part_by_part(tiles: Emulator, rows: int, k: int, n: int) -> None:
    torch.manual_seed(rows)
    model, x = nn.Linear(k, n).eval(), torch.randn(rows, k)
    fitted = drystone.compile(model, (x,), "cpu:tiles", options=drystone.Options(compute="bf16"))
    rounded = nn.functional.linear(
        x.bfloat16().double(), model.weight.bfloat16().double(), model.bias.double()
    )
    assert relative_error(fitted.call((x,), threads=2), rounded) < 1e-5


def test_only_code_with_tile_registers_needs_them() -> None:
    model, x = nn.Linear(64, 64).eval(), torch.randn(20, 64)
    for compute in ("f32", "bf16"):
        fitted = drystone.compile(model, (x,), "cpu:tiles", options=drystone.Options(compute=compute))
        assert ("amx_tile" in fitted.manifest.required) == (compute == "bf16")


def test_rows_known_at_the_call(tiles: Emulator) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32)).eval()
    rows = torch.export.Dim("rows", min=1, max=80)
    fitted = drystone.compile(
        model,
        (torch.randn(8, 64),),
        "cpu:tiles",
        dynamic_shapes=({0: rows},),
        options=drystone.Options(compute="bf16"),
    )
    for count in (1, 3, 5, 16, 31, 33, 80):
        x = torch.randn(count, 64)
        assert relative_error(fitted.call((x,), threads=2), model(x).detach()) < 1e-2


@pytest.mark.parametrize("k", [1600, 1608])
def test_long_sums_of_rows_known_at_the_call(tiles: Emulator, k: int) -> None:
    torch.manual_seed(0)
    model, rows = nn.Linear(k, 40).eval(), torch.export.Dim("rows", min=1, max=99)
    options, x = drystone.Options(compute="bf16"), torch.randn(8, k)
    fitted = drystone.compile(model, (x,), "cpu:tiles", dynamic_shapes=({0: rows},), options=options)
    for count in (1, 4, 31, 33, 77):
        x, before = torch.randn(count, k), tiles.executed()
        rounded = (x.bfloat16().double(), model.weight.bfloat16().double(), model.bias.double())
        assert relative_error(fitted.call((x,), threads=2), nn.functional.linear(*rounded)) < 1e-5
        assert not tiles.needed or count <= 4 or tiles.executed() > before + 100


def _rounded(layer: Any, x: Any) -> Any:
    """A convolution of operands in bf16, with exact sums."""
    exact = type(layer)(*(getattr(layer, name) for name in ("in_channels", "out_channels", "kernel_size")))
    exact.stride, exact.padding, exact.dilation = layer.stride, layer.padding, layer.dilation
    exact.weight = nn.Parameter(layer.weight.bfloat16().double())
    exact.bias = nn.Parameter(layer.bias.double())
    return exact(x.bfloat16().double()).relu().detach()


CONVOLUTIONS: dict[str, tuple[nn.Module, tuple[int, ...], bool]] = {
    "pointwise": (nn.Conv2d(64, 48, 1), (2, 64, 7, 9), True),
    "pointwise of few pixels": (nn.Conv2d(32, 64, 1), (1, 32, 2, 2), False),
    "pointwise of 37 pixels": (nn.Conv1d(96, 40, 1), (1, 96, 37), True),
    "pointwise along many lines": (nn.Conv2d(32, 32, 1), (3, 32, 30, 33), True),
    "pointwise of apart pixels": (nn.Conv2d(2048, 32, 1), (1, 2048, 7, 7), True),
    "pointwise with a stride": (nn.Conv2d(64, 64, 1, stride=2), (2, 64, 15, 22), True),
    "pointwise of 40 channels": (nn.Conv2d(40, 64, 1), (1, 40, 8, 8), True),
    "pointwise of 50 channels": (nn.Conv2d(50, 33, 1), (2, 50, 5, 7), True),
    "pointwise of 6 channels": (nn.Conv2d(6, 32, 1), (1, 6, 9, 9), False),
    "3x3 of 24 channels": (nn.Conv2d(24, 48, 3, padding=1), (2, 24, 9, 14), True),
    "3x3 of 70 channels": (nn.Conv2d(70, 48, 3, padding=1, stride=2), (1, 70, 9, 41), True),
    "3x3": (nn.Conv2d(64, 64, 3, padding=1), (2, 64, 9, 14), True),
    "3x3 along 41": (nn.Conv2d(32, 96, 3, padding=1), (1, 32, 6, 41), True),
    "3x3 inside": (nn.Conv2d(32, 16, 3), (1, 32, 9, 37), True),
    "3x3 with a stride": (nn.Conv2d(32, 64, 3, stride=2, padding=1), (2, 32, 17, 24), True),
    "5x3 far apart": (nn.Conv2d(32, 40, (5, 3), padding=(4, 2), dilation=2), (1, 32, 11, 20), True),
    "even taps": (nn.Conv2d(32, 32, 2, padding=1, stride=3), (1, 32, 20, 19), True),
    "3 along a line": (nn.Conv1d(64, 32, 3), (2, 64, 50), True),
    "3 along a padded line": (nn.Conv1d(64, 32, 3, padding=1), (2, 64, 50), False),
    "3x3 with two strides": (nn.Conv2d(32, 40, 3, stride=(2, 3), padding=(2, 0)), (3, 32, 23, 31), True),
    "3x3 of short lines": (nn.Conv2d(64, 96, 3, padding=1), (2, 64, 30, 7), True),
    "7x7 of 3 channels": (nn.Conv2d(3, 64, 7, stride=2, padding=3), (2, 3, 61, 70), True),
    "5x5 of 3 channels": (nn.Conv2d(3, 33, 5, padding=2), (3, 3, 12, 19), True),
    "7x3 of 4 channels": (nn.Conv2d(4, 32, (7, 3), stride=3), (1, 4, 24, 25), True),
    "8x8 of 2 channels": (nn.Conv2d(2, 16, 8, stride=4), (1, 2, 32, 40), True),
    "3x3 with many channels": (nn.Conv2d(1024, 32, 3, padding=1), (1, 1024, 5, 16), True),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(tiles: Emulator, name: str) -> None:
    torch.manual_seed(0)
    layer, shape, in_tiles = CONVOLUTIONS[name]
    x, before = torch.randn(shape), tiles.executed()
    model = nn.Sequential(layer, nn.ReLU()).eval()
    fitted = drystone.compile(model, (x,), "cpu:tiles", options=drystone.Options(compute="bf16"))
    assert relative_error(fitted.call((x,), threads=2), _rounded(layer, x)) < 1e-5
    assert not tiles.needed or (tiles.executed() > before) == in_tiles


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 32, 9, padding=4),
        nn.Conv2d(3, 32, 5, dilation=2),
        nn.Conv2d(5, 32, 5),
        nn.Conv2d(3, 32, 3),
    ],
)
def test_images_whose_taps_are_not_unfolded_stay_in_f32(tiles: Emulator, layer: nn.Conv2d) -> None:
    x, before = torch.randn(1, layer.in_channels, 20, 20), tiles.executed()
    fitted = drystone.compile(layer.eval(), (x,), "cpu:tiles", options=drystone.Options(compute="bf16"))
    assert relative_error(fitted.call((x,), threads=2), layer(x).detach()) < 1e-5
    assert not tiles.needed or tiles.executed() == before


def test_images_known_at_the_call(tiles: Emulator) -> None:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 32, 5, stride=2, padding=2), nn.Conv2d(32, 64, 3, padding=1)
    model, batch = nn.Sequential(first, nn.ReLU(), second).eval(), torch.export.Dim("batch", min=1, max=5)
    options, x = drystone.Options(compute="bf16"), torch.randn(2, 3, 17, 22)
    fitted = drystone.compile(model, (x,), "cpu:tiles", dynamic_shapes=({0: batch},), options=options)
    for count in (1, 4):
        x = torch.randn(count, 3, 17, 22)
        between = _rounded(first, x)
        want = _rounded(second, between)
        assert relative_error(fitted.call((x,), threads=2).relu(), want) < 1e-3


@pytest.mark.parametrize("size", [3, 12])
def test_pointwise_pixels_known_at_the_call(tiles: Emulator, size: int) -> None:
    torch.manual_seed(0)
    layer, batch = nn.Conv2d(64, 32, 1), torch.export.Dim("batch", min=1, max=9)
    model = nn.Sequential(layer, nn.ReLU()).eval()
    options = drystone.Options(compute="bf16")
    x = torch.randn(2, 64, 5, size)
    fitted = drystone.compile(model, (x,), "cpu:tiles", dynamic_shapes=({0: batch},), options=options)
    for count in (1, 3, 7):
        x = torch.randn(count, 64, 5, size)
        assert relative_error(fitted.call((x,), threads=2), _rounded(layer, x)) < 1e-5


@pytest.mark.parametrize("kind", ["plain", "causal", "mask", "row mask"])
@pytest.mark.parametrize(
    ("queries", "keys", "depth"),
    [(64, 96, 64), (288, 512, 32), (96, 160, 80), (197, 197, 64), (70, 5, 32), (64, 263, 48)],
)
def test_attention(tiles: Emulator, kind: str, queries: int, keys: int, depth: int) -> None:
    torch.manual_seed(0)
    keys = queries if kind == "causal" else keys

    class Attention(nn.Module):
        def forward(self, q: Any, k: Any, v: Any, *mask: Any) -> Any:
            given = mask[0] if mask else None
            return nn.functional.scaled_dot_product_attention(q, k, v, given, is_causal=kind == "causal")

    given = [torch.randn(2, 3, n, depth) for n in (queries, keys, keys)]
    shape = {"mask": (2, 1, queries, keys), "row mask": (1, 1, 1, keys)}.get(kind)
    given += [] if shape is None else [torch.randn(shape)]
    before, options = tiles.executed(), drystone.Options(compute="bf16")
    fitted = drystone.compile(Attention().eval(), tuple(given), "cpu:tiles", options=options)
    got, want = fitted.call(tuple(given), threads=2), Attention()(*(tensor.double() for tensor in given))
    assert relative_error(got, want) < 5e-3
    assert not tiles.needed or tiles.executed() > before


def _climbing(q: Any, k: Any, _: Any) -> None:
    """Scores that grow from key to key, far beyond those before."""
    q[..., 0], k[..., 0] = 8.0, torch.linspace(-200, 200, k.shape[2])


def _huge(q: Any, k: Any, v: Any) -> None:
    """Values whose sums f32 just holds, and a key far above the first ones."""
    v *= 1e33
    k[:, :, 70] *= 9


def _hopeless(q: Any, k: Any, _: Any) -> None:
    """First keys whose weights vanish beside the later ones."""
    q[..., 1], k[..., 1] = 9.0, 0.0
    k[:, :, :64, 1] = -300.0


@pytest.mark.parametrize("change", [_climbing, _huge, _hopeless])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_to_keys_unlike_the_first_ones(tiles: Emulator, change: Any, causal: bool) -> None:
    torch.manual_seed(0)

    class Attention(nn.Module):
        def forward(self, q: Any, k: Any, v: Any) -> Any:
            return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    given = tuple(torch.randn(1, 2, 416, 32) for _ in range(3))
    change(*given)
    given = tuple(tensor.bfloat16().float() for tensor in given)
    fitted = drystone.compile(
        Attention().eval(), given, "cpu:tiles", options=drystone.Options(compute="bf16")
    )
    got, want = fitted.call(given, threads=2), Attention()(*(tensor.double() for tensor in given))
    assert relative_error(got, want) < 1e-2


@pytest.mark.parametrize("first", [32, 40, 100])
def test_attention_where_the_first_keys_are_not_seen(tiles: Emulator, first: int) -> None:
    torch.manual_seed(0)

    class Attention(nn.Module):
        def forward(self, q: Any, k: Any, v: Any, mask: Any) -> Any:
            return nn.functional.scaled_dot_product_attention(q, k, v, mask)

    given = [torch.randn(1, 2, 160, 32) for _ in range(3)]
    mask = torch.ones(160, 160, dtype=torch.bool)
    mask[:, :first] = False
    mask[7, 3], mask[9, 159] = True, False
    fitted = drystone.compile(
        Attention().eval(), (*given, mask), "cpu:tiles", options=drystone.Options(compute="bf16")
    )
    got = fitted.call((*given, mask), threads=2)
    assert relative_error(got, Attention()(*(tensor.double() for tensor in given), mask)) < 5e-3


LIMITS: dict[str, dict[str, Any]] = {
    "window": {"causal": True, "window": 40},
    "window with sinks": {"causal": True, "window": 40, "sinks": 4},
    "window with many sinks": {"causal": True, "window": 17, "sinks": 40},
    "lengths": {"lengths": torch.tensor([70, 128])},
    "lengths and a window over 115 keys": {"keys": 115, "lengths": torch.tensor([3, 115]), "window": 30},
    "window with sinks over 115 keys": {"keys": 115, "causal": True, "window": 40, "sinks": 4},
    "blocks": {"blocks": torch.tensor([[[1, 0], [0, 1]]], dtype=torch.bool), "tile": (64, 64)},
}


@pytest.mark.parametrize("name", LIMITS)
def test_attention_with_limits(tiles: Emulator, name: str) -> None:
    torch.manual_seed(0)
    limits = {name: value for name, value in LIMITS[name].items() if name != "keys"}
    keys = LIMITS[name].get("keys", 128)

    class Attention(nn.Module):
        def forward(self, q: Any, k: Any, v: Any) -> Any:
            return drystone.ops.attention(q, k, v, **limits)

    given = tuple(torch.randn(2, 3, keys, 48) for _ in range(3))
    before, options = tiles.executed(), drystone.Options(compute="bf16")
    fitted = drystone.compile(Attention().eval(), given, "cpu:tiles", options=options)
    got, want = fitted.call(given, threads=2), Attention()(*(tensor.double() for tensor in given))
    assert relative_error(got, want) < 5e-3
    assert not tiles.needed or tiles.executed() > before + 100


class Bytes(nn.Module):
    """Products of signed bytes with the same matrix, summed as i32."""

    def __init__(self, k: int, n: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randint(-128, 128, (n, k), dtype=torch.int8))

    def forward(self, *x: Any) -> Any:
        return [torch._int_mm(each, self.weight.t()) for each in x]


@pytest.mark.parametrize("target", ["cpu:tiles", "cpu:zen4"])
@pytest.mark.parametrize(("k", "n"), [(64, 64), (192, 40), (72, 32), (136, 48), (40, 2072)])
def test_products_of_bytes_are_exact(target: str, k: int, n: int) -> None:
    torch.manual_seed(k)
    model = Bytes(k, n).eval()
    given = [torch.randint(-128, 128, (rows, k), dtype=torch.int8) for rows in (17, 32, 45)]
    wanted = [x.to(torch.int64) @ model.weight.to(torch.int64).t() for x in given]
    fitted = drystone.compile(model, tuple(given), target)
    for got, want in zip(fitted.call(tuple(given), threads=2), wanted, strict=True):
        assert torch.equal(got.to(torch.int64), want)
    shapes = (({0: torch.export.Dim("m", min=17, max=99)},),)
    few = drystone.compile(model, (given[0],), target, dynamic_shapes=shapes)
    for x, want in zip(given, wanted, strict=True):
        assert torch.equal(few(x)[0].to(torch.int64), want)


class Gated(nn.Module):
    """A product that the epilogue of another one reads."""

    def __init__(self, k: int, n: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(k, n), nn.Linear(k, n)

    def forward(self, x: Any) -> Any:
        return nn.functional.silu(self.gate(x)) * self.up(x)


@pytest.mark.parametrize("rows", [None, 32, 45])
def test_products_beside_each_other(tiles: Emulator, rows: int | None) -> None:
    torch.manual_seed(0)
    model = Gated(64, 96).eval()
    shapes = ({0: torch.export.Dim("rows", min=1, max=80)},) if rows is None else None
    x = torch.randn(rows or 8, 64)
    options = drystone.Options(compute="bf16")
    fitted = drystone.compile(model, (x,), "cpu:tiles", dynamic_shapes=shapes, options=options)
    assert [call.kind for call in fitted.manifest.kernels] == ["map", "matmul"]
    for count in (1, 3, 17, 70) if rows is None else (rows,):
        x, before = torch.randn(count, 64), tiles.executed()
        assert relative_error(fitted.call((x,), threads=1), model(x).detach()) < 1e-2
        assert not tiles.needed or count <= 4 or tiles.executed() > before
