"""Windows: memory into which a run reads those rows of weights from their file that it needs.

A window is as large as its weight, and only pages that were read take memory. The code says for each page for
how many more runs it stays (`held`), reads those that are wanted and gives others back.
"""

import mmap
import os
import weakref
from collections.abc import Sequence

import numpy as np

from drystone.dtypes import Array
from drystone.runtime import native
from drystone.runtime.stored import Stored

#: The pages that the code knows; those of the system are as large, or memory is not given back.
_PAGE = 4096


class Windows:
    """The windows of some weights, by their places among them, which lie in a file; for one call at a time.

    read: how many bytes were read from the file so far."""

    def __init__(self, stored: Stored, slots: Sequence[int]) -> None:
        self._memory = {slot: _reserved(stored.ranges[slot]) for slot in slots}
        pages = {slot: len(each) // _PAGE for slot, each in self._memory.items()}
        self._held = {slot: np.zeros(count, np.uint8) for slot, count in pages.items()}
        # Described anew: what is said of how it will be read does not hold for the mapping of the file.
        self._file = os.open(f"/proc/self/fd/{stored.file}", os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)
        self._places = native.integers([start for start, _ in stored.ranges])
        held = [self._held.get(slot) for slot in range(len(stored.ranges))]
        self._marks = native.addresses([0 if each is None else each.ctypes.data for each in held])
        self.read = np.zeros(1, np.int64)

    def table(self, weights: Sequence[Array]) -> list[int]:
        """Where each of all weights is for the code: those that have none where they are."""
        own = {slot: np.frombuffer(each, np.uint8) for slot, each in self._memory.items()}
        return [own.get(slot, array).ctypes.data for slot, array in enumerate(weights)]

    def attach(self, call: native.Call) -> None:
        """Let a call use them."""
        call.file, call.places, call.held = self._file, self._places, self._marks
        call.read = native.counters(self.read)


def _reserved(where: tuple[int, int]) -> mmap.mmap:
    """Room for the bytes from a start up to an end, in pages of which none takes memory yet."""
    start, end = where
    size = max(1, -(-(end - start) // mmap.PAGESIZE)) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # In large pages a row would bring its neighbours.
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory
