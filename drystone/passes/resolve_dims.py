"""The pass `resolve-dims`: extents as expressions over the dimensions of the function's arguments."""

from dataclasses import dataclass
from typing import Any, ClassVar

from drystone.ir.program import Program
from drystone.ir.values import constant_int, is_tensor, main_block, nested, producer
from drystone.mlir import ir, run_pipeline
from drystone.passes.dims import as_value, extent
from drystone.passes.rewriting import ops


@dataclass(frozen=True)
class ResolveDims:
    """No `tensor.dim` is left but of the arguments of `@main`, so extents do not wait for a computation.

    Before:  %y = "dry.conv"(%x, %w) .. ; %n = tensor.dim %y, %c2
    After:   %d = tensor.dim %x, %c2 ; %n = affine.apply affine_map<()[s0] -> ((s0 - 1) floordiv 2 + 1)>()[%d]
    """

    name: ClassVar[str] = "resolve-dims"

    def run(self, program: Program) -> None:
        """Rewrite the program."""
        block = main_block(program)
        for op in ops(block):
            if op.operation.name == "tensor.dim":
                _resolve(op, block)
            elif len(op.operation.regions):
                for inner in nested(op):
                    if inner.operation.name == "tensor.dim":
                        _resolve(inner, block)
        run_pipeline(program.module, "canonicalize,cse")


def _resolve(op: Any, block: Any) -> None:
    source, axis = op.operation.operands
    number = constant_int(axis)
    made = producer(source)
    home = source.owner if made is None else made.operation.block
    # Arguments of inner regions, and dimensions chosen by a value, stay as they are.
    if number is None or home != block or (made is None and op.operation.block == block):
        return
    assert is_tensor(source)
    with ir.InsertionPoint(op), op.operation.location:
        op.operation.results[0].replace_all_uses_with(as_value(extent(source, number)))
    op.operation.erase()
