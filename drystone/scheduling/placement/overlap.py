"""The independent judge of placements: it looks at what stands in memory between every two events."""

from collections.abc import Sequence
from itertools import pairwise

from drystone.scheduling.check import PlanError
from drystone.scheduling.graph import Block


def check_offsets(blocks: Sequence[Block], offsets: Sequence[int], capacity: int | None = None) -> None:
    """Raise PlanError unless every block has an aligned offset, ends within the capacity, and shares no byte
    with another one at any step. It shares no code with the searches."""
    if len(offsets) != len(blocks):
        raise PlanError(f"{len(offsets)} offsets for {len(blocks)} blocks")
    for block, offset in zip(blocks, offsets, strict=True):
        if offset < 0 or offset % block.alignment:
            raise PlanError(f"{_name(block)} is at {offset}, not a multiple of {block.alignment}")
        if capacity is not None and offset + block.size > capacity:
            raise PlanError(f"{_name(block)} ends at {offset + block.size}, beyond {capacity} bytes")
    spans = [(gap.start, gap.end) for block in blocks for gap in block.gaps]
    spans += [(block.start, block.end) for block in blocks]
    starting: dict[int, list[int]] = {}
    for index, block in enumerate(blocks):
        starting.setdefault(block.start, []).append(index)
    alive: list[int] = []
    for step in sorted({step for span in spans for step in span}):
        alive = [index for index in (*alive, *starting.get(step, ())) if blocks[index].end > step]
        _judge_step(blocks, offsets, alive, step)


def _judge_step(blocks: Sequence[Block], offsets: Sequence[int], alive: Sequence[int], step: int) -> None:
    used = []
    for index in alive:
        low, high = 0, blocks[index].size
        for gap in blocks[index].gaps:
            if gap.start <= step < gap.end:
                low, high = gap.low, gap.high
        if low < high:
            used.append((offsets[index] + low, offsets[index] + high, index))
    used.sort()
    for (_, end, one), (start, _, other) in pairwise(used):
        if start < end:
            raise PlanError(f"{_name(blocks[one])} and {_name(blocks[other])} overlap at step {step}")


def _name(block: Block) -> str:
    return "+".join(block.tensors)
