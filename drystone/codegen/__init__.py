"""From a scheduled module to code: kernels as tile programs or by upstream passes, and what runs them."""

from drystone.codegen.cost import bytes_moved
from drystone.codegen.cpu.code import Code, KernelCall
from drystone.codegen.cpu.generate import generate
from drystone.codegen.cpu.jit import Compiled, jit

__all__ = ["Code", "Compiled", "KernelCall", "bytes_moved", "generate", "jit"]
