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
    answers = []
    for rank in _RANKS:
        ranks = [rank(block) for block in blocks]
        answers.append(_place(blocks, sorted(range(len(blocks)), key=ranks.__getitem__)))
    return min(answers, key=lambda offsets: height(blocks, offsets))


def height(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    """Bytes from the bottom to the highest end of a block."""
    return max((offset + block.size for block, offset in zip(blocks, offsets, strict=True)), default=0)


def _place(blocks: Sequence[Block], ranked: Sequence[int]) -> list[int]:
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for index in ranked:
        block = blocks[index]
        if not block.size:
            continue
        beside = sorted(
            (offsets[other], offsets[other] + blocks[other].size)
            for other in placed
            if blocks[other].start < block.end and block.start < blocks[other].end
        )
        offsets[index] = tightest_gap(beside, block.size)
        placed.append(index)
    return offsets


def tightest_gap(occupied: Sequence[tuple[int, int]], size: int) -> int:
    best, slack, bottom = -1, 0, 0
    for low, high in occupied:
        room = low - bottom
        if room >= size and (best < 0 or room - size < slack):
            best, slack = bottom, room - size
        bottom = max(bottom, high)
    return bottom if best < 0 else best
