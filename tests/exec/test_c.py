"""C that targets print: scalar operations against their meaning, and a whole target, the one of the tutorial,
against the model and the target `cpu`."""

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import selftest
from drystone.codegen import c
from drystone.ir import scalars
from drystone.ir.elements import numpy_dtype, to_element, widen
from drystone.runtime import link
from drystone.runtime.embed import embed
from tests.exec.scratchpad import scratchpad

RNG = np.random.default_rng(0)
FLAGS = ("-O1", "-std=c11", "-fwrapv", "-ffp-contract=off", "-fPIC", "-shared", "-w")
COUNT = 64

_FLOAT_BINARY = ("addf", "subf", "mulf", "divf", "remf", "maximumf", "minimumf", "maxnumf", "minnumf")
_MATH = (
    *("absf", "atan", "cbrt", "ceil", "cos", "erf", "erfc", "exp", "exp2", "expm1", "floor", "log", "log1p"),
    *("log2", "rsqrt", "round", "roundeven", "sin", "sinh", "sqrt", "tan", "tanh", "trunc"),
)
_INTEGER_BINARY = (
    *("addi", "subi", "muli", "divsi", "floordivsi", "ceildivsi", "remsi", "andi", "ori", "xori", "maxsi"),
    *("minsi", "divui", "ceildivui", "remui", "maxui", "minui"),
)
_INTEGERS = ("i8", "i16", "i32", "i64")
_FLOATS = ("f16", "bf16", "f32", "f64")
_ORDERS = ("eq", "gt", "ge", "lt", "le", "ne")

#: Operation, elements of its arguments, element of its result, attributes.
Case = tuple[str, tuple[str, ...], str, dict[str, str]]
CASES: list[Case] = [
    *((f"arith.{op}", (e, e), e, {}) for op in _FLOAT_BINARY for e in _FLOATS),
    *((f"math.{op}", (e,), e, {}) for op in _MATH for e in ("f32", "bf16")),
    *((f"math.{op}", ("f32",), "i1", {}) for op in ("isnan", "isinf", "isfinite")),
    *((f"math.{op}", ("f32", "f32"), "f32", {}) for op in ("powf", "atan2", "copysign")),
    *((f"arith.{op}", (e, e), e, {}) for op in _INTEGER_BINARY for e in _INTEGERS),
    *((f"math.{op}", (e,), e, {}) for op in ("absi", "ctpop", "ctlz", "cttz") for e in ("i8", "i32", "i64")),
    *(("arith.cmpf", ("f32", "f32"), "i1", {"predicate": s + p}) for s in "ou" for p in _ORDERS),
    *(("arith.cmpf", ("bf16", "bf16"), "i1", {"predicate": p}) for p in ("ord", "uno")),
    *(("arith.cmpi", ("i8", "i8"), "i1", {"predicate": s + p}) for s in "su" for p in _ORDERS[1:-1]),
    *(("arith.cmpi", ("i64", "i64"), "i1", {"predicate": p}) for p in ("eq", "ne")),
    *(("arith.select", ("i1", e, e), e, {}) for e in ("f32", "i64", "bf16")),
    *(("arith.extsi", (e,), "i64", {}) for e in ("i1", "i8", "i32")),
    *(("arith.extui", (e,), "i64", {}) for e in ("i1", "i8", "i32")),
    *(("arith.trunci", ("i64",), e, {}) for e in ("i1", "i8", "i16")),
    *((f"arith.{op}", ("i32",), e, {}) for op in ("sitofp", "uitofp") for e in ("f32", "f16", "f64")),
    ("arith.sitofp", ("i1",), "f32", {}),
    ("arith.fptosi", ("f32",), "i32", {}),
    ("arith.fptosi", ("bf16",), "i8", {}),
    *(("arith.extf", (e,), "f32", {}) for e in ("f16", "bf16")),
    *(("arith.truncf", ("f32",), e, {}) for e in ("f16", "bf16")),
    ("arith.truncf", ("f64",), "f32", {}),
    *(("arith.bitcast", (a,), b, {}) for a, b in (("f32", "i32"), ("i16", "bf16"), ("f16", "i16"))),
]


def _numbers(element: str, op: str) -> Any:
    if element == "i1":
        return RNG.random(COUNT) < 0.5
    if element in _FLOATS:
        numbers = RNG.standard_normal(COUNT) * 10.0 ** RNG.integers(-6, 4, COUNT)
        if op == "arith.fptosi":
            return to_element(RNG.uniform(-100, 100, COUNT), element)
        if op in ("math.sqrt", "math.rsqrt", "math.log", "math.log2", "math.log1p", "math.powf"):
            numbers = np.abs(numbers)
        numbers[:5] = [0, np.inf, 1, 2.5, 3e-8]
        if op.startswith("arith."):
            numbers[5:8] = [np.nan, -np.inf, -0.0]
        return to_element(numbers, element)
    bits = 8 * np.dtype(numpy_dtype(element)).itemsize
    numbers = RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, COUNT, dtype=np.int64)
    numbers[:4] = [1, -1, 5, -7]
    return numbers[RNG.permutation(COUNT)].astype(numpy_dtype(element))


def _held(numbers: Any) -> Any:
    return np.ascontiguousarray(numbers.astype(np.uint8) if numbers.dtype == np.bool_ else numbers)


def _function(number: int, case: Case) -> str:
    op, elements, element, attributes = case
    given = ", ".join(f"const {c.held(e)} *a{i}" for i, e in enumerate(elements))
    args = [c.loaded(e, f"a{i}[i]") for i, e in enumerate(elements)]
    value = c.stored(element, c.expression(op, args, elements, element, attributes))
    body = f"for (int i = 0; i < {COUNT}; i++) out[i] = {value};"
    return f"void f{number}({given}, {c.held(element)} *out) {{ {body} }}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = tmp_path_factory.mktemp("c") / "cases.c"
    source.write_text("\n".join([c.prelude(), *(_function(i, case) for i, case in enumerate(CASES))]))
    command = link.compiler()
    assert command is not None
    subprocess.run([*command, *FLAGS, source, "-o", source.with_suffix(".so"), "-lm"], check=True)
    return ctypes.CDLL(str(source.with_suffix(".so")))


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: "-".join((CASES[i][0], *CASES[i][1])))
def test_expressions_mean_what_scalars_say(library: Any, number: int) -> None:
    op, elements, element, attributes = CASES[number]
    args = [_numbers(e, op) for e in elements]
    if "div" in op or "rem" in op:
        args[1] = np.where(widen(args[1]) == 0, np.ones_like(args[1]), args[1])
    out = _held(to_element(np.zeros(COUNT), element))
    held = [_held(arg) for arg in args]
    getattr(library, f"f{number}")(*(ctypes.c_void_p(a.ctypes.data) for a in (*held, out)))
    want = scalars.apply(op, args, attributes, element)
    if element in _FLOATS:
        got, wanted = (widen(a).astype(np.float64) for a in (out, want))
        size = {"f16": 2**-11, "bf16": 2**-8, "f32": 2**-23, "f64": 2**-51}[element]
        np.testing.assert_allclose(got, wanted, rtol=size, atol=2.0**-24 if element == "f16" else 1e-40)
        exact = op.startswith("arith.") and op != "arith.remf"
        assert not exact or np.array_equal(got, wanted, equal_nan=True)
    else:
        np.testing.assert_array_equal(out, _held(want))


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """The target of the tutorial, as long as these tests run."""
    with scratchpad() as name:
        yield name


class Sums(nn.Module):
    """A state that calls add to, and a check that indices are inside."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(4))
        self.table = nn.Embedding(5, 4)

    def forward(self, x: torch.Tensor) -> Any:
        self.total.add_(self.table(x).sum(0))
        return self.total * 2


def test_states_are_kept(target: str) -> None:
    model = Sums().eval()
    fitted = drystone.compile(model, torch.tensor([1, 2, 4]), target=target)
    for given in ([0, 1, 2], [3, 3, 4]):
        x = torch.tensor(given)
        torch.testing.assert_close(fitted(x), model(x))


def test_dynamic_sizes_are_computed(target: str) -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(12, 20)

        def forward(self, x: torch.Tensor) -> Any:
            y = self.layer(x).softmax(-1)
            return torch.cat([y[1:], y.sort(0).values]), y.mean(0)

    rows = torch.export.Dim("rows", min=3, max=40)
    model = Rows().eval()
    fitted = drystone.compile(model, torch.rand(6, 12), target=target, dynamic_shapes=({0: rows},))
    for count in (3, 7, 40):
        x = torch.rand(count, 12)
        for got, want in zip(fitted(x), model(x), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("quantize", ["int8", "q4_0", "mxfp4", "w4", "nf4"])
def test_quantized_weights_are_decoded(target: str, quantize: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 32)).eval()
    x = torch.randn(5, 64)
    here, there = (drystone.compile(model, x, target=name, quantize=quantize) for name in ("cpu", target))
    difference = (here(x) - there(x)).norm() / here(x).norm()
    assert difference < 0.02, difference


@pytest.mark.parametrize("compute", ["bf16", "fp16"])
def test_products_of_short_elements(target: str, compute: str) -> None:
    torch.manual_seed(0)
    model, x = selftest.DigitsCNN().eval(), torch.randn(2, 1, 8, 8)
    fitted = drystone.compile(model, x, target=target, options=drystone.Options(compute=compute))
    torch.testing.assert_close(fitted(x), model(x), rtol=0.02, atol=0.02)


def test_a_saved_model_needs_no_compiler(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = nn.Linear(3, 2).eval(), torch.rand(1, 3)
    path = drystone.compile(model, x, target=target).save(tmp_path / "model.dry")
    monkeypatch.setattr(link, "compiler", lambda: None)
    loaded = drystone.load(path)
    torch.testing.assert_close(loaded(x), model(x))
    assert loaded.manifest.target == target and loaded.manifest.required == ()
    # Its code makes no pools, and pools of other models are none of its business.
    torch.testing.assert_close(loaded.call((x,), threads=4), model(x))


PROGRAM = """
#include <stdio.h>
#include "layer.h"

int main(void) {
    static _Alignas(64) float x[3] = {1, 2, 3}, y[2];
    struct layer *layer = layer_open(2);
    const void *inputs[LAYER_INPUTS] = {x};
    void *outputs[LAYER_OUTPUTS] = {y};
    if (layer == NULL || layer_call(layer, inputs, outputs, NULL)) return 1;
    layer_close(layer);
    printf("%.5f %.5f", y[0], y[1]);
    return 0;
}
"""


def test_code_without_pools_is_a_part_of_programs(target: str, tmp_path: Path) -> None:
    model = nn.Linear(3, 2).eval()
    path = drystone.compile(model, torch.ones(1, 3), target=target).save(tmp_path / "layer.dry")
    embed(path, tmp_path, "layer")
    (tmp_path / "main.c").write_text(PROGRAM)
    command = [*(link.compiler() or ()), f'-DDRYSTONE_FOLDER="{tmp_path}"', "-I."]
    built = [*command, "main.c", "layer.c", "-o", "main", "-ldl", "-lpthread"]
    subprocess.run(built, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    want = model(torch.tensor([[1.0, 2.0, 3.0]]))[0]
    np.testing.assert_allclose([float(each) for each in said.split()], want.detach().numpy(), atol=2e-5)
