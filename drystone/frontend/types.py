"""Torch's element types and shapes as the IR spells them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from drystone.mlir import ir

#: torch dtype -> element name (the keys of `drystone.dtypes.DTYPES`).
ELEMENTS: dict[torch.dtype, str] = {
    torch.float32: "f32",
    torch.float64: "f64",
    torch.float16: "f16",
    torch.bfloat16: "bf16",
    torch.int64: "i64",
    torch.int32: "i32",
    torch.int16: "i16",
    torch.int8: "i8",
    torch.uint8: "ui8",
    torch.bool: "i1",
    torch.complex64: "complex<f32>",
    torch.complex128: "complex<f64>",
}


def element_type(dtype: torch.dtype) -> Any:
    """The builtin element type; unsigned bytes are signless in the IR, as torch-mlir lowers them."""
    return ir.Type.parse(ELEMENTS[dtype].removeprefix("u"))


def tensor_type(meta: Any) -> Any:
    """The builtin ranked tensor type of a (fake) tensor; symbolic extents are dynamic."""
    shape = [n if isinstance(n, int) else ir.ShapedType.get_dynamic_size() for n in meta.shape]
    return ir.RankedTensorType.get(shape, element_type(meta.dtype))


@dataclass(frozen=True)
class Site:
    """Where one node of the graph becomes operations: the insertion point and location are set."""

    node: Any
    #: The value of another node as a builtin tensor.
    tensor: Callable[[Any], Any]
    #: A size that is an int or a node, as an index.
    index: Callable[[Any], Any]

    def out(self, index: int | None = None) -> Any:
        """The builtin type of the node's result (of result `index` where it has several)."""
        meta = self.node.meta["val"]
        return tensor_type(meta if index is None else meta[index])

    def optional(self, node: Any) -> list[Any]:
        """The value of a node that may be None, as a group of operands."""
        return [] if node is None else [self.tensor(node)]
