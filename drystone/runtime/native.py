"""The compiled code as seen from Python: three C functions, taken from a JIT or from a shared object."""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from drystone.dtypes import Array
from drystone.errors import InternalError, UserError

_Pointers = ctypes.POINTER(ctypes.c_void_p)


class Call(ctypes.Structure):
    """struct drystone_call of the generated header."""

    _fields_ = (
        ("weights", _Pointers),
        ("arena", ctypes.c_void_p),
        ("inputs", _Pointers),
        ("outputs", _Pointers),
        ("states", _Pointers),
        ("symbols", ctypes.POINTER(ctypes.c_int64)),
        ("profile", ctypes.POINTER(ctypes.c_int64)),
        ("threads", ctypes.c_int64),
        ("progress", ctypes.POINTER(ctypes.c_int64)),
        ("mapped", ctypes.c_int64),
        ("file", ctypes.c_int64),
        ("places", ctypes.POINTER(ctypes.c_int64)),
        ("held", _Pointers),
        ("read", ctypes.POINTER(ctypes.c_int64)),
    )


_CREATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
_DESTROY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_RUN = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.POINTER(Call))


@dataclass(frozen=True)
class Code:
    """Addresses of the functions `drystone_pool_create`, `drystone_pool_destroy` and `drystone_run`; code
    that runs on the calling thread alone has 0 for the first two. `owner` keeps what holds them (an execution
    engine, a loaded library) alive."""

    create: int
    destroy: int
    run: int
    owner: Any

    @property
    def pooled(self) -> bool:
        """Whether it makes pools of threads, and runs on them."""
        return self.create != 0

    def pool(self, threads: int, *, pinned: bool = False) -> int:
        """A pool of `threads` threads, the caller counted, each on a core of its own if `pinned`; as an
        address. Other models can use it as long as this code is there."""
        address = _CREATE(self.create)(threads, pinned)
        if not address:
            raise InternalError(f"the thread pool of {threads} threads could not be made")
        return int(address)

    def close(self, pool: int) -> None:
        """End the pool's threads."""
        _DESTROY(self.destroy)(pool)

    def call(self, pool: int | None, call: Call) -> int:
        """Run the model; 0, or 1 + the index of the assertion that failed. Releases the interpreter lock."""
        return int(self._entry(pool, ctypes.byref(call)))

    @cached_property
    def _entry(self) -> Any:
        return _RUN(self.run)


def pointers(arrays: Sequence[Array]) -> Any:
    """A C array of the arrays' addresses; the caller keeps the arrays alive."""
    return addresses([array.ctypes.data for array in arrays])


def addresses(places: Sequence[int]) -> Any:
    """A C array of addresses, 0 for none."""
    return (ctypes.c_void_p * max(1, len(places)))(*places)


def counters(array: Array) -> Any:
    """The address of an array of int64, which the caller keeps alive."""
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))


def integers(values: Sequence[int]) -> Any:
    """A C array of int64."""
    return (ctypes.c_int64 * max(1, len(values)))(*values)


def from_library(image: bytes) -> Code:
    """Load a shared object from memory: `drystone_run` of the generated header, and the functions of pools
    where it has them.

    The descriptor stays open: the loader knows libraries by path; a reused number would name an older one.
    Raises UserError where the loader refuses it.
    """
    handle = os.memfd_create("drystone")
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(image)
        library = ctypes.CDLL(f"/proc/self/fd/{handle}")
    except OSError as error:
        os.close(handle)
        raise UserError(
            f"the artifact's code could not be loaded: {error}",
            hint="it was built for another system; build it again here",
        ) from error
    names = ("drystone_pool_create", "drystone_pool_destroy", "drystone_run")
    found = (getattr(library, name, None) for name in names)
    create, destroy, run = ((each and ctypes.cast(each, ctypes.c_void_p).value) or 0 for each in found)
    if not run:
        raise UserError("the artifact's code has no function drystone_run", hint="build it again here")
    return Code(create, destroy, run, library)
