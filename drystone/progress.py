"""Progress on a terminal, once something takes over a second; nothing elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

#: How long a job may take before it shows a bar.
PATIENCE = 1.0


@contextmanager
def steps(names: Sequence[str], *, shown: bool = True) -> Iterator[Callable[[str], None]]:
    """Gives a function to be called with each step's name as it begins; draws a bar on a terminal's stderr.

    The bar appears with the first step that begins after a second.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    began = time.monotonic()
    bar = Progress(
        TextColumn("{task.description:12}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=len(names))

    def begin(name: str) -> None:
        if time.monotonic() - began > PATIENCE:
            bar.start()
        bar.update(task, description=name, completed=list(names).index(name))

    try:
        yield begin
    finally:
        bar.stop()
