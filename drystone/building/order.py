"""What a child process is told, and what it tells when it is done, as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Order:
    """table: the settings, as the file says them; `where`: the place that says them. root, path: the folder
    that files, and those that modules, are looked for in. threads: of torch. report: the file to write the
    answer to. timed: the artifact is there, and its calls are to be timed."""

    table: Mapping[str, Any]
    where: str
    target: str
    output: str
    root: str
    path: list[str]
    threads: int
    report: str
    timed: bool = False


@dataclass(frozen=True)
class Answer:
    """error: what failed, if anything did; fault: of drystone itself. read: files that were read to make the
    model. measured: see `Result`."""

    error: str = ""
    fault: bool = False
    read: list[str] = field(default_factory=list)
    measured: Mapping[str, Any] = field(default_factory=dict)
