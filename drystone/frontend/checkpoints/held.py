"""A tensor of a checkpoint, as it is held there, and what every kind of checkpoint can do."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.ir.encoding import Codes, Encoding, Parts


@dataclass(frozen=True)
class Held:
    """The numbers of a tensor: its shape in the model, its encoding and the encoding's parts."""

    shape: tuple[int, ...]
    encoding: Encoding
    parts: Parts

    @staticmethod
    def plain(array: Array, element: str) -> "Held":
        """Elements of the IR, as `ir.elements` holds them."""
        return Held(array.shape, Codes(element), {"codes": array})

    @property
    def element(self) -> str:
        """The element of the numbers themselves; of what is encoded "f32"."""
        plain = isinstance(self.encoding, Codes) and not self.encoding.coded
        return str(self.encoding.element) if plain and isinstance(self.encoding, Codes) else "f32"


class Source(ABC):
    """An opened checkpoint. path: the file or folder, for messages."""

    path: Path

    @abstractmethod
    def tensors(self) -> Iterable[str]:
        """The names of everything it holds."""

    @abstractmethod
    def find(self, name: str, shape: Sequence[int]) -> Held | None:
        """The tensor of this name, which has this shape in the model; None where there is none. Raises
        UserError where it is held in a way that is not known, or is damaged."""

    @abstractmethod
    def belonging(self, name: str) -> set[str]:
        """What of `tensors` the tensor of this name is held in, or which says more of it than its numbers
        (scales of activations)."""

    def idle(self, name: str) -> bool:
        """Whether a model that does not take one of `tensors` lacks nothing."""
        return False

    def error(self, what: str, hint: str | None = None) -> UserError:
        """An error that names the checkpoint."""
        return UserError(f"the checkpoint {self.path}: {what}", hint=hint)
