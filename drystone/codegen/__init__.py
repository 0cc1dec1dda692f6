"""From a scheduled module to code: kernels as tile programs or by upstream passes, and what runs them."""

from drystone.codegen.calls import KernelCall
from drystone.codegen.cost import bytes_moved, work
from drystone.codegen.over import settle, spare
from drystone.codegen.shared import add_workspaces

__all__ = ["KernelCall", "add_workspaces", "bytes_moved", "settle", "spare", "work"]
