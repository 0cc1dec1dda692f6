"""Machine code in this process."""

import ctypes
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drystone.codegen.cpu.code import Code
from drystone.errors import InternalError
from drystone.mlir import execution_engine


@dataclass(frozen=True)
class Compiled:
    """Addresses of `drystone_pool_create`, `drystone_pool_destroy` and `drystone_run`; `owner` holds the code
    and must live as long as they are used. image: gives the bytes of the object file."""

    create: int
    destroy: int
    run: int
    owner: Any
    image: Callable[[], bytes]


def jit(code: Code) -> Compiled:
    """Compile the module and load it. Raises InternalError where LLVM does not take it."""
    with code.module.context:
        try:
            # Position independent, so that the same object can be linked into a shared library.
            engine = execution_engine.ExecutionEngine(code.module, opt_level=3, enable_pic=True)
        except RuntimeError as error:
            raise InternalError(f"LLVM does not take the module: {error}") from error
    packed = engine.raw_lookup("drystone_entry_points")
    if not packed:
        raise InternalError(
            "the compiled module lacks drystone_entry_points, or a function it calls is missing"
        )
    # The engine gives a wrapper that takes the addresses of the arguments.
    out = (ctypes.c_void_p * 3)()
    argument = ctypes.c_void_p(ctypes.addressof(out))
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(packed)(ctypes.addressof(arguments))
    create, destroy, run = (int(address or 0) for address in out)
    return Compiled(create, destroy, run, engine, lambda: _object(engine))


def _object(engine: Any) -> bytes:
    handle, name = tempfile.mkstemp(suffix=".o")
    os.close(handle)
    try:
        engine.dump_to_object_file(name)
        return Path(name).read_bytes()
    finally:
        Path(name).unlink()
