"""The model's own tensors, into the weight store without a copy."""

from typing import Any

import torch
from torch.export import ExportedProgram

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.frontend.types import ELEMENTS
from drystone.ir.program import WeightStore


class Weights:
    """Stores a program's parameters, buffers and constants, each once however many names it has."""

    def __init__(self, program: ExportedProgram) -> None:
        self.store = WeightStore()
        self._program = program
        self._keys: dict[Any, str] = {}

    def key(self, name: str) -> str:
        """The key under which the tensor that the model calls `name` is stored."""
        tensor = self._find(name).detach()
        where = _storage(tensor)
        if where is None:
            return self.store.add(name, _array(tensor, name))
        if where not in self._keys:
            self._keys[where] = self.store.add(name, _array(tensor, name))
        return self._keys[where]

    def _find(self, name: str) -> torch.Tensor:
        state = self._program.state_dict
        # Buffers that are not saved with the model are kept among the constants.
        found = state[name] if name in state else self._program.constants[name]
        if found.layout != torch.strided or found.dtype not in ELEMENTS or found.is_quantized:
            raise UserError(
                f"the weight {name} is of {found.dtype} ({found.layout}), which drystone does not know",
                hint="convert it to a dense tensor of a plain element type",
            )
        return found


def _storage(tensor: torch.Tensor) -> Any:
    """What two names of one tensor share; None for tensors without elements."""
    if tensor.numel() == 0:
        return None
    return (
        tensor.data_ptr(),
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.is_conj(),
        tensor.is_neg(),
    )


def _array(tensor: torch.Tensor, name: str) -> Array:
    if tensor.is_meta:
        raise UserError(
            f"the weight {name} is on the meta device: it has no values", hint="load the weights first"
        )
    plain = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    if plain.dtype == torch.bfloat16:
        plain = plain.view(torch.uint16)
    elif plain.dtype == torch.uint8:
        # Integers have no sign in the IR; what reads them says how.
        plain = plain.view(torch.int8)
    array: Array = plain.numpy()
    return array
