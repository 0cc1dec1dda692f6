"""Schedules of convolutions over a flat copy of the image: how much of the result one grid step makes."""

from dataclasses import dataclass

from drystone.codegen.families.ahead import come_from_memory
from drystone.codegen.families.conv.work import TileWork, best
from drystone.codegen.families.tiling import doubling, even, preferred
from drystone.codegen.search import Parameter, Point, Space
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: The part of the second cache that a step's copy of the image may fill.
_COPY = 0.25
#: Images that are not known count as so many.
_IMAGES = 4


@dataclass(frozen=True)
class Flat:
    """The sizes: images (None: known at the call), lines and positions of a line of the result, positions of
    a line of the copy, lines of it beyond those of the result, its planes, k that are summed and products
    they take, elements of a position of the copy and bytes of one, blocks of output channels and their
    width, and the tile unit."""

    images: int | None
    lines: int
    line: int
    across: int
    beyond: int
    planes: int
    depth: int
    rounds: int
    room: int
    bytes: int
    blocks: int
    width: int
    unit: DotUnit

    def held(self, high: int) -> int:
        """Bytes of the copy for `high` lines of the result."""
        return self.planes * (high + self.beyond) * self.across * self.room * self.bytes

    def positions(self, high: int) -> int:
        """Positions that are computed for `high` lines."""
        return high * self.across - (self.across - self.line)

    def rows(self, high: int) -> int:
        """Positions of a register tile."""
        return even(self.positions(high), 2 * self.unit.rows)

    @property
    def panel(self) -> int:
        """Bytes of a block's weights."""
        return self.depth * self.width * self.bytes


@dataclass(frozen=True)
class FlatSchedule:
    """Blocks of output channels and lines of a grid step. ahead: while all positions pass by a block, the
    next one is asked for."""

    blocks: int
    high: int
    ahead: bool


def flat_schedule(sizes: Flat, point: Point, target: Target) -> FlatSchedule:
    """The schedule of a point of `flat_space`."""
    blocks, high = point["blocks"], point["high"]
    in_order = blocks == 1 or (sizes.images == 1 and high >= sizes.lines)
    more = sizes.blocks > 1 and come_from_memory(sizes.blocks * sizes.panel, target)
    return FlatSchedule(blocks, high, in_order and more)


def _work(sizes: Flat, point: Point) -> TileWork:
    """What the steps of a schedule do."""
    blocks, high = point["blocks"], point["high"]
    rows = sizes.rows(high)
    return TileWork(
        groups=-(-sizes.blocks // blocks),
        pieces=(sizes.images or _IMAGES) * -(-sizes.lines // high),
        tiles=-(-sizes.positions(high) // rows) * blocks,
        rows=rows,
        width=sizes.width,
        rounds=sizes.rounds,
        weights=blocks * sizes.panel,
        inputs=sizes.held(high),
        copied=True,
    )


def flat_default(sizes: Flat, target: Target) -> Point:
    """The point taken without tuning."""
    return best(_points(sizes, target), lambda point: _work(sizes, point), sizes.unit, target)


def _points(sizes: Flat, target: Target) -> list[Point]:
    blocks = sorted({even(sizes.blocks, n) for n in range(1, sizes.blocks + 1)}, reverse=True)
    high = sorted({even(sizes.lines, n) for n in range(1, sizes.lines + 1)}, reverse=True)
    fitting = [n for n in high if sizes.held(n) <= _COPY * target.l2] or [1]
    return [{"blocks": b, "high": h} for h in fitting for b in blocks]


def flat_space(sizes: Flat, target: Target) -> Space:
    """Every schedule."""
    first = flat_default(sizes, target)
    lines = sorted({even(sizes.lines, n) for n in (*doubling(min(sizes.lines, 64)), first["high"])})
    return Space(
        (
            Parameter("blocks", preferred(first["blocks"], doubling(sizes.blocks))),
            Parameter("high", preferred(first["high"], lines)),
        ),
        (lambda point: point["high"] == 1 or sizes.held(point["high"]) <= target.l2 // 2,),
    )
