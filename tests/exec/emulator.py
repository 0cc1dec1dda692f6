"""Dot units that this machine lacks, emulated in this process."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from drystone import machine

_SOURCES = ("emulator.c", "amx.c", "fp16.c")


@lru_cache(maxsize=1)
def _loaded() -> Any:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    folder = Path(__file__).parent
    with TemporaryDirectory() as made:
        library = Path(made) / "emulator.so"
        sources = [str(folder / name) for name in _SOURCES]
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", str(library), *sources], check=True)
        loaded = ctypes.CDLL(str(library))
    loaded.emulated.restype = ctypes.c_long
    return loaded


class Emulator:
    """Executes the instructions of these flags of /proc/cpuinfo, where the machine does not do it itself.
    Skips the test where it cannot."""

    def __init__(self, flags: Sequence[str]) -> None:
        self.needed = bool(machine.missing_features(flags))
        self._library = _loaded() if self.needed else None
        if self.needed and self._library is None:
            pytest.skip("the emulator needs a C compiler")
        # Every time: LLVM puts a handler of its own in the place when it writes an object file.
        assert self._library is None or self._library.emulate() == 0

    def executed(self) -> int:
        """How many instructions were emulated so far."""
        return 0 if self._library is None else int(self._library.emulated())
