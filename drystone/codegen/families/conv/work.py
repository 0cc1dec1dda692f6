"""How long a convolution in tile registers takes, about, by how its steps divide the work."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drystone.codegen.search import Point
from drystone.targets.dots import DotUnit
from drystone.targets.target import Target

#: The part of the second cache in which what a step reads stays.
_KEPT = 0.8
#: Bytes a cycle that are copied, roughly, and that come from beyond the second cache; cycles of a product of
#: tiles, of the end of a tile's row, and of a step.
_COPIED, _BEYOND, _PRODUCT, _ROW, _STEP = 12, 6, 16, 8, 500
#: How much longer steps may take together where there are more of them, which threads share better.
_FINER = 1.05
#: Steps of a thread from which on more of them share no better.
_STEPS = 4


@dataclass(frozen=True)
class TileWork:
    """The steps of a convolution, some blocks of channels by some pixels each: groups of blocks and pieces of
    pixels there are; register tiles of a step, their rows and columns, and products of tiles along k of each;
    bytes of a step's weights and of its input, and whether it copies that."""

    groups: int
    pieces: int
    tiles: int
    rows: int
    width: int
    rounds: int
    weights: int
    inputs: int
    copied: bool

    @property
    def steps(self) -> int:
        """All steps."""
        return self.groups * self.pieces

    def cycles(self, unit: DotUnit, target: Target) -> float:
        """Of the thread that has most to do: threads take neighbouring steps, all pieces of a group before
        the next group."""
        steps = -(-self.steps // target.threads)
        products = self.rounds * -(-self.rows // unit.rows) * (self.width // unit.columns)
        step = self.tiles * (products * _PRODUCT + self.rows * _ROW) + _STEP
        kept = self.weights + self.inputs <= _KEPT * target.l2
        weights = self.weights * (-(-steps // self.pieces) if kept else steps)
        inputs = self.inputs * min(steps, self.pieces)
        copies = steps * self.inputs / _COPIED if self.copied else 0
        return steps * step + copies + (weights + inputs) / _BEYOND


def best(points: Sequence[Point], work: Callable[[Point], TileWork], unit: DotUnit, target: Target) -> Point:
    """The point of most steps, up to a few for each thread, among those that take about the least time; of
    several the first one. What is larger, the weights or the pixels, is divided: of the other one a step
    takes as much as it can, so that no two threads read the same of the larger one."""
    works = [work(point) for point in points]
    pieces, groups = min(w.pieces for w in works), min(w.groups for w in works)
    kept = [
        (point, w)
        for point, w in zip(points, works, strict=True)
        if (w.pieces == pieces if w.groups * w.weights > w.pieces * w.inputs else w.groups == groups)
    ]
    cycles = [w.cycles(unit, target) for _, w in kept]
    near = [pair for pair, took in zip(kept, cycles, strict=True) if took <= _FINER * min(cycles)]
    return max(near, key=lambda pair: min(pair[1].steps, _STEPS * target.threads))[0]
