"""The CPU this process runs on, as the kernel describes it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path


@cache
def cpu_flags() -> frozenset[str]:
    """The feature names of /proc/cpuinfo's first processor; empty where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    return frozenset(next(found, []))


def missing_features(required: Sequence[str]) -> list[str]:
    """Those of `required` that this machine's CPU does not have, in order."""
    return [name for name in required if name not in cpu_flags()]
