"""The threads of this process, shared by all its models.

A team is a caller and some workers that sleep between calls. Calls that run at the same time divide the
cores: each has as many threads as it wants while cores are free, and at least its own; so models that run at
once do not take turns on the cores, and models that do not run keep no threads.
"""

import os
import threading
from collections import deque
from dataclasses import dataclass, field

from drystone.machine import usable_cores
from drystone.runtime import native
from drystone.runtime.runners import Runnable


@dataclass(frozen=True, eq=False)
class _Team:
    """A pool at an address, made by `code`, which must outlive it."""

    pool: int
    threads: int
    pinned: bool
    code: native.Code

    def close(self) -> None:
        """End its workers."""
        self.code.close(self.pool)


@dataclass
class _Teams:
    """Teams that wait for a call, longest first; threads of calls under way, and workers of all teams."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    idle: list[_Team] = field(default_factory=list)
    running: int = 0
    workers: int = 0
    forgotten: deque[Runnable] = field(default_factory=deque)

    def take(self, code: native.Code, wanted: int, pinned: bool) -> tuple[_Team | None, int]:
        """A team for a call and how many of its threads it may have; none for one thread."""
        with self.lock:
            free = max(wanted, usable_cores()) - self.running if self.running else wanted
            count = max(1, min(wanted, free))
            team = self._waiting(count, pinned) if count > 1 else None
            if count > 1 and team is None:
                while self.idle and self.workers + count > max(wanted, usable_cores()):
                    self._end(self.idle[0])
                team = _Team(code.pool(count, pinned=pinned), count, pinned, code)
                self.workers += count - 1
            self.running += count
            return team, count

    def _waiting(self, count: int, pinned: bool) -> _Team | None:
        """Of the idle teams that a call could have, the smallest, no longer idle; most often the last one is
        just so large."""
        if self.idle and self.idle[-1].threads == count and self.idle[-1].pinned == pinned:
            return self.idle.pop()
        fitting = [t for t in self.idle if t.pinned == pinned and t.threads >= count]
        team = min(fitting, key=lambda t: t.threads, default=None)
        if team is not None:
            self.idle.remove(team)
        return team

    def give(self, team: _Team | None, count: int) -> None:
        """A call has ended."""
        with self.lock:
            self.running -= count
            if team is not None:
                self.idle.append(team)
        if self.forgotten:
            self.clear()

    def clear(self) -> None:
        """End idle teams whose makers are gone. Never waits: a collector may call this anywhere, also from
        within the other methods."""
        while self.forgotten and self.lock.acquire(blocking=False):
            try:
                gone = list(self.forgotten)
                for team in [t for t in self.idle if any(t.code is code for code in gone)]:
                    self._end(team)
                busy = self.running > 0
                if not busy:
                    self.forgotten.clear()
            finally:
                self.lock.release()
            if busy:
                return

    def _end(self, team: _Team) -> None:
        self.idle.remove(team)
        self.workers -= team.threads - 1
        team.close()


_state = _Teams()


def _forked() -> None:
    """A forked process has none of its parent's threads."""
    global _state
    _state = _Teams()


os.register_at_fork(after_in_child=_forked)


def run(code: Runnable, call: native.Call, threads: int, *, pinned: bool) -> int:
    """Run a model (see `native.Code.call`) with at most as many threads; code that makes no pools, on the
    calling one."""
    if not (isinstance(code, native.Code) and code.pooled):
        call.threads = 1
        return code.call(None, call)
    teams = _state
    team, count = teams.take(code, threads, pinned)
    try:
        call.threads = count
        return code.call(None if team is None else team.pool, call)
    finally:
        teams.give(team, count)


def forget(code: Runnable) -> None:
    """End the workers of teams that this code made, as soon as they are idle: it is about to go."""
    _state.forgotten.append(code)
    _state.clear()
