"""The driver: the outlined `@main` as one straight function that every thread of a team runs.

Each thread computes all scalars for itself. A kernel worth sharing is run by all threads, which claim chunks
of its grid (of a kernel with rounds each keeps a part of its own), and followed by a barrier; a small one is
run by thread 0 alone, and the barrier waits until another thread has something to read.

    %x = call @map_1f(%a, %e) : ..     ->     call @map_1f_shared(%d1, %d2, %team, %thread)
                                              call @drystone_barrier(%team, %thread)
    cf.assert %ok, "too long"          ->     cf.cond_br %ok, ^ok1, ^failed(%one)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from drystone.codegen.cost import Cost
from drystone.codegen.cpu import dispatch
from drystone.codegen.cpu.writer import Size, Writer, kind_of
from drystone.codegen.families.matmul.schedule import FEW
from drystone.codegen.kernel import Kernel
from drystone.codegen.waiting import Waiting, message_of
from drystone.errors import InternalError
from drystone.ir.buffers import Buffer, Buffers, Call
from drystone.ir.elements import numpy_dtype
from drystone.ir.picked_rows import picked_rows
from drystone.ir.program import Program
from drystone.ir.steps import Copy, Step, Window
from drystone.ir.values import main_block

#: A kernel is worth sharing above this time (in seconds) on one thread, a run above that one: waking threads
#: that sleep takes tens of microseconds.
_SHARE_KERNEL = 1.5e-6
_SHARE_RUN = 20e-6
#: What one thread does in a second, roughly and on the slow side: operations and bytes.
_FLOPS, _BYTES = 40e9, 10e9
#: What is said of a run in which pages of a window did not come.
_UNREAD = "rows of a weight could not be read from the model's file"


def driver(
    program: Program,
    found: Buffers,
    steps: Sequence[Step],
    kernels: Mapping[str, Kernel],
    signatures: Mapping[str, Sequence[str]],
    costs: Mapping[str, Cost],
) -> tuple[str, tuple[str, ...]]:
    """The driver's text, with the functions it dispatches kernels by, and the messages of all assertions.

    steps: the program's plan. kernels and the types their code takes: by the name of the kernel function.
    costs: of every call.
    """
    return _Driver(program, found, kernels, signatures, costs).run(steps)


class _Driver:
    def __init__(
        self,
        program: Program,
        found: Buffers,
        kernels: Mapping[str, Kernel],
        signatures: Mapping[str, Sequence[str]],
        costs: Mapping[str, Cost],
    ) -> None:
        self._program = program
        self._found = found
        self._kernels = kernels
        self._signatures = signatures
        self._costs = costs
        self._out = Writer(program, found)
        self._returned = list(list(main_block(program).operations)[-1].operation.operands)
        self._waiting = Waiting(program)
        self._messages = [message_of(op) for op in self._waiting.checks]
        self._dispatchers: dict[str, str] = {}
        self._first_check: dict[str, int] = {}
        self._stamps = 0
        # What threads other than 0 cannot see yet; what other threads may still be reading.
        self._unseen = self._being_read = False

    def run(self, steps: Sequence[Step]) -> tuple[str, tuple[str, ...]]:
        """See `driver`."""
        calls = {call.name: call for call in self._found.calls}
        planned = {step.call for step in steps}
        if planned != set(calls):
            raise InternalError(f"the plan orders {sorted(planned)}, the program calls {sorted(calls)}")
        streamed = any(step.drops or step.windows for step in steps)
        self._windows = {window.key: window for step in steps for window in step.windows}
        self._emit_ready()
        for number, step in enumerate(steps):
            for copy in step.copies:
                self._copy(copy)
            self._out.move_to(step.places)
            if streamed:
                self._out.tell("progress", number)
            self._want(calls[step.call])
            self._call(calls[step.call])
            for window in step.windows:
                self._keep(window)
            for key in step.drops:
                slot = self._found.weights.index(key)
                self._out.tell("drop", slot, self._found.buffers[f"weight.{slot}"].size)
            self._waiting.ran(calls[step.call].op)
            self._emit_ready()
        if self._waiting.left:
            raise InternalError(f"@main computes {self._waiting.left[0]} from what nothing makes")
        self._finish()
        worth = sum(map(_alone, self._costs.values())) > _SHARE_RUN
        shared = any(name.endswith(("_shared", "_in_rounds")) for name in self._dispatchers) and worth
        text = [*self._dispatchers.values(), self._out.text(), _shared_text(shared)]
        text.append(_TILES if any(kernel.tiles for kernel in self._kernels.values()) else _NO_TILES)
        return "\n".join(text), tuple(self._messages)

    def _barrier(self) -> None:
        self._out.line("func.call @drystone_barrier(%team, %thread) : (!llvm.ptr, i32) -> ()")
        self._unseen = self._being_read = False

    def _stamp(self) -> None:
        """Tell the time: before and after each copy and call."""
        if self._stamps:
            self._out.tell("stamp", self._stamps)
        else:
            arguments = "(%call, %team, %thread) : (!llvm.ptr, !llvm.ptr, i32) -> ()"
            self._out.line(f"func.call @drystone_stamp_alone{arguments}")
        self._stamps += 1

    def _copy(self, copy: Copy) -> None:
        """A buffer into another level: by all threads, each a part, where it is large."""
        shared = _copied(self._found.buffers[copy.buffer]) > _SHARE_KERNEL
        if self._being_read or (shared and self._unseen):
            self._barrier()
        self._stamp()
        self._out.copy(copy, "shared" if shared else "alone")
        if shared:
            self._barrier()
        else:
            self._unseen = True
        self._stamp()

    def _want(self, call: Call) -> None:
        """Let those rows come that a call reads of weights with windows."""
        for each in picked_rows(self._program, call.op) if self._windows else ():
            slot = self._found.buffers[self._found.of[each.weight]].slot
            window = self._windows.get(self._found.weights[slot])
            if window is None:
                continue
            if self._unseen:
                self._barrier()
            live, out = self._out.view(each.live), self._out
            lines: Size = 1
            for extent in live.extents[:-1]:
                lines = out.arithmetic("muli", lines, extent)
            units = np.dtype(numpy_dtype(live.element)).itemsize // 2
            held = (slot, each.rows, each.size, window.runs + 1)
            out.ask("want", *held, out.address(live), lines, units, FEW, self._unread())
            self._barrier()

    def _unread(self) -> int:
        """The status of a run in which a window could not be read."""
        if _UNREAD not in self._messages:
            self._messages.append(_UNREAD)
        return 1 + self._messages.index(_UNREAD)

    def _keep(self, window: Window) -> None:
        """After the last call that reads a weight with a window."""
        if self._unseen or self._being_read:
            self._barrier()
        slot = self._found.weights.index(window.key)
        size = self._found.buffers[f"weight.{slot}"].size
        self._out.ask("keep", slot, size, window.runs + 1, window.pages)

    def _call(self, call: Call) -> None:
        for value in call.op.operands:
            if self._waiting.missing(value):
                raise InternalError(f"the plan runs {call.name} before what it needs")
        kernel = self._kernels[call.op.attributes["callee"].value]
        shared = _alone(self._costs[call.name]) > _SHARE_KERNEL
        if self._being_read or (shared and self._unseen):
            self._barrier()
        types = self._signatures[kernel.name]
        names = self._out.arguments(call, types)
        self._stamp()
        dispatcher = self._dispatcher(kernel, types, shared)
        passed = ", ".join([*names, "%team", "%thread"])
        kinds = ", ".join([*types, "!llvm.ptr", "i32"])
        self._out.line(f"func.call @{dispatcher}({passed}) : ({kinds}) -> ()")
        if shared:
            self._barrier()
        else:
            self._unseen = True
        self._stamp()

    def _dispatcher(self, kernel: Kernel, types: Sequence[str], shared: bool) -> str:
        way = dispatch.way(kernel, shared)
        name = f"{kernel.name}_{way}"
        if name not in self._dispatchers:
            if kernel.name not in self._first_check:
                self._first_check[kernel.name] = len(self._messages)
                self._messages += kernel.checks
                self._dispatchers[kernel.name] = dispatch.declared(kernel, types)
            write = dispatch.WAYS[way]
            self._dispatchers[name] = write(kernel, types, self._first_check[kernel.name])
        return name

    def _emit_ready(self) -> None:
        """Load the scalars and make the checks whose tensors are there."""
        for op in self._waiting.due():
            self._extract(op) if op.name == "tensor.extract" else self._assert(op)

    def _extract(self, op: Any) -> None:
        mutable = self._found.buffers[self._found.of[op.operands[0]]].kind not in ("input", "weight")
        if mutable and self._unseen:
            self._barrier()
        self._out.extract(op)
        self._being_read |= mutable

    def _assert(self, op: Any) -> None:
        number = self._waiting.checks.index(op)
        code = self._out.fresh(f"arith.constant {number + 1} : i32")
        self._out.line(f"cf.cond_br {self._out.scalar(op.operands[0])}, ^ok{number}, ^failed({code} : i32)")
        self._out.line(f"^ok{number}:")

    def _finish(self) -> None:
        """The end: thread 0 waits for the others to leave, and brings the states up to date."""
        out, part = self._out, "func.call @drystone_part(%team, %thread) : (!llvm.ptr, i32) -> ()"
        copies = self._state_copies()
        out.line(part)
        status = out.fresh("func.call @drystone_status(%team) : (!llvm.ptr) -> i32")
        if copies:
            zero = out.fresh("arith.constant 0 : i32")
            first = out.fresh(f"arith.cmpi eq, %thread, {zero} : i32")
            fine = out.fresh(f"arith.cmpi eq, {status}, {zero} : i32")
            both = out.fresh(f"arith.andi {first}, {fine} : i1")
            out.line(f"scf.if {both} {{")
            for source, target, kind in copies:
                out.line(f"  memref.copy {source}, {target} : {kind} to {kind}")
            out.line("}")
        out.line(f"func.return {status} : i32")
        if self._waiting.checks:
            out.line("^failed(%code: i32):")
            out.line(part)
            out.line("func.return %code : i32")

    def _state_copies(self) -> list[tuple[str, str, str]]:
        """(new value, state, type) of the states that no kernel wrote straight into."""
        outputs = len(self._program.signature.outputs)
        copies = []
        for slot, direct in enumerate(self._found.direct):
            if not direct:
                source = self._out.view(self._returned[outputs + slot])
                base, offset = self._out.base(f"state.{slot}")
                target = replace(source, base=base, offset=offset)
                copies.append((self._out.memref(source), self._out.memref(target), kind_of(source)))
        return copies


def _copied(buffer: Buffer) -> float:
    """About the seconds that copying a buffer takes."""
    return 2 * buffer.size / _BYTES


def _alone(cost: Cost) -> float:
    """About the seconds that one thread takes."""
    return cost.seconds(_FLOPS, _BYTES)


#: Ask the system for tile registers, once in a process: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
_TILES = """
llvm.mlir.global internal @drystone_asked(0 : i32) {alignment = 4 : i64} : i32
func.func private @drystone_prepare() {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : i32
  %asked = llvm.mlir.addressof @drystone_asked : !llvm.ptr
  %before = llvm.load %asked atomic monotonic {alignment = 4 : i64} : !llvm.ptr -> i32
  %first = arith.cmpi eq, %before, %zero : i32
  scf.if %first {
    %arch_prctl = arith.constant 158 : i64
    %ask = arith.constant 0x1023 : i32
    %tiles = arith.constant 18 : i64
    %r = llvm.call @syscall(%arch_prctl, %ask, %tiles)
      vararg(!llvm.func<i64 (i64, ...)>) : (i64, i32, i64) -> i64
    llvm.store %one, %asked atomic monotonic {alignment = 4 : i64} : i32, !llvm.ptr
  }
  return
}
"""
_NO_TILES = """
func.func private @drystone_prepare() {
  return
}
"""


def _shared_text(shared: bool) -> str:
    """Whether a run is worth waking other threads for."""
    return f"""
func.func private @drystone_shared() -> i1 {{
  %shared = arith.constant {"true" if shared else "false"}
  return %shared : i1
}}
"""
