"""Schedules of matrix products: the register tile, and how often the rows pass by.

After Low et al., "Analytical Modeling Is Enough for High-Performance BLIS" (ACM TOMS 43(2), 2016), section 4:
as many accumulators as the registers hold, panels of b that stay in the second cache.
"""

from dataclasses import dataclass, replace

from drystone.codegen.families.tiling import divisor, even, side_by_side
from drystone.codegen.search import Parameter, Point, Space
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: The part of the second cache that a panel of b may fill, and the most rows of a register tile.
_PANEL = 0.5
_ROWS = 14
#: Tiles of rows that a grid step does in every pass over k.
_HIGH = 8
#: Panels that a grid step does with what it took from its rows.
_WIDE = 8
#: Rows that are not known count as so many; steps of a grid that threads share evenly.
MANY, _STEPS = 256, 64
#: Tiles of rows from which on it pays to keep a strip of b for them.
_TILES = 6
#: Steps of long duration that are enough for each thread.
_STEPS_OF_THREAD = 4
#: Rows up to which vectors are as fast as tile registers: the products are bound by the reading of b.
FEW = 4
#: The ways in which few rows are multiplied with codes: these become floats; rows become bytes; what codes
#: make of rows is looked up.
DECODED, IN_BYTES, LOOKED_UP = range(3)


@dataclass(frozen=True)
class Work:
    """Of few rows times a coded matrix: its bytes; by the way, vector instructions for a vector of codes of
    one k, and for each k before the products of a step."""

    size: int
    products: tuple[float, ...]
    before: tuple[float, ...]


@dataclass(frozen=True)
class Product:
    """The sizes of out[m, n] = sum over k (None: known at the call), bits of an element of the sums, width of
    the panels b is packed in (0: it is not), how many neighbouring k lie side by side in them, and the tile
    unit that can do it. offset: vectors multiply b + 128, which is unsigned. beside: how many products
    a step of the grid reads. run: how many k the vector unit sums in a short element (0: none, its sums are
    wide). strings: of a coded b, the k whose codes are a string of bits, which is decoded as a whole.
    groups: of bytes times a coded b, the k whose sums are scaled together. ways: in which few rows may be
    multiplied with a coded b, and their work. totals: of bytes times a coded b, the sums of a
    are needed too, with vectors or with tile registers: they are found once for several panels. shared: of
    products side by side, how many columns divide those of each (0: it is one product)."""

    m: int | None
    n: int | None
    k: int | None
    bits: int
    packed: int
    group: int = 1
    tile: DotUnit | None = None
    offset: bool = False
    beside: int = 1
    run: int = 0
    strings: int = 0
    groups: int = 0
    ways: tuple[int, ...] = (DECODED,)
    work: Work | None = None
    totals: tuple[bool, bool] = (False, False)
    shared: int = 0


@dataclass(frozen=True)
class Schedule:
    """Rows and width of the register tile, k per unrolled round, k per pass over the rows (None: all at
    once), rows and columns per grid step. by_rows: the steps go through the panels of b first, then on to
    other rows. tiles: in tile registers; rest: k at the end that are a part of their own there. late: what
    follows on the sums of a tile of rows is done beside the products of the next one. ahead: the next panel
    is asked for while rows pass by. way: with few rows of a coded b; beside: panels whose codes are looked up
    side by side; ahead_bytes: how far ahead codes are asked for."""

    rows: int
    width: int
    depth: int
    block: int | None
    high: int
    wide: int
    by_rows: bool = False
    tiles: bool = False
    rest: int = 0
    late: bool = False
    ahead: bool = False
    way: int = DECODED
    beside: int = 1
    ahead_bytes: int = 0


def schedule(product: Product, point: Point, target: Target) -> Schedule:
    """The schedule of a point of `space`, of numbers as they are."""
    made = _uncoded(product, point, target)
    return replace(made, ahead=_ahead(product, made, target))


def _uncoded(product: Product, point: Point, target: Target) -> Schedule:
    """The schedule of a product of numbers as they are."""
    rows, width, k = point["rows"], point["width"], product.k
    depth = product.run or product.group * (divisor(k // product.group, 4) if k is not None else 4)
    if product.tile is not None and rows >= product.tile.rows:
        return _in_tiles(product, product.tile, point, target)
    if k is None or point["passes"] == 1:
        high = _high(product, rows, width)
        return Schedule(rows, width, depth, None, high, _wide(product, high, width))
    block, high = -(-k // point["passes"] // depth) * depth, rows * _HIGH
    return Schedule(rows, width, depth, block, high, _wide(product, high, width))


def _in_tiles(product: Product, tile: DotUnit, point: Point, target: Target) -> Schedule:
    """The schedule of a product of short elements in tile registers. Rows that stay in the second cache pass
    by one panel after the other; or a tile of rows goes through the panels of a strip."""
    rows, width, k = point["rows"], point["width"], product.k
    depth, rest = tile.parts_of(k or 1)
    block = None if point["passes"] == 1 else -(-(k or 1) // point["passes"] // depth) * depth
    strip = width if block or k is None else _strip(product, rows, width, target)
    if strip > width:
        return Schedule(rows, width, depth, None, rows, strip, tiles=True, rest=rest, late=True)
    high = _resident(product, rows, target)
    by_rows = product.m is None or product.m > high
    if not by_rows and not block:
        high = _even_high(product, rows, width, target)
    late = high > rows and k is not None and not block
    return Schedule(rows, width, depth, block, high, width, by_rows, tiles=True, rest=rest, late=late)


def _strip(product: Product, rows: int, width: int, target: Target) -> int:
    """Columns of several panels of b that many tiles of rows, one after the other, find in a quarter of the
    second cache: those of fewer panels where else too few steps would be left, of one where b does not come
    out of that cache. The results of a tile of rows then lie side by side: those of a panel lie rows apart,
    in the same few sets of both caches where that is a multiple of a power of two."""
    tiles, whole = -(-(product.m or MANY) // rows), _panel_bytes(product.n or 0, product)
    if product.beside > 1 or tiles < _TILES or not 0 < whole <= target.l2:
        return width
    panels, enough = -(-(product.n or 0) // width), _STEPS_OF_THREAD * target.threads
    most = max(1, int(target.l2 * _PANEL / 2) // _panel_bytes(width, product))
    strips = next((n for n in range(-(-panels // most), panels) if tiles * n >= enough), panels)
    wide = -(-panels // strips)
    return width * (divisor(product.shared // width, wide) if product.shared else wide)


def _ahead(product: Product, p: Schedule, target: Target) -> bool:
    """Whether the panels come from memory, one after the other, each for several tiles of rows."""
    rows = p.high if p.by_rows else product.m
    if not product.packed or not product.n or not product.k or rows is None or p.block or p.wide > p.width:
        return False
    return rows > p.rows and _panel_bytes(product.n, product) > target.l2


def _wide(product: Product, high: int, width: int) -> int:
    """Columns of a grid step: those of several panels where something is taken from its rows beforehand, if
    enough steps are left."""
    tiles, panels = -(-(product.m or MANY) // high), -(-(product.n or width) // width)
    most = min(_WIDE, panels) if product.offset else 1
    return width * next((wide for wide in range(most, 1, -1) if tiles * -(-panels // wide) >= _STEPS), 1)


def _high(product: Product, rows: int, width: int) -> int:
    """Rows of a grid step that are done in one pass over k: those of several tiles where panels of several
    products follow each other, if enough steps are left."""
    tiles, panels = -(-(product.m or MANY) // rows), -(-(product.n or width) // width)
    most = min(_HIGH, tiles) if product.beside > 1 and rows > 1 else 1
    return rows * next((high for high in range(most, 1, -1) if panels * -(-tiles // high) >= _STEPS), 1)


def _even_high(product: Product, rows: int, width: int, target: Target) -> int:
    """Rows of a grid step in tile registers whose rows all stay in the second cache: those of several tiles,
    if enough steps are left."""
    tiles, panels = -(-(product.m or MANY) // rows), -(-(product.n or width) // width)
    enough = _STEPS_OF_THREAD * target.threads
    return rows * next((n for n in range(tiles, 1, -1) if panels * -(-tiles // n) >= enough), 1)


def default(product: Product, target: Target) -> Point:
    """The point taken without tuning: two registers wide, as high as the registers and the first cache allow,
    k cut where a panel would leave the second cache."""
    narrow = target.lanes(32)
    width = 2 * target.lanes(product.bits)
    if product.packed:
        width = product.packed
    elif product.n is not None and product.n < width:
        width = -(-product.n // narrow) * narrow
    rows = default_rows(product, width, target)
    if product.tile is not None:
        return {
            "rows": rows,
            "width": width,
            "passes": _passes_in_tiles(width, product, product.tile, target),
        }
    again = product.m not in range(1, rows + 1)
    passes = _most_passes(width, product, target) if again else 1
    return {"rows": rows, "width": width, "passes": passes}


def default_rows(product: Product, width: int, target: Target) -> int:
    """The rows of the register tile taken without tuning."""
    if product.tile is not None:
        return product.tile.rows * (1 if product.m is not None and product.m <= product.tile.rows else 2)
    apart = (product.k or 0) * product.bits // 8 // product.group
    return even(product.m, side_by_side(apart, _most_rows(width, product, target), target))


def row_choices(product: Product, width: int, target: Target) -> tuple[int, ...]:
    """The rows that a register tile of this width may have, the most first."""
    high = () if product.tile is None else (2 * product.tile.rows, product.tile.rows)
    return (*high, *range(_most_rows(width, product, target), 0, -1))


def space(product: Product, target: Target) -> Space:
    """Every schedule: rows and width of the register tile (the sums, one row of b and one element of a must
    fit the registers), and passes over k, at most so many that a panel fills a quarter of the second
    cache."""
    first = default(product, target)
    widths = [target.lanes(32) * vectors for vectors in (2, 4, 1, 3)]
    widths = [product.packed] if product.packed else list(dict.fromkeys([first["width"], *widths]))
    passes = max(_most_passes(width, product, target) for width in widths)
    if product.tile is not None:
        passes = max(passes, 2 * _passes_in_tiles(widths[0], product, product.tile, target))
    rows = tuple(range(_ROWS, 0, -1))
    high = () if product.tile is None else (2 * product.tile.rows, product.tile.rows)
    return Space(
        (
            Parameter("rows", (*high, *rows)),
            Parameter("width", tuple(widths)),
            Parameter("passes", tuple(range(1, passes + 1))),
        ),
        (
            lambda point: (
                point["rows"] in high or point["rows"] <= _most_rows(point["width"], product, target)
            ),
            lambda point: (
                point["rows"] in high or point["passes"] <= _most_passes(point["width"], product, target)
            ),
        ),
    )


def _passes_in_tiles(width: int, product: Product, tile: DotUnit, target: Target) -> int:
    """So many that the part of a panel that one of them reads leaves room in the second cache for the rows
    that are read again and again. Parts small enough for the first cache are read faster, but laying sums
    down and taking them up again costs more than that."""
    few = product.m is not None and product.m <= 2 * tile.rows
    return 1 if product.k is None or few else -(-_panel_bytes(width, product) // int(target.l2 * _PANEL / 2))


def _resident(product: Product, rows: int, target: Target) -> int:
    """The rows of a that are read again and again out of the second cache: all where they fill no more than
    half of it, else register tiles of `rows` up to a quarter, which leaves room for the panels of b."""
    row = (product.k or 1) * product.bits // 8 // product.group
    if product.m is not None and product.m * row <= target.l2 * _PANEL:
        return product.m
    return max(1, int(target.l2 * _PANEL / 2) // row // rows) * rows


def _panel_bytes(width: int, product: Product) -> int:
    return (product.k or 1) * width * product.bits // 8 // product.group


def _most_rows(width: int, product: Product, target: Target) -> int:
    vectors = -(-width // target.lanes(product.bits))
    sums = vectors + (-(-vectors // 2) if product.run else 0)
    return max(1, min(_ROWS, (target.registers - vectors - 1) // sums))


def _most_passes(width: int, product: Product, target: Target) -> int:
    """1 where a panel stays in the second cache; else so many that its parts fill half as much."""
    panel = _panel_bytes(width, product)
    if product.k is None or panel <= target.l2 * _PANEL:
        return 1
    return -(-panel // int(target.l2 * _PANEL / 2))
