"""Which tensors cannot share a budget: an irreducible set of blocks that do not fit together.

A deletion filter (Chinneck and Dravnieks, "Locating Minimal Infeasible Constraint Sets in Linear Programs",
ORSA Journal on Computing 1991): a block is left out for good where the rest still cannot be placed. The small
blocks go first, so that few and large ones are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Block, load
from drystone.scheduling.placement.place import place
from drystone.scheduling.problem import Problem

#: What is taken where nothing is said, and the part of what is left that one trial may take.
_USUAL, _TRIAL = 20.0, 0.1


@dataclass(frozen=True)
class Conflict:
    """Blocks that have no placement together within a capacity, which is proven. irreducible: any of them
    left out, the others have one; otherwise none was found for some of these, nor proven impossible."""

    blocks: tuple[Block, ...]
    irreducible: bool

    def layers(self, problem: Problem) -> list[str]:
        """What the blocks are in the user's model: the tensors' layers, or their names where none is known;
        for working memory that of its operation."""
        known = {tensor.name: tensor.where or tensor.name for tensor in problem.tensors}
        known |= {
            f"{op.name}.scratch": f"working memory of {op.where or op.name}" for op in problem.operations
        }
        return [" + ".join(dict.fromkeys(known.get(n, n) for n in block.tensors)) for block in self.blocks]


def cannot_share(blocks: Sequence[Block], capacity: int, effort: Effort | None = None) -> Conflict | None:
    """Blocks among `blocks` that cannot share `capacity`, or None where that all of them cannot is not proven
    with a third of the effort. Each of the trials that follow may take a part of the rest."""
    effort = effort or Effort(_USUAL)
    if load(blocks) > capacity and not any(block.gaps or block.alignment > 1 for block in blocks):
        return Conflict(_crowd(blocks, capacity), irreducible=True)
    if place(blocks, capacity, effort=effort.part(1 / 3)).status != "impossible":
        return None

    def status(tried: Sequence[Block]) -> str:
        return place(tried, capacity, effort=effort.part(_TRIAL)).status

    held = sorted((block for block in blocks if block.pieces), key=_importance)
    # Many at once first, as most blocks have no part in it.
    size = len(held) // 2
    while size > 1:
        for start in range(len(held) // size * size, -1, -size):
            rest = held[:start] + held[start + size :]
            if len(rest) < len(held) and status(rest) == "impossible":
                held = rest
        size //= 2
    needed: list[Block] = []
    irreducible = True
    while held:
        block = held.pop()
        without = status(needed + held)
        if without != "impossible":
            needed.append(block)
            irreducible = irreducible and without == "placed"
    return Conflict(tuple(needed[::-1]), irreducible)


def _importance(block: Block) -> tuple[int, int, int]:
    """What is left out last comes first: large blocks."""
    return -block.size, block.start, block.end


def _crowd(blocks: Sequence[Block], capacity: int) -> tuple[Block, ...]:
    """The largest blocks at the fullest step, as many as are too many."""
    steps = {piece.start for block in blocks for piece in block.pieces}
    held = {
        step: [
            (piece.high - piece.low, block)
            for block in blocks
            for piece in block.pieces
            if piece.start <= step < piece.end
        ]
        for step in steps
    }
    fullest = max(sorted(held), key=lambda step: sum(size for size, _ in held[step]))
    total, found = 0, []
    for size, block in sorted(held[fullest], key=lambda pair: (-pair[0], pair[1].start, pair[1].end)):
        if total > capacity:
            break
        total += size
        found.append(block)
    return tuple(found)
