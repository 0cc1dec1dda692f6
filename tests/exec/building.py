"""Builds in this process, where torch is loaded already."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from drystone.building import children, worker


def here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on artifacts are built in this process, which imports the modules of this folder anew."""

    def run(tasks: Sequence[children.Task], jobs: int, memory: int, done: Callable[..., None]) -> None:
        for task in tasks:
            for path in folder.glob("*.py"):
                sys.modules.pop(path.stem, None)
            began = time.monotonic()
            done(task, worker.answer(task.order), time.monotonic() - began)

    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(children, "run", run)
