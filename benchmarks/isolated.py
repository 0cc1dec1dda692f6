"""Jobs in child processes: one that crashes or hangs costs itself only."""

import multiprocessing as mp
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any


def _serve(work: Callable[[Any], Any], channel: Connection) -> None:
    while True:
        job = channel.recv()
        try:
            result = work(job)
        except Exception as error:
            # The parent must learn what went wrong; any further job would be done by a sound process.
            at = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:200]
            result = f"raised {type(error).__name__} at {Path(at.filename).name}:{at.lineno}: {text}"
        channel.send(result)


class _Worker:
    def __init__(self, work: Callable[[Any], Any]) -> None:
        context = mp.get_context("spawn")
        self.channel, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Any = None
        self.deadline = 0.0

    def give(self, job: Any, seconds: float) -> None:
        self.job, self.deadline = job, time.monotonic() + seconds
        self.channel.send(job)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.channel.close()


def run(
    work: Callable[[Any], Any], jobs: Sequence[Any], *, workers: int = 2, seconds: float = 120.0
) -> Iterator[tuple[Any, Any]]:
    """(job, work(job)) as they finish; the result is the text "crashed" or "timed out" where a child did, and
    "raised <error>" where the work raised one.

    work: a function of a module, jobs and results such that they pickle. A child works on many jobs in turn.
    """
    waiting = list(reversed(jobs))
    busy: list[_Worker] = []
    while waiting or busy:
        while waiting and len(busy) < workers:
            worker = _Worker(work)
            worker.give(waiting.pop(), seconds + 30)
            busy.append(worker)
        now = time.monotonic()
        ready = wait([w.channel for w in busy], max(0.0, min(w.deadline for w in busy) - now))
        for worker in list(busy):
            if worker.channel in ready:
                try:
                    result = worker.channel.recv()
                except EOFError:
                    worker.process.join()
                    result = f"crashed (exit code {worker.process.exitcode})"
            elif time.monotonic() >= worker.deadline:
                result = "timed out"
            else:
                continue
            yield worker.job, result
            if str(result).startswith(("crashed", "timed out")) or not waiting:
                worker.stop()
                busy.remove(worker)
            else:
                worker.give(waiting.pop(), seconds)
