"""The arena of a compiled model: its memory levels one after another in one stretch of addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drystone.ir.steps import Copy
from drystone.scheduling.problem import Home, Move, Plan, Problem
from drystone.targets.target import Level


@dataclass(frozen=True)
class Arena:
    """The bytes of all levels; where each level starts; and for each step the addresses of the tensors that
    are there, as its operation reads or writes them, and what is copied before it."""

    size: int
    starts: Mapping[str, int]
    places: tuple[dict[str, int], ...]
    copies: tuple[tuple[Copy, ...], ...]


def arena_of(problem: Problem, plan: Plan) -> Arena:
    """The addresses of a checked plan in which no tensor has a home of its own (`Tensor.home`).

    A tensor that is in several levels is read in the fastest in which operations work. Copies are made where
    they begin: that is early enough for what reads them, and where they lie nothing else does.
    """
    starts, size = _starts(problem.levels, plan.peaks)
    working = [level.name for level in problem.levels if level.direct or level is problem.levels[0]]
    rank = {level.name: (level.name not in working, n) for n, level in enumerate(problem.levels)}
    outputs = {op.name: set(op.outputs) for op in problem.operations}
    began: list[list[Home]] = [[] for _ in plan.order]
    alive: list[list[Home]] = [[] for _ in plan.order]
    for home in plan.homes:
        if plan.order:
            began[home.start].append(home)
        for step in range(home.start, min(home.end, len(plan.order))):
            alive[step].append(home)

    def address(home: Home) -> int:
        return starts[home.level] + home.offset

    places = []
    for step, name in enumerate(plan.order):
        found: dict[str, Home] = {}
        # What an operation writes where it begins to stand, it writes nowhere else.
        for home in sorted(
            alive[step],
            key=lambda home: (home.tensor in outputs[name] and home.start != step, rank[home.level]),
        ):
            found.setdefault(home.tensor, home)
        places.append({tensor: address(home) for tensor, home in found.items()})
    return Arena(size, starts, tuple(places), _copies(plan, began, starts))


def _starts(levels: Sequence[Level], peaks: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Where each level starts, and where the last one ends."""
    starts, end = {}, 0
    for level in levels:
        starts[level.name] = -(-end // level.alignment) * level.alignment
        end = starts[level.name] + peaks.get(level.name, 0)
    return starts, end


def _copies(
    plan: Plan, began: Sequence[Sequence[Home]], starts: Mapping[str, int]
) -> tuple[tuple[Copy, ...], ...]:
    """What is copied before each step, replayed: a source is where its tensor last came to stand."""
    last: dict[tuple[str, str], int] = {}
    moves: dict[int, list[Move]] = {}
    for move in plan.moves:
        moves.setdefault(move.begins, []).append(move)
    copies: list[tuple[Copy, ...]] = []
    for step, homes in enumerate(began):
        new = {(home.tensor, home.level): starts[home.level] + home.offset for home in homes}
        made = []
        for move in moves.get(step, ()):
            target = move.tensor, move.destination
            levels = f"{move.source} to {move.destination}"
            made.append(Copy(move.tensor, last[move.tensor, move.source], new[target], levels))
            last[target] = new[target]
        last |= new
        copies.append(tuple(made))
    return tuple(copies)
