"""In what order, and in which bits, codes lie: layouts move codes and never change what they mean."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array
from drystone.ir.encoding.code import Code, Integers
from drystone.ir.encoding.parts import Held, Parts, Shape


def patterns(codes: Array, code: Code) -> Array:
    """Codes of at most 8 bits as bit patterns (uint8)."""
    return codes.astype(np.uint8) & np.uint8(2**code.bits - 1)


def from_patterns(bits: Array, code: Code) -> Array:
    """Bit patterns as the codes they are: signed ones with their sign."""
    if not isinstance(code, Integers) or code.unsigned:
        return bits.astype(np.uint8, copy=False)
    sign = np.uint8(1 << code.bits - 1)
    return ((bits.astype(np.uint8, copy=False) ^ sign) - sign).view(np.int8)


def to_bytes(laid: Array, bits: int) -> Array:
    """Patterns of `bits` bits, several to a byte along the last axis, the first in the lowest bits; every row
    a whole number of bytes."""
    words, used, places = _words(bits)
    outer, row = laid.shape[:-1], laid.shape[-1]
    count = -(-row // len(places))
    padded = np.pad(laid, [*[(0, 0)] * len(outer), (0, count * len(places) - row)])
    cut = padded.reshape(*outer, count, len(places)).astype(words, copy=False)
    packed = np.bitwise_or.reduce(cut << places, axis=-1)[..., None].view(np.uint8)[..., :used]
    return np.ascontiguousarray(packed.reshape(*outer, count * used)[..., : -(-row * bits // 8)])


def from_bytes(held: Array, bits: int, row: int) -> Array:
    """The patterns that `to_bytes` made `held` from, `row` of them along the last axis."""
    words, used, places = _words(bits)
    outer, size = held.shape[:-1], held.shape[-1]
    count = -(-size // used)
    padded = np.pad(held, [*[(0, 0)] * len(outer), (0, count * used - size)])
    packed = np.zeros((*outer, count, words.itemsize), np.uint8)
    packed[..., :used] = padded.reshape(*outer, count, used)
    codes = (packed.view(words) >> places & words.type(2**bits - 1)).astype(np.uint8, copy=False)
    return np.ascontiguousarray(codes.reshape(*outer, count * len(places))[..., :row])


def _words(bits: int) -> tuple[np.dtype[Any], int, Array]:
    """What holds the least number of patterns that are whole bytes: a word, how many of its bytes, and where
    in it each pattern lies."""
    count = 8 // bits if 8 % bits == 0 else 8
    words = np.dtype("u1" if count * bits == 8 else "<u8")
    return words, count * bits // 8, (np.arange(count) * bits).astype(words)


def rows(shape: Sequence[int]) -> Shape:
    """A shape whose last axis takes whole bytes: a scalar is one row."""
    return tuple(shape) or (1,)


class Layout(ABC):
    """An order of codes."""

    @abstractmethod
    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """Shape and element of the arrays that the codes of a tensor of this shape are held in."""

    @abstractmethod
    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""

    @abstractmethod
    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""

    def settled(self, codes: Array) -> "Layout":
        """The layout for these codes, where how much is stored depends on them; else as it is."""
        return self

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        yield from ()


@dataclass(frozen=True)
class Pack(Layout):
    """A blocked layout, as in linalg.pack: `inner_tiles[i]` elements of dimension `inner_dims[i]` become the
    innermost dimensions, in that order; the outer ones stand in the order `outer_perm`. Ragged ends hold
    zero. Codes of less than 8 bits lie several to a byte along the innermost dimension, the first in the
    lowest bits, every row a whole number of bytes."""

    inner_dims: tuple[int, ...] = ()  #: the dimensions that are tiled
    inner_tiles: tuple[int, ...] = ()  #: the extent of each tile
    outer_perm: tuple[int, ...] = ()  #: the order of the outer dimensions; empty: as they are

    def _order(self, rank: int) -> tuple[int, ...]:
        return self.outer_perm or tuple(range(rank))

    def _blocks(self, shape: Sequence[int]) -> list[int]:
        tiles = dict(zip(self.inner_dims, self.inner_tiles, strict=True))
        return [-(-n // tiles.get(d, 1)) for d, n in enumerate(shape)]

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The stored shape of a tensor of this shape."""
        blocks = self._blocks(shape)
        return (*(blocks[d] for d in self._order(len(shape))), *self.inner_tiles)

    def _axes(self, rank: int) -> list[int]:
        """Where each stored dimension lies when every logical one is split in (blocks, tile)."""
        return [*(2 * d for d in self._order(rank)), *(2 * d + 1 for d in self.inner_dims)]

    def _split(self, shape: Sequence[int]) -> list[int]:
        tiles = dict(zip(self.inner_dims, self.inner_tiles, strict=True))
        return [n for d, blocks in enumerate(self._blocks(shape)) for n in (blocks, tiles.get(d, 1))]

    def apply(self, array: Array) -> Array:
        """The array in this layout."""
        split = self._split(array.shape)
        whole = [blocks * tile for blocks, tile in zip(split[::2], split[1::2], strict=True)]
        missing = [(0, n - m) for n, m in zip(whole, array.shape, strict=True)]
        padded = np.pad(array, missing) if missing else array
        axes = self._axes(array.ndim)
        unit = [axis for axis in range(len(split)) if axis not in axes]
        moved = padded.reshape(split).transpose([*axes, *unit])
        return np.asarray(moved.reshape(self.shape(array.shape)), order="C")

    def part(self, stored: Array, shape: Sequence[int], dim: int, first: int, end: int) -> Array:
        """What `apply` makes of the positions first <= i < end along a dimension, from what it made of the
        whole tensor, of this shape: without a copy where they lie together."""
        tile = dict(zip(self.inner_dims, self.inner_tiles, strict=True)).get(dim, 1)
        if first % tile == 0 and (end % tile == 0 or end == shape[dim]):
            whole: list[slice] = [slice(None)] * stored.ndim
            whole[self._order(len(shape)).index(dim)] = slice(first // tile, -(-end // tile))
            return np.ascontiguousarray(stored[tuple(whole)])
        return self.apply(self.undo(stored, shape).take(range(first, end), dim))

    def undo(self, stored: Array, shape: Sequence[int]) -> Array:
        """The array of logical `shape` that `apply` made `stored` from."""
        split, axes = self._split(shape), self._axes(len(shape))
        order = [*axes, *(axis for axis in range(len(split)) if axis not in axes)]
        moved = stored.reshape([split[axis] for axis in order]).transpose(np.argsort(order))
        whole = moved.reshape([a * b for a, b in zip(split[::2], split[1::2], strict=True)])
        return np.asarray(whole[tuple(slice(n) for n in shape)], order="C")

    def parts(self, shape: Sequence[int], code: Code) -> dict[str, Held]:
        """One array."""
        stored = self.shape(shape)
        if code.bits >= 8:
            return {"codes": (stored, code.held)}
        *outer, row = rows(stored)
        return {"codes": ((*outer, -(-row * code.bits // 8)), "ui8")}

    def hold(self, codes: Array, code: Code) -> Parts:
        """The codes as they are stored."""
        laid = codes if self == Pack() else self.apply(codes)
        if code.bits >= 8:
            return {"codes": np.asarray(laid, order="C")}
        return {"codes": to_bytes(patterns(laid, code).reshape(rows(laid.shape)), code.bits)}

    def codes(self, parts: Parts, shape: Sequence[int], code: Code) -> Array:
        """The codes that `hold` stored."""
        laid = parts["codes"]
        if code.bits < 8:
            stored = self.shape(shape)
            laid = from_patterns(from_bytes(laid, code.bits, rows(stored)[-1]), code).reshape(stored)
        return laid.reshape(tuple(shape)) if self == Pack() else self.undo(laid, shape)

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        dims, rank = self.inner_dims, len(shape)
        if len(set(dims)) != len(dims) or not all(0 <= d < rank for d in dims):
            yield f"tiled dimensions {dims} of rank {rank}"
        if len(self.inner_tiles) != len(dims) or min(self.inner_tiles, default=1) < 1:
            yield f"tiles {self.inner_tiles} of dimensions {dims}"
        if self.outer_perm and sorted(self.outer_perm) != list(range(rank)):
            yield f"order {self.outer_perm} of rank {rank}"


@dataclass(frozen=True)
class Bundle(Pack):
    """Rows of several matrices side by side, as of an MLP's neurons: one stored array [rows, count, ..] has
    in row i those of all of them, in order, and these codes are at `place` among them."""

    place: int = 0  #: which of the matrices this one is
    count: int = 1  #: how many there are

    @property
    def alone(self) -> Pack:
        """How the matrix lies where its rows are taken by themselves."""
        return Pack(self.inner_dims, self.inner_tiles, self.outer_perm)

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The stored shape of all of them."""
        rows, *rest = super().shape(shape)
        return (rows, self.count, *rest)

    def apply(self, array: Array) -> Array:
        """The array in this layout, with zeros where the others are."""
        own = self.alone.apply(array)
        stored = np.zeros((len(own), self.count, *own.shape[1:]), own.dtype)
        stored[:, self.place] = own
        return stored

    def undo(self, stored: Array, shape: Sequence[int]) -> Array:
        """The array of logical `shape` that lies at its place in `stored`."""
        return super().undo(stored[:, self.place], shape)

    def problems(self, shape: Sequence[int], code: Code) -> Iterator[str]:
        """What cannot be for codes of a tensor of this shape."""
        yield from super().problems(shape, code)
        if self.inner_dims or not shape or not 0 <= self.place < self.count:
            yield f"place {self.place} of {self.count} in bundles of rows"
