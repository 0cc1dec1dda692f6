"""Models whose weights do not fit the budget: the same numbers, in a process that stays within it."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.compiler import compile
from drystone.runtime import stored
from drystone.runtime.fitted import Fitted

MIB = 1 << 20


class Residuals(nn.Module):
    """A table of 16 MiB, then four pairs of layers of 2 x 4 MiB whose results are added."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8192, 512)
        self.up = nn.ModuleList(nn.Linear(512, 2048) for _ in range(4))
        self.down = nn.ModuleList(nn.Linear(2048, 512) for _ in range(4))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.table(ids)
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(torch.relu(up(x)))
        return x


@dataclass(frozen=True)
class Pair:
    """A model compiled without a budget, and within one that its weights do not fit."""

    ids: torch.Tensor
    free: Fitted
    tight: Fitted


@pytest.fixture(scope="module")
def pair() -> Pair:
    torch.manual_seed(0)
    model, ids = Residuals().eval(), torch.randint(0, 8192, (1, 3))
    free, tight = compile(model, (ids,)), compile(model, (ids,), budget=drystone.Budget(ram="20MB"))
    torch.testing.assert_close(free(ids), model(ids), rtol=1e-4, atol=1e-4)
    return Pair(ids, free, tight)


def test_weights_that_do_not_fit_come_and_go(pair: Pair) -> None:
    free, tight, plan = pair.free, pair.tight, pair.tight.manifest.streaming
    assert free.manifest.streaming is None and free.memory.resident == free.memory.weights
    assert plan is not None
    assert tight.memory.resident + tight.memory.arena <= 20 * MIB < tight.memory.weights
    # Some stay, the others come while the kernel before them runs; of the table only rows are there.
    come = {slot for _, _, slot in plan.reads}
    assert come and not come & set(plan.kept)
    assert all(begins < step for begins, step, _ in plan.reads)
    assert plan.tables == (0,)
    report = tight.report(pair.ids, runs=1)
    assert "come and go in each run" in str(report) and "only rows are read of table.weight" in str(report)
    assert "Weights that come and go" in tight.manifest.picture
    assert "come and go" not in str(free.report(pair.ids, runs=1))
    for _ in range(3):
        torch.testing.assert_close(tight(pair.ids), free(pair.ids), rtol=0, atol=0)


def test_what_fits_beside_the_weights_does_not_stream() -> None:
    model, x = nn.Sequential(nn.Linear(1024, 512), nn.Linear(512, 1024)), torch.zeros(1, 1024)
    free = compile(model, (x,))
    whole = free.memory.arena + free.memory.weights
    assert compile(model, (x,), budget=drystone.Budget(ram=whole)).manifest.streaming is None
    # A few bytes less, and some features are there at a time; much less, and weights come in parts.
    nearly = compile(model, (x,), budget=drystone.Budget(ram=whole - 1))
    assert nearly.manifest.streaming is None and nearly.manifest.patched
    fitted = compile(model, (x,), budget=drystone.Budget(ram="3.5MB"))
    assert fitted.manifest.streaming is not None and fitted.manifest.patched
    torch.testing.assert_close(fitted(x), model(x), rtol=1e-4, atol=1e-4)
    # A window for weights that come and go would be larger than all of them are.
    with pytest.raises(drystone.UserError, match=f"(?s)for all weights.*ram={whole} "):
        compile(model, (x,), budget=drystone.Budget(ram=2 * MIB))
    large = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(3)))
    with pytest.raises(drystone.UserError, match="for the weights of 0 "):
        compile(large, (x,), budget=drystone.Budget(ram=2 * MIB))


def test_the_curve_of_all_memory_has_what_each_budget_gets(pair: Pair) -> None:
    found = drystone.fit(Residuals().eval(), (pair.ids,), points=4)
    assert found.points[-1].ram == pair.free.memory.arena + pair.free.memory.weights
    assert found.points[-1].read == 0 and not found.points[-1].how
    for point in found.points[:-1]:
        fitted = compile(Residuals().eval(), (pair.ids,), budget=drystone.Budget(ram=point.ram))
        assert (fitted.memory.arena, fitted.memory.resident) == (
            point.memory.arena.size,
            point.memory.resident,
        )
        assert fitted.memory.arena + fitted.memory.resident <= point.ram
        assert fitted.manifest.streaming is not None and point.memory.streaming is not None
        weights, sizes = fitted.manifest.weights, fitted.manifest.sizes(fitted.manifest.weights)
        come = [slot for _, _, slot in fitted.manifest.streaming.reads]
        assert sorted(weights[slot].name for slot in come) == sorted(
            n for _, _, n in point.memory.streaming.reads
        )
        # Weights come in whole pages, of the table three rows.
        assert 0 <= point.read - 3 * 512 * 4 - sum(sizes[slot] for slot in come) <= 2 * 4096 * len(come)


def test_states_count(tmp_path: Path) -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(*(nn.Linear(512, 512) for _ in range(8)))
            self.register_buffer("seen", torch.zeros(512, 512))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen.add_(x)
            return self.layers(self.seen)

    torch.manual_seed(0)
    model, x = Counter().eval(), torch.randn(512, 512)
    with pytest.raises(drystone.UserError, match=r"1\.00 MiB for states"):
        compile(model, (x,), budget=drystone.Budget(ram=MIB))
    fitted = compile(model, (x,), budget=drystone.Budget(ram="8MB"))
    assert fitted.manifest.streaming is not None
    loaded = drystone.load(fitted.save(tmp_path / "model.dry"))
    for _ in range(2):
        torch.testing.assert_close(loaded(x), model(x), rtol=1e-4, atol=1e-4)
    # A new start reads the state's first value again.
    loaded.reset()
    torch.testing.assert_close(loaded(x), fitted(x), rtol=0, atol=0)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no tmpfs to write to")
def test_weights_are_not_kept_in_memory_by_their_file(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        weights = [np.zeros(4, np.float32)]
        assert not stored.spooled(weights).in_memory
        monkeypatch.setattr(stored, "_FOLDERS", ())
        assert stored.spooled(weights).in_memory
        saved = pair.tight.save(Path(folder) / "tight.dry")
        with pytest.warns(UserWarning, match=r"the file of the weights is kept in memory \(tmpfs\)"):
            loaded = drystone.load(saved)
        torch.testing.assert_close(loaded(pair.ids), pair.free(pair.ids), rtol=0, atol=0)


_CHILD = """
import sys
import numpy as np
from drystone.runtime.fitted import load

def now(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024

ids = np.load(sys.argv[3])
np.save(sys.argv[4], load(sys.argv[2])(np.zeros((1, 4), np.float32)))
before = now("VmRSS")
fitted = load(sys.argv[1])
results = [fitted(ids) for _ in range(4)]
print(now("VmHWM") - before)
np.save(sys.argv[4], results[-1])
"""


def grown(artifact: Path, small: Path, folder: Path) -> tuple[int, np.ndarray]:
    """How many bytes a process with numpy alone grows by when it loads an artifact and runs it."""
    out = folder / "out.npy"
    command = [sys.executable, "-c", _CHILD, *map(str, (artifact, small, folder / "ids.npy", out))]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(printed), np.load(out)


def test_a_process_stays_within_the_budget(pair: Pair, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", pair.ids.numpy())
    small = compile(nn.Linear(4, 4), (torch.zeros(1, 4),)).save(tmp_path / "small.dry")
    free, tight = pair.free.save(tmp_path / "free.dry"), pair.tight.save(tmp_path / "tight.dry")
    most, expected = grown(free, small, tmp_path)
    took, found = grown(tight, small, tmp_path)
    np.testing.assert_array_equal(found, expected)
    # The library and the pieces in which the file is checked are not in the budget.
    assert took <= 20 * MIB + 3 * MIB < 32 * MIB <= most, (took / MIB, most / MIB)
