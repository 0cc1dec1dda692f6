"""The checkpoint that a model's weights come from, asked by the names that the model has."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from drystone.errors import UserError
from drystone.frontend.checkpoints.folder import Folder
from drystone.frontend.checkpoints.gguf import Gguf
from drystone.frontend.checkpoints.held import Held, Source
from drystone.frontend.checkpoints.names import ARCHITECTURES, FAMILIES, renamed
from drystone.ir.elements import numpy_dtype
from drystone.options import Checkpoint

#: Names that a message lists at most.
_LISTED = 8


def opened(checkpoint: Checkpoint) -> "Given":
    """The checkpoint, ready to be asked. Raises UserError where there is none, or it cannot be read."""
    path = Path(checkpoint.path)
    if not path.exists():
        raise UserError(
            f"there is no checkpoint {path}", hint="give a .gguf or .safetensors file, or a folder"
        )
    if path.is_file() and path.suffix not in (".gguf", ".safetensors"):
        raise UserError(
            f"the checkpoint {path} is no .gguf or .safetensors file",
            hint="name one of these, or the folder that has *.safetensors and config.json",
        )
    source: Source = Gguf(path) if path.suffix == ".gguf" else Folder(path)
    return Given(checkpoint, source)


class Given:
    """Gives each tensor of a model as the checkpoint holds it. Raises UserError for names that no one knows.

    A name of the model is looked up as `checkpoint.names` says, or as it is; what a GGUF file does not have
    by this name, by that which its architecture has for transformers' name."""

    def __init__(self, checkpoint: Checkpoint, source: Source) -> None:
        self._checkpoint, self._source = checkpoint, source
        self._names = checkpoint.names
        if isinstance(self._names, str) and self._names not in FAMILIES:
            raise source.error(f"names={self._names!r} is no map", f"there are {', '.join(FAMILIES)}")

    def check(self, parameters: Iterable[Sequence[str]], others: Iterable[Sequence[str]]) -> None:
        """See that all parameters are there, each under one of its names, and that the model takes everything
        there is. Raises UserError."""
        taken: set[str] = set()
        missing = []
        for names in parameters:
            held_in = self._held_in(names)
            taken |= held_in
            if not held_in:
                missing.append(names[0])
        for names in others:
            taken |= self._held_in(names)
        if missing:
            raise self._missing(missing)
        left = [name for name in self._source.tensors() if name not in taken and not self._source.idle(name)]
        if left and self._checkpoint.strict:
            raise self._source.error(
                f"the model takes nothing from {len(left)} of its tensors: {_listed(left)}",
                "name them with names=, or leave them with Checkpoint(..., strict=False)",
            )

    def find(self, names: Sequence[str], shape: Sequence[int], element: str) -> Held | None:
        """The tensor that the model knows by these names, of this shape and element; None where there is
        none."""
        for name in names:
            held = self._find(name, shape)
            if held is not None:
                self._fit(name, held, shape, element)
                return held
        return None

    def _find(self, name: str, shape: Sequence[int]) -> Held | None:
        wanted, transformed = self._wanted(name)
        if transformed and isinstance(self._source, Gguf):
            return self._source.find_as_transformers(wanted)
        return self._source.find(wanted, shape)

    def _wanted(self, name: str) -> tuple[str, bool]:
        """What the checkpoint calls a tensor, and whether by a map of transformers' names."""
        names = self._names
        if isinstance(names, str):
            return renamed(name, FAMILIES[names]) or name, True
        if names is not None:
            name = renamed(name, names) or name
        if isinstance(self._source, Gguf) and name not in self._source.tensors():
            family = ARCHITECTURES.get(self._source.architecture)
            found = renamed(name, FAMILIES[family]) if family else None
            return found or name, found is not None
        return name, False

    def _held_in(self, names: Sequence[str]) -> set[str]:
        """The checkpoint's tensors behind a tensor of the model."""
        there = set(self._source.tensors())
        return {each for name in names for each in self._source.belonging(self._wanted(name)[0])} & there

    def _missing(self, missing: Sequence[str]) -> UserError:
        wanted = [self._wanted(name)[0] for name in missing]
        close = get_close_matches(wanted[0], list(self._source.tensors()), 3, 0.5)
        like = f"it has {', '.join(close)}; " if close else ""
        shown = [a if a == b else f"{a} (as {b})" for a, b in zip(missing, wanted, strict=True)]
        return self._source.error(
            f"it lacks {len(missing)} of the model's parameters: {_listed(shown)}",
            f'{like}Checkpoint(..., names={{"layers.*.weight": "blk.*.weight"}}) says what they are called',
        )

    def _fit(self, name: str, held: Held, shape: Sequence[int], element: str) -> None:
        if held.shape != tuple(shape):
            raise self._source.error(
                f"{name} has shape {list(held.shape)}, that of the model is {list(shape)}",
                "see that model and checkpoint have the same sizes",
            )
        kinds = {_is_real(held.element), _is_real(element)}
        if len(kinds) > 1 or (held.element != element and not _is_real(element)):
            raise self._source.error(f"{name} is of {held.element}, that of the model is of {element}")
        problems = list(held.encoding.problems(shape))
        if problems:
            raise self._source.error(f"{name} cannot be held: {problems[0]}")


def _is_real(element: str) -> bool:
    return element == "bf16" or np.dtype(numpy_dtype(element)).kind == "f"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
