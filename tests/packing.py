"""Packings found by trying everything, to compare the planner's with."""

import itertools
from collections.abc import Sequence

from drystone.scheduling.graph import Block


def least_height(blocks: Sequence[Block]) -> int:
    """The least height, as some order of stacking gives it."""
    best = sum(block.size for block in blocks)
    for order in itertools.permutations(range(len(blocks))):
        tops: dict[int, int] = {}
        for index in order:
            one = blocks[index]
            below = [
                top for o, top in tops.items() if blocks[o].start < one.end and one.start < blocks[o].end
            ]
            tops[index] = one.aligned(max(below, default=0)) + one.size
        best = min(best, max(tops.values()))
    return best
