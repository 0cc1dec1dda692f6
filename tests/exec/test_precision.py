"""Products in bf16 and fp16: the same as the interpreter says, close to torch, and only where asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import frontend, mlir, passes, targets
from drystone.errors import UserError
from drystone.ir.context import new_context
from drystone.ir.interpreter import run as interpret
from drystone.options import ELEMENTS


class Mixed(nn.Module):
    """Products in a chain, a residual, a tied table, a product with an odd k, a state, an operation no family
    takes (sort)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.table = nn.Embedding(40, width)
        self.up, self.down = nn.Linear(width, 70), nn.Linear(70, width)
        self.norm, self.odd = nn.LayerNorm(width), nn.Linear(7, width)
        self.register_buffer("seen", torch.zeros(width))

    def forward(self, ids: Any, x: Any) -> Any:
        h = self.table(ids) + self.odd(x)
        h = self.norm(h + self.down(nn.functional.gelu(self.up(h))))
        self.seen.add_(h.mean(0))
        return h @ self.table.weight.T, self.up(h.sort(-1).values), h


def _inputs(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randint(0, 40, (rows,)), torch.randn(rows, 7)


def _model() -> Any:
    torch.manual_seed(0)
    return Mixed().eval()


def _off(got: Any, want: Any) -> float:
    return float((got - want).norm() / want.norm())


@pytest.mark.parametrize("compute", ["bf16", "fp16"])
@pytest.mark.parametrize("rows", [1, 4, 33])
def test_compiled_and_interpreted_agree_and_torch_is_near(compute: str, rows: int) -> None:
    inputs = _inputs(rows)
    options = drystone.Options(compute=compute)
    fitted = drystone.compile(_model(), inputs, options=options)
    program = frontend.import_model(_model(), inputs, ctx=new_context())
    passes.run(program, passes.pipeline(targets.resolve("cpu"), ELEMENTS[compute]))
    arrays = [each.numpy() for each in inputs]
    states = [np.zeros(48, np.float32)]
    wanted = interpret(program, [*arrays, *states])
    for got, want in zip(fitted.execute(arrays, threads=2), wanted, strict=False):
        # A value between two codes may be rounded either way.
        assert np.linalg.norm(got - want) <= 2e-3 * np.linalg.norm(want)
    reference = _model()(*inputs)
    fitted.reset()
    assert all(_off(a, b) < 1e-2 for a, b in zip(fitted(*inputs), reference, strict=True))


@pytest.mark.parametrize("target", ["cpu:avx2", "cpu:avx512"])
def test_machines_without_the_unit_hold_weights_short(target: str) -> None:
    inputs = _inputs(5)
    fitted = drystone.compile(_model(), inputs, target, options=drystone.Options(compute="bf16"))
    exact = drystone.compile(_model(), inputs, target)
    assert fitted.memory.weights < 0.6 * exact.memory.weights
    assert all(_off(a, b) < 1e-2 for a, b in zip(fitted(*inputs), exact(*inputs), strict=True))


def test_dynamic_rows_take_the_same_code() -> None:
    rows = torch.export.Dim("rows", min=1, max=40)
    inputs = _inputs(9)
    fitted = drystone.compile(
        _model(), inputs, dynamic_shapes=({0: rows}, {0: rows}), options=drystone.Options(compute="bf16")
    )
    for count in (1, 2, 13, 40):
        given = _inputs(count)
        assert all(_off(a, b) < 1e-2 for a, b in zip(fitted(*given), _model()(*given), strict=True))


def test_an_error_budget_takes_the_shortest_element_that_keeps_it() -> None:
    inputs = _inputs(8)

    def weights(error: float) -> int:
        return drystone.compile(_model(), inputs, budget=drystone.Budget(error=error)).memory.weights

    exact = drystone.compile(_model(), inputs).memory.weights
    assert weights(2e-2) < 0.6 * exact
    assert weights(1e-6) == exact


def test_an_exported_program_brings_its_own_inputs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(64, 48).eval(), torch.randn(5, 64)
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "model.pt2")
    short = drystone.compile(tmp_path / "model.pt2", budget=drystone.Budget(error=0.02))
    one = drystone.compile(model, x, budget=drystone.Budget(error=0.02))
    exact = drystone.compile(model, (x,))
    assert short.memory.weights == one.memory.weights < 0.6 * exact.memory.weights


def test_precisions_that_cannot_be_are_refused() -> None:
    inputs = _inputs(3)
    with pytest.raises(UserError, match=r"fp8.*names no precision(?s:.*)bf16"):
        drystone.compile(_model(), inputs, options=drystone.Options(compute="fp8"))
    with pytest.raises(UserError, match=r"in bf16 the outputs are off by"):
        drystone.compile(
            _model(), inputs, budget=drystone.Budget(error=1e-6), options=drystone.Options(compute="bf16")
        )
    with pytest.raises(UserError, match="needs example inputs"):
        drystone.compile(_model(), (), budget=drystone.Budget(error=0.1))
    with pytest.raises(UserError, match="no error"):
        drystone.compile(_model(), inputs, budget=drystone.Budget(error=-1))


class Images(nn.Module):
    """Convolutions of every kind: an image's, pointwise with and without stride, with padding, strided,
    depthwise, grouped, with an odd number of channels, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 32, 3, 2, 1), nn.Conv2d(32, 32, 3, 1, 1)
        self.expand, self.depthwise = nn.Conv2d(32, 96, 1), nn.Conv2d(96, 96, 3, 1, 1, groups=96)
        self.project, self.shortcut = nn.Conv2d(96, 48, 3, 2, 1), nn.Conv2d(32, 48, 1, 2)
        self.grouped, self.odd = nn.Conv2d(48, 64, 3, 1, 1, groups=2), nn.Conv2d(64, 33, 1)
        self.last = nn.Conv2d(33, 40, 3, 1, 0)

    def forward(self, x: Any) -> Any:
        x = self.stem(x).relu()
        x = x + self.body(x).relu()
        y = self.project(self.depthwise(self.expand(x).relu()).relu()) + self.shortcut(x)
        return self.last(self.odd(self.grouped(y).relu()).relu()).mean((2, 3)), y


def test_convolutions_in_bf16() -> None:
    torch.manual_seed(0)
    model, x = Images().eval(), torch.randn(2, 3, 28, 30)
    fitted = drystone.compile(model, (x,), options=drystone.Options(compute="bf16"))
    program = frontend.import_model(model, (x,), ctx=new_context())
    passes.run(program, passes.pipeline(targets.resolve("cpu"), ELEMENTS["bf16"]))
    held = [line for line in mlir.text(program.module).splitlines() if '"bf16"' in line]
    assert len(held) > 8
    wanted = interpret(program, [x.numpy()])
    with torch.inference_mode():
        exact = model(x)
    for got, want, right in zip(fitted.execute([x.numpy()], threads=2), wanted, exact, strict=True):
        assert _off(torch.from_numpy(np.array(got)), torch.from_numpy(np.array(want))) < 4e-3
        assert 1e-5 < _off(torch.from_numpy(np.array(got)), right) < 2e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_models_of_short_elements_take_the_same_kernels(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.LayerNorm(96), nn.Linear(96, 40), nn.Softmax(-1))
    model, x = model.to(dtype).eval(), torch.randn(9, 64).to(dtype)
    fitted = drystone.compile(model, (x,))
    kinds = [call.kind for call in fitted.manifest.kernels]
    assert kinds.count("matmul") == 2 and "norm" in kinds
    exact = model.double()(x.double())
    assert _off(fitted(x).double(), exact) < 2e-2


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_factors_that_a_short_element_holds_exactly_are_held_in_it(dtype: str) -> None:
    torch.manual_seed(0)
    element = {"bf16": torch.bfloat16, "f16": torch.float16}[dtype]
    model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 32)).eval()
    for short in (False, True):
        model, x = (
            (model.to(element), torch.randn(9, 64).to(element)) if short else (model, torch.randn(9, 64))
        )
        program = frontend.import_model(model, (x,), ctx=new_context())
        passes.run(program, passes.pipeline(targets.resolve("cpu:zen4")))
        packed = [
            line for line in str(program.module).splitlines() if '"dry.weight"' in line and "pack" in line
        ]
        assert len(packed) == 2
        assert all((f'enc<"{dtype}"' in line) == short for line in packed)


@pytest.mark.parametrize("queries", [1, 3, 20, 64])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_reads_short_keys_as_they_are(dtype: torch.dtype, queries: int) -> None:
    torch.manual_seed(0)

    class Attention(nn.Module):
        def forward(self, q: Any, k: Any, v: Any) -> Any:
            return nn.functional.scaled_dot_product_attention(q, k, v)

    given = tuple(torch.randn(2, 3, n, 32).to(dtype) for n in (queries, 640, 640))
    fitted = drystone.compile(Attention().eval(), given)
    assert [call.kind for call in fitted.manifest.kernels] == ["attention", "map"]
    exact = Attention()(*(each.double() for each in given))
    assert _off(fitted(*given).double(), exact) < 5e-3
    program = frontend.import_model(Attention().eval(), given, ctx=new_context())
    arrays = [each.view(torch.uint16).numpy() if dtype == torch.bfloat16 else each.numpy() for each in given]
    (before,) = interpret(program, arrays)
    passes.run(program, passes.pipeline(targets.resolve("cpu")))
    (after,) = interpret(program, arrays)
    assert np.array_equal(before, after)
