"""How a kernel is run by a team: on thread 0, or in chunks of its grid claimed by all threads."""

from collections.abc import Sequence

from drystone.codegen.kernel import Kernel


def declared(kernel: Kernel, types: Sequence[str]) -> str:
    """Declarations of the kernel's functions."""
    index = ["index", "index"]
    result = " -> i32" if kernel.checks else ""
    return (
        f"func.func private @{kernel.name}({', '.join([*types, *index])}){result}\n"
        f"func.func private @{kernel.name}_grid({', '.join(types)}) -> index"
    )


def serial(kernel: Kernel, types: Sequence[str], first_check: int) -> str:
    """`@name_serial(arguments.., team, thread)`: thread 0 does the whole grid."""
    arguments, names, kinds = _arguments(types)
    body = _call(kernel, names, kinds, first_check, "%zero", "%units", "    ")
    return f"""
func.func private @{kernel.name}_serial({arguments}%team: !llvm.ptr, %thread: i32) {{
  %none = arith.constant 0 : i32
  %zero = arith.constant 0 : index
  %first = arith.cmpi eq, %thread, %none : i32
  scf.if %first {{
    %units = func.call @{kernel.name}_grid({names}) : ({kinds}) -> index
{body}
  }}
  return
}}
"""


def shared(kernel: Kernel, types: Sequence[str], first_check: int) -> str:
    """`@name_shared(arguments.., team)`: every thread claims chunks of the grid until none is left."""
    arguments, names, kinds = _arguments(types)
    body = _call(kernel, names, kinds, first_check, "%begin", "%end", "    ")
    return f"""
func.func private @{kernel.name}_shared({arguments}%team: !llvm.ptr) {{
  %units = call @{kernel.name}_grid({names}) : ({kinds}) -> index
  %chunk = call @drystone_chunk(%team, %units) : (!llvm.ptr, index) -> index
  scf.while : () -> index {{
    %begin = func.call @drystone_claim(%team, %chunk) : (!llvm.ptr, index) -> index
    %some = arith.cmpi ult, %begin, %units : index
    scf.condition(%some) %begin : index
  }} do {{
  ^bb0(%begin: index):
    %past = arith.addi %begin, %chunk : index
    %end = arith.minui %past, %units : index
{body}
    scf.yield
  }}
  return
}}
"""


def _arguments(types: Sequence[str]) -> tuple[str, str, str]:
    declared = "".join(f"%a{i}: {kind}, " for i, kind in enumerate(types))
    return declared, ", ".join(f"%a{i}" for i in range(len(types))), ", ".join(types)


def _call(kernel: Kernel, names: str, kinds: str, first_check: int, begin: str, end: str, pad: str) -> str:
    """The call of the kernel, with its failed check, if any, kept for the end of the run."""
    arguments = f"({names + ', ' if names else ''}{begin}, {end})"
    types = f"({kinds + ', ' if kinds else ''}index, index)"
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
