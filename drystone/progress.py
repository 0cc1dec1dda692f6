"""Progress on a terminal, once something takes over a second; nothing elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

#: How long a job may take before it shows a bar.
PATIENCE = 1.0


class Steps:
    """Call it with each step's name as the step begins. Silent without a bar."""

    def __init__(self, names: Sequence[str], bar: Any = None) -> None:
        self._names, self._bar = list(names), bar
        self._began = time.monotonic()
        self._task = None if bar is None else bar.add_task("", total=len(names), note="")
        self._at = 0

    def __call__(self, name: str) -> None:
        self._at = self._names.index(name)
        self._show(name, 0.0, "")

    def note(self, done: float, text: str) -> None:
        """Say how far the step is, as a part of 1, and something about it."""
        self._show(self._names[self._at], done, text)

    def _show(self, name: str, done: float, text: str) -> None:
        if self._bar is None:
            return
        if time.monotonic() - self._began > PATIENCE:
            self._bar.start()
        self._bar.update(self._task, description=name, completed=self._at + done, note=text)


@contextmanager
def steps(names: Sequence[str], *, shown: bool = True) -> Iterator[Steps]:
    """Gives what is to be called with each step's name as it begins; draws a bar on a terminal's stderr.

    The bar appears with the first step that begins after a second.
    """
    if not (shown and sys.stderr.isatty()):
        yield Steps(names)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description:12}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    try:
        yield Steps(names, bar)
    finally:
        bar.stop()
