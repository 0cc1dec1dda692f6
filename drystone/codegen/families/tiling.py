"""Extents of tiles and of units of work, from the extents of what they cut."""

from collections.abc import Iterable

from drystone.codegen.elements import width
from drystone.codegen.tile import Index
from drystone.targets.target import Target

#: Elements one step of a grid handles, about: enough to pay for starting it, few enough to share the work.
UNIT = 4096
#: Bytes of a cache line, and lines of one set of the first cache.
_LINE, _WAYS = 64, 8


def divisor(n: int, limit: int) -> int:
    """The largest divisor of n that is at most `limit`."""
    return next(d for d in range(max(1, min(n, limit)), 0, -1) if n % d == 0)


def even(n: int | None, limit: int) -> int:
    """The extent of tiles, at most `limit`, that cover n with the least left over (limit where n is
    unknown)."""
    if n is None:
        return limit
    tiles = -(-n // limit)
    return -(-n // tiles) if n else 1


def doubling(most: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to `most`, and `most` itself."""
    powers = [1 << i for i in range(max(1, most).bit_length()) if 1 << i <= most]
    return tuple(dict.fromkeys([*powers, max(1, most)]))


def preferred(first: int, values: Iterable[int]) -> tuple[int, ...]:
    """The values, `first` at the front."""
    return tuple(dict.fromkeys([first, *values]))


def side_by_side(apart: int, most: int, target: Target) -> int:
    """How many rows of memory, at most `most`, that lie so many bytes apart can be walked side by side: where
    that is a multiple of a power of two they fall into the same sets of the first cache, and more than a set
    has lines would push each other out. apart: 0 where it is not known."""
    sets = target.l1 // (_WAYS * _LINE)
    places = [i * apart // _LINE % sets for i in range(most if apart else 0)]
    return next((n for n in range(1, len(places)) if max(map(places[: n + 1].count, places)) > _WAYS), most)


def tile_width(target: Target, dtype: str, extent: Index, most: int = 4) -> int:
    """Elements of a tile along a loop: up to `most` registers, without a ragged end where that can be."""
    # Tiles are cut into vectors of as many elements as a register holds of 32 bits.
    lanes = target.lanes(32)
    most = max(1, most * 32 // max(32, width(dtype)))
    n = extent.constant
    if n is None:
        return lanes * min(2, most)
    for count in (4, 2, 1):
        if count <= most and n % (count * lanes) == 0:
            return count * lanes
    return lanes * min(most, 4 if n >= 16 * lanes else 2 if n >= 6 * lanes else 1)


def rounded(extent: Index, width: int) -> Index:
    """The largest multiple of `width` that is not above the extent."""
    return (extent // width) * width


def chunk_end(start: Index, chunk: int, extent: Index) -> Index:
    """Where a chunk that starts at `start` ends."""
    n = extent.constant
    if n is not None and n <= chunk:
        return extent
    return start + chunk if n is not None and n % chunk == 0 else (start + chunk).min(extent)


def awaited(k: Index, depth: int, rounds: int, rows: int) -> tuple[Index, int]:
    """Which of a register tile's rows, and how many, to ask for in the round of its sums that starts at k and
    takes `depth`, for all of them in so many rounds: rows of a result lie apart, and to wait for each of them
    at the end takes as long as the products do."""
    often, some = max(1, rounds // rows), -(-rows // rounds)
    return (k // (depth * often) * some).min(rows - some), some
