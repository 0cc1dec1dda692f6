"""What travels from stage to stage: the module, the weights it names, and how it is called."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from drystone.dtypes import Array
from drystone.sparse_weight import Removed, SparseWeight


@dataclass(frozen=True)
class TensorSpec:
    """An input, output or state: its name, element and shape; a str in the shape is an expression over
    symbols (names, integers, + - * // % and parentheses)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Signature:
    """How the model is called.

    inputs and outputs are the flattened leaves in order; in_tree and out_tree say how they nest, as JSON-able
    values: "*" is the next leaf, {"list": [..]}, {"tuple": [..]}, {"dict": {key: ..}}, {"value": constant}.
    in_tree is {"tuple": [args, kwargs]} with args a tuple and kwargs a dict.
    symbols gives each dynamic dimension's inclusive bounds.
    states are the model's mutable buffers: `@main` takes them after the inputs and returns their new values
    after the outputs, in this order; `initial` names their first value in the weight store.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    in_tree: Any
    out_tree: Any
    symbols: dict[str, tuple[int, int]] = field(default_factory=dict)
    states: tuple[TensorSpec, ...] = ()
    initial: tuple[str, ...] = ()


class WeightStore:
    """Named arrays, held without a copy where they come from a model or a memory-mapped file."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}
        self._others: dict[str, tuple[str, ...]] = {}

    def __getitem__(self, key: str) -> Array:
        return self._arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def add(self, key: str, array: Array) -> str:
        """Store `array` under `key`, or under the first free `key.2`, `key.3`, ...; the name it got."""
        name = self.free(key)
        self._arrays[name] = array
        return name

    def replace(self, key: str, array: Array) -> None:
        """Store another array under a key that there is; its names stay."""
        assert key in self._arrays, key
        self._arrays[key] = array

    def call(self, key: str, others: Iterable[str]) -> None:
        """Note other names that the model has for what is stored under `key`."""
        self._others[key] = tuple(others)

    def names(self, key: str) -> tuple[str, ...]:
        """`key` and the other names that the model has for it."""
        return (key, *self._others.get(key, ()))

    def free(self, key: str, parts: Iterable[str] = ()) -> str:
        """`key`, or the first of `key.2`, `key.3`, ... that is free, as the names of these parts behind it
        are."""
        name, count = key, 1
        while name in self._arrays or any(f"{name}.{part}" in self._arrays for part in parts):
            count += 1
            name = f"{key}.{count}"
        return name

    def copy(self) -> "WeightStore":
        """A store of its own over the same arrays: what either adds or drops, the other does not see."""
        other = WeightStore()
        other._arrays, other._others = dict(self._arrays), dict(self._others)
        return other

    def keep_only(self, keys: set[str]) -> None:
        """Drop every array that is not named."""
        self._arrays = {key: array for key, array in self._arrays.items() if key in keys}


@dataclass
class Program:
    """A module with one public function `@main`, the weights its `dry.weight` operations name, its call, and
    what passes found of weights with zeros and removed of channels. windows: for weights of which rows are
    left out, by key, for how many calls a row stays that is not read, where they do not all stay."""

    module: Any
    weights: WeightStore
    signature: Signature
    zeros: list[SparseWeight] = field(default_factory=list)
    removed: list[Removed] = field(default_factory=list)
    windows: dict[str, int] = field(default_factory=dict)
