"""The thread pool under stress: many runs, many pools, more threads than cores, callers in parallel."""

import os
import threading
import time
import warnings

import numpy as np
import pytest

from drystone.codegen.cpu import driver
from tests.exec.outlined import Model

STEPS = 6
TURN = """
#id = affine_map<(d0) -> (d0)>
func.func private @turn(%a: tensor<4096xf32>, %o: tensor<4096xf32>) -> tensor<4096xf32> {
  %r = linalg.generic {indexing_maps = [#id], iterator_types = ["parallel"]} outs(%o : tensor<4096xf32>) {
  ^bb0(%old: f32):
    %i = linalg.index 0 : index
    %last = arith.constant 4095 : index
    %j = arith.subi %last, %i : index
    %x = tensor.extract %a[%j] : tensor<4096xf32>
    %one = arith.constant 1.0 : f32
    %s = arith.addf %x, %one : f32
    linalg.yield %s : f32
  } -> tensor<4096xf32>
  return %r : tensor<4096xf32>
}
"""


CALLS = "\n".join(
    f"  %v{i + 1} = call @turn(%v{i}, %e) : (tensor<4096xf32>, tensor<4096xf32>) -> tensor<4096xf32>"
    for i in range(STEPS)
)
MAIN = f"""
func.func @main(%v0: tensor<4096xf32>) -> tensor<4096xf32> {{
  %e = tensor.empty() : tensor<4096xf32>
{CALLS}
  return %v{STEPS} : tensor<4096xf32>
}}
"""


@pytest.fixture(scope="module")
def model():
    """A chain of kernels, each of which reads what other threads wrote before."""
    patch = pytest.MonkeyPatch()
    patch.setattr(driver, "_SHARE_RUN", 0)
    patch.setattr(driver, "_SHARE_KERNEL", 0)
    yield Model(TURN + MAIN, ["4096 f32"], ["4096 f32"])
    patch.undo()


X = np.arange(4096, dtype=np.float32)


def right(result):
    """Whether a run of the chain gave what it should: an even number of turns, one added by each."""
    return np.array_equal(result[0], X + STEPS)


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8])
def test_many_runs_on_any_number_of_threads(model, threads):
    pool = model.pool(threads)
    assert all(right(model(X, pool=pool)) for _ in range(150))
    model.close(pool)


def test_a_run_takes_as_many_threads_as_it_says(model):
    pool = model.pool(5)
    for threads in (1, 5, 2, 3, 0, 2, 9, 1) * 20:
        assert right(model(X, pool=pool, threads=threads))
    model.close(pool)


def test_models_share_a_pool(model):
    others = [Model(TURN + MAIN, ["4096 f32"], ["4096 f32"]) for _ in range(2)]
    pool = model.pool(3)
    for _ in range(40):
        assert all(right(each(X, pool=pool)) for each in (*others, model))
    model.close(pool)


def test_pools_come_and_go(model):
    before = len(os.listdir("/proc/self/task"))
    for threads in (1, 2, 4, 8) * 5:
        pool = model.pool(threads)
        assert len(os.listdir("/proc/self/task")) == before + threads - 1
        if threads % 4:
            assert right(model(X, pool=pool))
        model.close(pool)
    assert len(os.listdir("/proc/self/task")) == before


def test_a_run_after_the_workers_fell_asleep(model):
    pool = model.pool(3)
    for _ in range(10):
        time.sleep(0.005)
        assert right(model(X, pool=pool))
    model.close(pool)


def test_several_pools_at_once_and_callers_that_share_one(model):
    pools = [model.pool(2), model.pool(3)]
    wrong = []

    def caller(pool):
        arena = np.empty_like(model.arena)
        for _ in range(60):
            if not right(model(X, pool=pool, arena=arena)):
                wrong.append(pool)

    # The first pool has two callers: one of them finds it busy and runs alone.
    callers = [threading.Thread(target=caller, args=(pool,)) for pool in (pools[0], pools[0], pools[1], None)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    for pool in pools:
        model.close(pool)
    assert not wrong


def test_idle_workers_sleep(model):
    pool = model.pool(4)
    model(X, pool=pool)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.05
    model.close(pool)


def test_runs_in_a_child_process(model):
    pool = model.pool(2)
    assert right(model(X, pool=pool))
    with warnings.catch_warnings():
        # Python warns of forking a process with threads; that is what this test does.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        # The parent's workers are not here; a pool of the child's own and no pool must both work.
        own = model.pool(2)
        os._exit(0 if right(model(X, pool=own)) and right(model(X)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    model.close(pool)
