"""Weights that lie in a mapped file: read ahead of the kernels that need them, given back after."""

import ctypes
import mmap
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from drystone.dtypes import DTYPES, Array
from drystone.runtime.manifest import Leaf
from drystone.runtime.memory import ALIGNMENT

#: How long the reader sleeps before it looks again how far the run is, in seconds.
_LOOK = 2e-4
#: Bytes that are read at a time; where the first of them is in memory already, all are taken to be.
_PIECE = 2 << 20
#: Where else temporary files may be: they outlive a start of the system there, so that memory is none.
_FOLDERS = ("/var/tmp",)
#: The kinds of file systems that are in memory (statfs(2)): tmpfs and ramfs.
_MEMORY_FILES = (0x01021994, 0x858458F6)


@dataclass(frozen=True)
class Stored:
    """A file (closed with this), its mapping, and where each weight starts and ends in it."""

    file: int
    mapping: mmap.mmap
    ranges: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        weakref.finalize(self, os.close, self.file)

    @property
    def in_memory(self) -> bool:
        """Whether the file takes memory, as what lies in a tmpfs does."""
        return _in_memory(f"/proc/self/fd/{self.file}")

    def views(self, leaves: Sequence[Leaf]) -> list[Array]:
        """The weights where they lie."""
        whole = np.frombuffer(self.mapping, np.uint8)
        return [
            whole[start:end].view(DTYPES[leaf.dtype]).reshape(leaf.shape)
            for (start, end), leaf in zip(self.ranges, leaves, strict=True)
        ]

    def release(self, slots: Iterable[int]) -> None:
        """Give back the pages of some weights; they are read again where they are needed."""
        for start, end in (self.ranges[slot] for slot in slots):
            first = start - start % mmap.PAGESIZE
            self.mapping.madvise(mmap.MADV_DONTNEED, first, end - first)

    def ahead(self, slot: int, wanted: Callable[[], bool]) -> None:
        """Read a weight from the disk, unless it is in memory already, piece by piece while it is wanted."""
        start, end = self.ranges[slot]
        for place in range(start, end, _PIECE):
            if not wanted():
                return
            if not self._at_hand(place):
                os.preadv(self.file, [bytearray(min(_PIECE, end - place))], place)

    def _at_hand(self, place: int) -> bool:
        try:
            return os.preadv(self.file, [bytearray(1)], place, os.RWF_NOWAIT) == 1
        except BlockingIOError:
            return False
        except OSError:  # of this file system that is not known: it reads ahead as it can
            return True


class Reader:
    """A thread that reads weights ahead during one run, which says in `progress` what step it is at. reads:
    when each may begin to come, the step that needs it, and its place among the weights."""

    def __init__(self, stored: Stored, reads: Sequence[tuple[int, int, int]]) -> None:
        self.progress = np.zeros(1, np.int64)
        self._stored, self._reads = stored, sorted(reads)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for begins, step, slot in self._reads:
            while self.progress[0] < begins and not self._over.is_set():
                time.sleep(_LOOK)
            self._stored.ahead(slot, partial(self._before, step))

    def _before(self, step: int) -> bool:
        """Whether the run still has to come to the step."""
        return not self._over.is_set() and bool(self.progress[0] < step)


def spooled(weights: Sequence[Array]) -> Stored:
    """The weights in a temporary file on a disk that goes with the process."""
    ranges = []
    with tempfile.TemporaryFile(dir=_disk_folder()) as file:
        for array in weights:
            ranges.append((file.tell(), file.tell() + array.nbytes))
            file.write(array.reshape(-1).view(np.uint8).data)
            file.write(bytes(-file.tell() % mmap.PAGESIZE))
        file.write(bytes(ALIGNMENT))  # nothing cannot be mapped
        file.flush()
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return Stored(os.dup(file.fileno()), mapping, tuple(ranges))


def _disk_folder() -> str:
    """The first folder for temporary files that is not kept in memory; if all are, the first."""
    usual = tempfile.gettempdir()
    on_disk = (each for each in (usual, *_FOLDERS) if os.access(each, os.W_OK) and not _in_memory(each))
    return next(on_disk, usual)


def _in_memory(path: str) -> bool:
    """Whether a file or folder lies in a file system that has no disk behind it."""
    found = (ctypes.c_long * 64)()  # struct statfs begins with the file system's kind
    libc = ctypes.CDLL(None)
    return libc.statfs(os.fsencode(path), found) == 0 and found[0] in _MEMORY_FILES
