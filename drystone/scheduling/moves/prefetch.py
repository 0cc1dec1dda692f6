"""Moves beside operations: what a plan fetches begins early enough, and what it spills may take long enough,
that operations wait as little as possible.

Which tensors move is settled by then, and so is the order. What is left is a schedule of the slower levels,
each moving one tensor after the other, in which every step that a copy is under way costs its bytes in the
fast level: double buffering, as far ahead as there is room. A quick answer runs the plan and begins each
fetch as soon as its channel and its room are free; CP-SAT betters it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Block, Graph
from drystone.scheduling.moves.channels import better
from drystone.scheduling.moves.moving import (
    Moving,
    Window,
    block_of,
    bytes_of,
    chains,
    clock,
    times,
    transfer,
)
from drystone.scheduling.order import greedy
from drystone.scheduling.placement.place import place
from drystone.scheduling.problem import Home, Plan
from drystone.targets.target import Level

#: How many pairs of a move and a step during which it may be under way CP-SAT looks at.
_PAIRS = 3000
#: The parts of the room that are left out, one after the other, where no addresses are found.
_SPARED = (0.0, 0.05, 0.1)
#: What running a plan costs, for each of its steps and moves.
_RUNNING = 1.5e-4
#: The parts of what is left of the effort for CP-SAT's schedule, and for addresses each time.
_CHANNELS, _PLACING = 0.5, 0.5


def overlapped(graph: Graph, plan: Plan, effort: Effort) -> Plan:
    """The plan with its moves beside operations as far as that saves time; with its `time` in any case."""
    best = replace(plan, time=clock(graph, plan).last)
    if best.time == sum(times(graph, plan)):
        return best
    for found in (_by_bytes(graph, plan, effort), _by_addresses(graph, plan)):
        if found is not None:
            found = replace(found, time=clock(graph, found).last)
            best = min(best, found, key=lambda each: each.time)
    return best


def _by_bytes(graph: Graph, plan: Plan, effort: Effort) -> Plan | None:
    """The soonest plan that keeps to the capacity, then addresses for it; where none are found, for one that
    leaves some room."""
    for spared in _SPARED:
        if spared and not effort.left:
            break
        effort.spend(_RUNNING * (len(plan.moves) + len(plan.order)))
        moving = Moving(graph, plan, len(plan.order), spared)
        found = _Run(moving, _Bytes(moving)).plan()
        if effort.left and not spared:
            near = Moving(graph, plan, max(1, _PAIRS // len(plan.moves)))
            both = (better(near, found, effort.part(_CHANNELS)), found)
            found = min(both, key=lambda each: clock(graph, each).last)
        placed = _placed(graph, found, effort.part(_PLACING))
        if placed is not None:
            return placed
    return None


def _by_addresses(graph: Graph, plan: Plan) -> Plan | None:
    """A plan in which what comes earlier has a place of its own among the plan's addresses."""
    moving = Moving(graph, plan, len(plan.order))
    return _placed(graph, _Run(moving, _Addresses(moving)).plan(), Effort(0), graph.problem.levels[1:])


class _Bytes:
    """Room as bytes in use at each step."""

    def __init__(self, moving: Moving) -> None:
        self.moving, self.rows = moving, list(moving.rows)

    def fits(self, number: int, steps: range) -> bool:
        """Whether a move may also be under way during these steps."""
        window, room = self.moving.windows[number], self.moving.room
        return room is None or all(
            step in window.held or self.rows[step] + window.size <= room for step in steps
        )

    def use(self, number: int, steps: range) -> None:
        """It is, from now on."""
        window = self.moving.windows[number]
        for step in steps:
            self.rows[step] += 0 if step in window.held else window.size

    def places(self) -> Mapping[Home, int]:
        """New addresses; there are none."""
        return {}


class _Addresses:
    """Room as gaps between blocks, each at its address; what comes earlier may get another one."""

    def __init__(self, moving: Moving) -> None:
        self.moving = moving
        self.capacity = moving.fast.capacity
        self.blocks = [block_of(moving.graph, chain) for chain in moving.chains]
        self.offsets = [chain[0].offset for chain in moving.chains]
        self.chain = {home: number for number, chain in enumerate(moving.chains) for home in chain}

    def fits(self, number: int, steps: range) -> bool:
        window = self.moving.windows[number]
        if all(step in window.held for step in steps):
            return True
        return window.home is not None and self._place(window, steps) is not None

    def use(self, number: int, steps: range) -> None:
        window = self.moving.windows[number]
        offset = self._place(window, steps) if window.home is not None else None
        if offset is not None and window.home is not None:
            chain = self.chain[window.home]
            self.blocks[chain], self.offsets[chain] = self._longer(window, steps), offset

    def places(self) -> Mapping[Home, int]:
        return {home: self.offsets[number] for home, number in self.chain.items()}

    def _longer(self, window: Window, steps: range) -> Block:
        """The block of the window's home, there during these steps too."""
        assert window.home is not None
        block = self.blocks[self.chain[window.home]]
        if not steps:
            return block
        return replace(block, start=min(block.start, steps.start), end=max(block.end, steps.stop))

    def _place(self, window: Window, steps: range) -> int | None:
        """Where the block may stand during these steps too: what is there already stays where it is."""
        assert window.home is not None
        own = self.chain[window.home]
        block = self._longer(window, steps)
        pairs = zip(self.blocks, self.offsets, strict=True)
        taken = sorted(
            (offset - block.size, offset + other.size)
            for number, (other, offset) in enumerate(pairs)
            if number != own and other.size and other.start < block.end and block.start < other.end
        )
        offset = self.offsets[own]
        if any(low < offset < high for low, high in taken):
            offset = greedy.tightest_gap(taken, block) if window.fetch else -1
        fits = self.capacity is None or offset + block.size <= self.capacity
        return offset if offset >= 0 and fits else None


class _Run:
    """A plan run step by step: each fetch begins as soon as those before it have, its channel is free and
    there is room until its step; each spill takes as long as it needs, if there is room for that."""

    def __init__(self, moving: Moving, room: _Bytes | _Addresses) -> None:
        self.moving, self.room = moving, room
        self.now = 0
        self.busy = {level.name: 0 for level in moving.graph.problem.levels}
        count = len(moving.plan.moves)
        self.begins, self.ends = [-1] * count, [move.step for move in moving.plan.moves]
        self.done, self.rank = [0] * count, [0] * count
        self.begun = 0
        #: The moves of the same tensor before each one.
        self.earlier: list[list[int]] = []
        before: dict[str, list[int]] = {}
        for number, move in enumerate(moving.plan.moves):
            self.earlier.append(list(before.setdefault(move.tensor, [])))
            before[move.tensor].append(number)
        #: The fetches that have begun, by the step that waits for them.
        self.arriving: dict[int, list[int]] = {}

    def plan(self) -> Plan:
        moves, windows = self.moving.plan.moves, self.moving.windows
        waiting = list(range(len(moves)))
        behind: list[int] = []
        for step, time in enumerate(times(self.moving.graph, self.moving.plan)):
            waiting = [number for number in waiting if self.begins[number] < 0]
            forced = [number for number in waiting if moves[number].step == step]
            for number in forced:
                self._begin(number, step)
            start = max([self.now, *(self.done[n] for n in self.arriving.pop(step, ()))])
            behind += [number for number in forced if not windows[number].fetch]
            for number in behind:
                start = max(start, self._ended(number, step, start))
            behind = [number for number in behind if self.ends[number] > step]
            for number in [each for each in waiting if self.begins[each] < 0]:
                if not self._may_begin(number, step, start + time):
                    break
                self._begin(number, step)
                behind += [] if windows[number].fetch else [number]
            self.now = start + time
        return self.moving.moved(self.begins, self.ends, self.rank, self.room.places())

    def _begin(self, number: int, step: int) -> None:
        slower, length = transfer(self.moving.graph, self.moving.plan.moves[number])
        self.begins[number], self.rank[number] = step, self.begun
        self.begun += 1
        self.busy[slower] = self.done[number] = max(self.busy[slower], self.now) + length
        if self.moving.windows[number].fetch:
            self.arriving.setdefault(self.ends[number], []).append(number)
            self.room.use(number, range(step, self.ends[number]))

    def _may_begin(self, number: int, step: int, end: int) -> bool:
        """Whether a move may begin before the step: not later than its operation ends, and with room."""
        move, window = self.moving.plan.moves[number], self.moving.windows[number]
        soon = self.busy[transfer(self.moving.graph, move)[0]] < end
        # What its tensor left the fast level by must be complete.
        copied = all(self.begins[other] >= 0 and self.ends[other] <= step for other in self.earlier[number])
        return soon and window.first <= step and copied and self.room.fits(number, range(step, move.step))

    def _ended(self, number: int, step: int, start: int) -> int:
        """When the step's operation may run for all that a spill has to say: at its start, if the spill is
        complete by then or there is room for it to go on, else when it is complete."""
        self.ends[number] = step
        goes_on = step < self.moving.windows[number].last and self.room.fits(number, range(step, step + 1))
        if self.done[number] > start and goes_on:
            self.room.use(number, range(step, step + 1))
            self.ends[number] = step + 1
            return start
        return self.done[number]


def _placed(graph: Graph, plan: Plan, effort: Effort, levels: Sequence[Level] | None = None) -> Plan | None:
    """The plan with new addresses in all levels (or these); None where none are found."""
    homes, peaks = list(plan.homes), dict(plan.peaks)
    for level in graph.problem.levels if levels is None else levels:
        found = chains(graph, plan, level.name)
        blocks = [block_of(graph, chain) for chain in found]
        if level.capacity is None:
            offsets = greedy.best_fit(blocks)
        else:
            offsets = place(blocks, level.capacity, effort=effort).offsets
        if len(offsets) < len(blocks):
            return None
        homes = [home for home in homes if home.level != level.name]
        homes += [replace(h, offset=low) for c, low in zip(found, offsets, strict=True) for h in c]
    for level in graph.problem.levels:
        ends = [h.offset + bytes_of(graph, h.tensor) for h in homes if h.level == level.name]
        peaks[level.name] = max(ends, default=0)
    return replace(plan, homes=tuple(homes), peaks=peaks)
