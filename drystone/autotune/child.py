"""The child process that measures: jobs come in on stdin and results go out on stdout, a line of JSON each.

It may crash or hang with any candidate; `worker` watches over it. Started with `-c`, not by multiprocessing,
it never runs the user's own main module, and works below processes that may have no children of that kind.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from drystone.autotune.task import Task, code_version
from drystone.autotune.trial import Bench, WrongResult
from drystone.errors import DrystoneError

Job = Mapping[str, Any]
Result = dict[str, Any]


class Trials:
    """Runs jobs, {"task", "point", "seconds"}; keeps what is prepared for a task until another comes."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._bench: Bench | None = None

    def __call__(self, job: Job) -> Result:
        """{"status": "ok", "seconds", "baseline"} or {"status": "wrong" or "error", "detail"}."""
        try:
            task = Task.of_data(job["task"])
            if self._bench is None or task != self._task:
                self._drop()
                self._task, self._bench = task, Bench(task)
            timing = self._bench.measure(dict(job["point"]), job["seconds"])
        except WrongResult as error:
            return {"status": "wrong", "detail": str(error)}
        except (DrystoneError, RuntimeError, ValueError, MemoryError) as error:
            # A schedule that cannot be built or run is a bad schedule, not the end of the tuning.
            return {"status": "error", "detail": f"{type(error).__name__}: {error}"[:500]}
        return {"status": "ok", "seconds": timing.seconds, "baseline": timing.baseline}

    def _drop(self) -> None:
        if self._bench is not None:
            self._bench.close()
        self._task = self._bench = None


def serve(measure: Callable[[Job], Result]) -> None:
    """Answer jobs until stdin ends. What else is printed goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(json.dumps({"version": code_version()}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(json.loads(line))), file=out, flush=True)


def main() -> None:
    """Measure."""
    serve(Trials())
