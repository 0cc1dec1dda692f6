"""Weights that do not fit the budget and of which rows are left out: those rows alone come that are read."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.runtime import artifact, native
from drystone.runtime.fitted import Fitted
from tests.exec.test_streaming import grown

ROOT = Path(__file__).parents[2]
PAGE, MIB = 4096, 1 << 20
#: Inputs and neurons; bytes of what a neuron has of up and down, a page; of those that an input makes live.
SIZES = (512, 2048)
NEURON = 2 * SIZES[0] * 4
LIVE = 2 * SIZES[1] // SIZES[0] * NEURON


class Gated(nn.Module):
    """A gated MLP with a residual; a neuron is live where the input that its gate looks at is above 0."""

    def __init__(self, activation: Any = nn.functional.relu) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(*SIZES, bias=False) for _ in range(2))
        self.down = nn.Linear(*reversed(SIZES), bias=False)
        self.activation = activation
        nn.init.zeros_(self.gate.weight)
        with torch.no_grad():
            self.gate.weight[torch.arange(SIZES[1]), torch.arange(SIZES[1]) % SIZES[0]] = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.activation(self.gate(x)) * self.up(x))


class Two(nn.Module):
    """Two of them that read the same."""

    def __init__(self, activation: Any = nn.functional.relu) -> None:
        super().__init__()
        self.first, self.second = Gated(activation), Gated(activation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(x) - self.second(x)


def given(*live: int, rows: int = 1) -> torch.Tensor:
    """Rows with which the neurons n, n + 512, .. are live for these n, each in one of them."""
    x = torch.full((rows, SIZES[0]), -0.5)
    for number, n in enumerate(live):
        x[number % rows, n] = 1 + n / 100
    return x


@pytest.fixture(scope="module")
def compiled() -> Callable[..., tuple[Fitted, Fitted]]:
    """Two models without a budget and within one, the second with windows; each compiled once."""
    known = dict[tuple[str, int | None, int], tuple[Fitted, Fitted]]()

    def found(ram: str, window: int | None, rows: int = 1) -> tuple[Fitted, Fitted]:
        if (ram, window, rows) not in known:
            torch.manual_seed(0)
            model, x = Two().eval(), torch.randn(rows, SIZES[0])
            skip = {".*down.*": drystone.Skip(0, window=window)}
            tight = drystone.compile(model, (x,), skip=skip, budget=drystone.Budget(ram=ram))
            known[ram, window, rows] = drystone.compile(model, (x,), skip=skip), tight
        return known[ram, window, rows]

    return found


def reads(pair: tuple[Fitted, Fitted], x: torch.Tensor) -> int:
    """The bytes of rows that a call reads, whose results are to be those of the model without a budget."""
    free, tight = pair
    before = tight.rows_read
    torch.testing.assert_close(tight(x), free(x), rtol=0, atol=0)
    return tight.rows_read - before


def pages(fitted: Fitted) -> int:
    """Pages of windows that are there between calls."""
    assert fitted._windows is not None
    return sum(int((held > 0).sum()) for held in fitted._windows._held.values())


Compiled = Callable[..., tuple[Fitted, Fitted]]


def test_rows_stay_for_as_many_calls_as_is_asked(compiled: Compiled) -> None:
    pair = compiled("14MB", 2)
    tight = pair[1]
    plan = tight.manifest.streaming
    assert plan is not None and {runs for _, runs, _ in plan.windows} == {2}
    assert [tight.manifest.weights[slot].shape for slot, *_ in plan.windows] == [(2048, 2, 512)] * 2
    assert tight.memory.resident + tight.memory.arena <= 14 * MIB < tight.memory.weights
    assert reads(pair, given(3)) == LIVE
    assert reads(pair, given(3)) == 0
    assert reads(pair, given(3, 100)) == LIVE
    assert reads(pair, given(100)) == 0
    assert reads(pair, given(100)) == 0
    # Two calls have left 3 out, so that it went.
    assert reads(pair, given(3)) == LIVE
    assert reads(pair, given()) == 0
    assert "rows come when they are read" in str(tight.report(given(3), runs=2))


def test_no_row_stays(compiled: Compiled) -> None:
    pair = compiled("14MB", 0)
    for _ in range(2):
        assert reads(pair, given(3, 100)) == 2 * LIVE
        assert pages(pair[1]) == 0
    assert reads(pair, given()) == 0


def test_pages_between_rows_come_along(compiled: Compiled) -> None:
    """Up to three, which do not stay."""
    pair = compiled("14MB", 2)
    for _ in range(3):
        reads(pair, given())
    assert reads(pair, given(10, 14)) == 5 * LIVE
    assert reads(pair, given(10, 14)) == 0
    assert reads(pair, given(12)) == LIVE
    assert reads(pair, given(20, 25)) == 2 * LIVE


def test_more_is_live_than_stays(compiled: Compiled) -> None:
    """Everything comes that is needed, and what no call has read for longest goes."""
    pair = compiled("10.6MB", 4)
    plan = pair[1].manifest.streaming
    assert plan is not None
    most = sum(each for *_, each in plan.windows)
    assert 0 < most < 2 * SIZES[1] * NEURON // PAGE
    torch.manual_seed(1)
    for live in (SIZES[0], 300, 0, 7, SIZES[0], 200):
        chosen = torch.randperm(SIZES[0])[:live].tolist()
        assert reads(pair, given(*chosen)) <= 2 * SIZES[1] * NEURON
        assert pages(pair[1]) <= most


def test_several_rows_read_what_any_of_them_needs(compiled: Compiled) -> None:
    pair = compiled("14MB", 2, rows=3)
    assert reads(pair, given(3, 100, 200, rows=3)) == 3 * LIVE
    assert reads(pair, given(200, 3, rows=3)) == 0


def test_many_rows_read_all_rows() -> None:
    torch.manual_seed(0)
    model, x = Two(nn.functional.silu).eval(), torch.randn(24, SIZES[0])
    for each in (model.first, model.second):
        nn.init.normal_(each.gate.weight)
    some = {"x": {0: torch.export.Dim("rows", min=1, max=32)}}
    skip = {".*down.*": drystone.Skip(0.75, per="prompt")}
    free = drystone.compile(model, (x,), skip=skip, dynamic_shapes=some)
    tight = drystone.compile(model, (x,), skip=skip, dynamic_shapes=some, budget=drystone.Budget(ram="20MB"))
    pair, each = (free, tight), 3 * SIZES[0] * 4
    assert tight.manifest.streaming is not None
    held = [tight.manifest.weights[slot].shape for slot, *_ in tight.manifest.streaming.windows]
    assert held == [(2048, 3, 512)] * 2
    assert reads(pair, x) == 2 * SIZES[1] * each
    first = reads(pair, x[:1])
    assert reads(pair, x[1:2]) <= first
    # A quarter of the neurons, and pages between them.
    assert tight.rows_read <= 2 * SIZES[1] * each * 2
    for fitted in pair:
        fitted.reset()
    assert reads(pair, x[2:3]) > first


def test_a_file_that_is_loaded(compiled: Compiled, tmp_path: Path) -> None:
    """In a process that stays within the budget; and what is said of a file that has become shorter."""
    free, tight = compiled("14MB", 2)
    saved = tight.save(tmp_path / "tight.dry")
    x = given(*range(0, SIZES[0], 50))
    np.save(tmp_path / "ids.npy", x.numpy())
    small = drystone.compile(nn.Linear(4, 4), (torch.zeros(1, 4),)).save(tmp_path / "small.dry")
    took, result = grown(saved, small, tmp_path)
    np.testing.assert_array_equal(result, free(x).numpy())
    # The library, pieces in which the file is checked, and 11 pages of each window.
    assert took <= 6 * MIB < free.memory.weights
    loaded = drystone.load(saved)
    assert reads((free, loaded), given(3)) == LIVE
    windows = loaded._windows
    assert windows is not None
    windows._places = native.integers([1 << 40 for _ in loaded.manifest.weights])
    with pytest.raises(drystone.UserError, match="could not be read from the model's file"):
        loaded(given(5))


def test_a_c_program_reads_rows(compiled: Compiled, tmp_path: Path) -> None:
    free, tight = compiled("14MB", 2)
    artifact.unpack(tight.save(tmp_path / "model.dry"), tmp_path / "model")
    x = given(3, 9)
    (tmp_path / "x.bin").write_bytes(x.numpy().tobytes())
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-Imodel", "-Wl,-rpath,$ORIGIN/model"]
    source = str(ROOT / "examples" / "run_model.c")
    subprocess.run(["cc", *flags, source, "model/model.so", "-o", "run"], cwd=tmp_path, check=True)
    command = [tmp_path / "run", "model/weights.safetensors", "x.bin"]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    np.testing.assert_array_equal(np.frombuffer(out, np.float32).reshape(1, -1), free(x).numpy())


def test_weights_come_as_a_whole_where_that_is_asked(compiled: Compiled) -> None:
    pair = compiled("14MB", None)
    plan = pair[1].manifest.streaming
    assert plan is not None and plan.reads and not plan.windows
    assert reads(pair, given(3)) == 0
    with pytest.raises(drystone.UserError, match="window=300 is no number of calls"):
        drystone.compile(Two().eval(), (given(3),), skip=drystone.Skip(0, window=300))
    # Rows side by side need more at once than one weight after the other.
    model, least = Two().eval(), drystone.Budget(ram="8.5MB")
    assert drystone.compile(model, (given(3),), skip=drystone.Skip(0, window=None), budget=least)
    with pytest.raises(drystone.UserError, match=r"the weights of first\.up"):
        drystone.compile(model, (given(3),), skip={".*down.*": 0}, budget=least)
