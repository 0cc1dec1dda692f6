"""Child processes, as many at once as there are cores and memory for."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from drystone.building.order import Answer, Order

#: Seconds between looks at what runs, and those in which a child that is told to end may do so.
_LOOK, _GRACE = 0.02, 5.0
#: Lines of what a child wrote that are told where it ends without an answer.
_TOLD = 15
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Task:
    """name: of what is built. order: what the child is told. memory: bytes that it is expected to take.
    command: what it runs."""

    name: str
    order: Order
    memory: int
    command: Sequence[str] = (sys.executable, "-m", "drystone.building.worker")


@dataclass
class _Running:
    """A child at work, and what it writes."""

    task: Task
    process: "subprocess.Popen[str]"
    said: Path
    began: float = field(default_factory=time.monotonic)

    @property
    def memory(self) -> int:
        """Bytes that it is expected to take, or does if that is more."""
        with suppress(OSError, IndexError):
            pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
            return max(self.task.memory, int(pages) * _PAGE)
        return self.task.memory


def run(tasks: Sequence[Task], jobs: int, memory: int, done: Callable[[Task, Answer, float], None]) -> None:
    """Run each task in a process of its own, in their order: `jobs` at most at once, and none beside others
    that would take more than `memory` bytes with them. done: called with each answer and its seconds. However
    it is left, no child is left behind."""
    waiting, running = [*tasks], list[_Running]()
    with tempfile.TemporaryDirectory(prefix="drystone-build-") as folder:
        try:
            while waiting or running:
                while waiting and len(running) < jobs and _fits(waiting[0], running, memory):
                    number = len(tasks) - len(waiting)
                    running.append(_started(waiting.pop(0), Path(folder, str(number))))
                for each in [each for each in running if each.process.poll() is not None]:
                    running.remove(each)
                    done(each.task, _answer(each), time.monotonic() - each.began)
                time.sleep(_LOOK)
        finally:
            _stop(running)


def _fits(task: Task, running: Sequence[_Running], memory: int) -> bool:
    """Whether a task can begin: one that is too large for all there is does so alone."""
    return not running or sum(each.memory for each in running) + task.memory <= memory


def _started(task: Task, folder: Path) -> _Running:
    """A child that has its order. It is in a session of its own: Ctrl-C reaches the parent alone, which ends
    its children itself; and its input ends with the parent."""
    folder.mkdir()
    said = folder / "said"
    order = asdict(task.order) | {"report": str(folder / "answer")}
    with said.open("w") as output:
        process = subprocess.Popen(
            task.command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=task.order.root,
            start_new_session=True,
        )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already: its answer, which is missing, tells so
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
    return _Running(task, process, said)


def _answer(child: _Running) -> Answer:
    """What a child that has ended tells, or that it tells nothing."""
    report = child.said.with_name("answer")
    if child.process.returncode == 0 and report.exists():
        return Answer(**json.loads(report.read_text(encoding="utf-8")))
    code = child.process.returncode
    what = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    if code == -signal.SIGKILL:
        what += ', perhaps for want of memory: memory = "8GB" in its table says how much it takes'
    said = child.said.read_text(errors="replace").splitlines()[-_TOLD:]
    return Answer("\n  ".join([f"the process that builds it {what}", *said]), fault=code != -signal.SIGKILL)


def _stop(running: Sequence[_Running]) -> None:
    """End children, and all that they started."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for each in running:
            if each.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(each.process.pid, kind)
        deadline = time.monotonic() + _GRACE
        for each in running:
            with suppress(subprocess.TimeoutExpired):
                each.process.wait(max(0.0, deadline - time.monotonic()))
