"""How long calls of a compiled model take."""

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from drystone.dtypes import Array

if TYPE_CHECKING:
    from drystone.runtime.fitted import Fitted

#: Calls before those that count, and those whose median is the latency.
_WARM, _RUNS = 3, 30


def examples(fitted: "Fitted") -> list[Array]:
    """Inputs at the symbols' upper bounds: seeded normal numbers, and zeros of integers."""
    rng = np.random.default_rng(0)
    arrays = []
    for spec in fitted.manifest.inputs:
        shape, dtype = fitted.manifest.largest(spec), fitted.manifest.numpy_dtype(spec.dtype)
        floating = np.issubdtype(dtype, np.floating)
        arrays.append((rng.standard_normal(shape) if floating else np.zeros(shape)).astype(dtype))
    return arrays


def times(
    fitted: "Fitted", inputs: Sequence[Array], runs: int, threads: int | None = None
) -> Iterator[float]:
    """Seconds of `runs` calls, each as it is done, after some that do not count."""
    for run in range(runs + _WARM):
        began = time.perf_counter()
        fitted.execute(inputs, threads=threads or fitted.threads)
        if run >= _WARM:
            yield time.perf_counter() - began


def latency(fitted: "Fitted") -> float:
    """The median time of a call of `examples`, in seconds."""
    return statistics.median(times(fitted, examples(fitted), _RUNS))
