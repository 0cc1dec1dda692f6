"""What calls take and give: torch tensors and numpy arrays, as addresses that compiled code reads and writes.

A model leaves little of an interpreter in the caches, so that each step between two calls takes several times
as long as it seems to: of a tensor nothing is asked that is not needed, and no array is made of it.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.errors import InternalError, UserError
from drystone.runtime import memory
from drystone.runtime.manifest import Leaf, Manifest


class Taken:
    """An input of a model: how a value that is given for it is read."""

    def __init__(self, leaf: Leaf) -> None:
        self._leaf = leaf
        self._dtype = Manifest.numpy_dtype(leaf.dtype)
        # torch.Tensor, its elements and layout that are read as they are; set where there is torch.
        self._plain: Any = None
        self._element: Any = None
        self._strided: Any = None

    def read(self, value: Any) -> tuple[Any, Sequence[int], int]:
        """What holds the value, contiguous and aligned, its shape, and where it starts: the value itself
        where it can be, else a copy. Raises UserError where it is no tensor, or one of other elements."""
        if (
            type(value) is self._plain
            and value.dtype is self._element
            and value.layout is self._strided
            and value.is_cpu
            and value.is_contiguous()
            and not value.is_neg()
        ):
            address = value.data_ptr()
            if address % memory.ALIGNMENT == 0:
                return value, value.shape, address
        held, address = memory.readable(self._array(value))
        return held, held.shape, address

    def _array(self, value: Any) -> Array:
        array = value if isinstance(value, np.ndarray) else self._of_torch(value)
        if array.dtype != self._dtype:
            leaf = self._leaf
            raise UserError(
                f"input {leaf.name!r} holds {array.dtype}, the model takes {leaf.dtype} ({self._dtype})",
                hint="convert it before the call, or compile the model for this element type",
            )
        return array

    def _of_torch(self, value: Any) -> Array:
        if not hasattr(value, "detach"):
            if isinstance(value, (bool, int, float)):
                return np.asarray(value)
            raise UserError(
                f"input {self._leaf.name!r} is a {type(value).__name__}, not a torch tensor or a numpy array",
                hint="convert it first: torch.tensor(...) or numpy.asarray(...)",
            )
        torch = sys.modules["torch"]
        if value.layout is not torch.strided:
            raise UserError(
                f"input {self._leaf.name!r} is a tensor of layout {value.layout}, the model takes dense ones",
                hint="give it as tensor.to_dense()",
            )
        # Conjugates are told from other complex tensors by no more than a bit.
        if self._dtype.kind != "c":
            self._plain, self._strided = torch.Tensor, torch.strided
            self._element = _empty(torch, self._leaf.dtype).dtype
        if value.dtype is torch.bfloat16:
            bits: Array = value.detach().view(torch.int16).numpy(force=True)
            return bits.view(np.uint16)
        array: Array = value.numpy(force=True)
        return array


class Given:
    """An output of a model: where its values are written, new for every call."""

    def __init__(self, leaf: Leaf) -> None:
        self._name = leaf.dtype
        self._dtype = Manifest.numpy_dtype(leaf.dtype)
        self._empty: Any = None

    def array(self, shape: Sequence[int]) -> tuple[Array, int]:
        """An array of numpy (of bf16 its bits, uint16), and where it starts."""
        return memory.placed(shape, self._dtype)

    def tensor(self, shape: Sequence[int]) -> tuple[Any, int]:
        """A tensor of torch, and where it starts."""
        if self._empty is None:
            self._empty = _empty(sys.modules["torch"], self._name)
        made = self._empty.new_empty(shape)
        address = made.data_ptr()
        if address % memory.ALIGNMENT:
            raise InternalError(f"a tensor of torch starts at {address:#x}, not at a multiple of 64")
        return made, address


def _empty(torch: Any, dtype: str) -> Any:
    """A tensor without numbers, of such elements."""
    if dtype == "bf16":
        return torch.empty(0, dtype=torch.bfloat16, device="cpu")
    return torch.from_numpy(np.empty(0, Manifest.numpy_dtype(dtype)))
