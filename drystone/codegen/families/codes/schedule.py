"""Schedules of matrix products whose right operand is coded: in which way, how many panels at a time, how far
ahead codes are asked for.

Few rows are bound by the reading of codes and by the instructions that each takes; more of them pass by a
part of a panel that is decoded once.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import gcd, lcm

from drystone.codegen.families.matmul.schedule import (
    DECODED,
    FEW,
    IN_BYTES,
    LOOKED_UP,
    MANY,
    Product,
    Schedule,
    default_rows,
    row_choices,
)
from drystone.codegen.families.tiling import divisor
from drystone.codegen.search import Parameter, Point, Space
from drystone.targets.target import Target

#: k of a panel that are decoded at a time: for vectors so that they stay in the first cache, for tile
#: registers in the second one. Tiles of rows, at most, that pass by what is decoded once.
_DECODED, _DECODED_FOR_TILES, _HIGH_DECODED = 256, 1024, 32
#: Bytes of codes that are asked for ahead of those that are decoded: they come from memory one page after the
#: other, and what a processor asks for by itself ends with the page.
_AHEAD = (2048, 4096, 8192, 0)
#: Steps of a grid that are enough for each thread, where all of them take long, and the most panels of one.
_STEPS_OF_THREAD, _WIDE = 16, 8
#: Panels of a grid step, and those that are multiplied side by side.
_PANELS, _BESIDE = tuple(1 << i for i in range(8)), (1, 2, 4)
#: In a second of a core: vector instructions, bytes of codes from memory and from caches.
_INSTRUCTIONS, _COLD, _WARM = 6e9, 12e9, 32e9
#: How much longer codes take from memory that come from one panel at a time, not from several; by how far
#: ahead they are asked for.
_STREAMS, _DISTANCE = (1.2, 1.0), {2048: 1.0, 4096: 1.03, 8192: 1.08, 0: 1.4}
#: The part of a step that threads wait for each other at the end; instructions to begin one; the part of the
#: shorter of both times that is not hidden.
_UNEVEN, _STEP, _BARE = 1 / 8, 200, 1 / 8


def coded_schedule(product: Product, point: Point) -> Schedule:
    """The schedule of a point of `coded_space`: few rows decode codes in registers, or take themselves apart;
    for more of them a part of a panel is decoded at a time, and all rows of the step pass by."""
    rows, width, k, tile = point["rows"], point["width"], product.k or 1, product.tile
    if product.groups:
        made = _in_groups(product, rows, width, point["block"])
    else:
        tiles = tile is not None and rows >= tile.rows
        depth, rest = tile.parts_of(k) if tiles and tile is not None else (divisor(k, 4), 0)
        if rows <= FEW:
            made = Schedule(rows, width, depth, None, rows, width)
        else:
            unit = lcm(depth, product.strings)
            block, high = max(1, point["block"] // unit) * unit, rows * _tiles_of_rows(product, rows)
            made = Schedule(rows, width, depth, block, high, width, tiles=tiles, rest=rest)
    made = replace(made, ahead_bytes=point["ahead"], wide=width * point["panels"])
    if made.block is not None or made.tiles:
        return made
    made = replace(made, way=point["way"], beside=point["beside"])
    return replace(made, rows=1, high=made.rows) if made.way == LOOKED_UP else made


def _in_groups(product: Product, rows: int, width: int, most: int) -> Schedule:
    """The schedule of bytes times a coded matrix: vectors take the bytes out of the codes whenever rows pass
    by, for tile registers a part of a panel, of whole groups, is laid down at a time."""
    k, tile, group = product.k or 1, product.tile, product.groups
    depth = 0 if tile is None else gcd(group, tile.depth)
    if tile is None or rows < tile.rows or 2 * depth < tile.depth:
        few = min(rows, FEW)
        return Schedule(few, width, product.group, None, few, width)
    unit = lcm(depth, product.strings, group if group < k else 1)
    block = min(-(-k // unit), max(1, most // unit)) * unit
    return Schedule(rows, width, depth, block, rows * _tiles_of_rows(product, rows), width, tiles=True)


def _tiles_of_rows(product: Product, rows: int) -> int:
    """Tiles of rows that pass by what is decoded once."""
    return min(-(-(product.m or MANY) // rows), _HIGH_DECODED)


def coded_default(product: Product, target: Target) -> Point:
    """The point taken without tuning: for few rows the one expected to be fastest, from memory."""
    point = _first(product, target)
    if product.work is None:
        return point
    features = {**coded_features(product), "cold": 1.0}
    points = coded_space(product, target, point).points()
    return min(points, key=lambda each: coded_seconds({**features, **each}, target))


def _first(product: Product, target: Target) -> Point:
    """A point that every product with codes has."""
    rows = default_rows(product, product.packed, target)
    tiles = product.tile is not None and rows >= product.tile.rows
    point = {
        "rows": rows,
        "width": product.packed,
        "way": DECODED,
        "panels": 1,
        "beside": 1,
        "ahead": _AHEAD[0],
        "block": _DECODED_FOR_TILES if tiles else _DECODED,
    }
    once = product.totals[coded_schedule(product, point).tiles]
    return point | {"panels": _panels(product, target)} if once else point


def _panels(product: Product, target: Target) -> int:
    """Panels of a grid step that sums its rows: several, if enough steps are left for threads to end at about
    the same time."""
    panels = -(-(product.n or product.packed) // product.packed)
    enough = _STEPS_OF_THREAD * target.threads
    return next((wide for wide in range(_WIDE, 1, -1) if panels >= wide * enough), 1)


def coded_space(product: Product, target: Target, first: Point) -> Space:
    """Every schedule, those like `first` before others."""
    panels, splits = -(-(product.n or 1) // product.packed), IN_BYTES in product.ways
    once = splits or any(product.totals)
    even = product.shared // product.packed or panels
    # Of calls of many rows, too, threads are to end at about the same time.
    enough = target.threads * (_STEPS_OF_THREAD if product.m is None or product.groups else 1)
    wide = [n for n in _PANELS if once and (n == 1 or n * enough <= panels)]
    wide = [n for n in wide if product.shared % (n * product.packed) == 0]
    blocks = (_DECODED, 2 * _DECODED, _DECODED_FOR_TILES, 2 * _DECODED_FOR_TILES)
    many = product.m is None or product.m > FEW

    def choices(name: str, *values: int) -> Parameter:
        return Parameter(name, tuple(dict.fromkeys([first[name], *values])))

    return Space(
        (
            choices("rows", *(row_choices(product, product.packed, target) if many else ())),
            choices("width"),
            choices("way", *product.ways),
            choices("panels", *wide),
            choices("beside", *(_BESIDE if splits else ())),
            choices("ahead", *(_AHEAD if product.work is not None or product.groups else ())),
            choices("block", *(blocks if many else ())),
        ),
        (
            lambda point: point["panels"] % point["beside"] == 0 and even % point["beside"] == 0,
            lambda point: point["way"] != DECODED or point["panels"] == 1 or product.groups > 0,
        ),
    )


def coded_features(product: Product) -> dict[str, float]:
    """What a cost model is told of the work of few rows, by the way; nothing of that of more."""
    work = product.work
    if work is None:
        return {}
    found = {"columns": float(product.n or MANY), "depth": float(product.k or 1), "bytes": float(work.size)}
    for way in product.ways:
        found |= {f"products.{way}": work.products[way], f"before.{way}": work.before[way]}
    return found


def coded_seconds(f: Mapping[str, float], target: Target) -> float:
    """The expected seconds of few rows, from `coded_features`, a point, and whether codes are `cold`: of
    instructions and of reading the longer ones, and a part of the shorter ones, which the others do not hide.
    """
    width, panels, depth, way = f["width"], f["panels"], f["depth"], int(f["way"])
    steps = -(-f["columns"] // (width * panels))
    share = -(-steps // target.threads)
    vectors = panels * width * depth / target.lanes(32)
    worked = (
        (share + _UNEVEN)
        * (vectors * f[f"products.{way}"] + depth * f[f"before.{way}"] + _STEP)
        / _INSTRUCTIONS
    )
    part = share * panels * width / f["columns"]
    read = part * f["bytes"] / (_COLD if f.get("cold") else _WARM)
    if f.get("cold"):
        read *= _STREAMS[min(int(f["beside"]), 2) - 1] * _DISTANCE[int(f["ahead"])]
    return max(worked, read) + _BARE * min(worked, read)
