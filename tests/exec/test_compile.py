"""The whole trip: compile, call, save, load, run from C; against torch."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone.compiler import compile
from drystone.runtime import artifact
from tests.exec.counter import Counter

ROOT = Path(__file__).parents[2]


class Nested(nn.Module):
    """Nested inputs and outputs over a small network."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 40), nn.GELU(), nn.Linear(40, 7))

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor], *, scale: torch.Tensor) -> dict[str, Any]:
        y = self.body(pair[0]) * scale
        return {"probabilities": y.softmax(-1), "rest": [pair[1] + 1, (y.sum(), None)]}


@pytest.fixture(scope="module")
def mlp() -> tuple[nn.Module, torch.Tensor, drystone.Fitted]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 10)).eval()
    batch = torch.export.Dim("batch", min=1, max=33)
    x = torch.randn(8, 24)
    return model, x, compile(model, (x,), dynamic_shapes=({0: batch},))


def _close(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def test_nested_arguments_and_results() -> None:
    torch.manual_seed(0)
    model = Nested().eval()
    pair, scale = (torch.randn(5, 12), torch.arange(4)), torch.randn(7)
    fitted = compile(model, (pair,), kwargs={"scale": scale})
    got, want = fitted(pair, scale=scale), model(pair, scale=scale)
    assert isinstance(got, dict) and isinstance(got["rest"], list) and got["rest"][1][1] is None
    _close(got["probabilities"], want["probabilities"])
    _close(got["rest"][0], want["rest"][0])
    _close(got["rest"][1][0], want["rest"][1][0])
    arrays = fitted((pair[0].numpy(), pair[1].numpy()), scale=scale.numpy())
    assert isinstance(arrays["probabilities"], np.ndarray)
    np.testing.assert_array_equal(arrays["probabilities"], got["probabilities"].numpy())


@pytest.mark.parametrize("rows", [1, 2, 7, 33])
def test_dynamic_batch(mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted], rows: int) -> None:
    model, _, fitted = mlp
    x = torch.randn(rows, 24)
    _close(fitted(x), model(x))


def test_batch_over_its_bound(mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted]) -> None:
    with pytest.raises(drystone.UserError, match="dimension 0 is 34, declared was 1 <= batch <= 33"):
        mlp[2](torch.randn(34, 24))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_thread_count_does_not_change_the_result(
    mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted], threads: int
) -> None:
    _, x, fitted = mlp
    assert torch.equal(fitted.call([x], threads=threads), fitted.call([x], threads=1))


def test_calls_from_several_threads(mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted]) -> None:
    _, x, fitted = mlp
    want = fitted(x)
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(1 for _ in range(40) if not torch.equal(fitted(x), want))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_the_callers_arena(mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted]) -> None:
    _, x, fitted = mlp
    raw = np.zeros(fitted.memory.arena + 64, np.uint8)
    start = -raw.ctypes.data % 64
    arena = raw[start : start + fitted.memory.arena]
    assert torch.equal(fitted.call([x], arena=arena), fitted(x))


def test_state_is_kept_between_calls() -> None:
    model = Counter()
    fitted = compile(model, (torch.ones(3),))
    x = torch.tensor([1.0, 2.0, 3.0])
    assert fitted(x).tolist() == [2.0, 4.0, 6.0]
    assert fitted(x).tolist() == [4.0, 8.0, 12.0]
    fitted.reset()
    assert fitted(x).tolist() == [2.0, 4.0, 6.0]
    assert model.total.tolist() == [0.0, 0.0, 0.0]


def test_save_load_and_same_bytes(
    mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted], tmp_path: Path
) -> None:
    _, x, fitted = mlp
    first = fitted.save(tmp_path / "first.dry")
    assert torch.equal(drystone.load(first)(x), fitted(x))
    script = (
        "import sys, torch; from torch import nn; from drystone import compile; torch.manual_seed(0);"
        "m = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 10)).eval();"
        "b = torch.export.Dim('batch', min=1, max=33); x = torch.randn(8, 24);"
        "compile(m, (x,), dynamic_shapes=({0: b},)).save(sys.argv[1])"
    )
    second = tmp_path / "second.dry"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    command = [sys.executable, "-W", "ignore", "-c", script, str(second)]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert second.read_bytes() == first.read_bytes()


class Named(nn.Module):
    """Arguments and results whose names are in another order than the alphabet's."""

    def forward(self, *, x: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"product": x * scale, "difference": x - scale}


def test_names_keep_their_order_in_a_file(tmp_path: Path) -> None:
    call = {"x": torch.randn(2, 3), "scale": torch.randn(3)}
    fitted = compile(Named(), kwargs=call)
    loaded = drystone.load(fitted.save(tmp_path / "named.dry"))
    for made in (fitted, loaded):
        for name, each in Named()(**call).items():
            torch.testing.assert_close(made(**call)[name], each)


def test_loading_needs_numpy_only(
    mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted], tmp_path: Path
) -> None:
    _, x, fitted = mlp
    fitted.save(tmp_path / "model.dry")
    np.save(tmp_path / "x.npy", x.numpy())
    script = (
        "import sys, numpy as np, drystone; y = drystone.load('model.dry')(np.load('x.npy'));"
        "np.save('y.npy', y); names = {'torch', 'torch_mlir', 'ortools', 'safetensors', 'click', 'rich'};"
        "print(sorted(names & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), fitted(x).numpy())


def test_a_c_program_runs_it(mlp: tuple[nn.Module, torch.Tensor, drystone.Fitted], tmp_path: Path) -> None:
    _, _, fitted = mlp
    artifact.unpack(fitted.save(tmp_path / "model.dry"), tmp_path / "model")
    x = torch.randn(33, 24)
    (tmp_path / "x.bin").write_bytes(x.numpy().tobytes())
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-Imodel", "-Wl,-rpath,$ORIGIN/model"]
    source = str(ROOT / "examples" / "run_model.c")
    subprocess.run(["cc", *flags, source, "model/model.so", "-o", "run"], cwd=tmp_path, check=True)
    command = [tmp_path / "run", "model/weights.safetensors", "x.bin"]
    out = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    np.testing.assert_array_equal(np.frombuffer(out, np.float32).reshape(33, 10), fitted(x).numpy())


def test_report_names_the_models_lines() -> None:
    fitted = compile(
        Nested().eval(), ((torch.randn(5, 12), torch.arange(4)),), kwargs={"scale": torch.ones(7)}
    )
    report = fitted.report(runs=3)
    assert {"test_compile.py"} <= {row.call.where.split("/")[-1].split(":")[0] for row in report.rows}
    assert all(row.call.bytes > 0 for row in report.rows)
    assert sum(row.call.flops for row in report.rows) >= 2 * 5 * (12 * 40 + 40 * 7)
    assert fitted.memory.arena >= fitted.memory.plan["bound"] > 0


def test_bytes_moved_before_and_after_fusion() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU()).eval()
    fitted = compile(model, (torch.randn(8, 16),))
    linear = 4 * (8 * 16 + 16 * 32 + 32 + 8 * 32)
    assert fitted.manifest.unfused == linear + 4 * 2 * 8 * 32
    assert fitted.manifest.moved == linear


def test_dump_writes_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRYSTONE_DUMP", str(tmp_path))
    compile(nn.Linear(3, 4), (torch.ones(2, 3),))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names and all(name[:2].isdigit() and name.endswith(".mlir") for name in names)


def test_a_budget_that_cannot_be_met_says_what_is_large() -> None:
    pair = (torch.ones(16, 12), torch.arange(4))
    with pytest.raises(drystone.UserError, match=r"budget is 1\.00 KiB") as failure:
        compile(Nested(), (pair,), kwargs={"scale": torch.ones(7)}, budget=drystone.Budget(ram="1KB"))
    assert "test_compile.py" in str(failure.value) and "ram=" in str(failure.value)


def test_an_unknown_target() -> None:
    with pytest.raises(drystone.UserError, match=r'no target is called "toaster"'):
        compile(nn.Linear(2, 2), (torch.ones(1, 2),), target="toaster")


@pytest.mark.parametrize("groups", [1, 4])
def test_a_kernel_too_wide_to_write_out(groups: int) -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(4, 4, (2, 700), padding=(1, 300), groups=groups).eval()
    x = torch.randn(1, 4, 5, 900)
    found = compile(model, (x,))(x)
    # In f64, for oneDNN's f32 convolution now and then reads beyond its buffers here.
    torch.testing.assert_close(found, model.double()(x.double()).float(), rtol=1e-4, atol=1e-4)


class Skip(nn.Module):
    """What is made first is needed last, and much larger things lie between."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.narrow, self.late = nn.Linear(16, 512), nn.Linear(512, 16), nn.Linear(1024, 512)
        self.wide, self.wider = nn.Linear(16, 1024), nn.Linear(1024, 1024)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        early = torch.relu(self.early(x))
        wide = torch.tanh(self.wider(torch.tanh(self.wide(self.narrow(early)))))
        return torch.softmax(self.late(wide) * early, -1)


def test_a_budget_below_what_all_needs_is_met_by_computing_again() -> None:
    torch.manual_seed(0)
    model, x = Skip().eval(), torch.randn(64, 16)
    free = compile(model, (x,))
    held = 64 * (512 + 1024 + 1024) * 4
    assert free.memory.arena == held
    tight = compile(model, (x,), budget=drystone.Budget(ram={"ram": held - 64}))
    # The first layer runs once more before the last product, instead of lying below the wide ones.
    assert tight.memory.arena == 64 * 2 * 1024 * 4
    order = tight.memory.plan["order"]
    assert [name for name in order if order.count(name) == 2] == [order[0], order[0]]
    assert tight.memory.plan["cost"] > 0
    torch.testing.assert_close(tight(x), model(x), rtol=1e-5, atol=1e-6)
    assert len(tight.report().rows) == len(order)
    # Below that, rows are computed some at a time.
    tighter = compile(model, (x,), budget=drystone.Budget(ram={"ram": 64 * 2 * 1024 * 4 - 64}))
    assert tighter.memory.arena < tight.memory.arena and tighter.manifest.patched
    torch.testing.assert_close(tighter(x), model(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(drystone.UserError, match=f"about ram=10240, .* ram={64 * 2 * 1024 * 4} "):
        compile(model, (x,), budget=drystone.Budget(ram={"ram": 4 * 1024}))
    least = compile(model, (x,), budget=drystone.Budget(ram={"ram": 10240}))
    torch.testing.assert_close(least(x), model(x), rtol=1e-5, atol=1e-6)


def test_the_curve_has_what_each_budget_gets() -> None:
    torch.manual_seed(0)
    model, x = Skip().eval(), torch.randn(64, 16)
    found = drystone.fit(model, (x,), level="ram", points=4)
    *pieced, least, most = found.points
    assert (least.ram, most.ram) == (64 * 2 * 1024 * 4, 64 * (512 + 1024 + 1024) * 4)
    assert most.extra == 0 < least.extra < 0.1 and found.bound == least.ram
    assert pieced and all("piece by piece" in point.how[-1] for point in pieced)
    tight = compile(model, (x,), budget=drystone.Budget(ram={"ram": least.ram}))
    assert tight.memory.plan["cost"] == least.plan.cost
    tight = compile(model, (x,), budget=drystone.Budget(ram={"ram": pieced[0].ram}))
    assert tight.memory.arena == pieced[0].memory.arena.size and tight.manifest.patched
    with pytest.raises(drystone.UserError, match="has no memory level 'sram'\n  name one with level=: ram"):
        drystone.fit(model, (x,), level="sram")


_GUARDED = """
import ctypes, mmap, sys, numpy as np, drystone
fitted, shift = drystone.load(sys.argv[1]), int(sys.argv[2])
page, size = mmap.PAGESIZE, fitted.memory.arena
middle = -(-size // page) * page
libc = ctypes.CDLL(None, use_errno=True)
pointer, size_t, integer = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
libc.mmap.restype = pointer
libc.mmap.argtypes = [pointer, size_t, integer, integer, integer, ctypes.c_long]
libc.mprotect.argtypes = [pointer, size_t, integer]
start = libc.mmap(None, middle + 2 * page, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
assert libc.mprotect(start + page, middle, mmap.PROT_READ | mmap.PROT_WRITE) == 0
# The arena's last byte is the last before the guard.
place = start + page + middle - size + shift
arena = np.frombuffer((ctypes.c_uint8 * size).from_address(place), np.uint8)
arena = np.lib.stride_tricks.as_strided(arena, writeable=True)
changed = np.zeros(size, bool)
x = np.random.default_rng(0).standard_normal((64, 16), np.float32)
for fill in (0xAA, 0x55):
    arena[: size - shift] = fill
    fitted.call([x], arena=arena)
    changed |= arena != fill
print(int(np.flatnonzero(changed)[-1]) + 1)
"""


def test_a_call_uses_the_planned_arena_and_no_byte_more(tmp_path: Path) -> None:
    torch.manual_seed(0)
    fitted = compile(Skip().eval(), (torch.randn(64, 16),))
    fitted.save(tmp_path / "skip.dry")

    def run(shift: int) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", _GUARDED, str(tmp_path / "skip.dry"), str(shift)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    inside = run(0)
    assert inside.returncode == 0, inside.stderr
    assert int(inside.stdout) == fitted.memory.arena
    # The same arena one vector further reaches into the page behind it, and faults.
    assert run(64).returncode == -signal.SIGSEGV
