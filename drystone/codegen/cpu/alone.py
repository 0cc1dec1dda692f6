"""One kernel by itself, compiled in this process and called on arrays."""

import ctypes
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from drystone import mlir
from drystone.codegen.cpu.finish import target_attributes
from drystone.codegen.cpu.tiles.lower import TO_LLVM, lower
from drystone.codegen.cpu.tiles.state import memref
from drystone.codegen.tile import TileProgram
from drystone.dtypes import Array
from drystone.ir.context import new_context
from drystone.ir.elements import numpy_dtype
from drystone.targets.target import CpuTarget

#: Runs of units for each thread, of which one is taken at a time.
_RUNS = 8


@dataclass(frozen=True)
class Alone:
    """A kernel in memory: what it is called with are contiguous arrays, one for each tensor of the program,
    and integers, one for each scalar."""

    program: TileProgram
    engine: Any
    count: Any
    work: Any

    def __call__(self, arrays: Sequence[Array], scalars: Sequence[int] = (), *, threads: int = 0) -> None:
        """Run all units of its grid, on so many threads (0: as many as there are cores). Raises ValueError
        for arrays that are not the program's."""
        for tensor, array in zip(self.program.tensors, arrays, strict=True):
            same = all(n in (None, m) for n, m in zip(tensor.shape, array.shape, strict=True))
            if not same or array.dtype != numpy_dtype(tensor.held) or not array.flags.c_contiguous:
                raise ValueError(f"{self.program.family}: {tensor} called with {array.dtype} {array.shape}")
        threads = threads or os.cpu_count() or 1
        fields = [field for array in arrays for field in descriptor(array)]
        fields += [ctypes.c_int64(value) for value in scalars]
        units = ctypes.c_int64()
        out = ctypes.c_void_p(ctypes.addressof(units))
        self.count(packed([*fields, out]))
        run = max(1, -(-units.value // (_RUNS * threads)))
        starts, lock = iter(range(0, units.value, run)), Lock()

        def some() -> None:
            while True:
                with lock:
                    first = next(starts, None)
                if first is None:
                    return
                ends = [ctypes.c_int64(each) for each in (first, min(first + run, units.value))]
                self.work(packed([*fields, *ends]))

        if threads == 1 or units.value <= run:
            some()
            return
        # This thread is one of them: another one takes longer to start than short work does.
        with ThreadPoolExecutor(threads - 1) as pool:
            others = [pool.submit(some) for _ in range(threads - 1)]
            some()
            for done in others:
                done.result()


def packed(fields: Sequence[Any]) -> Any:
    """What an entry of the engine is called with."""
    return (ctypes.c_void_p * len(fields))(*(ctypes.addressof(field) for field in fields))


def descriptor(array: Array) -> list[Any]:
    """A contiguous memref's fields: base, aligned base, offset, sizes, strides."""
    strides = [int(np.prod(array.shape[d + 1 :], dtype=np.int64)) for d in range(array.ndim)]
    pointers = [ctypes.c_void_p(array.ctypes.data), ctypes.c_void_p(array.ctypes.data)]
    return [*pointers, *map(ctypes.c_int64, (0, *array.shape, *strides))]


def compiled(text: str, target: CpuTarget) -> Any:
    """The engine that holds the machine code of a module in the dialects of `lower`."""
    module = mlir.parse(text, new_context())
    mlir.run_pipeline(module, TO_LLVM)
    with module.context, mlir.ir.Location.unknown():
        attributes = target_attributes(target)
        for op in module.body.operations:
            for name, value in attributes.items():
                op.operation.attributes[name] = value
    return mlir.execution_engine.ExecutionEngine(module, opt_level=3)


def alone(program: TileProgram, target: CpuTarget) -> Alone:
    """Compile a program without rounds and shared memory for this machine."""
    kernel = lower(program, "kernel", target)
    tensors = [f"%{t.name}: {memref(t)}" for t in program.tensors]
    head = ", ".join([*tensors, *(f"%{s.name}: {s.dtype}" for s in program.scalars)])
    listed = ", ".join([f"%{t.name}" for t in program.tensors] + [f"%{s.name}" for s in program.scalars])
    types = ", ".join([memref(t) for t in program.tensors] + [s.dtype for s in program.scalars])
    text = f"""
func.func @count({head}, %out: !llvm.ptr) {{
  %units = func.call @kernel_grid({listed}) : ({types}) -> index
  %wide = arith.index_cast %units : index to i64
  llvm.store %wide, %out : i64, !llvm.ptr
  return
}}
func.func @work({head}, %begin: index, %end: index) {{
  func.call @kernel({listed}, %begin, %end) : ({types}, index, index) -> ()
  return
}}
"""
    engine = compiled(kernel.text + text, target)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    return Alone(program, engine, call(engine.raw_lookup("count")), call(engine.raw_lookup("work")))
