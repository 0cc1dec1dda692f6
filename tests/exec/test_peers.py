"""The comparison with peers: its rows, its checks, its tables, on a workload small enough for a test."""

import math
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.peers import __main__ as command
from benchmarks.peers import measure, plot, workloads
from benchmarks.peers.adapters import PEERS, Loaded, adapter
from benchmarks.peers.measure import Job, Result, Row
from benchmarks.peers.table import Records, markdown
from benchmarks.peers.workloads import Built, Target, Workload


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    def make(arithmetic: str) -> Built:
        return Built(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), ((torch.randn(4, 8),), (torch.randn(4, 8),)))

    workload = Workload("a small layer", make, {"fp32": Target(1.0, 0.5), "bf16": None})
    monkeypatch.setitem(workloads.WORKLOADS, "tiny", workload)
    monkeypatch.setattr(measure, "_SETTLING", 1e-4)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # other tests share this process
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    return "tiny"


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_loads_and_agrees_with_float64(tiny: str, peer: str) -> None:
    if reason := adapter(peer).missing():
        pytest.skip(reason)
    if peer in ("compile", "aoti", "flex"):
        pytest.skip("compiles C++ for longer than a test should take")
    result = measure._measured(Job(tiny, "fp32", (peer,), threads=1, seconds=0.01))
    (row,) = result.rows
    assert row.failed == ""
    assert row.error < 1e-6 and row.time > 0 and row.run_peak >= 0
    assert result.flops == 2 * 4 * 8 * 8


def test_what_fails_is_said_in_its_cell(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch_eager = adapter("torch")
    monkeypatch.setattr(torch_eager, "load", lambda task: 1 // 0)
    monkeypatch.setattr(adapter("ov"), "missing", lambda: "pip install openvino")
    result = measure._measured(Job(tiny, "fp32", ("drystone", "torch", "ov"), threads=1, seconds=0.01))
    drystone, torch_row, openvino = result.rows
    assert not drystone.failed and drystone.artifact > 0
    assert torch_row.failed.startswith("failed: ZeroDivisionError")
    assert openvino.failed == "not installed (pip install openvino)"


def _records() -> Records:
    rows = [
        Row("drystone", time=1e-3, spread=0.1, compile=2.0, run_peak=2**20, error=1e-7),
        Row("torch", time=2e-3, spread=0.1, compile=0.0, run_peak=0.0, error=1e-7),
        Row("ov", failed="not installed (pip install openvino)"),
    ]
    peaks = {"fp32": 1e9, "read": 1e9}
    results = {("tiny", "fp32"): Result(rows, 2.6e5, 0.0, 0.0), ("tiny", "bf16"): "timed out"}
    return Records("a machine", 2, peaks, results)


def test_tables_say_whether_what_is_wanted_is_met(tiny: str) -> None:
    page = markdown(_records())
    ratio, share = "0.50 | <= 1.00 met | 0.13", "26% | >= 50% NOT MET"
    assert f"| a small layer | fp32 | 1.00 | torch eager | 2.00 | {ratio} | {share} |" in page
    assert "| a small layer | bf16 | timed out |" in page
    assert "| tiny | fp32 | OpenVINO | not installed (pip install openvino) |" in page


def test_records_are_kept_between_runs_of_one_machine(tiny: str, tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    _records().write(path)
    again = Records("a machine", 2)
    again.read(path)
    assert markdown(again) == markdown(_records())
    other = Records("another machine", 2)
    other.read(path)
    assert not other.results


def test_the_picture_is_drawn(tiny: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot.draw(_records(), tmp_path / "peers.png")
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")


def test_error_is_relative_and_leaves_out_further_outputs() -> None:
    row, loaded = Row("ov"), Loaded(lambda n: None)
    measure._check(row, loaded, (torch.tensor([3.0, 4.5]), torch.zeros(9)), [[torch.tensor([3.0, 4.0])]])
    assert math.isclose(row.error, 0.1) and not row.tokens


class _Counts(nn.Module):
    """How often each of three tokens came until now."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, token: torch.Tensor) -> torch.Tensor:
        self.seen.index_add_(0, token, torch.ones(1))
        return self.seen * 1.0


@pytest.mark.parametrize("peer", ["drystone", "ort", "ov"])
def test_a_float_model_is_quantized_and_judged_by_every_call(
    tiny: str, peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason := adapter(peer).missing():
        pytest.skip(reason)

    def make(arithmetic: str) -> Built:
        calls = tuple((torch.randn(4, 8),) for _ in range(6))
        return Built(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), calls[:3], calibration=calls[3:])

    monkeypatch.setitem(workloads.WORKLOADS, "tiny", Workload("a layer", make, {"int8": None}))
    (row,) = measure._measured(Job(tiny, "int8", (peer,), threads=1, seconds=0.01)).rows
    assert row.failed == "" and 1e-4 < row.error < 0.2
    assert row.tokens.endswith("/12")


@pytest.mark.parametrize("peer", ["drystone", "torch", "ort"])
def test_every_step_of_a_generation_is_checked(tiny: str, peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := adapter(peer).missing():
        pytest.skip(reason)
    steps = tuple((torch.tensor([token]),) for token in (2, 0, 0))

    def make(arithmetic: str) -> Built:
        return Built(_Counts(), steps, flops=1.0, caches={"seen": torch.tensor([0.0, 0.5, 0.0])})

    monkeypatch.setitem(workloads.WORKLOADS, "tiny", Workload("counts", make, {"fp32": None}, exact=False))
    monkeypatch.setattr(measure, "_interleaved", lambda calls, inputs, seconds: [[1.0, 1.0] for _ in calls])
    (row,) = measure._measured(Job(tiny, "fp32", (peer,), threads=1, seconds=0.0)).rows
    assert (row.failed, row.error, row.tokens) == ("", 0.0, "3/3")


def test_a_peer_that_takes_too_long_is_given_up(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter("torch"), "load", lambda task: time.sleep(60))
    (row,) = measure._measured(Job(tiny, "fp32", ("torch",), 1, 0.0, limit=0.01)).rows
    assert row.failed == "failed: no result after 0.01 s"


def test_what_is_measured_already_can_be_left_out(tiny: str) -> None:
    records = _records()
    assert records.has("tiny", "fp32", ("drystone", "torch"))
    assert not records.has("tiny", "fp32", ("drystone", "aoti"))
    assert not records.has("tiny", "bf16", ("drystone",))


def test_a_peak_is_the_most_that_was_ever_measured() -> None:
    records = _records()
    records.raise_peaks({"fp32": 2e9, "read": 5e8, "int8": 1e9})
    assert records.peaks == {"fp32": 2e9, "read": 1e9, "int8": 1e9}


def test_a_peer_that_kills_its_process_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def isolated(job: Job) -> Result | str:
        return "crashed" if "ov" in job.peers else Result([Row(peer) for peer in job.peers], 1.0, 0.0, 0.0)

    monkeypatch.setattr(command, "_isolated", isolated)
    result = command.measured(Job("tiny", "fp32", ("drystone", "ov", "torch"), 1, 1.0))
    assert isinstance(result, Result)
    assert [(row.peer, row.failed) for row in result.rows] == [
        ("drystone", ""),
        ("torch", ""),
        ("ov", "failed: crashed"),
    ]
