"""The parent's side of measuring: a child process that is started again when it crashes or hangs."""

import json
import os
import platform
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from drystone import machine, registry
from drystone.autotune.task import Task, code_version
from drystone.codegen.search import Point
from drystone.errors import InternalError, UserError

#: Seconds that a child may take to start on a busy machine.
_START = 120.0


@dataclass(frozen=True)
class Outcome:
    """What came of one trial. status: "ok", "wrong" (result), "crashed", "timeout" or "error"; the median
    seconds of a call and those of the default schedule's, measured in turns, where it is "ok"; on which
    machine."""

    status: str
    seconds: float | None = None
    baseline: float | None = None
    detail: str = ""
    machine: str = ""

    @property
    def ratio(self) -> float | None:
        """The time relative to the default schedule's; None where the trial failed."""
        return None if not (self.seconds and self.baseline) else self.seconds / self.baseline

    def as_data(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def here() -> str:
    """This machine, as measurements name it."""
    return f"{machine.cpu_name()} ({platform.node()})"


class Measurer(Protocol):
    """Anything that measures schedules, `width` of them at once."""

    @property
    def width(self) -> int:
        """How many it measures at once."""
        ...

    def measure(self, task: Task, points: list[Point], seconds: float) -> list[Outcome]:
        """An outcome for each point, in order; about so many seconds of calls each."""
        ...

    def close(self) -> None:
        """End what was started."""
        ...


class Worker:
    """Measures in a child process, one point at a time.

    limit: seconds that one trial may take, compilation included. A child that exceeds it, or ends, costs that
    trial; the next one gets a new child. entry: "module:function", what the child runs.
    """

    def __init__(self, limit: float = 30.0, entry: str = "drystone.autotune.child:main") -> None:
        self._limit, self._entry = limit, entry
        self._child: subprocess.Popen[bytes] | None = None
        self._errors: int | None = None
        self._held = b""
        self.width = 1

    def measure(self, task: Task, points: list[Point], seconds: float) -> list[Outcome]:
        """See `Measurer`."""
        return [self._one({"task": task.as_data(), "point": point, "seconds": seconds}) for point in points]

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None
        if self._errors is not None:
            os.close(self._errors)
            self._errors = None

    def _one(self, job: Mapping[str, Any]) -> Outcome:
        child = self._running()
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
            answer = self._line(child, self._limit)
        except (BrokenPipeError, EOFError):
            return Outcome("crashed", detail=self._ended(child), machine=here())
        except TimeoutError:
            self.close()
            return Outcome("timeout", detail=f"not done after {self._limit:g} s", machine=here())
        return Outcome(**answer, machine=here())

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._held = b""
            self._errors = os.memfd_create("drystone-errors")
            # The child finds the same packages as this process, wherever it was started.
            module, _, function = self._entry.partition(":")
            loaded = f"from drystone import registry; registry.load({registry.modules()!r})"
            started = f"from {module} import {function}; {function}()"
            code = f"import sys; sys.path[:] = {sys.path!r}; {loaded}; {started}"
            self._child = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
            try:
                hello = self._line(self._child, _START)
            except (EOFError, TimeoutError) as error:
                detail = self._ended(self._child)
                raise InternalError(f"the process that measures does not start: {detail}") from error
            if hello["version"] != code_version():
                self.close()
                if registry.modules():
                    raise UserError(
                        "the process that measures has other extensions than this one, though it imports "
                        + ", ".join(registry.modules()),
                        hint="add operations and element codes at the top of a module, not in a function",
                    )
                raise InternalError("the process that measures runs another version of drystone")
        return self._child

    def _line(self, child: "subprocess.Popen[bytes]", seconds: float) -> Any:
        """The next line the child writes. Raises EOFError where it ends, TimeoutError."""
        assert child.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._held:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
                raise TimeoutError
            more = os.read(child.stdout.fileno(), 1 << 16)
            if not more:
                raise EOFError
            self._held += more
        line, _, self._held = self._held.partition(b"\n")
        return json.loads(line)

    def _ended(self, child: "subprocess.Popen[bytes]") -> str:
        """Why the child ended, and the last it said."""
        try:
            code = child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        said = b""
        if self._errors is not None:
            said = os.pread(self._errors, 300, max(0, os.fstat(self._errors).st_size - 300))
        self.close()
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([name, *last])
