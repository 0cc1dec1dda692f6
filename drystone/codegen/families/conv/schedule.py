"""Schedules of convolutions: register tiles, and how much of the result one grid step makes.

The register tile is chosen as in matrix products (Low et al., "Analytical Modeling Is Enough for
High-Performance BLIS", ACM TOMS 43(2), 2016): as many accumulators as the registers hold. A step takes as
many blocks of output channels as leave room for the input in the second cache.
"""

from dataclasses import dataclass, replace

from drystone.codegen.families.ahead import come_from_memory
from drystone.codegen.families.conv.work import TileWork, best
from drystone.codegen.families.matmul.schedule import FEW
from drystone.codegen.families.tiling import divisor, doubling, even, preferred
from drystone.codegen.search import Parameter, Point, Space
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: The part of the second cache that the weights of one step may fill, and that its input may; that weights
#: may of which vectors read several blocks for each tile; that all pixels may where threads divide the
#: weights.
_WEIGHTS, _INPUT, _BESIDE, _RESIDENT = 0.6, 0.25, 0.15, 0.5
#: The most rows of a register tile.
_ROWS = 14
#: Tiles of a step taken without tuning, and copies that a thread makes of all pixels.
_FEW_TILES, _COPIES = 4, 2
#: Bytes after which addresses meet in the same set of the first cache.
_SET = 4096


def most_rows(width: int, target: Target) -> int:
    """How many rows of `width` sums fit the registers beside a row of the weight and an input."""
    vectors = -(-width // target.lanes(32))
    return max(1, min(_ROWS, (target.registers - vectors - 1) // vectors))


def tile_heights(run: int | None, tile: DotUnit | None) -> tuple[int, ...]:
    """The heights to cut a run of pixels into for tile registers, the one taken without tuning first; none
    where vectors are as fast. A height of that many rows or more in a point means tile registers."""
    if tile is None or (run is not None and run <= FEW):
        return ()
    one = run is not None and run <= tile.rows
    return (tile.rows,) if one else (2 * tile.rows, tile.rows)


def meeting(rows: int, apart: int, target: Target) -> bool:
    """Whether so many rows of a tile, `apart` bytes from each other, meet in too few sets of the first cache
    for each to keep its line there."""
    sets = next((n for n in (1, 2) if n * apart % _SET == 0), 0)
    return bool(sets) and rows > sets * (target.l1 // _SET)


@dataclass(frozen=True)
class Pixels:
    """The sizes of a pointwise convolution: pixels of the result (None: known at the call); pixels of a line,
    lines of an image and images (0: known at the call) where they are not neighbours in the input (else 0);
    channels; the width of the blocks the weight is packed in and the channels side by side in it; bytes of an
    element; the tile unit that can do it; whether pixels have to be copied."""

    pixels: int | None
    line: int
    lines: int
    inside: int
    outside: int
    width: int
    group: int
    bytes: int
    tile: DotUnit | None = None
    images: int = 0
    moved: bool = False

    @property
    def every(self) -> int:
        """Blocks of output channels."""
        return -(-self.outside // self.width)

    @property
    def known(self) -> bool:
        """Whether the number of pixels is."""
        return bool(self.images if self.line else self.pixels)

    @property
    def every_pixel(self) -> int:
        """Pixels of all images, where that is known."""
        return self.images * self.lines * self.line if self.line else self.pixels or 0

    @property
    def panel(self) -> int:
        """Bytes of a block's weights."""
        return self.inside * self.width * self.bytes

    @property
    def heights(self) -> tuple[int, ...]:
        """Rows of products in tile registers."""
        return tile_heights(self.line * self.lines if self.line else self.pixels, self.tile)


@dataclass(frozen=True)
class PixelSchedule:
    """Pixels of the register tile, channels per unrolled round, blocks and tiles (lines, where the pixels are
    taken line by line) per step, and whether the step copies its pixels first. by_block: all pixels of the
    step pass by one block before the next one. tiles: in tile registers; rest: channels at the end that are a
    part of their own there. ahead: while pixels pass by a block, the next one is asked for."""

    rows: int
    depth: int
    blocks: int
    high: int
    copied: bool
    by_block: bool
    tiles: bool = False
    rest: int = 0
    ahead: bool = False


def pixel_schedule(sizes: Pixels, point: Point) -> PixelSchedule:
    """The schedule of a point of `pixel_space`."""
    made = _pixel_schedule(sizes, point)
    together = (
        sizes.images * sizes.lines <= made.high
        if sizes.line
        else (sizes.pixels or 0) <= made.high * made.rows
    )
    in_order = made.by_block and (made.blocks == 1 or together)
    return replace(made, ahead=in_order and sizes.every > 1 and sizes.every_pixel > made.rows)


def _pixel_schedule(sizes: Pixels, point: Point) -> PixelSchedule:
    if sizes.tile is not None and point["rows"] in sizes.heights:
        run = sizes.line * point["high"] if sizes.line else sizes.pixels
        rows, (depth, rest) = even(run, point["rows"]), sizes.tile.parts_of(sizes.inside)
        cut = (point["blocks"], point["high"], bool(point["copied"]), bool(point["by_block"]))
        return PixelSchedule(rows, depth, *cut, tiles=True, rest=rest)
    steps = sizes.inside // sizes.group
    # A loop of fewer rounds LLVM unrolls as a whole, and then runs out of registers.
    depth = sizes.group * divisor(steps, max(1, min(4, steps // 4)))
    cut = (point["blocks"], point["high"], bool(point["copied"]), bool(point["by_block"]))
    return PixelSchedule(point["rows"], depth, *cut)


def pixel_default(sizes: Pixels, target: Target) -> Point:
    """The point taken without tuning."""
    if sizes.tile is not None and sizes.heights and sizes.known:
        points = _pixel_points(sizes, sizes.heights[0], target)
        return best(points, lambda point: _pixel_work(sizes, point), sizes.tile, target)
    run = sizes.line * sizes.lines if sizes.line else sizes.pixels
    rows = sizes.heights[0] if sizes.heights else even(run, most_rows(sizes.width, target))
    if _more_weights(sizes, target):
        return _by_blocks(sizes, rows, target)
    blocks = _fitting_blocks(sizes, target)
    steps = -(-sizes.every // blocks)
    held = int(target.l2 * _INPUT) // (sizes.inside * sizes.bytes)
    if sizes.line:
        high = divisor(sizes.lines, max(1, held // sizes.line))
        rows = rows if sizes.heights else even(high * sizes.line, rows)
        return {"rows": rows, "blocks": blocks, "high": high, "copied": 1, "by_block": 0}
    tiles = -(-(sizes.pixels or 64 * rows) // rows)
    high = max(1, min(tiles * steps // (4 * target.threads), held // rows, _FEW_TILES))
    return {
        "rows": rows,
        "blocks": blocks,
        "high": high,
        "copied": int(sizes.moved or meeting(rows, sizes.bytes * sizes.inside, target)),
        "by_block": 0,
    }


def _more_weights(sizes: Pixels, target: Target) -> bool:
    """Whether there are more weights, which come from memory, than pixels, which all stay in the second
    cache: then threads had better divide the weights."""
    if not sizes.known or not come_from_memory(sizes.every * sizes.panel, target):
        return False
    pixels = sizes.every_pixel * sizes.inside * sizes.bytes
    return pixels <= target.l2 * _RESIDENT and sizes.every * sizes.panel > pixels


def _by_blocks(sizes: Pixels, rows: int, target: Target) -> Point:
    """The point at which all pixels pass by one block after the other."""
    copied = bool(sizes.line) or sizes.moved
    # Every step makes a copy of its own.
    blocks = even(sizes.every, max(1, sizes.every // (_COPIES * target.threads))) if copied else 1
    high = sizes.lines if sizes.line else -(-(sizes.pixels or 1) // rows)
    return {"rows": rows, "blocks": blocks, "high": high, "copied": int(copied), "by_block": 1}


def _fitting_blocks(sizes: Pixels, target: Target) -> int:
    """Blocks whose weights stay in the second cache while pixels pass by."""
    return even(sizes.every, max(1, int(target.l2 * _WEIGHTS) // sizes.panel))


def _pixel_points(sizes: Pixels, rows: int, target: Target) -> list[Point]:
    """Even divisions of blocks and pixels, the largest first."""
    held = int(target.l2 * _INPUT) // (sizes.inside * sizes.bytes)
    blocks = {even(sizes.every, n) for n in range(1, _fitting_blocks(sizes, target) + 1)}
    if sizes.line:
        most = max(1, held // sizes.line)
        high = {divisor(sizes.lines, n) for n in range(1, min(most, sizes.lines) + 1)}
    else:
        tiles = -(-(sizes.pixels or 1) // rows)
        high = {even(tiles, n) for n in range(1, max(1, min(held // rows, tiles)) + 1)}
    copied = int(bool(sizes.line) or sizes.moved or meeting(rows, sizes.bytes * sizes.inside, target))
    more = _more_weights(sizes, target)
    return [
        {"rows": rows, "blocks": b, "high": h, "copied": copied, "by_block": int(more)}
        for h in sorted(high, reverse=True)
        for b in sorted(blocks, reverse=True)
    ]


def _pixel_work(sizes: Pixels, point: Point) -> TileWork:
    """What the steps of a schedule in tile registers do."""
    p, pixels = pixel_schedule(sizes, point), sizes.pixels or 0
    run = sizes.line * p.high if sizes.line else min(p.rows * p.high, pixels)
    pieces = sizes.images * (sizes.lines // p.high) if sizes.line else -(-pixels // run)
    return TileWork(
        groups=-(-sizes.every // p.blocks),
        pieces=pieces,
        tiles=-(-run // p.rows) * p.blocks,
        rows=p.rows,
        width=sizes.width,
        rounds=-(-sizes.inside // p.depth),
        weights=p.blocks * sizes.panel,
        inputs=run * sizes.inside * sizes.bytes,
        copied=p.copied,
    )


def pixel_space(sizes: Pixels, target: Target) -> Space:
    """Every schedule of a pointwise convolution."""
    first = pixel_default(sizes, target)
    most = most_rows(sizes.width, target)
    tiles = sizes.lines if sizes.line else -(-(sizes.pixels or 64 * most) // most)
    high = [n for n in doubling(tiles) if not sizes.line or sizes.lines % n == 0]
    scratch = target.l2 // 2

    copied = (1,) if sizes.line or sizes.moved else preferred(first["copied"], (0, 1))

    def fits(point: Point) -> bool:
        pixels = point["high"] * (sizes.line or point["rows"])
        return not point["copied"] or pixels * sizes.inside * sizes.bytes <= scratch or point["high"] == 1

    return Space(
        (
            Parameter("rows", preferred(first["rows"], (*sizes.heights, *range(most, 0, -1)))),
            Parameter("blocks", preferred(first["blocks"], doubling(sizes.every))),
            Parameter("high", preferred(first["high"], high)),
            Parameter("copied", copied),
            Parameter("by_block", preferred(first["by_block"], (0, 1))),
        ),
        (lambda point: fits(dict(point)),),
    )


@dataclass(frozen=True)
class Image:
    """The sizes of a convolution along known lines: images (times the outer spatial extents), lines (0: known
    at the call) and positions of the result, positions of a line of the image, lines a window reaches over,
    strides along the width and from line to line, channels of a group, groups, taps, the width of the blocks
    the weight is packed in and the channels side by side in it, bytes of an element, whether lines cannot be
    copied (channels first, or three dimensions) or have to be (a copy has channels side by side), whether
    there is padding along the width, and the tile unit that can do it."""

    images: int
    lines: int
    line: int
    wide: int
    window: int
    stride: int
    step: int
    inside: int
    outside: int
    groups: int
    taps: int
    width: int
    group: int
    bytes: int
    fixed: bool
    moved: bool = False
    padded: bool = False
    tile: DotUnit | None = None

    @property
    def heights(self) -> tuple[int, ...]:
        """Rows of products in tile registers."""
        return tile_heights(self.line, self.tile)

    @property
    def every(self) -> int:
        """Blocks of output channels of one group."""
        return -(-self.outside // self.width)

    def held(self, high: int) -> int:
        """Bytes of the image that `high` lines of the result need."""
        return self.bytes * self.wide * self.inside * ((high - 1) * self.step + self.window)


@dataclass(frozen=True)
class ImageSchedule:
    """Positions of the register tile, channels per unrolled round, blocks and lines per step, whether the
    step copies its lines first, and whether it does the products in tile registers, a round of channels at
    once. rest: channels at the end that are a part of their own there. bordered: copies have the padding
    along the width. ahead: while the image passes by a block, the next one is asked for."""

    rows: int
    depth: int
    blocks: int
    high: int
    copied: bool
    tiles: bool
    rest: int = 0
    bordered: bool = False
    ahead: bool = False


def image_schedule(sizes: Image, point: Point) -> ImageSchedule:
    """The schedule of a point of `image_space`."""
    made = _image_schedule(sizes, point)
    known = sizes.images and sizes.lines and sizes.groups == 1
    return replace(made, ahead=made.blocks == 1 and bool(known) and sizes.every > 1)


def _image_schedule(sizes: Image, point: Point) -> ImageSchedule:
    cut = (point["blocks"], point["high"])
    if sizes.tile is not None and point["rows"] in sizes.heights:
        copied = sizes.padded or bool(point["copied"])
        rows, (depth, rest) = even(sizes.line, point["rows"]), sizes.tile.parts_of(sizes.inside)
        return ImageSchedule(rows, depth, *cut, copied, tiles=True, rest=rest, bordered=True)
    depth = sizes.group * divisor(sizes.inside // sizes.group, point["depth"])
    copied = bool(point["copied"])
    return ImageSchedule(point["rows"], depth, *cut, copied, tiles=False, bordered=sizes.moved)


def image_default(sizes: Image, target: Target) -> Point:
    """The point taken without tuning."""
    rows = sizes.heights[0] if sizes.heights else even(sizes.line, most_rows(sizes.width, target))
    part = _WEIGHTS if sizes.heights else _BESIDE
    fitting = max(1, int(target.l2 * part) // (sizes.inside * sizes.taps * sizes.width * sizes.bytes))
    blocks = even(sizes.every, fitting) if sizes.groups == 1 else divisor(sizes.every, fitting)
    steps = -(-sizes.every // blocks) * sizes.groups * sizes.images
    apart = sizes.bytes * sizes.stride * sizes.inside * sizes.groups
    copied = sizes.moved or (not sizes.fixed and meeting(rows, apart, target))
    high = 1
    for more in range(2, min(sizes.lines or 8, 16) + 1):
        enough = steps * -(-(sizes.lines or 64) // more) >= 4 * target.threads
        if enough and sizes.held(more) <= target.l2 * _INPUT:
            high = more
    high = even(sizes.lines or None, high)
    return {"rows": rows, "blocks": blocks, "high": high, "depth": 4, "copied": int(copied)}


def image_space(sizes: Image, target: Target) -> Space:
    """Every schedule of a convolution along known lines."""
    first = image_default(sizes, target)
    most = most_rows(sizes.width, target)
    rows = dict.fromkeys(even(sizes.line, n) for n in range(most, 0, -1))
    blocks = [n for n in doubling(sizes.every) if sizes.groups == 1 or sizes.every % n == 0]
    high = doubling(min(sizes.lines or 16, 32))
    scratch = target.l2 // 2
    either = not (sizes.fixed or sizes.moved)
    copied = preferred(first["copied"], (0, 1)) if either else (first["copied"],)
    return Space(
        (
            Parameter("rows", preferred(first["rows"], (*sizes.heights, *rows))),
            Parameter("blocks", preferred(first["blocks"], blocks)),
            Parameter("high", preferred(first["high"], high)),
            Parameter("depth", preferred(first["depth"], (4, 8, 2))),
            Parameter("copied", copied),
        ),
        (lambda point: not point["copied"] or point["high"] == 1 or sizes.held(point["high"]) <= scratch,),
    )


@dataclass(frozen=True)
class Slides:
    """The sizes of a depthwise convolution: lines and channels of the result (None: known at the call), taps
    along the width."""

    lines: int | None
    channels: int | None
    taps: int


def slide_default(sizes: Slides, target: Target) -> Point:
    """The point taken without tuning."""
    return {"run": 4 if target.registers >= 32 else 2, "high": 1, "wide": 0}


def slide_space(sizes: Slides, target: Target) -> Space:
    """Every schedule of a depthwise convolution: outputs of a run, which share the taps and the inputs in
    registers; lines and channels (0: all) of a step."""
    first = slide_default(sizes, target)
    runs = [n for n in range(1, 9) if n + sizes.taps + 1 <= target.registers]
    wide = [target.lanes(32) << i for i in range(1, 6)]
    return Space(
        (
            Parameter("run", preferred(first["run"], runs)),
            Parameter("high", preferred(first["high"], doubling(min(sizes.lines or 8, 16)))),
            Parameter("wide", (0, *(n for n in wide if n < (sizes.channels or 0)))),
        )
    )
