"""Models computed piece by piece against torch."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import drystone
from drystone import backends, frontend, passes
from drystone.backends.cpu import CPU
from drystone.ir.pieces import Grid, Span
from drystone.passes import Pass
from drystone.passes.patching.patch import Patch


class Residual(nn.Module):
    """Two convolutions of which the second has a residual, a max pool, a global average, and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, 2, 1)
        self.second = nn.Conv2d(16, 16, 3, 1, 1, groups=16)
        self.last = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(x))
        z = torch.relu(y + self.second(y))
        pooled = nn.functional.adaptive_avg_pool2d(nn.functional.max_pool2d(z, 3, 2, 1), 1)
        return self.last(pooled.flatten(1))


@pytest.mark.parametrize(
    "span",
    [
        Span(0, 1, Grid((3, 2))),
        Span(0, 2, Grid((4, 2), kept=True)),
        Span(0, 3, Grid((4, 1), kept=True), summed=True),
        Span(1, 3, Grid((2, 3)), summed=True),
    ],
)
def test_spans_compute_the_same(span: Span, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = Residual().eval(), torch.randn(1, 3, 29, 31)

    def patched(*given: Any) -> tuple[Pass, ...]:
        return tuple(Patch((span,)) if one.name == "patch" else one for one in passes.pipeline(*given))

    monkeypatch.setattr(backends.table, "BACKENDS", {CPU.name: replace(CPU, pipeline=patched)})
    fitted = drystone.compile(model, (x,))
    torch.testing.assert_close(fitted(x), model(x), rtol=1e-5, atol=1e-5)


class Bottlenecks(nn.Module):
    """A convolution, two inverted bottlenecks, the global average and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(8, 48, 1), nn.ReLU6(), nn.Conv2d(48, 48, 3, 1, 1, groups=48), nn.Conv2d(48, 8, 1)
            )
            for _ in range(2)
        )
        self.last = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def test_a_budget_is_met_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = Bottlenecks().eval(), torch.randn(1, 3, 48, 48)
    whole = drystone.compile(model, (x,))
    budget = whole.memory.arena // 3
    imported = []
    import_model = frontend.import_model
    monkeypatch.setattr(frontend, "import_model", lambda *a, **k: imported.append(a) or import_model(*a, **k))
    fitted = drystone.compile(model, (x,), budget=drystone.Budget(ram={"ram": budget}))
    assert fitted.memory.arena <= budget and len(imported) == 1
    torch.testing.assert_close(fitted(x), model(x), rtol=1e-5, atol=1e-5)
    patched = fitted.manifest.patched
    assert patched and all(1 <= each.work < 1.5 for each in patched)
    assert "piece by piece" in str(fitted.report())


def test_the_curve_of_all_memory_ends_with_pieces() -> None:
    torch.manual_seed(0)
    model, x = Bottlenecks().eval(), torch.randn(1, 3, 48, 48)
    found = drystone.fit(model, (x,), points=2)
    least, most = found.points[0], found.points[-1]
    assert least.ram < most.ram / 3 and least.ram < found.bound and "piece by piece" in least.how[-1]
    fitted = drystone.compile(model, (x,), budget=drystone.Budget(ram=least.ram))
    assert (fitted.memory.arena, fitted.memory.resident) == (least.memory.arena.size, least.memory.resident)
