"""Where the scales apply and in what order its codes lie: functions of shapes and arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drystone.dtypes import Array


@dataclass(frozen=True)
class Scale:
    """real = scale * (code - zero_point); see the module's text."""

    geometry: str = "tensor"
    axis: int = 0
    group: int = 0
    zero_point: bool = False

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the scales of a tensor."""
        if self.geometry == "tensor":
            return ()
        if self.geometry == "axis":
            return (shape[self.axis],)
        return tuple(-(-n // self.group) if d == self.axis else n for d, n in enumerate(shape))

    def spread(self, scales: Array, shape: Sequence[int]) -> Array:
        """Scales in a shape that broadcasts against the tensor's."""
        if self.geometry == "tensor":
            return scales
        if self.geometry == "axis":
            return scales.reshape([n if d == self.axis else 1 for d, n in enumerate(shape)])
        return np.repeat(scales, self.group, self.axis).take(range(shape[self.axis]), self.axis)

    def reduce(self, function: Any, array: Array) -> Array:
        """`function` (np.maximum, np.minimum) over the elements that share a scale."""
        if self.geometry == "tensor":
            return np.asarray(function.reduce(array, axis=None, initial=0))
        if self.geometry == "axis":
            others = tuple(d for d in range(array.ndim) if d != self.axis)
            return np.asarray(function.reduce(array, axis=others, initial=0))
        return np.asarray(function.reduceat(array, range(0, array.shape[self.axis], self.group), self.axis))


@dataclass(frozen=True)
class Pack:
    """A blocked layout, as in linalg.pack; an empty outer_perm is the identity. Ragged ends hold zero."""

    inner_dims: tuple[int, ...]
    inner_tiles: tuple[int, ...]
    outer_perm: tuple[int, ...] = ()

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
        padded = np.pad(array, [(0, n - m) for n, m in zip(whole, array.shape, strict=True)])
        axes = self._axes(array.ndim)
        unit = [axis for axis in range(len(split)) if axis not in axes]
        moved = padded.reshape(split).transpose([*axes, *unit])
        return np.ascontiguousarray(moved.reshape(self.shape(array.shape)))

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
        return np.ascontiguousarray(whole[tuple(slice(n) for n in shape)])
