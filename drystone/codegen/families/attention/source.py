"""Where a step of attention finds its keys or values: in memory as they are, or decoded into working memory.

Codes are decoded once for all rows of a step, a run of positions at a time; what is decoded stays in the
first cache until the step is over.
"""

from dataclasses import dataclass

from drystone.codegen.elements import width
from drystone.codegen.families.attention.cached import CachedRows
from drystone.codegen.families.attention.rows import Rows
from drystone.codegen.families.dry_op import summand
from drystone.codegen.tile import Index, Tensor, Tile, index

#: Bytes of keys, or of values, that a single row asks for ahead of those it reads: what a core asks for by
#: itself ends with every page, and is too near for memory. Into the second cache, for the first one has room
#: to wait for few lines at once.
_AHEAD = 8192


@dataclass(frozen=True)
class Source:
    """Keys or values of the head that some rows read, in steps of at most so many and tiles of `tile`."""

    rows: Rows
    tensor: Tensor
    cache: CachedRows | None
    memory: Tensor | None
    tile: int

    @staticmethod
    def of(rows: Rows, tensor: Tensor, cache: CachedRows | None, step: int, tile: int) -> "Source":
        """With working memory where there are codes."""
        memory = None
        if cache is not None:
            most = -(-step // tile) * tile + 2 * cache.run
            memory = rows.t.scratch([most, cache.depth], "f32")
        return Source(rows, tensor, cache, memory, tile)

    def prepare(self, start: Index, count: Index) -> None:
        """Decode the `count` keys from `start` on, whole tiles: what is beyond has numbers too."""
        if self.cache is None or self.memory is None:
            return
        end = start + count.ceildiv(self.tile) * self.tile
        first = start // self.cache.run * self.cache.run
        self.cache.read(self.rows.t, self.rows.b, self.rows.group, first, end, self.memory)

    def load(self, start: Index, k: Index, d: Index, count: int, numbers: int) -> Tile:
        """So many numbers of `count` keys or values, from number d of the k-th of the step on."""
        t, form = self.rows.t, self.rows.form
        if self.cache is not None and self.memory is not None:
            return t.load(self.memory, [start % self.cache.run + k, d], [count, numbers])
        place = form.place(self.rows.b, self.rows.group, start + k, d)
        return summand(t, t.load(self.tensor, place, form.place(None, None, count, numbers)), form.dtype)

    def await_tile(self, start: Index, k: Index) -> None:
        """Ask for the tile that lies some way behind the k-th key of the step, in this head or the next."""
        t, form, depth = self.rows.t, self.rows.form, self.tensor.shape[-1]
        if self.cache is not None or depth is None:
            return
        keys = max(1, _AHEAD * 8 // (width(self.tensor.held) * depth * self.tile)) * self.tile
        place = form.place(self.rows.b, self.rows.group, start + k + keys, index(0))
        t.prefetch(self.tensor, place, form.place(None, None, self.tile, depth), read=True, far=True)


def sources(rows: Rows, step: int, tile: int) -> tuple[Source, Source]:
    """The keys and the values that some rows read, in steps of at most so many keys."""
    form = rows.form
    return (
        Source.of(rows, form.k, form.key_cache, step, tile),
        Source.of(rows, form.v, form.value_cache, step, tile),
    )
