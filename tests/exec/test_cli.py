"""The command line, as a user's script calls it."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

import drystone
from drystone.cli import main
from drystone.ir import formats
from drystone.runtime.explain import explain
from drystone.sparse_weight import SparseWeight


def _drystone(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-m", "drystone.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _within(*arguments: str | Path, folder: Path) -> Result:
    """The same in this process, where torch is loaded already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 5), nn.Tanh()).eval(), torch.randn(4, 6)
    torch.export.save(torch.export.export(model, (x,)), folder / "model.pt2")
    np.savez(folder / "in.npz", arr_0=x.numpy())
    np.save(folder / "want.npy", model(x).detach().numpy())
    done = _drystone("compile", "model.pt2", "--target", "cpu", "-o", "model.dry", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "model.dry: 1 kernels" in done.stdout
    return folder


def test_run_writes_the_outputs(folder: Path) -> None:
    done = _drystone("-q", "run", "model.dry", "in.npz", "-o", "out.npz", folder=folder)
    assert (done.returncode, done.stdout) == (0, "")
    (got,) = np.load(folder / "out.npz").values()
    np.testing.assert_allclose(got, np.load(folder / "want.npy"), rtol=1e-5, atol=1e-6)


def test_bench_report_unpack(folder: Path) -> None:
    assert "median" in _drystone("bench", "model.dry", "--runs", "3", folder=folder).stdout
    done = _drystone("report", "model.dry", "--html", "report.html", folder=folder)
    assert "kernels" in done.stdout and (folder / "report.html").read_text().startswith("<!doctype html>")
    assert _drystone("unpack", "model.dry", "parts", folder=folder).returncode == 0
    assert {p.name for p in (folder / "parts").iterdir()} >= {"model.so", "model.h", "weights.safetensors"}


def test_explain(folder: Path) -> None:
    done = _within("explain", "model.dry", "0", folder=folder)
    assert done.exit_code == 0, done.output
    assert re.search(r"call 0 of 1, matmul \S+, for 0 at .*: [\d,]+ operations", done.output)
    assert "in the caller's memory" in done.output
    assert re.search(r"weight 0\.bias: f32\[5\], 20 bytes, there all the time", done.output)
    assert done.output == _within("explain", "model.dry", folder=folder).output
    done = _within("explain", "model.dry", "0.wieght", folder=folder)
    assert done.exit_code == 2 and "named '0.wieght'" in done.stderr and "such as 0.weight" in done.stderr


def test_notes_are_about_the_layers_that_they_name(folder: Path) -> None:
    """Not about those whose numbers happen to stand in them."""
    settled = SparseWeight("9.weight", 64, 64, 0.9, "lists", 1, 1, 9, 0.71, False, "0.71 of dense")
    manifest = replace(drystone.load(folder / "model.dry").manifest, sparsity=(settled,))
    assert explain(manifest, "9") == f"why: {settled}"
    assert str(settled) not in explain(manifest, "0") and str(settled) in explain(manifest)


def test_calibrated_weights(folder: Path) -> None:
    """A file of calls; formats by names, and chosen ones."""
    np.savez(folder / "calls.npz", input=np.random.default_rng(0).standard_normal((5, 4, 6), np.float32))
    for arguments, name in (
        (("--quantize", "w4", "--method", "gptq+bias", "--group", "8"), "w4.dry"),
        (("--quantize", "0.*=q8_0"), "names.dry"),
        (("--sparsify", "3:4", "--pruning", "sparsegpt"), "sparse.dry"),
        (("--sparsify", "0.*=0.2"), "level.dry"),
        (("--skip", "0.*=0.1"), "skipping.dry"),
        (("--quantize", "auto", "--bits", "24"), "auto.dry"),
    ):
        asked = ("-q", "compile", "model.pt2", "-o", name, *arguments, "--calibration", "calls.npz")
        done = _within(*asked, folder=folder)
        assert (done.exit_code, done.stdout) == (0, ""), done.output
        done = _within("-q", "run", name, "in.npz", "-o", "out.npz", folder=folder)
        assert done.exit_code == 0, done.output
        (got,) = np.load(folder / "out.npz").values()
        np.testing.assert_allclose(got, np.load(folder / "want.npy"), atol=0.2)
    assert "why: 0.weight: " in _within("explain", "auto.dry", "0", folder=folder).output


NETS = """
import torch
from torch import nn

class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(48, 160), nn.Linear(48, 160), nn.Linear(160, 48)

    def forward(self, x):
        return x + self.down(nn.functional.silu(self.gate(x)) * self.up(x))

def gated():
    rows = torch.export.Dim("rows", min=1, max=32)
    return {
        "model": Gated().eval(), "example_inputs": (torch.randn(20, 48),), "dynamic_shapes": {"x": {0: rows}}
    }

def wrong():
    return 3

def unknown():
    return {"model": Gated().eval(), "example_input": ()}
"""


def test_functions_that_make_models(folder: Path) -> None:
    """Neurons that a prompt fixes, with no calibration."""
    (folder / "clinets.py").write_text(NETS)
    asked = ("--skip", "down.*=0.75", "--skip-per", "prompt", "--skip-core", "0.4")
    done = _within("-q", "compile", "clinets:gated", "-o", "gated.dry", *asked, folder=folder)
    assert (done.exit_code, done.stdout) == (0, ""), done.output
    fitted = drystone.load(folder / "gated.dry")
    assert [leaf.name for leaf in fitted.manifest.states] and fitted.manifest.symbols == {"rows": (1, 32)}
    prompt, step = torch.randn(20, 48), torch.randn(1, 48)
    before = fitted(step)
    fitted(prompt)
    assert not np.allclose(before, fitted(step))  # the prompt fixed neurons: others are left out now
    for name, message in (
        ("nonets:gated", "there is no module 'nonets'"),
        ("clinets:gate", 'did you mean "clinets:gated"?'),
        ("clinets:wrong", "gives no model with example inputs but this: 3"),
        ("clinets:unknown", 'say "example_inputs"'),
    ):
        done = _within("compile", name, "-o", "x.dry", folder=folder)
        assert done.exit_code == 2 and message in done.stderr, done.output


def test_targets_formats_and_doctor(folder: Path) -> None:
    assert {"cpu", "cpu:avx2", "cpu:avx512", "cpu:spr"} <= set(
        _drystone("targets", folder=folder).stdout.split()
    )
    done = _drystone("doctor", folder=folder)
    assert done.returncode == 0, done.stdout
    assert "torch-mlir" in done.stdout
    lines = _drystone("formats", folder=folder).stdout.splitlines()
    listed = {line.split()[0]: line.split()[1:3] for line in lines}
    assert listed["w4"] == ["4.16", "auto"] and listed["nf4"][0] == "4.25"
    assert listed.keys() == formats.TABLE.keys()


def test_mistakes_end_in_a_message_and_a_code(folder: Path) -> None:
    (folder / "broken.dry").write_text("no model")
    for arguments, message in (
        (("run", "nothing.dry"), "there is no file nothing.dry"),
        (("run", "broken.dry"), "is not a drystone artifact"),
        (("compile", "nothing.pt2", "-o", "x.dry"), "nothing.pt2"),
        (("compile", "model.pt2", "-o", "x.dry", "--target", "toaster"), 'no target is called "toaster"'),
        (("run", "model.dry", "want.npy"), "is not an .npz"),
        (
            ("compile", "model.pt2", "-o", "x.dry", "--checkpoint", "no.gguf"),
            "there is no checkpoint no.gguf",
        ),
        (("compile", "model.pt2", "-o", "x.dry", "--ram", "100"), "for all weights"),
        (("compile", "model.pt2", "-o", "x.dry", "--ram", "sram=1KB"), "no such memory level"),
        (("compile", "model.pt2", "-o", "x.dry", "--weights", "100"), "the budget for them is 100 B"),
        (("compile", "model.pt2", "-o", "x.dry", "--method", "gptq"), "give it, such as --quantize w4"),
        (("compile", "model.pt2", "-o", "x.dry", "--level", "0.5"), "give it, such as --sparsify 2:4"),
        (("compile", "model.pt2", "-o", "x.dry", "--skip-per", "prompt"), "give it, such as --skip 0.7"),
        (("compile", "model.pt2", "-o", "x.dry", "--skip", "0", "--skip-per", "call"), "neither"),
        (("compile", "model.pt2", "-o", "x.dry", "--quantize", "w5"), "'w5' names no format"),
        (("compile", "model.pt2", "-o", "x.dry", "--quantize", "auto", "--bits", "4"), "calibration="),
        (
            ("compile", "model.pt2", "-o", "x.dry", "--quantize", "w4", "--calibration", "want.npy"),
            "want.npy is not an .npz",
        ),
    ):
        found = _within(*arguments, folder=folder)
        assert isinstance(found.exception, SystemExit) and found.exit_code == 2, (arguments, found.output)
        assert message in found.stderr
    done = _drystone("run", "broken.dry", folder=folder)
    assert done.returncode == 2 and not done.stdout
    assert "is not a drystone artifact" in done.stderr and "Traceback" not in done.stderr
