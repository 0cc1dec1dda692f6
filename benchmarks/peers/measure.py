"""One workload in one arithmetic: every peer loaded into this process, checked, and timed in turns."""

import contextlib
import copy
import ctypes
import fcntl
import logging
import math
import os
import signal
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
    """What one child process measures, for so many seconds once every peer is loaded.

    limit: seconds that a peer may take until its first result. locks: see `quiet`.
    """

    workload: str
    arithmetic: str
    peers: tuple[str, ...]
    threads: int
    seconds: float
    limit: float = 240.0
    locks: tuple[str, ...] = ()


@dataclass
class Row:
    """A peer's figures; times in seconds, sizes in bytes, error relative to the reference in L2.

    failed: why there are none. time: median of one call (of one product where a call does several); spread:
    the interquartile range over the median. compile_peak and run_peak: growth of the resident memory beyond
    what the process held before, torch's own model included, while compiling and while running. tokens: of
    a decoder, in how many steps its likeliest token is the reference's; of a quantized model, in how many
    rows of its outputs the largest is.
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
    tokens: str = ""


class TooLong(BaseException):
    """A peer's time to load is up. Not an Exception: what tries one way after another must not go on."""


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
            reference, flops = _reference(
                built, workload.exact and (job.arithmetic != "int8" or bool(built.calibration))
            )
            task = Task(built, job.arithmetic, job.threads, Path(folder))
            rows = [Row(peer) for peer in job.peers]
            loaded = {
                row.peer: one for row in rows if (one := _load(row, task, reference, job.limit)) is not None
            }
        measured = [row for row in rows if row.peer in loaded]
        with quiet(job.locks):
            times = _interleaved([loaded[row.peer].call for row in measured], len(built.inputs), job.seconds)
    for row, taken in zip(measured, times, strict=True):
        row.time = statistics.median(taken) / built.products
        low, _, high = statistics.quantiles(taken, n=4)
        row.spread = (high - low) / statistics.median(taken)
    return Result(rows, flops / built.products, built.read / built.products, built.working_set)


def _reference(built: Built, exact: bool) -> tuple[list[list[torch.Tensor]], float]:
    """The outputs of the calls that are checked, in float64 if exact, and the operations the first one takes.

    Of a generation every step is checked, of a quantized model every call, else the first one.
    """
    model, calls = built.model, built.inputs if built.caches or built.calibration else built.inputs[:1]
    with FlopCounterMode(display=False) as counter:
        model(*calls[0])
    built.rewind()
    if exact:
        model = copy.deepcopy(model).double()
        calls = tuple(tuple(x.double() if x.is_floating_point() else x for x in call) for call in calls)
    results = [model(*call) for call in calls]
    outputs = [result if isinstance(result, tuple) else (result,) for result in results]
    return [[y.clone() for y in step] for step in outputs], built.flops or float(counter.get_total_flops())


def _load(row: Row, task: Task, reference: list[list[torch.Tensor]], limit: float) -> Loaded | None:
    """The peer, loaded and checked; None with the reason in the row where that fails."""
    peer = adapter(row.peer)
    row.failed = peer.missing() or ""
    if row.failed:
        row.failed = f"not installed ({row.failed})"
        return None
    task.built.rewind()
    before, began = _resident(), time.perf_counter()
    try:
        with _limited(limit):
            loaded = peer.load(task)
            result = loaded.call(0)
        row.compile = time.perf_counter() - began
        row.compile_peak = _grown(before)
        _check(row, loaded, result, reference)
    except Unsupported as reason:
        row.failed = f"n/a ({reason})"
        return None
    except TooLong:
        row.failed = f"failed: no result after {limit:g} s"
        return None
    except Exception as error:  # whatever a peer raises is its own affair and belongs in its cell
        text = " ".join(str(error).split())[:160]
        row.failed = f"failed: {type(error).__name__}: {text}"
        return None
    row.artifact = math.nan if loaded.artifact is None else loaded.artifact
    _resident()
    loaded.call(0)
    row.run_peak = _grown(before)
    return loaded


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises TooLong inside after so many seconds, as soon as Python code runs."""

    def end(signal_: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _check(row: Row, loaded: Loaded, result: Any, reference: list[list[torch.Tensor]]) -> None:
    """Say in the row how far off the outputs are. result: of the first call, which was made already."""
    off = size = 0.0
    same = rows = 0
    for step, wanted in enumerate(reference):
        got = _widened(result if step == 0 else loaded.call(step), wanted)
        off += sum(float((a - b.double()).square().sum()) for a, b in zip(got, wanted, strict=True))
        size += sum(float(b.double().square().sum()) for b in wanted)
        hits = got[0].argmax(-1) == wanted[0].argmax(-1)
        same, rows = same + int(hits.sum()), rows + hits.numel()
    row.error = math.sqrt(off / size)
    if len(reference) > 1:
        row.tokens = f"{same}/{rows}"


def _widened(result: Any, reference: list[torch.Tensor]) -> list[torch.Tensor]:
    """A call's outputs in float64; those beyond the reference's (caches) are left out."""
    outputs = result if isinstance(result, list | tuple) else (result,)
    return [
        torch.as_tensor(got).double().reshape(want.shape)
        for got, want in zip(outputs, reference, strict=False)
    ]


def _interleaved(calls: list[Callable[[int], Any]], inputs: int, seconds: float) -> list[list[float]]:
    """Seconds of single calls, the peers taken in turns for about `seconds`.

    Timed calls follow untimed ones of the same peer: so it finds its threads awake and on different cores,
    its code in the cache, and the other peers' threads, which spin when their work is done, asleep.
    """
    if not calls:
        return []
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


def _grown(before: float) -> float:
    """The most bytes in memory since `before` was taken, beyond those; the system counts them in batches for
    each processor, so that less than none is none."""
    grown = _resident(peak=True) - before
    return grown if math.isnan(grown) else max(0.0, grown)


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
