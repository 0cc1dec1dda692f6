"""One workload in one arithmetic: every peer loaded into this process, checked, and timed in turns."""

import contextlib
import copy
import ctypes
import fcntl
import logging
import math
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.adapters import Loaded, Task, Unsupported, adapter
from benchmarks.peers.workloads import WORKLOADS, Built

_SETTLING = 0.05  # seconds of untimed calls before timed ones: the kernel takes that long to spread threads
_TIMED = 0.01  # seconds of timed calls in a turn, if that is several


@dataclass(frozen=True)
class Job:
    """What one child process measures. locks: see `quiet`."""

    workload: str
    arithmetic: str
    peers: tuple[str, ...]
    threads: int
    seconds: float
    locks: tuple[str, ...] = ()


@dataclass
class Row:
    """A peer's figures; times in seconds, sizes in bytes, error relative to the reference in L2.

    failed: why there are none. time: median of one call (of one product where a call does several); spread:
    the interquartile range over the median. compile_peak and run_peak: growth of the resident memory beyond
    what the process held before, torch's own model included, while compiling and while running.
    """

    peer: str
    failed: str = ""
    time: float = math.nan
    spread: float = math.nan
    compile: float = math.nan
    compile_peak: float = math.nan
    run_peak: float = math.nan
    artifact: float = math.nan
    error: float = math.nan


@dataclass
class Result:
    """The rows of a job, with the useful work of one timed call (see workloads.Built)."""

    rows: list[Row]
    flops: float
    read: float
    working_set: float


def work(job: Job) -> Result:
    """Measure a job in this process, silently: what peers say while they compile is not what is asked."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    return _measured(job)


def _measured(job: Job) -> Result:
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    workload = WORKLOADS[job.workload]
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "inductor")
        with quiet(job.locks, shared=True):
            built = workload.make(job.arithmetic)
            built.model.eval()
            reference, flops = _reference(built, workload.exact and job.arithmetic != "int8")
            task = Task(built, job.arithmetic, job.threads, Path(folder))
            rows = [Row(peer) for peer in job.peers]
            loaded = {row.peer: one for row in rows if (one := _load(row, task, reference)) is not None}
        measured = [row for row in rows if row.peer in loaded]
        with quiet(job.locks):
            times = _interleaved([loaded[row.peer].call for row in measured], len(built.inputs), job.seconds)
    for row, taken in zip(measured, times, strict=True):
        row.time = statistics.median(taken) / built.products
        low, _, high = statistics.quantiles(taken, n=4)
        row.spread = (high - low) / statistics.median(taken)
    return Result(rows, flops / built.products, built.read / built.products, built.working_set)


def _reference(built: Built, exact: bool) -> tuple[list[torch.Tensor], float]:
    """The outputs of the first call, in float64 if exact, and the operations it takes."""
    model, inputs = built.model, built.inputs[0]
    with FlopCounterMode(display=False) as counter:
        result = model(*inputs)
    if exact:
        inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
        result = copy.deepcopy(model).double()(*inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    return [y.clone() for y in outputs], built.flops or float(counter.get_total_flops())


def _load(row: Row, task: Task, reference: list[torch.Tensor]) -> Loaded | None:
    """The peer, loaded and checked; None with the reason in the row where that fails."""
    peer = adapter(row.peer)
    row.failed = peer.missing() or ""
    if row.failed:
        row.failed = f"not installed ({row.failed})"
        return None
    before, began = _resident(), time.perf_counter()
    try:
        loaded = peer.load(task)
        result = loaded.call(0)
    except Unsupported as reason:
        row.failed = f"n/a ({reason})"
        return None
    except Exception as error:  # whatever a peer raises is its own affair and belongs in its cell
        text = " ".join(str(error).split())[:160]
        row.failed = f"failed: {type(error).__name__}: {text}"
        return None
    row.compile = time.perf_counter() - began
    row.compile_peak = _resident(peak=True) - before
    row.artifact = math.nan if loaded.artifact is None else loaded.artifact
    row.error = _error(result, reference)
    _resident()
    loaded.call(0)
    row.run_peak = _resident(peak=True) - before
    return loaded


def _error(result: Any, reference: list[torch.Tensor]) -> float:
    """Relative L2 error over all outputs of the reference; further outputs (caches) are left out."""
    outputs = result if isinstance(result, list | tuple) else (result,)
    off = size = 0.0
    for got, want in zip(outputs, reference, strict=False):
        wide = torch.as_tensor(got).double().reshape(want.shape)
        off += float((wide - want.double()).square().sum())
        size += float(want.double().square().sum())
    return math.sqrt(off / size)


def _interleaved(calls: list[Callable[[int], Any]], inputs: int, seconds: float) -> list[list[float]]:
    """Seconds of single calls, the peers taken in turns for about `seconds`.

    Timed calls follow untimed ones of the same peer: so it finds its threads awake and on different cores,
    its code in the cache, and the other peers' threads, which spin when their work is done, asleep.
    """
    lengths = [_length(call) for call in calls]
    repeats = [max(1, min(20, int(_TIMED / length))) for length in lengths]
    turn = sum(max(_SETTLING, length) + length * n for length, n in zip(lengths, repeats, strict=True))
    times: list[list[float]] = [[] for _ in calls]
    at = 0
    for _ in range(max(5, min(200, int(seconds / turn)))):
        for call, repeat, taken in zip(calls, repeats, times, strict=True):
            began = time.perf_counter()
            while time.perf_counter() - began < _SETTLING:
                call(at % inputs)
                at += 1
            for _ in range(repeat):
                start = time.perf_counter()
                call(at % inputs)
                taken.append(time.perf_counter() - start)
                at += 1
    return times


def _length(call: Callable[[int], Any]) -> float:
    """Seconds of a warm call, roughly."""
    call(0)
    began = time.perf_counter()
    call(0)
    return time.perf_counter() - began


@contextlib.contextmanager
def quiet(locks: tuple[str, ...], shared: bool = False) -> Iterator[None]:
    """Hold the last of these files locked, and the ones before it only until then.

    For machines that several people measure on: shared while compiling, alone while timing.
    """
    with contextlib.ExitStack() as held:
        with contextlib.ExitStack() as gates:
            for path in locks:
                last = path == locks[-1]
                file = (held if last else gates).enter_context(open(path, "a", encoding="utf-8"))
                fcntl.flock(file, fcntl.LOCK_SH if last and shared else fcntl.LOCK_EX)
        yield


def _resident(peak: bool = False) -> float:
    """Bytes of this process in memory now; or (peak) the most since the last call without `peak`.

    nan where the system does not say.
    """
    if not sys.platform.startswith("linux"):
        return math.nan
    if not peak:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024.0 * float(next(line.split()[1] for line in lines if line.startswith(name)))
