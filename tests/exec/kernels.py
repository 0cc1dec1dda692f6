"""Runs a lowered kernel: compiles its text in process and calls it on numpy arrays."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drystone.codegen import interpret
from drystone.codegen.cpu import alone
from drystone.codegen.cpu.tiles.lower import lower
from drystone.codegen.cpu.tiles.state import memref
from drystone.codegen.kernel import Kernel
from drystone.codegen.tile import TileProgram
from drystone.targets import registry
from drystone.targets.target import CpuTarget

_CTYPES: dict[str, Any] = {
    "index": ctypes.c_int64,
    "i64": ctypes.c_int64,
    "i32": ctypes.c_int32,
    "i1": ctypes.c_bool,
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}


def shared_memory(program: TileProgram, arrays: Sequence[Any]) -> list[Any]:
    """The memory that the steps of a call share, as garbage."""
    frame = interpret.Frame({t.name: a for t, a in zip(program.tensors, arrays, strict=True)}, {})
    return [interpret.garbage(s.tensor, [frame.index(e) for e in s.extents]) for s in program.shared]


@dataclass(frozen=True)
class Compiled:
    """A kernel in memory."""

    program: TileProgram
    engine: Any
    entry: Any

    def bind(
        self, arrays: Sequence[Any], scalars: Sequence[Any] = (), *, singly: bool = False
    ) -> Callable[[], None]:
        """The call on these arrays: all units in one thread, one at a time if `singly`."""
        assert all(a.flags.c_contiguous for a in arrays)
        shared = shared_memory(self.program, arrays)
        fields = [f for a in (*arrays, *shared) for f in alone.descriptor(a)]
        fields += [_CTYPES[s.dtype](value) for s, value in zip(self.program.scalars, scalars, strict=True)]
        fields.append(ctypes.c_int64(0 if singly else 1))
        packed = alone.packed(fields)

        def call(keep: Any = (fields, shared, self)) -> None:
            self.entry(packed)

        return call

    def __call__(self, arrays: Sequence[Any], scalars: Sequence[Any] = (), *, singly: bool = False) -> None:
        self.bind(arrays, scalars, singly=singly)()


def jit(kernel: Kernel, program: TileProgram, target: CpuTarget) -> Compiled:
    """Compile a kernel."""
    tensors = [f"%{t.name}: {memref(t)}" for t in program.memory]
    head = ", ".join([*tensors, *(f"%{s.name}: {s.dtype}" for s in program.scalars)])
    names = [f"%{t.name}" for t in program.memory] + [f"%{s.name}" for s in program.scalars]
    kinds = [memref(t) for t in program.memory] + [s.dtype for s in program.scalars]
    listed, types = ", ".join(names), ", ".join(kinds)
    rounds, given = "arith.constant 1 : index", "%i, %end"
    if kernel.rounds:
        rounds, given = f"func.call @{kernel.name}_rounds({listed}) : ({types}) -> index", f"%round, {given}"
    main = f"""
func.func @main({head}, %runs: index) {{
  %n = func.call @{kernel.name}_grid({listed}) : ({types}) -> index
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %single = arith.cmpi eq, %runs, %zero : index
  %step = arith.select %single, %one, %n : index
  %some = arith.maxsi %step, %one : index
  %rounds = {rounds}
  scf.for %round = %zero to %rounds step %one {{
    scf.for %i = %zero to %n step %some {{
      %end = arith.addi %i, %some : index
      func.call @{kernel.name}({listed}, {given}) : ({", ".join([types, *kernel.units])}) -> ()
    }}
  }}
  return
}}
"""
    engine = alone.compiled(kernel.text + main, target)
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(engine.raw_lookup("main"))

    return Compiled(program, engine, entry)


def compiled(program: TileProgram, target: CpuTarget | None = None) -> Compiled:
    """Lower and compile a tile program for a target (this machine)."""
    target = target or registry.resolve("cpu")
    return jit(lower(program, "kernel", target), program, target)
