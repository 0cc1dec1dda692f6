"""How a kernel is run by a team: on thread 0, or in chunks of its grid claimed by all threads; a kernel of
several rounds in a part of its grid that is the thread's own."""

from collections.abc import Callable, Mapping, Sequence

from drystone.codegen.kernel import Kernel


def declared(kernel: Kernel, types: Sequence[str]) -> str:
    """Declarations of the kernel's functions."""
    result = " -> i32" if kernel.checks else ""
    listed = ", ".join(types)
    lines = [
        f"func.func private @{kernel.name}({', '.join([*types, *kernel.units])}){result}",
        f"func.func private @{kernel.name}_grid({listed}) -> index",
    ]
    if kernel.rounds:
        lines.append(f"func.func private @{kernel.name}_rounds({listed}) -> index")
    return "\n".join(lines)


def serial(kernel: Kernel, types: Sequence[str], first_check: int) -> str:
    """`@name_serial(arguments.., team, thread)`: thread 0 does the whole grid."""
    arguments, names, kinds = _arguments(types)
    body = _call(kernel, names, kinds, first_check, "%zero", "%units", "    ")
    loop, end = "", ""
    if kernel.rounds:
        loop = f"""
    %one = arith.constant 1 : index
    %rounds = func.call @{kernel.name}_rounds({names}) : ({kinds}) -> index
    scf.for %round = %zero to %rounds step %one {{"""
        end = "\n    }"
    return f"""
func.func private @{kernel.name}_serial({arguments}%team: !llvm.ptr, %thread: i32) {{
  %none = arith.constant 0 : i32
  %zero = arith.constant 0 : index
  %first = arith.cmpi eq, %thread, %none : i32
  scf.if %first {{
    %units = func.call @{kernel.name}_grid({names}) : ({kinds}) -> index{loop}
{body}{end}
  }}
  return
}}
"""


def shared(kernel: Kernel, types: Sequence[str], first_check: int) -> str:
    """`@name_shared(arguments.., team, thread)`: all threads claim chunks of the grid till none is left."""
    arguments, names, kinds = _arguments(types)
    body = _call(kernel, names, kinds, first_check, "%begin", "%end", "    ")
    return f"""
func.func private @{kernel.name}_shared({arguments}%team: !llvm.ptr, %thread: i32) {{
  %units = call @{kernel.name}_grid({names}) : ({kinds}) -> index
  scf.while : () -> (index, index) {{
    %begin, %end = func.call @drystone_claim(%team, %thread, %units)
      : (!llvm.ptr, i32, index) -> (index, index)
    %some = arith.cmpi ult, %begin, %end : index
    scf.condition(%some) %begin, %end : index, index
  }} do {{
  ^bb0(%begin: index, %end: index):
{body}
    scf.yield
  }}
  return
}}
"""


def in_rounds(kernel: Kernel, types: Sequence[str], first_check: int) -> str:
    """`@name_in_rounds(arguments.., team, thread)`: every thread does one part of the grid, the same in every
    round (what it reads each time stays in its own cache), and waits for the others after each but the
    last."""
    arguments, names, kinds = _arguments(types)
    body = _call(kernel, names, kinds, first_check, "%begin", "%end", "    ")
    return f"""
func.func private @{kernel.name}_in_rounds({arguments}%team: !llvm.ptr, %thread: i32) {{
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %units = call @{kernel.name}_grid({names}) : ({kinds}) -> index
  %rounds = call @{kernel.name}_rounds({names}) : ({kinds}) -> index
  %last = arith.subi %rounds, %one : index
  %n = call @drystone_threads(%team) : (!llvm.ptr) -> i32
  %threads = arith.index_cast %n : i32 to index
  %i = arith.index_cast %thread : i32 to index
  %j = arith.addi %i, %one : index
  %before = arith.muli %i, %units : index
  %after = arith.muli %j, %units : index
  %begin = arith.divui %before, %threads : index
  %end = arith.divui %after, %threads : index
  scf.for %round = %zero to %rounds step %one {{
{body}
    %more = arith.cmpi slt, %round, %last : index
    scf.if %more {{
      func.call @drystone_barrier(%team, %thread) : (!llvm.ptr, i32) -> ()
    }}
  }}
  return
}}
"""


def _arguments(types: Sequence[str]) -> tuple[str, str, str]:
    declared = "".join(f"%a{i}: {kind}, " for i, kind in enumerate(types))
    return declared, ", ".join(f"%a{i}" for i in range(len(types))), ", ".join(types)


def _call(kernel: Kernel, names: str, kinds: str, first_check: int, begin: str, end: str, pad: str) -> str:
    """The call of the kernel, with its failed check, if any, kept for the end of the run."""
    units = ["%round"] * kernel.rounds + [begin, end]
    arguments = f"({', '.join([*([names] if names else []), *units])})"
    types = f"({', '.join([*([kinds] if kinds else []), *kernel.units])})"
    if not kernel.checks:
        return f"{pad}func.call @{kernel.name}{arguments} : {types} -> ()"
    return f"""{pad}%status = func.call @{kernel.name}{arguments} : {types} -> i32
{pad}%fine = arith.constant 0 : i32
{pad}%failed = arith.cmpi ne, %status, %fine : i32
{pad}scf.if %failed {{
{pad}  %base = arith.constant {first_check} : i32
{pad}  %number = arith.addi %status, %base : i32
{pad}  func.call @drystone_fail(%team, %number) : (!llvm.ptr, i32) -> ()
{pad}}}"""


#: How a team runs a kernel: what the name of its dispatcher ends with, and what writes that.
WAYS: Mapping[str, Callable[[Kernel, Sequence[str], int], str]] = {
    "serial": serial,
    "shared": shared,
    "in_rounds": in_rounds,
}


def way(kernel: Kernel, together: bool) -> str:
    """The way a kernel is run: by all threads together, or by one."""
    return ("in_rounds" if kernel.rounds else "shared") if together else "serial"
