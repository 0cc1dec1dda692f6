"""Statements of tile programs that read and write memory, as methods that record them."""

from collections.abc import Sequence

from drystone.codegen.index import Index, index
from drystone.codegen.operands import Tensor, Tile, broadcast
from drystone.codegen.recording import Recording
from drystone.codegen.statements import Compress, Gather, Load, Prefetch, Scatter, Store

#: Where a tile starts in a tensor, and its extents there (None: one position, which is dropped).
Starts = Sequence[Index | int]
Sizes = Sequence[int | None]


class Accesses(Recording):
    """Tiles from memory and to memory."""

    def load(
        self,
        source: Tensor,
        at: Starts,
        shape: Sizes,
        *,
        steps: Sequence[int] | None = None,
        fill: float = 0.0,
        held: bool = False,
    ) -> Tile:
        """A tile of `source`, with `held` of the element in memory; see the module's text."""
        result = self._tile([n for n in shape if n is not None], source.held if held else source.dtype)
        where = tuple(index(i) for i in at)
        self._emit(Load(result, source, where, tuple(shape), tuple(steps or [1] * len(where)), fill))
        return result

    def gather(self, source: Tensor, indices: Sequence[Tile], *, inside: bool = False) -> Tile:
        """A tile of elements of `source` at positions given by one integer tile per dimension; `inside`: a
        promise that all of them lie in it."""
        if len(indices) != len(source.shape):
            raise ValueError(f"gather from {source} with {len(indices)} indices")
        result = self._tile(broadcast([tile.shape for tile in indices]), source.dtype)
        self._emit(Gather(result, source, tuple(indices), inside))
        return result

    def store(
        self,
        target: Tensor,
        at: Starts,
        value: Tile,
        shape: Sizes | None = None,
        *,
        steps: Sequence[int] | None = None,
    ) -> None:
        """Write a tile; `shape` (as in load) defaults to the tile's own where the ranks agree."""
        sizes = tuple(value.shape if shape is None else shape)
        if tuple(n for n in sizes if n is not None) != value.shape or len(sizes) != len(target.shape):
            raise ValueError(f"store of {value.shape} into {target} with sizes {sizes}")
        where = tuple(index(i) for i in at)
        self._emit(Store(value, target, where, sizes, tuple(steps or [1] * len(where))))

    def scatter(self, target: Tensor, indices: Sequence[Tile], value: Tile, keep: Tile) -> None:
        """Write those elements of a tile that `keep` (i1) says to positions given by one integer tile per
        dimension, which all lie inside."""
        if len(indices) != len(target.shape) or any(t.shape != value.shape for t in (*indices, keep)):
            raise ValueError(f"scatter of {value.shape} into {target} with {len(indices)} indices")
        self._emit(Scatter(value, target, tuple(indices), keep))

    def compress(self, target: Tensor, at: Index | int, value: Tile, keep: Tile) -> None:
        """Write those elements of one row [1, n] that `keep` (i1) says side by side from `at` on into a
        tensor of one dimension, inside of which all lie."""
        if len(target.shape) != 1 or value.shape[0] != 1 or keep.shape != value.shape:
            raise ValueError(f"compress of {value.shape} into {target} by {keep.shape}")
        self._emit(Compress(value, target, index(at), keep))

    def prefetch(
        self, target: Tensor, at: Starts, shape: Sizes, *, read: bool = False, far: bool = False
    ) -> None:
        """Ask for the memory that a store to this place writes to, or a load reads; `shape` as in load."""
        self._emit(Prefetch(target, tuple(map(index, at)), tuple(shape), read, far))
