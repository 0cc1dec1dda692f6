"""Schedules of attention: rows of a block, keys of a step and of a tile, parts of the keys.

FlashAttention's order (Dao et al., NeurIPS 2022) leaves these open: a block of queries stays in the first
cache while the keys pass by; scores are made tile by tile in registers, of so many keys that multiply-adds
follow each other without waiting, and brought to a new peak step by step, of so many keys that scaling the
sums costs little beside them. Parts: as many as give every thread the same share (LeanAttention, Sanovar et
al. 2024).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from drystone.codegen.elements import width as bits
from drystone.codegen.families.attention.form import AttentionForm
from drystone.codegen.families.tiling import divisor, doubling, even, preferred
from drystone.codegen.search import Parameter, Point, Space
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: The most queries of a head whose rows are taken together with those of other heads.
MOST_TOGETHER = 4
#: With fewer rows than this, lanes along the rows would be mostly empty.
FEW = MOST_TOGETHER + 1
#: Fewer queries than this do not pay for transposing the values to be multiplied in pairs.
_LEAST = 64
#: Keys and depth of a square of values that is transposed at a time, which keys are a multiple of.
SQUARE = 16
#: Keys that tile registers multiply at a time.
_GROUP = 32
#: Keys of a tile, and of a step with blocks of rows.
_TILE, _BLOCK = 8, 128
#: The same of single rows. Memory gives the more the fewer keys are read side by side.
_SINGLE_TILE, _SINGLE_BLOCK = 4, 512
#: The part of the first cache that a block's queries, weights and sums may fill, and the longest step then.
_HELD, _LONGEST = 0.75, 256
#: Keys of a part, about, and parts of keys of unknown number; heads for each thread from which on there are
#: enough of them to be shared out whole.
_PART, _UNKNOWN_PARTS, _ENOUGH = 512, 16, 16
#: The most parts, and the fewest keys of one.
_MOST_PARTS, _LEAST_PART = 64, 64
#: What an extent known at the call counts as for a cost model.
_UNKNOWN = 256


@dataclass(frozen=True)
class Schedule:
    """A point of `space`: rows of a block, along the vectors (0: rows are taken one by one); keys of a step
    of the online softmax, and of a tile of scores; parts that the keys of a head are shared out in."""

    width: int
    block: int
    tile: int
    parts: int = 1

    def part(self, form: AttentionForm) -> int:
        """Rows of the sums that tile registers hold at a time: with as many of these as groups of keys in a
        step, products and exponentials take turns."""
        groups = self.block // _GROUP
        turns = divisor(form.depth_v, 2 * SQUARE)
        return SQUARE if form.depth_v == groups * SQUARE else turns


def in_pairs(form: AttentionForm, target: Target) -> bool:
    """Whether keys and values are multiplied in pairs: many queries of a short element. Only tile registers
    take any number of keys."""
    queries, keys = form.queries.constant, form.keys.constant
    known = queries is not None and keys is not None and form.depth_v % SQUARE == 0
    if not known or form.short is None or (queries or 0) < _LEAST:
        return False
    return (keys or 1) % SQUARE == 0 or tile_unit(form, target, 2 * target.lanes(32)) is not None


def tile_unit(form: AttentionForm, target: Target, width: int) -> DotUnit | None:
    """The unit with tile registers that can do both products of blocks of so many rows; None without one."""
    queries, keys = form.queries.constant, form.keys.constant
    if form.short is None or queries is None or keys is None or queries < _LEAST or form.depth_v % SQUARE:
        return None
    unit = target.dot(form.short, form.short, tiles=True)
    if unit is None or width not in (unit.columns, 2 * unit.columns) or not unit.fills(form.depth):
        return None
    # Blocks of a mask are whole tiles.
    whole = not form.tile or form.tile[1] % unit.depth == keys % unit.depth == 0
    return unit if whole and not unit.parts_of(form.depth)[1] else None


def grouped(form: AttentionForm) -> bool:
    """Whether the query heads that share keys can be rows of one block."""
    return form.repeat > 1 and (form.blocks is None or form.blocks.shape[0] == 1)


def few_rows(form: AttentionForm) -> int | None:
    """The rows that share keys, where queries are few; None where they are many, or not known."""
    queries = form.queries.constant
    if queries is None or queries >= FEW:
        return None
    return queries * (form.repeat if grouped(form) else 1)


def reads_codes(form: AttentionForm, lanes: int) -> bool:
    """Whether single rows can read keys and values as codes: values have scales by position, and a register
    has whole strings, and rows whole registers that share scales."""
    keys, values = form.key_cache, form.value_cache
    if keys is None or values is None or form.blocks is not None or values.block != 1 or form.dtype != "f32":
        return False
    whole = lanes % keys.run == 0 and lanes % values.run == 0 and keys.depth % lanes == 0
    return whole and (keys.block > 1 or keys.group % lanes == 0)


def single(form: AttentionForm, target: Target) -> Schedule:
    """How single rows are taken without tuning."""
    block = _SINGLE_BLOCK
    if not reads_codes(form, target.lanes(32)):
        block = _decoded(form, target) or block
    return Schedule(0, form.tile[1] if form.tile else block, _SINGLE_TILE)


def _decoded(form: AttentionForm, target: Target) -> int:
    """Keys of a step whose codes, decoded, stay in the first cache; 0 where keys and values are no codes."""
    row = sum(cache.depth for cache in (form.key_cache, form.value_cache) if cache is not None)
    keys = int(target.l1 * _HELD) // (4 * row) if row else 0
    return max(_GROUP, 1 << keys.bit_length() - 1) if row else 0


def default(form: AttentionForm, target: Target) -> Point:
    """The point taken without tuning."""
    rows = few_rows(form)
    width = _width(form, target) if rows is None else 0 if rows < FEW else _wide(rows, target)
    cut = Schedule(width, _block(form, width, target), _TILE) if width else single(form, target)
    return {"width": width, "block": cut.block, "tile": cut.tile, "parts": _parts(form, target)}


def space(form: AttentionForm, target: Target) -> Space:
    """Every schedule."""
    first = default(form, target)
    lanes, rows = target.lanes(32), few_rows(form)
    widths = [lanes * vectors for vectors in (1, 2, 3, 4)]
    if rows is not None:
        widths = [0, *(w for w in widths[:2] if w <= _wide(rows, target))] if grouped(form) else [0]
    elif (queries := form.queries.constant) is not None:
        widths = [w for w in widths if w < queries + lanes]
    longest = form.keys.constant or _LEAST_PART * _MOST_PARTS
    parts = doubling(min(_MOST_PARTS, longest // _LEAST_PART))
    if rows is None or form.blocks is not None:
        parts = (1,)
    tiles = (8, 16) if in_pairs(form, target) else (8, 4, 12, 16)

    def sound(point: Mapping[str, int]) -> bool:
        width, block, tile = point["width"], point["block"], point["tile"]
        unit = tile_unit(form, target, width)
        held = (block + lanes) * max(1, width) * bits(form.dtype) // 8
        return (
            block % (tile if unit is None else unit.depth) == 0
            and (unit is not None or not in_pairs(form, target) or longest % SQUARE == 0)
            and held <= target.l2 // 2
            and _fits(form, width, tile, target)
            and (not form.tile or _cuts(form, width, block))
        )

    return Space(
        (
            Parameter("width", preferred(first["width"], widths)),
            Parameter("block", preferred(first["block"], _blocks(form))),
            Parameter("tile", preferred(first["tile"], tiles)),
            Parameter("parts", preferred(first["parts"], parts)),
        ),
        (lambda point: point == first or sound(point),),
    )


def features(form: AttentionForm) -> dict[str, float]:
    """What a cost model is told of it."""
    extents = {"images": form.images, "groups": form.groups, "queries": form.queries, "keys": form.keys}
    sizes = {name: _UNKNOWN if n.constant is None else n.constant for name, n in extents.items()}
    held = {"repeat": form.repeat, "depth_k": form.depth, "depth_v": form.depth_v}
    masks = {"causal": form.causal, "masked": form.mask is not None, "span": form.span is not None}
    return {name: float(value) for name, value in {**sizes, **held, **masks}.items()}


def _room(form: AttentionForm, width: int, target: Target) -> int:
    """Keys whose weights fit the first cache beside the queries and sums of a block."""
    row = width * bits(form.dtype) // 8
    return int(target.l1 * _HELD) // row - form.depth - form.depth_v


def _width(form: AttentionForm, target: Target) -> int:
    """Rows of a block of many queries: two vectors, where what it holds stays in the first cache."""
    lanes, known = target.lanes(32), form.queries.constant
    narrow = (known is not None and known <= lanes) or target.registers < 32
    narrow = narrow or (not in_pairs(form, target) and _room(form, 2 * lanes, target) < _BLOCK)
    uneven = bool(form.tile) and form.tile[0] % (2 * lanes) != 0
    return lanes if narrow or uneven else 2 * lanes


def _wide(rows: int, target: Target) -> int:
    """The widest block of so few rows."""
    lanes = target.lanes(32)
    return lanes if rows <= lanes or target.registers < 32 else 2 * lanes


def _block(form: AttentionForm, width: int, target: Target) -> int:
    """Keys of a step with blocks of rows: all, where they are few, or a part that leaves no rest."""
    keys, unit = form.keys.constant, tile_unit(form, target, width)
    if unit is not None and keys is not None:
        if form.tile:
            return unit.depth * divisor(form.tile[1] // unit.depth, _BLOCK // unit.depth)
        return unit.depth * even(-(-keys // unit.depth), _BLOCK // unit.depth)
    if form.tile:
        return _TILE * divisor(form.tile[1] // _TILE, 2 * _BLOCK // _TILE)
    if decoded := _decoded(form, target):
        return decoded
    most = _BLOCK if in_pairs(form, target) or _room(form, width, target) < _LONGEST else _LONGEST
    if keys is None:
        return most
    if keys <= 2 * _BLOCK:
        return -(-keys // _TILE) * _TILE
    return _TILE * divisor(keys // _TILE, most // _TILE) if keys % (8 * _TILE) == 0 else most


def _blocks(form: AttentionForm) -> list[int]:
    """Keys that a step may have: powers of two, and even shares of all keys."""
    if form.tile:
        return [n for n in range(_TILE, form.tile[1] + 1, _TILE) if form.tile[1] % n == 0]
    powers = [1 << i for i in range(5, 11)]
    keys = form.keys.constant
    if keys is None:
        return powers
    return sorted({-(-even(keys, n) // _TILE) * _TILE for n in powers} | {n for n in powers if n < keys})


def _parts(form: AttentionForm, target: Target) -> int:
    """Parts of the keys of a head; 1 where heads are enough or keys few."""
    images, groups, keys = form.images.constant, form.groups.constant, form.keys.constant
    if few_rows(form) is None or form.blocks is not None:
        return 1
    if images is not None and groups is not None and images * groups >= _ENOUGH * target.threads:
        return 1
    return _UNKNOWN_PARTS if keys is None else max(1, min(_MOST_PARTS, keys // _PART))


def _fits(form: AttentionForm, width: int, tile: int, target: Target) -> bool:
    """Whether a tile of scores fits the registers beside a row of queries and a key; the scores of single
    rows are read again as vectors."""
    if not width:
        return target.lanes(32) % tile == 0
    vectors = width // target.lanes(bits(form.dtype))
    return (tile + 1) * vectors + 1 <= target.registers


def _cuts(form: AttentionForm, width: int, block: int) -> bool:
    """Whether blocks of rows and steps of keys cut the tiles that a mask of blocks is of."""
    rows, keys = form.tile
    return keys % block == 0 and (not width or few_rows(form) is not None or rows % width == 0)
