"""Kernels whose results have no elements: nothing to do."""

from math import prod
from typing import Any

from drystone.codegen.cpu.text import memref_type
from drystone.codegen.kernel import Kernel
from drystone.mlir import ir


def empty(kernel: Any, name: str) -> Kernel | None:
    """The kernel function `kernel` (outlined form) as a Kernel with an empty grid; None where one of its
    results has, or may have, elements."""
    signature = ir.FunctionType(ir.TypeAttr(kernel.operation.attributes["function_type"]).value)
    if any(prod(result.shape) for result in signature.results):
        return None
    kinds = [memref_type(t) if isinstance(t, ir.RankedTensorType) else str(t) for t in signature.inputs]
    arguments = ", ".join(f"%a{i}: {kind}" for i, kind in enumerate(kinds))
    extra = f"{arguments}, " if arguments else ""
    text = f"""func.func private @{name}({extra}%begin: index, %end: index) {{
  return
}}
func.func private @{name}_grid({arguments}) -> index {{
  %none = arith.constant 0 : index
  return %none : index
}}
"""
    return Kernel(name, "empty", text)
