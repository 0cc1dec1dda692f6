"""`drystone build`: what it builds, what it leaves, and what it says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

import drystone
from drystone import building
from drystone.building import children
from drystone.cli import main
from tests.exec.building import here

NETS = """
import pathlib
import torch
from torch import nn
from sizes import WIDTH

def net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, 8)).eval()
    weights = pathlib.Path(__file__).with_name("weights.pt")
    if weights.exists():
        model.load_state_dict(torch.load(weights))
    return model, (torch.randn(4, WIDTH),)

def calls():
    torch.manual_seed(1)
    return [torch.randn(4, WIDTH) for _ in range(4)]

def raises():
    return net()[3]
"""
SIZES = "WIDTH = 32\n"
ONE = '[model.one]\nsource = "nets:net"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose artifacts are built in this process, where torch is loaded already."""
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "sizes.py").write_text(SIZES)
    monkeypatch.chdir(tmp_path)
    here(monkeypatch, tmp_path)
    return tmp_path


def _build(folder: Path, toml: str, *arguments: str) -> tuple[Result, dict[str, Any]]:
    """The command's result, and what came of each artifact."""
    (folder / "drystone.toml").write_text(toml)
    done = CliRunner().invoke(main, ["build", "--json", *arguments])
    if done.exit_code not in (0, 1):
        return done, {}
    return done, {each["name"]: each for each in json.loads(done.stdout)["results"]}


def _said(done: Result, found: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    assert done.exit_code == 0, done.output
    return {name: (each["status"], each["why"]) for name, each in found.items()}


def test_what_changed_alone_is_built(folder: Path) -> None:
    """Modules that the model's module imports, files that it reads, options, and artifacts that are gone."""
    held = 'calibration = "nets:calls"\nquantize = { format = "w4", method = "gptq" }\n'
    toml = ONE + held + '[model.two]\nsource = "nets:net"\n'
    new = ["it is new"]
    assert _said(*_build(folder, toml)) == {"one": ("built", new), "two": ("built", new)}
    x = torch.randn(4, 32)
    before = np.asarray(drystone.load("build/two.dry")(x))
    (folder / "nets.py").touch()
    fresh = ("fresh", [])
    done, found = _build(folder, toml)
    assert _said(done, found) == {"one": fresh, "two": fresh}
    assert found["two"]["measured"]["difference"] < 1e-5 < found["one"]["measured"]["difference"]
    assert json.loads((folder / "build/results.json").read_text()) == json.loads(done.stdout)

    quantized = toml.replace("w4", "w3")
    changed = ["quantize changed"]
    assert _said(*_build(folder, quantized, "--dry-run")) == {"one": ("stale", changed), "two": fresh}
    assert _said(*_build(folder, quantized)) == {"one": ("built", changed), "two": fresh}
    (folder / "build/two.dry").write_bytes(b"other")
    assert _said(*_build(folder, quantized))["two"] == ("built", ["its file was changed"])
    (folder / "build/two.dry").unlink()
    assert _said(*_build(folder, quantized, "--only", "two")) == {"two": ("built", ["it is not there"])}
    assert _said(*_build(folder, quantized, "--only", "two", "--force"))["two"][0] == "built"

    # A file that was not there is not known to be read: whoever makes it says so.
    model = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 8))
    torch.save(model.state_dict(), folder / "weights.pt")
    (folder / "nets.py").write_text(NETS + "\n")
    _settle(folder)
    assert _said(*_build(folder, quantized))["two"] == ("built", ["nets.py changed"])
    after = np.asarray(drystone.load("build/two.dry")(x))
    np.testing.assert_allclose(after, model(x).detach(), rtol=1e-4, atol=1e-5)
    assert not np.allclose(before, after)
    torch.save({name: each * 2 for name, each in model.state_dict().items()}, folder / "weights.pt")
    (folder / "sizes.py").write_text("WIDTH = 32  # as ever\n")
    _settle(folder)
    assert _said(*_build(folder, quantized, "--only", "two"))["two"] == (
        "built",
        ["sizes.py changed", "weights.pt changed"],
    )


def _settle(folder: Path) -> None:
    """Files as if they were written a while ago."""
    for path in folder.iterdir():
        if path.is_file():
            os.utime(path, (time.time() - 60,) * 2)


def test_limits_and_failures_do_not_keep_others_from_being_built(folder: Path) -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(8, 4).eval(), torch.randn(2, 8)
    torch.export.save(torch.export.export(model, (x,)), folder / "linear.pt2")
    toml = """
        [defaults]
        source = "nets:net"
        [model.coarse]
        quantize = "w2"
        tolerance = 0.01
        [model.slow]
        budget.latency = "1us"
        threads = 1
        [model.large]
        budget.weights = 100
        [model.broken]
        source = "nets:raises"
        [model.unknown]
        source = "nets:nte"
        [model.elsewhere]
        targets = "cpu:spr"
        budget.latency = "1s"
        [model.good]
        source = "linear.pt2"
        budget = { ram = "1MB", latency = "10s" }
    """
    done, found = _build(folder, toml)
    assert done.exit_code == 1 and not json.loads(done.stdout)["ok"]
    assert {name: each["status"] for name, each in found.items()} == {
        "coarse": "built",
        "slow": "built",
        "large": "failed",
        "broken": "failed",
        "unknown": "failed",
        "elsewhere": "built",
        "good": "built",
    }
    assert "0.01 is allowed" in found["coarse"]["missed"][0] and not found["coarse"]["ok"]
    assert "0.001 ms are allowed" in found["slow"]["missed"][0]
    assert "the budget for them is 100 B" in found["large"]["error"]
    assert "IndexError" in found["broken"]["error"] and "nets.py" in found["broken"]["error"]
    assert 'did you mean "nets:net"?' in found["unknown"]["error"]
    assert found["good"]["ok"] and found["good"]["measured"]["latency"] > 0
    assert (folder / "build/good.dry").exists() and not (folder / "build/large.dry").exists()
    for text in ("large: the weights", "slow: a call takes"):
        assert text in done.stderr
    # What failed is tried again; limits are judged anew though nothing is built.
    toml = toml.replace("0.01", "0.9").replace('"1us"', '"20s"').replace("budget.weights = 100", "")
    done, found = _build(folder, toml, "--only", "coarse", "--only", "slow", "--only", "large")
    assert _said(done, found) == {
        "coarse": ("fresh", []),
        "slow": ("fresh", []),
        "large": ("built", ["budget.weights is gone", "it failed"]),
    }


def test_checkpoints_are_compared_with_the_interpreter(folder: Path) -> None:
    from safetensors.torch import save_file

    weights = {name: torch.randn(shape) for name, shape in (("0.weight", (16, 32)), ("0.bias", (16,)))}
    weights |= {name: torch.randn(shape) for name, shape in (("2.weight", (8, 16)), ("2.bias", (8,)))}
    save_file(weights, folder / "model.safetensors")
    done, found = _build(folder, ONE + 'checkpoint = "model.safetensors"\n')
    assert _said(done, found)["one"][0] == "built"
    assert found["one"]["measured"]["difference"] < 1e-5


def test_the_example(folder: Path) -> None:
    """examples/pipeline/drystone.toml names every artifact it says."""
    example = Path(__file__).parents[2] / "examples/pipeline/drystone.toml"
    found = building.build(example, dry=True)
    assert [each.output for each in found] == [
        "build/classifier-exact-cpu.dry",
        "build/classifier-exact-cpu-avx2.dry",
        "build/classifier-small.dry",
    ]


def _process(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-W", "ignore", "-m", "drystone.cli", "build", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_an_interrupt_keeps_what_is_built(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = ONE + '[model.two]\nsource = "nets:net"\n'
    whole = children.run

    def first(tasks: Sequence[children.Task], *rest: Any) -> None:
        whole(tasks[:1], *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(children, "run", first)
    done, _ = _build(folder, toml)
    assert done.exit_code == 130 and "stopped" in done.stderr and not done.stdout
    written = json.loads((folder / "build/results.json").read_text())["results"]
    assert [each["status"] for each in written] == ["built", "stopped"]
    monkeypatch.setattr(children, "run", whole)
    assert _said(*_build(folder, toml)) == {"one": ("fresh", []), "two": ("built", ["it is new"])}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_half_written(folder: Path, sent: signal.Signals) -> None:
    """In processes of its own; the child finds a torch that takes its time."""
    (folder / "drystone.toml").write_text('[model.two]\nsource = "nets:net"\n')
    (folder / "torch.py").write_text("import pathlib, time\npathlib.Path('began').touch()\ntime.sleep(60)\n")
    command = [sys.executable, "-W", "ignore", "-m", "drystone.cli", "build"]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (folder / "began").exists():
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(sent)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 130 and "stopped" in said and "Traceback" not in said, said
    left = sorted(each.name for each in (folder / "build").iterdir())
    assert left == [".drystone-build.json", ".drystone-build.lock", "results.json"]
    (result,) = json.loads((folder / "build/results.json").read_text())["results"]
    assert result["status"] == "stopped" and not result["ok"]
