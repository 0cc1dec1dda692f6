"""Answers without a solver: an order that frees memory early, and best-fit placement."""

from collections.abc import Callable, Sequence

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
    together = beside(blocks)
    answers = [place_in_order(blocks, _ranked(blocks, rank), together) for rank in _RANKS]
    return min(answers, key=lambda offsets: height(blocks, offsets))


def height(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    """Bytes from the bottom to the highest end of a block."""
    return max((offset + block.size for block, offset in zip(blocks, offsets, strict=True)), default=0)


def largest_first(blocks: Sequence[Block]) -> list[int]:
    """The blocks in the order of their size."""
    return _ranked(blocks, _RANKS[0])


def _ranked(blocks: Sequence[Block], rank: Callable[[Block], tuple[int, ...]]) -> list[int]:
    ranks = [rank(block) for block in blocks]
    return sorted(range(len(blocks)), key=ranks.__getitem__)


def beside(blocks: Sequence[Block]) -> list[list[int]]:
    """For every block those that live at some step with it, of those that have any size."""
    found: list[list[int]] = [[] for _ in blocks]
    alive: list[int] = []
    for index in sorted((i for i, block in enumerate(blocks) if block.size), key=lambda i: blocks[i].start):
        start, end = blocks[index].start, blocks[index].end
        alive = [other for other in alive if blocks[other].end > start]
        for other in alive if start < end else ():
            found[index].append(other)
            found[other].append(index)
        alive.append(index)
    return found


def place_in_order(
    blocks: Sequence[Block],
    ranked: Sequence[int],
    together: Sequence[Sequence[int]] | None = None,
    capacity: int | None = None,
) -> list[int]:
    """An offset for every block, placed one after another, each in the tightest gap there is; -1 for those
    that would end beyond the capacity. `together` is what `beside` says, where that is known."""
    offsets, placed = [0] * len(blocks), [False] * len(blocks)
    neighbours = beside(blocks) if together is None else together
    for index in ranked:
        block = blocks[index]
        if not block.size:
            continue
        taken = sorted(
            span
            for other in neighbours[index]
            if placed[other]
            for span in _taken(blocks[other], offsets[other], block)
        )
        offsets[index] = tightest_gap(taken, block)
        placed[index] = capacity is None or offsets[index] + block.size <= capacity
        if not placed[index]:
            offsets[index] = -1
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
