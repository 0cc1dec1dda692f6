"""A compiled model as an object: what it says of itself, and that it leaves nothing behind."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import drystone
from drystone import machine, mlir
from drystone.runtime import memory, teams

QUIET = drystone.Options(progress=False, threads=2)


def small() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 8), nn.Softmax(-1)
    ).eval(), torch.randn(40, 64)


@pytest.fixture(scope="module")
def fitted() -> drystone.Fitted:
    model, x = small()
    batch = torch.export.Dim("batch", min=1, max=40)
    return drystone.compile(model, x, dynamic_shapes=({0: batch},), options=QUIET)


def test_it_says_what_it_is(fitted: drystone.Fitted) -> None:
    said = repr(fitted)
    assert "(input: f32[batch, 64]) -> (output: f32[batch, 8])" in said and "\n" not in said
    assert f"{len(fitted.manifest.kernels)} kernels" in said and f"arena {fitted.memory.arena} bytes" in said
    assert fitted.manifest.target in said and f"weights {fitted.memory.weights} bytes" in said


def test_inputs_and_outputs_are_described(fitted: drystone.Fitted) -> None:
    (taken,), (given,) = fitted.inputs, fitted.outputs
    assert (taken.name, taken.dtype, taken.shape) == ("input", "f32", ("batch", 64))
    assert (given.name, given.dtype, given.shape) == ("output", "f32", ("batch", 8))


def test_what_a_call_holds_serves_the_next_whatever_its_shapes(fitted: drystone.Fitted) -> None:
    model, x = small()
    given = [x[:rows] for rows in (1, 40, 7, 1)]
    made = [fitted(each) for each in given]
    for each, result in zip(given, made, strict=True):
        torch.testing.assert_close(result, model(each), rtol=1e-4, atol=1e-5)
    # An arena of the caller's is that of its call alone.
    arena = memory.empty([fitted.memory.arena], np.uint8)
    arena[...] = 0
    assert torch.equal(fitted.call((x,), arena=arena), made[1]) and arena.any()
    arena[...] = 0
    assert torch.equal(fitted(x), made[1]) and not arena.any()


def test_tensors_are_taken_however_they_lie(fitted: drystone.Fitted) -> None:
    _, x = small()
    expected = fitted(x)
    turned = x.T.contiguous().T.requires_grad_()
    assert not turned.is_contiguous() and torch.equal(fitted(turned), expected)
    shifted = torch.empty(x.numel() + 1)[1:].view_as(x).copy_(x)
    assert shifted.data_ptr() % memory.ALIGNMENT and torch.equal(fitted(shifted), expected)
    assert np.array_equal(fitted(x.numpy().copy(order="F")), expected.numpy())
    negated = torch.complex(x, -x).conj().imag  # torch negates when it reads
    assert negated.is_neg() and torch.equal(fitted(negated), expected)
    aligned = torch.empty(x.shape).copy_(negated)
    aligned = torch._neg_view(-aligned)
    assert aligned.is_contiguous() and aligned.is_neg() and torch.equal(fitted(aligned), expected)


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def settled() -> int:
    """The threads once those that are about to end have ended."""
    counts = [threads()]
    while counts[-5:] != [counts[-1]] * 5:
        time.sleep(0.1)
        counts.append(threads())
    return counts[-1]


def test_the_last_reference_ends_threads_and_frees_everything() -> None:
    model, x = small()
    gc.collect()
    contexts = mlir.ir.Context._get_live_count()
    made = drystone.compile(model, x, options=QUIET)
    # Other models' idle workers make room for more; libraries that compile end threads of their own.
    for idle in list(teams._state.idle):
        teams._state._end(idle)
    before = settled()
    made.call((x,), threads=3)
    assert threads() == before + 2
    gone = weakref.ref(made)
    engine = weakref.ref(made._code)
    del made
    # Nothing of it hangs in a cycle that waits for the collector.
    assert gone() is None and engine() is None and threads() == before
    gc.collect()
    assert mlir.ir.Context._get_live_count() == contexts


def test_several_threads_make_one_pool() -> None:
    model, x = small()
    made = drystone.compile(model, x, options=QUIET)
    expected = made(x)
    wrong: list[int] = []

    def work() -> None:
        for n in range(20):
            if not torch.equal(made(x), expected):
                wrong.append(n)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_models_share_the_threads_of_the_process() -> None:
    _, x = small()
    before, cores = threads(), machine.usable_cores()
    made = [drystone.compile(small()[0], x, options=QUIET) for _ in range(4)]
    expected = [each.call((x,), threads=1) for each in made]
    most = 0
    for n in (2, 3, 2):
        for each, value in zip(made, expected, strict=True):
            assert torch.equal(each.call((x,), threads=n), value)
        most = max(most, threads())
    # As many as the widest call had; another team beside it where there are cores for both.
    assert most - before <= max(cores, 3) - 1

    def work(each: drystone.Fitted, value: torch.Tensor) -> None:
        nonlocal most
        for _ in range(30):
            assert torch.equal(each.call((x,), threads=cores), value)
            most = max(most, threads())

    workers = [threading.Thread(target=work, args=pair) for pair in zip(made, expected, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # The callers themselves, and at most one worker for each further core.
    assert most - before <= len(workers) + max(cores, 3) - 1
    del made[1:]
    assert torch.equal(made[0](x), expected[0])


def test_pinned_threads_stay_on_a_core_and_the_caller_is_free_again() -> None:
    model, x = small()
    before, usable = set(os.listdir("/proc/self/task")), os.sched_getaffinity(0)
    made = drystone.compile(model, x, options=drystone.Options(progress=False, threads=2, pin=True))
    assert torch.equal(made(x), made.call((x,), threads=1))
    (worker,) = set(os.listdir("/proc/self/task")) - before
    assert os.sched_getaffinity(int(worker)) == {sorted(usable)[1 % len(usable)]}
    assert os.sched_getaffinity(0) == usable
    # A call may say otherwise; its worker is another one.
    made.call((x,), pin=False)
    free = set(os.listdir("/proc/self/task")) - before
    assert usable in [os.sched_getaffinity(int(each)) for each in free]


def test_a_forked_process_has_threads_of_its_own(fitted: drystone.Fitted, tmp_path: Path) -> None:
    x = np.ones((40, 64), np.float32)
    made = drystone.load(fitted.save(tmp_path / "model.dry"))
    expected = made.call((x,), threads=2)
    child = os.fork()
    if not child:
        signal.alarm(20)
        same = np.array_equal(made.call((x,), threads=2), expected)
        # Its parent's threads are not there to be ended.
        del made
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(made.call((x,), threads=2), expected)


def test_the_interpreter_ends_without_a_word(fitted: drystone.Fitted, tmp_path: Path) -> None:
    path = fitted.save(tmp_path / "model.dry")
    code = (
        "import sys, numpy as np, drystone\n"
        "kept = drystone.load(sys.argv[1])\n"
        "kept.call((np.zeros((40, 64), np.float32),), threads=2)\n"
        "kept.itself = kept\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
