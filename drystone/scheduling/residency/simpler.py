"""Graphs with several slower levels, or whose operations may run again, planned as if neither were so; then
what waits in the one slower level waits in a nearer one as far as there is room."""

from collections.abc import Sequence
from dataclasses import replace

from drystone.scheduling.graph import Block, Graph
from drystone.scheduling.order.greedy import place_in_order
from drystone.scheduling.problem import Home, Move, Plan
from drystone.targets.target import Level


def simpler(graph: Graph) -> Graph | None:
    """The graph with the cheapest slower level without end alone, in which nothing works, and without other
    runs; None where all levels have an end."""
    fast, *slow = graph.problem.levels
    endless = [level for level in slow if level.capacity is None]
    if not endless:
        return None
    level = replace(min(endless, key=lambda each: each.cost), direct=False)
    operations = tuple(replace(op, work=None) for op in graph.problem.operations)
    tensors = tuple(replace(t, home=level.name if t.home else "") for t in graph.problem.tensors)
    return Graph(replace(graph.problem, operations=operations, tensors=tensors, levels=(fast, level)))


def nearer(graph: Graph, plan: Plan) -> tuple[list[Home], list[Move]]:
    """The homes and moves of such a plan in the graph itself: tensors come from where they always lie, and
    copies wait in nearer levels, the one that spares most for its bytes and steps first."""
    fast, *slow = graph.problem.levels
    homes = list(plan.homes)
    moves = [
        replace(move, source=graph.home[move.tensor])
        if graph.home[move.tensor] and move.destination == fast.name
        else move
        for move in plan.moves
    ]
    used = next((home.level for home in homes if home.level != fast.name), None)
    far = next((level for level in slow if level.name == used), None)
    near = [level for level in slow if far is not None and level.cost < far.cost]
    for level in sorted(near, key=lambda each: each.cost):
        assert far is not None
        _wait_in(graph, level, far, homes, moves)
    return homes, moves


def _wait_in(graph: Graph, level: Level, far: Level, homes: list[Home], moves: list[Move]) -> None:
    """Bring copies from the far level to this one."""
    waiting = [number for number, home in enumerate(homes) if home.level == far.name]
    blocks = [
        Block((homes[n].tensor,), graph.size[homes[n].tensor], homes[n].start, homes[n].end, level.alignment)
        for n in waiting
    ]
    concerned = [_moves_of(homes[number], far, moves) for number in waiting]
    worth = [len(found) / (block.end - block.start) for found, block in zip(concerned, blocks, strict=True)]
    ranked = sorted(range(len(blocks)), key=lambda index: (-worth[index], index))
    offsets = place_in_order(blocks, ranked, capacity=level.capacity)
    for number, offset, found in zip(waiting, offsets, concerned, strict=True):
        if offset < 0:
            continue
        homes[number] = replace(homes[number], level=level.name, offset=offset)
        for index in found:
            comes = moves[index].source == far.name
            changed = replace(moves[index], source=level.name) if comes else None
            moves[index] = changed or replace(moves[index], destination=level.name)


def _moves_of(home: Home, far: Level, moves: Sequence[Move]) -> list[int]:
    """The moves to and from a copy."""
    return [
        number
        for number, move in enumerate(moves)
        if move.tensor == home.tensor
        and far.name in (move.source, move.destination)
        and home.start <= move.step < home.end
    ]
