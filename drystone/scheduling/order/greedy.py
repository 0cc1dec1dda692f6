"""Answers without a solver: an order that frees memory early, and best-fit placement."""

from collections.abc import Callable, Sequence
from math import isqrt

from drystone.scheduling.graph import Block, Graph

_RANKS: tuple[Callable[[Block], tuple[int, ...]], ...] = (
    lambda block: (-block.size, block.start, block.end),
    lambda block: (-(block.end - block.start), -block.size, block.start),
    lambda block: (-block.size * (block.end - block.start), block.start, block.end),
    lambda block: (block.start, -block.size, block.end),
)


def thrifty_order(graph: Graph) -> list[int]:
    """Always the ready operation that leaves the fewest bytes alive, then the one that needs the fewest while
    it runs, then the one that comes first in the problem."""
    waiting = [len(earlier) for earlier in graph.before]
    unread = {name: len(readers) for name, readers in graph.readers.items()}
    ready = [index for index, count in enumerate(waiting) if not count]
    order: list[int] = []

    def cost(index: int) -> tuple[int, int, int]:
        op = graph.problem.operations[index]
        grown = sum(graph.size[name] for name in op.outputs)
        lasting = sum(graph.size[n] for n in op.outputs if graph.readers[n] or n in graph.kept)
        dying = {name for name in op.inputs if unread[name] == 1 and name not in graph.kept}
        return lasting - sum(graph.size[name] for name in dying), grown + op.scratch, index

    while ready:
        index = min(ready, key=cost)
        ready.remove(index)
        order.append(index)
        for name in dict.fromkeys(graph.problem.operations[index].inputs):
            unread[name] -= 1
        for later in graph.after[index]:
            waiting[later] -= 1
            if not waiting[later]:
                ready.append(later)
    return order


def best_fit(blocks: Sequence[Block]) -> list[int]:
    """An offset for every block: the best of several rankings, each block placed in the tightest gap between
    the blocks already placed that live at the same time."""
    answers = []
    for rank in _RANKS:
        ranks = [rank(block) for block in blocks]
        answers.append(place_in_order(blocks, sorted(range(len(blocks)), key=ranks.__getitem__)))
    return min(answers, key=lambda offsets: height(blocks, offsets))


def height(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    """Bytes from the bottom to the highest end of a block."""
    return max((offset + block.size for block, offset in zip(blocks, offsets, strict=True)), default=0)


def place_in_order(blocks: Sequence[Block], ranked: Sequence[int]) -> list[int]:
    """An offset for every block, placed one after another, each in the tightest gap there is."""
    offsets = [0] * len(blocks)
    # Most blocks live for a few steps only, and meet only those placed in the same stretch of steps.
    steps = max((block.end for block in blocks), default=0)
    stretch = steps // (isqrt(len(blocks)) + 1) + 1
    placed: list[list[int]] = [[] for _ in range(0, steps, stretch)]
    for index in ranked:
        block = blocks[index]
        if not block.size:
            continue
        near = placed[block.start // stretch : (block.end - 1) // stretch + 1]
        taken = sorted(
            span
            for other in set().union(*near)
            if blocks[other].start < block.end and block.start < blocks[other].end
            for span in _taken(blocks[other], offsets[other], block)
        )
        offsets[index] = tightest_gap(taken, block)
        for each in near:
            each.append(index)
    return offsets


def _taken(placed: Block, offset: int, block: Block) -> list[tuple[int, int]]:
    """The open ranges in which `block` cannot have its offset beside a placed one."""
    if not placed.gaps and not block.gaps:
        return [(offset - block.size, offset + placed.size)]
    return [
        (offset + one.low - other.high, offset + one.high - other.low)
        for one in placed.pieces
        for other in block.pieces
        if one.start < other.end and other.start < one.end
    ]


def tightest_gap(taken: Sequence[tuple[int, int]], block: Block) -> int:
    """The offset for a block that leaves the least room free above or below it, outside the open ranges
    `taken` (in order)."""
    best, slack, bottom = -1, 0, 0
    for low, high in taken:
        room = low - bottom
        if room >= 0 and (best < 0 or room < slack):
            best, slack = bottom, room
        bottom = max(bottom, block.aligned(high))
    return bottom if best < 0 else best
