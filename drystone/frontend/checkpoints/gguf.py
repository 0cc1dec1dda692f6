"""GGUF files: metadata, and tensors in blocks."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.frontend.checkpoints.blocks import BLOCKS
from drystone.frontend.checkpoints.held import Held, Source

_WHOLE = "see that the whole file is there"
#: Elements that are no blocks: number of the type -> the element, and numpy's dtype.
_ELEMENTS = {
    0: ("f32", np.float32),
    1: ("f16", np.float16),
    24: ("i8", np.int8),
    25: ("i16", np.int16),
    26: ("i32", np.int32),
    27: ("i64", np.int64),
    28: ("f64", np.float64),
    30: ("bf16", np.uint16),
}
#: Numbers in metadata: number of the type -> format of `struct`.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
#: Architectures whose rows of queries and keys the writer has put in another order than transformers has:
#: the two halves of a head that rotate together lie one after the other there, in pairs here.
_PAIRED = ("llama",)
_PAIRED_ROWS = {"attn_q": "head_count", "attn_k": "head_count_kv"}
_KNOWN = (
    "Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0, MXFP4, NVFP4, F32, F16, BF16"
)


@dataclass(frozen=True)
class _Entry:
    """A tensor in the file: its shape (the last dimension lies together), type, and where its bytes start."""

    shape: tuple[int, ...]
    kind: int
    start: int


class Gguf(Source):
    """One .gguf file, memory-mapped. Raises UserError where it is none, or is cut short.

    Layout of the file: docs/gguf.md of ggml."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
        try:
            self.metadata, self._entries = _Head(self._bytes).read()
        except (struct.error, UnicodeDecodeError, ValueError, KeyError) as error:
            raise self.error(f"its head cannot be read: {error}", _WHOLE) from error
        files = self.metadata.get("split.count", 1)
        if files > 1:
            raise self.error(f"it is one of {files} files", "put them together: llama-gguf-split --merge")

    @property
    def architecture(self) -> str:
        """What the file calls the kind of model."""
        return str(self.metadata.get("general.architecture", ""))

    def tensors(self) -> Iterable[str]:
        """The names of all tensors."""
        return self._entries

    def belonging(self, name: str) -> set[str]:
        """Itself: scales lie in the blocks."""
        return {name}

    def idle(self, name: str) -> bool:
        """Tables that models compute themselves."""
        return name.startswith("rope_f")

    def find(self, name: str, shape: Sequence[int]) -> Held | None:
        """The tensor of this name."""
        return self._find(name) if name in self._entries else None

    def find_as_transformers(self, name: str) -> Held | None:
        """The same with rows in the order that transformers' models have, where the file's is another."""
        if name not in self._entries:
            return None
        part = name.split(".")[-2] if "." in name else ""
        if self.architecture not in _PAIRED or part not in _PAIRED_ROWS:
            return self._find(name)
        heads = self._heads(_PAIRED_ROWS[part], name)
        rows = self._entries[name].shape[0]
        if not heads or rows % (2 * heads):
            raise self.error(f"{name} has {rows} rows of {heads} heads", "give names= of your own")
        paired = np.arange(rows).reshape(heads, -1, 2)
        return self._find(name, paired.swapaxes(1, 2).ravel())

    def _heads(self, key: str, name: str) -> int:
        """A number of heads from the metadata, where each layer may have its own; that of the queries where
        it is not said."""
        prefix = f"{self.architecture}.attention."
        found = self.metadata.get(prefix + key, self.metadata.get(f"{prefix}head_count", 0))
        return int(found[int(name.split(".")[1])] if isinstance(found, list) else found)

    def _find(self, name: str, rows: Array | None = None) -> Held:
        """A tensor; of `rows` of its first dimension where they are given."""
        entry = self._entries[name]
        if entry.kind in _ELEMENTS:
            element, dtype = _ELEMENTS[entry.kind]
            array = self._raw(name, entry, prod(entry.shape) * np.dtype(dtype).itemsize)
            array = array.view(dtype).reshape(entry.shape)
            return Held.plain(array if rows is None else array[rows], element)
        block = BLOCKS.get(entry.kind)
        if block is None:
            raise self.error(
                f"{name} is of GGUF's type {entry.kind}, which drystone does not know",
                f"quantize the model to one of {_KNOWN}",
            )
        if not entry.shape or entry.shape[-1] % block.numbers:
            raise self.error(f"{name} has shape {list(entry.shape)}, no whole blocks of {block.numbers}")
        raw = self._raw(name, entry, prod(entry.shape) // block.numbers * block.bytes)
        raw = raw.reshape(*entry.shape[:-1], -1, block.bytes)
        return Held(entry.shape, *block.held(raw if rows is None else raw[rows]))

    def _raw(self, name: str, entry: _Entry, size: int) -> Array:
        found = self._bytes[entry.start : entry.start + size]
        if len(found) < size:
            raise self.error(f"the file ends inside {name}", _WHOLE)
        return np.asarray(found)


class _Head:
    """Reads the file's head from its beginning."""

    def __init__(self, data: Array) -> None:
        self._data, self._at = data, 0

    def read(self) -> tuple[dict[str, Any], dict[str, _Entry]]:
        """Metadata and tensors by name."""
        if bytes(self._data[:4]) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version, tensors, pairs = self._numbers("<IQQ")
        if version not in (2, 3):
            raise ValueError(f"version {version} of the format is not known")
        metadata = {self._text(): self._value(self._number("I")) for _ in range(pairs)}
        found = [self._entry() for _ in range(tensors)]
        alignment = int(metadata.get("general.alignment", 32))
        start = -(-self._at // alignment) * alignment
        return metadata, {name: _Entry(shape, kind, start + at) for name, shape, kind, at in found}

    def _entry(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text()
        sizes = self._numbers(f"<{self._number('I')}Q")
        kind, at = self._numbers("<IQ")
        return name, tuple(reversed(sizes)), kind, at

    def _value(self, kind: int) -> Any:
        """A value of the metadata; of lists of text nothing."""
        if kind == _TEXT:
            return self._text()
        if kind != _LIST:
            return self._number(_NUMBERS[kind])
        inner, count = self._numbers("<IQ")
        if inner in (_TEXT, _LIST):
            for _ in range(count):
                self._value(inner)
            return None
        return list(self._numbers(f"<{count}{_NUMBERS[inner]}"))

    def _text(self) -> str:
        size = self._number("Q")
        self._at += size
        if self._at > len(self._data):
            raise ValueError("it ends too early")
        return bytes(self._data[self._at - size : self._at]).decode()

    def _number(self, code: str) -> Any:
        return self._numbers(f"<{code}")[0]

    def _numbers(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(layout, self._data.data, self._at)
        self._at += struct.calcsize(layout)
        return found
