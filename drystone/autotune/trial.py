"""One measurement: a kernel built at a point, held against the default schedule's result, and timed.

The kernel goes the whole way as the only one of a program: driver, thread pool, machine code. Its weights are
read as a model reads them (`task.are_cold`): from memory, for which many copies take turns, or from the
caches. Its other inputs lie in the caches: in a model the kernel before has just written them.

Every candidate is timed in turns with the default schedule, so that a neighbour that slows the machine for a
while slows both; only their ratio is compared, the median over the turns. A turn begins with an untimed call:
it wakes the candidate's own threads, and lets the other's fall asleep.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from drystone import codegen
from drystone.autotune.schedules import Schedules
from drystone.autotune.standalone import Data, random_data, standalone_program
from drystone.autotune.task import KERNEL, Task, last_cache
from drystone.codegen.cpu.generate import generate
from drystone.codegen.cpu.jit import jit
from drystone.codegen.search import Point
from drystone.dtypes import Array
from drystone.ir.buffers import Buffers, buffers
from drystone.ir.context import new_context
from drystone.ir.elements import widen
from drystone.ir.steps import Step
from drystone.runtime import memory, native

#: The most bytes that copies of weights take.
_MOST_COPIES = 1 << 30
#: Seconds of one turn, and the most and the fewest calls in it.
_TURN, _MOST_CALLS, _FEWEST_CALLS = 3e-3, 20, 2
_FEWEST_TURNS = 3
#: Quartiles of the ratios that are further apart are not trusted: turns go on, for so many times as long.
_SPREAD, _PATIENCE = 0.06, 3.0
#: A schedule so many times slower than the default gets one turn only.
_HOPELESS = 3.0
#: How far results may be apart, relative to the largest: sums are taken in another order.
_TOLERANCE = {"f64": 1e-9, "f32": 1e-4, "f16": 1e-2, "bf16": 3e-2}


@dataclass(frozen=True)
class Timing:
    """Seconds of a call of the candidate, and of the default schedule (the median over the turns). The first
    is the second times the median of their ratios in a turn."""

    seconds: float
    baseline: float


class WrongResult(Exception):
    """A schedule computes something else than the default one."""


class Bench:
    """A task with its data, its default schedule compiled, and the result that one gives."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._context = new_context()
        self._data = random_data(task, self._context)
        self._tables = _tables(task, list(self._data.weights.values()))
        self._default = self._built(Schedules(task, self._context).default)
        self._default()
        self._expected = [array.copy() for array in self._data.outputs]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights that a call reads."""
        return sum(array.nbytes for array in self._data.weights.values())

    def measure(self, point: Point, seconds: float) -> Timing:
        """Check the schedule `point` and time it for about `seconds`. Raises WrongResult."""
        candidate = self._built(point)
        try:
            for array in self._data.outputs:
                array.reshape(-1).view(np.uint8)[...] = 0xAA
            candidate()
            self._compare()
            return in_turns(candidate, self._default, seconds)
        finally:
            candidate.close()

    def close(self) -> None:
        """End the threads."""
        self._default.close()

    def _built(self, point: Point) -> "_Callable":
        program, target = standalone_program(self._task, self._context), self._task.target
        schedules = {KERNEL: point}
        codegen.add_workspaces(program, target, schedules)
        found = buffers(program)
        offsets, size = _side_by_side(found)
        order = [call.name for call in found.calls]
        code = generate(program, [Step(name, offsets) for name in order], target, schedules)
        made = jit(code)
        entry = native.Code(made.create, made.destroy, made.run, made.owner)
        places = [list(self._data.weights).index(key) for key in code.weights]
        tables = [[table[place] for place in places] for table in self._tables]
        return _Callable(entry, tables, self._data, memory.empty([size], np.uint8), self._task.threads)

    def _compare(self) -> None:
        data = self._data
        for got, want, element in zip(data.outputs, self._expected, data.elements, strict=True):
            a, b = (widen(array).astype(np.float64) for array in (got, want))
            size, tolerance = np.abs(b[np.isfinite(b)]).max(initial=0), _TOLERANCE.get(element, 0.0)
            if not np.allclose(a, b, rtol=tolerance, atol=tolerance * size, equal_nan=True):
                raise WrongResult(f"off by {np.nanmax(np.abs(a - b)):.1e} where the largest is {size:.1e}")


def _side_by_side(found: Buffers) -> tuple[dict[str, int], int]:
    """Offsets of the arena's buffers (a workspace may be one), none over another, and the arena's size."""
    offsets, end = {}, 0
    for buffer in found.buffers.values():
        if buffer.kind == "arena":
            offsets[buffer.name] = end
            end += -(-buffer.size // memory.ALIGNMENT) * memory.ALIGNMENT
    return offsets, end


def _tables(task: Task, weights: Sequence[Array]) -> list[list[Array]]:
    """The weights, as often as it takes for each to be read from where `task` says."""
    size = sum(array.nbytes for array in weights)
    copies = 1
    if task.cold and size:
        copies = max(1, min(2 * last_cache(), _MOST_COPIES) // size)
    return [list(weights), *([_copy(array) for array in weights] for _ in range(copies - 1))]


def _copy(array: Array) -> Array:
    made = memory.empty(array.shape, array.dtype)
    made[...] = array
    return made


class _Callable:
    """A compiled schedule and the arrays it is called with; the tables of weights take turns."""

    def __init__(
        self, code: native.Code, tables: list[list[Array]], data: Data, arena: Array, threads: int
    ) -> None:
        self._code = code
        self._arena = arena
        self._pool = code.pool(threads) if threads > 1 else None
        nothing = native.pointers([])
        self._calls = [
            native.Call(
                native.pointers(table),
                arena.ctypes.data,
                native.pointers(data.inputs),
                native.pointers(data.outputs),
                nothing,
                native.integers([]),
                None,
            )
            for table in tables
        ]
        self._next = cycle(self._calls)

    def __call__(self) -> float:
        """One call; its seconds."""
        call = next(self._next)
        began = time.perf_counter()
        self._code.call(self._pool, call)
        return time.perf_counter() - began

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._code.close(self._pool)
            self._pool = None


def in_turns(candidate: Callable[[], float], default: Callable[[], float], seconds: float) -> Timing:
    """Turns of both for about `seconds`, for longer where they do not agree with each other."""
    ratios: list[float] = []
    baselines: list[float] = []
    began = time.perf_counter()
    spent = 0.0
    while len(ratios) < _FEWEST_TURNS or spent < seconds or (spent < _PATIENCE * seconds and _noisy(ratios)):
        baselines.append(_turn(default))
        ratios.append(_turn(candidate) / baselines[-1])
        if statistics.median(ratios) > _HOPELESS:
            break
        spent = time.perf_counter() - began
    baseline = statistics.median(baselines)
    return Timing(statistics.median(ratios) * baseline, baseline)


def _noisy(ratios: Sequence[float]) -> bool:
    low, _, high = statistics.quantiles(ratios, n=4)
    return high - low > _SPREAD


def _turn(call: Callable[[], float]) -> float:
    """The median seconds of some calls."""
    calls = max(_FEWEST_CALLS, min(_MOST_CALLS, int(_TURN / max(call(), 1e-9))))
    return statistics.median(call() for _ in range(calls))
