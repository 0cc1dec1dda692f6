"""Tensors into the weight store: the model's own without a copy, those of a checkpoint as they are held."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch.export import ExportedProgram

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.frontend.checkpoints import Given, Held
from drystone.frontend.types import ELEMENTS
from drystone.ir.encoding import Codes, Encoding, decode, part_key
from drystone.ir.program import WeightStore


class Weights:
    """Stores a program's parameters, buffers and constants, each once however many names it has.

    given: the checkpoint that has parameters and, where it names them, buffers. blank: names of tensors that
    have no values but those of the checkpoint. encoded: tensors that are held in encodings, by name.
    """

    def __init__(
        self,
        program: ExportedProgram,
        given: Given | None = None,
        blank: frozenset[str] = frozenset(),
        encoded: dict[str, Held] | None = None,
    ) -> None:
        self.store = WeightStore()
        #: How the weight of a key is held, where it is in an encoding.
        self.encodings: dict[str, Encoding] = {}
        self._program, self._given, self._blank = program, given, blank
        self._encoded = encoded or {}
        self._keys: dict[Any, str] = {}
        self._names: dict[Any, list[str]] = defaultdict(list)
        for name, tensor in program.state_dict.items():
            self._names[_storage(tensor)].append(name)

    def check(self, used: Iterable[str]) -> None:
        """See that the checkpoint has all parameters among the names that are used, and that the model takes
        all it has. Raises UserError."""
        if self._given is None:
            return
        parameters = set(self._program.graph_signature.parameters) & set(used)
        names = {name: self._called(name) for name in self._program.state_dict}
        self._given.check(
            [names[name] for name in names if name in parameters],
            [names[name] for name in names if name not in parameters],
        )

    def key(self, name: str) -> str:
        """The key under which the tensor that the model calls `name` is stored."""
        if name in self._encoded:
            return self._once(name, lambda: self._hold(name, self._encoded[name], ""))
        tensor = self._find(name).detach()
        where = _storage(tensor)
        key = self._once(name if where is None else where, lambda: self._add(name, tensor))
        self.store.call(key, (other for other in self._called(name) if other != key))
        return key

    def plain_key(self, name: str) -> str:
        """The same of a tensor that is stored as its elements, whatever the checkpoint holds it in."""
        key = self.key(name)
        encoding = self.encodings.pop(key, None)
        if encoding is None:
            return key
        tensor = self._find(name)
        shape = tuple(tensor.shape)
        parts = {part: self.store[part_key(key, part)] for part in encoding.parts(shape)}
        return self.store.add(f"{key}.decoded", decode(parts, encoding, shape, ELEMENTS[tensor.dtype]))

    def parts(self, key: str, shape: Iterable[int]) -> set[str]:
        """The names of the arrays that the weight of a key, of this shape, is stored in."""
        encoding = self.encodings.get(key)
        return {key} if encoding is None else {part_key(key, part) for part in encoding.parts(tuple(shape))}

    def _once(self, what: Any, store: Any) -> str:
        if what not in self._keys:
            self._keys[what] = store()
        return self._keys[what]

    def _add(self, name: str, tensor: torch.Tensor) -> str:
        """Store a tensor: the checkpoint's or, where that has none, the model's own."""
        held = None
        if self._given is not None:
            held = self._given.find(self._called(name), tuple(tensor.shape), ELEMENTS[tensor.dtype])
        if held is not None:
            return self._hold(name, held, ELEMENTS[tensor.dtype])
        return self.store.add(name, _array(tensor, name, name in self._blank))

    def _hold(self, name: str, held: Held, element: str) -> str:
        """Store the parts of a tensor whose element in the model this is."""
        if held.encoding == Codes(element):
            return self.store.add(name, _signed(held.parts["codes"]))
        for part, array in held.parts.items():
            self.store.add(part_key(name, part), array)
        self.encodings[name] = held.encoding
        return name

    def _called(self, name: str) -> list[str]:
        """All names of a tensor, this one first."""
        tensor = self._program.state_dict.get(name)
        others = self._names[_storage(tensor)] if tensor is not None and tensor.numel() else []
        return [name, *(other for other in others if other != name)]

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


def _array(tensor: torch.Tensor, name: str, blank: bool) -> Array:
    if blank:
        raise UserError(
            f"the weight {name} is on the meta device: it has no values, and neither has the checkpoint",
            hint="make the model with this tensor's values: only what the checkpoint has may be without",
        )
    if tensor.is_meta:
        raise UserError(
            f"the weight {name} is on the meta device: it has no values",
            hint='load the weights first, or name what has them: checkpoint="model.gguf", or a folder',
        )
    plain = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    if plain.dtype == torch.bfloat16:
        plain = plain.view(torch.uint16)
    array: Array = plain.numpy()
    return _signed(array)


def _signed(array: Array) -> Array:
    """Bytes as the IR has them: integers have no sign there; what reads them says how."""
    return array.view("int8") if array.dtype == "uint8" else array
