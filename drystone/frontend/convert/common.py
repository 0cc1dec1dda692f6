"""What the converters share."""

from typing import Any

import torch

from drystone.frontend.shapes import fixed
from drystone.ir import build
from drystone.ir.dialect import Yield
from drystone.mlir import arith, ir, tensor


def is_real(*nodes: Any) -> bool:
    """Whether all nodes (None left aside) are dense tensors of one element: f32, bf16 or f16."""
    found = {node.meta["val"].dtype for node in nodes if node is not None}
    return len(found) == 1 and found <= {torch.float32, torch.bfloat16, torch.float16}


def rank(node: Any) -> int:
    """The number of the tensor's dimensions."""
    return len(node.meta["val"].shape)


def axis(dim: int, of: Any) -> int:
    """A dimension counted from the front."""
    return dim % max(rank(of), 1)


def extent(value: Any, number: int) -> Any:
    """The extent of one dimension of a tensor of the IR."""
    return tensor.DimOp(value, arith.ConstantOp(ir.IndexType.get(), number).result).result


def spread(values: Any, count: int) -> list[int] | None:
    """An integer list argument for `count` dimensions, where one value stands for all; None where an
    extent in it is symbolic."""
    listed = list(values) if isinstance(values, list | tuple) else [values]
    if not fixed(*listed):
        return None
    return listed * count if len(listed) == 1 else listed


def along(result_rank: int, dim: int) -> Any:
    """The map of an epilogue's extra that has one element per position of dimension `dim`."""
    return ir.AffineMap.get(result_rank, 0, [ir.AffineDimExpr.get(dim)])


def add(op: Any, element: Any, extras: int) -> None:
    """Give `op` the epilogue that adds its extras (none: the identity)."""
    if not extras:
        build.identity_epilogue(op, element)
        return
    block = op.epilogue.blocks[0] if len(op.epilogue.blocks) else op.epilogue.blocks.append()
    for _ in range(1 + extras):
        block.add_argument(element, op.location)
    with ir.InsertionPoint(block), op.location:
        total = block.arguments[0]
        for extra in list(block.arguments)[1:]:
            total = arith.AddFOp(total, extra).result
        Yield(total)
