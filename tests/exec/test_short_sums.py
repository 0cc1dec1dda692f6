"""Products in AVX512_FP16: sums of short runs in f16, of all runs in f32.

The unit is emulated where the machine lacks it."""

import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import drystone
from drystone import machine, targets
from tests.exec.emulator import Emulator
from tests.exec.families import relative_error

FLAGS = ("avx512_fp16",)
TARGET = replace(
    targets.resolve("cpu:zen4"),
    name="cpu:fp16",
    features=(*targets.resolve("cpu:zen4").features, "+avx512fp16"),
    required=(*targets.resolve("cpu:zen4").required, *FLAGS),
)
FP16 = drystone.Options(compute="fp16")

pytestmark = pytest.mark.skipif(
    bool(machine.missing_features(targets.resolve("cpu:zen4").required)), reason="the rest of the target"
)


@pytest.fixture(autouse=True)
def unit(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """`cpu:fp16` is a target; what the machine lacks of it is emulated."""
    monkeypatch.setattr("drystone.targets.registry.TARGETS", {"cpu:fp16": lambda: TARGET})
    return Emulator(FLAGS)


def _rounded(layer: Any, x: Any) -> Any:
    """A product of factors in f16, with exact sums."""
    factors = (x.half().double(), layer.weight.detach().half().double())
    return nn.functional.linear(*factors, layer.bias.detach().double())


@pytest.mark.parametrize(("k", "n"), [(64, 64), (512, 40), (72, 17), (24, 96), (1000, 33)])
@pytest.mark.parametrize("rows", [1, 2, 9, 31])
def test_products(unit: Emulator, rows: int, k: int, n: int) -> None:
    torch.manual_seed(rows)
    layer, x = nn.Linear(k, n).eval(), torch.randn(rows, k)
    before = unit.executed()
    fitted = drystone.compile(layer, (x,), "cpu:fp16", options=FP16)
    # Sums of up to 16 products are rounded to 11 bits, what they add up to is not.
    assert 1e-5 < relative_error(fitted.call((x,), threads=2), _rounded(layer, x)) < 1e-3
    assert not unit.needed or unit.executed() > before


@pytest.mark.parametrize("k", [71, 6])
def test_sums_that_no_runs_divide_stay_wide(k: int) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(k, 48).eval(), torch.randn(5, k)
    fitted = drystone.compile(layer, (x,), "cpu:fp16", options=FP16)
    weight, bias = layer.weight.detach().half().double(), layer.bias.detach().double()
    assert relative_error(fitted.call((x,), threads=1), nn.functional.linear(x.double(), weight, bias)) < 1e-6


def test_long_sums_are_as_exact_as_short_ones() -> None:
    torch.manual_seed(0)
    off = []
    for k in (64, 8192):
        layer, x = nn.Linear(k, 64).eval(), torch.rand(16, k)
        fitted = drystone.compile(layer, (x,), "cpu:fp16", options=FP16)
        off.append(relative_error(fitted.call((x,), threads=1), _rounded(layer, x)))
    assert off[1] < 1.5 * off[0]


def test_rows_known_at_the_call() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32)).eval()
    rows = ({0: torch.export.Dim("rows", min=1, max=80)},)
    fitted = drystone.compile(model, (torch.randn(8, 64),), "cpu:fp16", dynamic_shapes=rows, options=FP16)
    for count in (1, 3, 33):
        x = torch.randn(count, 64)
        assert relative_error(fitted.call((x,), threads=2), model(x).detach()) < 1e-2


def test_models_of_f16_take_the_unit(unit: Emulator) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 32).half().eval(), torch.randn(7, 64).half()
    before = unit.executed()
    fitted = drystone.compile(layer, (x,), "cpu:fp16")
    assert relative_error(fitted.call((x,), threads=1), _rounded(layer, x)) < 1e-3
    assert not unit.needed or unit.executed() > before


def test_the_kernel_is_full_of_multiply_adds_and_spills_nothing(tmp_path: Path) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("needs objdump")
    torch.manual_seed(0)
    layer, x = nn.Linear(768, 768).eval(), torch.randn(144, 768)
    saved = drystone.compile(layer, (x,), "cpu:fp16", options=FP16).save(tmp_path / "model.dry")
    library = tmp_path / "model.so"
    library.write_bytes(zipfile.ZipFile(saved).read("model.so"))
    text = subprocess.run(["objdump", "-d", library], check=True, capture_output=True, text=True).stdout
    lines = text.splitlines()
    products = [i for i, line in enumerate(lines) if re.search(r"vfmadd\d+ph|vmulph", line)]
    body = lines[products[0] : products[-1] + 1]
    sums = {found for i in products if (found := re.search(r"%zmm(\d+)$", lines[i].strip())) is not None}
    # 9 rows of 16 k, one register each beside two of f32.
    assert len(products) == 9 * 16
    assert len({one.group(1) for one in sums}) == 9
    assert not any("(%rsp)" in line or "(%rbp)" in line for line in body)
