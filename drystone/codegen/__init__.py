"""From a scheduled module to code: kernels as tile programs or by upstream passes, and what runs them."""

from drystone.codegen.cost import bytes_moved, work
from drystone.codegen.cpu.code import Code, KernelCall
from drystone.codegen.cpu.generate import add_workspaces, generate
from drystone.codegen.cpu.jit import Compiled, jit
from drystone.codegen.over import settle, spare

__all__ = [
    "Code",
    "Compiled",
    "KernelCall",
    "add_workspaces",
    "bytes_moved",
    "generate",
    "jit",
    "settle",
    "spare",
    "work",
]
