"""What threads claim of a grid: all of it once, each from its own part first."""

import ctypes
import random
from importlib.resources import files

import numpy as np
import pytest

from drystone import mlir
from drystone.codegen import cpu
from drystone.codegen.cpu.tiles.lower import TO_LLVM
from drystone.ir.context import new_context

#: The pool with no model behind it, and functions to be called from here, by one thread in the name of many.
TEXT = """
func.func private @drystone_driver(%call: !llvm.ptr, %team: !llvm.ptr, %thread: i32) -> i32 {
  return %thread : i32
}
func.func private @drystone_prepare() { return }
func.func private @drystone_shared() -> i1 {
  %shared = arith.constant true
  return %shared : i1
}
func.func @begin(%team: i64, %threads: i32) attributes {llvm.emit_c_interface} {
  %at = llvm.inttoptr %team : i64 to !llvm.ptr
  %field = llvm.getelementptr %at[0, 2] : (!llvm.ptr) -> !llvm.ptr, !team
  llvm.store %threads, %field : i32, !llvm.ptr
  call @drystone_clear(%at, %threads) : (!llvm.ptr, i32) -> ()
  return
}
func.func @claim(%team: i64, %thread: i32, %units: index, %out: i64) attributes {llvm.emit_c_interface} {
  %at = llvm.inttoptr %team : i64 to !llvm.ptr
  %to = llvm.inttoptr %out : i64 to !llvm.ptr
  %first, %last = call @drystone_claim(%at, %thread, %units) : (!llvm.ptr, i32, index) -> (index, index)
  %a = arith.index_cast %first : index to i64
  %b = arith.index_cast %last : index to i64
  %second = llvm.getelementptr %to[1] : (!llvm.ptr) -> !llvm.ptr, i64
  llvm.store %a, %to : i64, !llvm.ptr
  llvm.store %b, %second : i64, !llvm.ptr
  return
}
"""
MOST = 7


class Grids:
    """Grids of units that threads of a team claim."""

    def __init__(self) -> None:
        context = new_context()
        module = mlir.parse(files(cpu).joinpath("pool.mlir").read_text() + TEXT, context)
        with context:
            mlir.run_pipeline(module, TO_LLVM)
            self._engine = mlir.execution_engine.ExecutionEngine(module, opt_level=2)
        self._team = np.zeros(1024, np.int64)

    def _call(self, name: str, *values: ctypes.c_int64 | ctypes.c_int32) -> None:
        places = [ctypes.addressof(value) for value in values]
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._engine.raw_lookup(name))(
            (ctypes.c_void_p * len(places))(*places)
        )

    def begin(self, threads: int) -> None:
        self._call("begin", ctypes.c_int64(self._team.ctypes.data), ctypes.c_int32(threads))

    def claim(self, thread: int, units: int) -> range:
        out = np.zeros(2, np.int64)
        team, to = ctypes.c_int64(self._team.ctypes.data), ctypes.c_int64(out.ctypes.data)
        self._call("claim", team, ctypes.c_int32(thread), ctypes.c_int64(units), to)
        return range(*out.tolist())


@pytest.fixture(scope="module")
def grids():
    return Grids()


@pytest.mark.parametrize("threads", range(1, MOST + 1))
def test_all_units_are_claimed_once_those_of_a_threads_own_part_in_order(grids, threads):
    chance = random.Random(threads)
    for units in (0, 1, 2, 3, 5, 8, 13, 64, 1000):
        grids.begin(threads)
        claimed, asking = {thread: [] for thread in range(threads)}, list(range(threads))
        # Some are slow: others are asked far more often.
        slow = [chance.choice([1, 1, 20]) for _ in range(threads)]
        while asking:
            thread = chance.choices(asking, [1 / slow[t] for t in asking])[0]
            found = grids.claim(thread, units)
            claimed[thread].append(found)
            if not found:
                asking.remove(thread)
        every = [unit for ranges in claimed.values() for some in ranges for unit in some]
        assert sorted(every) == list(range(units))
        for thread, ranges in claimed.items():
            part = range(thread * units // threads, (thread + 1) * units // threads)
            own = [unit for some in ranges for unit in some if unit in part]
            assert own == list(range(part.start, part.start + len(own)))


def test_a_thread_alone_claims_all_at_once(grids):
    grids.begin(1)
    assert [grids.claim(0, 100) for _ in range(2)] == [range(100), range(0)]


def test_who_has_nothing_left_takes_half_of_what_another_has_from_its_end(grids):
    grids.begin(2)
    assert [grids.claim(0, 16) for _ in range(4)] == [range(4), range(4, 6), range(6, 7), range(7, 8)]
    assert grids.claim(0, 16) == range(12, 16)
    assert grids.claim(1, 16) == range(8, 10)
