"""What the ways to quantize have in common: weights of linear layers, each held in several tensors."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from drystone.dtypes import Array
from drystone.errors import UserError
from drystone.frontend.checkpoints.held import Held, Source
from drystone.ir.elements import numpy_dtype
from drystone.ir.encoding import Codes, Encoding, Parts, Per, Permuted, Scale
from drystone.ir.encoding.layout import from_bytes
from drystone.ir.encoding.parts import put
from drystone.ir.encoding.patterns import index_element


class Store(ABC):
    """The tensors of a checkpoint by name. source: names it in messages."""

    source: Source

    @abstractmethod
    def names(self) -> Iterable[str]:
        """The names of all tensors."""

    @abstractmethod
    def plain(self, name: str) -> Held:
        """A tensor of elements, as it is."""

    @abstractmethod
    def raw(self, name: str) -> Array:
        """The elements of a tensor as numpy holds them: floats of 8 bits as bytes, bf16 as its bits."""


class Method(ABC):
    """Reads weights that are quantized in one way. config: what config.json says of it."""

    #: What follows a layer's name in the names of the tensors that its weight is held in.
    suffixes: ClassVar[tuple[str, ...]]

    def __init__(self, store: Store, config: dict[str, Any]) -> None:
        self.store, self.config = store, config

    def belonging(self, name: str) -> Iterator[str]:
        """The names of the tensors that may hold a weight or say more of it."""
        if name.endswith(".weight"):
            yield from (f"{name.removesuffix('weight')}{suffix}" for suffix in self.suffixes)

    def find(self, name: str, shape: tuple[int, ...]) -> Held | None:
        """The weight `layer.weight` [outputs, inputs]; None where it is not quantized."""
        if not name.endswith(".weight"):
            return None
        layer = name.removesuffix("weight")
        own = {s: f"{layer}{s}" for s in self.suffixes if f"{layer}{s}" in self.store.names()}
        if not self.quantized(own):
            return None
        if len(shape) != 2:
            raise self.fail(f"{name} is quantized, and the model's has shape {list(shape)}")
        return self.weight(layer, own, shape)

    @abstractmethod
    def quantized(self, own: dict[str, str]) -> bool:
        """Whether the tensors there are of a layer, by their suffixes, are those of a quantized weight."""

    @abstractmethod
    def weight(self, layer: str, own: dict[str, str], shape: tuple[int, ...]) -> Held:
        """The weight of a layer, "model.layers.0.q_proj.", of this shape in the model, from the tensors
        `own`."""

    def fail(self, what: str, hint: str | None = None) -> UserError:
        """An error that names the checkpoint."""
        return self.store.source.error(what, hint)

    def shaped(self, name: str, shape: Sequence[int], numbers: Array | None = None) -> Array:
        """A tensor that must have this shape."""
        found = self.store.raw(name) if numbers is None else numbers
        if found.shape != tuple(shape):
            raise self.fail(
                f"{name} has shape {list(found.shape)}, the model asks for {list(shape)}",
                "see that model and checkpoint have the same sizes",
            )
        return found

    def of(self, layer: str, own: dict[str, str], *suffixes: str) -> list[str]:
        """The names of those tensors of a layer, all of which must be there."""
        lacking = [f"{layer}{suffix}" for suffix in suffixes if suffix not in own]
        if lacking:
            raise self.fail(f"it has {', '.join(own.values())}, but not {', '.join(lacking)}")
        return [own[suffix] for suffix in suffixes]


def unpack(words: Array, bits: int, count: int, spare: bool = False) -> Array:
    """The first `count` codes of `bits` bits along the last axis of 32-bit words, the first in the lowest
    bits: one after the other across words, or with `spare` only whole ones in each."""
    held = np.ascontiguousarray(words).view(np.uint8)
    if not spare:
        return from_bytes(held, bits, count)
    each = from_bytes(held.reshape(*words.shape, 4), bits, 32 // bits)
    return each.reshape(*words.shape[:-1], -1)[..., :count]


def grouped(
    code: str, codes: Array, scale: Held, zeros: Array | None, per: Per, order: Array | None = None
) -> Held:
    """A weight in codes, whose scales and zero points are for `per`; with `order`, position j along the
    inputs is order[j] of the model's weight."""
    child, zero = scale.encoding, None
    if zeros is not None:
        zero = Codes(zero_code(zeros))
    encoding: Encoding = Codes(code, Scale(per, child, zero_point=zero))
    assert isinstance(encoding, Codes)
    parts: Parts = encoding.laid(codes) | put("scale", scale.parts)
    if zero is not None and zeros is not None:
        parts |= put("zero_point", zero.laid(zeros.astype(numpy_dtype(zero.code.held))))
    if order is not None:
        encoding, parts = Permuted(encoding, 1), put("base", parts)
        parts["order"] = order.astype(numpy_dtype(index_element(len(order))))
    return Held(codes.shape, encoding, parts)


def zero_code(zeros: Array) -> str:
    """The shortest code that holds all zero points."""
    low, high = int(zeros.min(initial=0)), int(zeros.max(initial=0))
    bits = next(b for b in range(1, 17) if high < 2 ** (b if low >= 0 else b - 1) and low >= -(2 ** (b - 1)))
    return f"uint{bits}" if low >= 0 else f"int{max(2, bits)}"


def ordered(groups: Array, size: int) -> Array | None:
    """The positions in the order of their groups, of which each but the last has `size`; None where that is
    how they stand. Raises ValueError where groups have other sizes."""
    order = np.argsort(groups, kind="stable")
    if not np.array_equal(groups[order], np.arange(len(groups)) // size):
        raise ValueError(f"its groups have not {size} positions each")
    return None if np.array_equal(order, np.arange(len(order))) else order
