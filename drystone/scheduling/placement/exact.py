"""Offsets for fixed lifetimes by exact search, for instances with little or no slack.

The search is in the manner of MiniMalloc (Moffitt, "MiniMalloc: A Lightweight Memory Allocator for
Hardware-Accelerated Machine Learning", ASPLOS 2023): only canonical placements are tried, in which every
block stands on the ground or on another one; a partial placement is a skyline over the sections of time
between two events; it splits where no block that is left crosses from one section to the next. What differs:

- A choice is made for one section whose floor is a valley of the skyline: which block stands on that floor,
  or that none does, if the section has slack for that. No block can come under it later, so that the valley
  with the fewest choices may come first.
- What a section needs is bounded as one machine's schedule: each block that is left is released at the lowest
  offset it can still have (Jackson's rule gives the least height).
- States that failed are remembered, across restarts with other orders of blocks.
"""

from array import array
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from drystone.scheduling.graph import Block, unit

#: A task of the search: it yields the tasks it waits for and returns whether it succeeded.
_Task = Generator["_Task", bool, bool]


class Spent(Exception):
    """The steps a search may take are used up."""


@dataclass(frozen=True)
class Strategy:
    """Blocks are tried in the order of `rank`; `choice` says which valley comes first: "few" the one with the
    fewest choices, "tight" the one without slack, then with the fewest choices, "low" the lowest."""

    rank: tuple[int, ...]
    choice: str


class Search:
    """The search for a placement of given blocks under a capacity; `run` once for every strategy.

    Blocks must not have gaps that leave them a part of their bytes. The argument that no placement is lost:
    follow the one with the least sum of offsets. It is canonical; its lowest block in a valley stands on that
    valley's floor, or else on a block that is not placed yet, which is how far the floor is raised then.
    """

    def __init__(self, blocks: Sequence[Block], capacity: int) -> None:
        self.chosen = [index for index, block in enumerate(blocks) if block.pieces]
        held = [blocks[index] for index in self.chosen]
        self.unit = unit(held)
        self.count, self.total = len(blocks), len(held)
        self.capacity = capacity // self.unit
        self.size = [block.size // self.unit for block in held]
        self.width = [block.end - block.start for block in held]
        self.alignment = [-(-block.alignment // self.unit) for block in held]
        self.last = [(capacity - b.size) // b.alignment * b.alignment // self.unit for b in held]
        self.gapped = any(block.gaps for block in held)
        self.sections = _sections(held)
        self.within: list[list[int]] = [[] for _ in held]
        for number, section in enumerate(self.sections):
            for block in section:
                self.within[block].append(number)
        self.first = [numbers[0] for numbers in self.within]
        self.end = [numbers[-1] + 1 for numbers in self.within]
        self.beside = [
            sorted({other for number in numbers for other in self.sections[number]} - {block})
            for block, numbers in enumerate(self.within)
        ]
        self.kind = self._kinds()
        #: Blocks alive, over all sections.
        self.crowd = sum(map(len, self.sections))
        self.failed: set[bytes] = set()
        self.steps = 0

    def _kinds(self) -> list[int]:
        """Equal numbers for blocks that may change places with each other."""
        known: dict[tuple[object, ...], int] = {}
        return [
            known.setdefault((self.size[b], self.alignment[b], self.last[b], *self.within[b]), b)
            for b in range(self.total)
        ]

    def features(self) -> dict[str, list[int]]:
        """What blocks may be ordered by: width of the lifetime, size, area, total of the fullest section."""
        loads = [sum(self.size[block] for block in section) for section in self.sections]
        return {
            "W": self.width,
            "Z": self.size,
            "A": [width * size for width, size in zip(self.width, self.size, strict=True)],
            "T": [max(loads[number] for number in numbers) for numbers in self.within],
        }

    def run(self, strategy: Strategy, steps: int) -> list[int] | None:
        """An offset for every block, or None where no placement is possible. Raises Spent after `steps`."""
        self.strategy, self.left = strategy, steps
        self.low = [0] * self.total
        self.placed = [False] * self.total
        self.offset = [0] * self.total
        self.alive = [set(section) for section in self.sections]
        self.floor = [0] * len(self.sections)
        self.rest = [sum(self.size[block] for block in section) for section in self.sections]
        self.lowest = [len(section) for section in self.sections]
        if max(self.rest, default=0) > self.capacity:
            return None
        everything = sorted(range(self.total), key=lambda block: (self.first[block], block))
        try:
            found = _drive(self._solve(everything))
        finally:
            self.steps += steps - max(0, self.left)
        if not found:
            return None
        offsets = [0] * self.count
        for index, offset in zip(self.chosen, self.offset, strict=True):
            offsets[index] = offset * self.unit
        return offsets

    def _spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Spent

    def _solve(self, blocks: list[int]) -> _Task:
        """Place all of `blocks`, in order of their first sections: each part by itself, tightest first."""
        parts: list[list[int]] = []
        reach = -1
        for block in blocks:
            if self.first[block] >= reach:
                parts.append([])
            parts[-1].append(block)
            reach = max(reach, self.end[block])
        if len(parts) > 1:
            parts.sort(key=lambda part: (self._slack(part), len(part), part))
        for part in parts:
            if not (yield self._branch(part)):
                return False
        return True

    def _slack(self, part: list[int]) -> int:
        low, high = self.first[part[0]], max(self.end[block] for block in part)
        return min(self.capacity - self.floor[s] - self.rest[s] for s in range(low, high) if self.alive[s])

    def _branch(self, part: list[int]) -> _Task:
        """Place a part that no cut divides: all choices for one section of a valley, one after the other."""
        low = self.low
        state = array("q", part)
        state.extend([low[block] for block in part])
        key = blake2b(state.tobytes(), digest_size=16).digest()
        if key in self.failed:
            return False
        section = self._valley(self.first[part[0]], max(self.end[block] for block in part))
        floor = self.floor[section]
        rank = self.strategy.rank
        standing = sorted((b for b in self.alive[section] if low[b] == floor), key=rank.__getitem__)
        tried = set()
        for block in standing:
            if self.kind[block] in tried:
                continue
            tried.add(self.kind[block])
            if (yield self._put(block, part)):
                return True
        if floor + self.rest[section] < self.capacity and (yield self._lift(standing, part)):
            return True
        self.failed.add(key)
        return False

    def _valley(self, first: int, end: int) -> int:
        """The section to choose for: in a run of equal floors between higher ones. With gaps only the lowest
        floors are sure to have nothing below what stands on them."""
        floor = self.floor
        self._spend(end - first)
        if self.gapped:
            least = min(floor[first:end])
            return min((s for s in range(first, end) if floor[s] == least), key=self._rank_section)
        chosen: list[int] = []
        start = first
        while start < end:
            level, stop = floor[start], start + 1
            while stop < end and floor[stop] == level:
                stop += 1
            if (start == first or floor[start - 1] > level) and (stop == end or floor[stop] > level):
                chosen.extend(range(start, stop))
            start = stop
        return min(chosen, key=self._rank_section)

    def _rank_section(self, section: int) -> tuple[int, ...]:
        floor, few = self.floor[section], self.lowest[section]
        slack = self.capacity - floor - self.rest[section]
        loose = 1 if slack else 0
        if self.strategy.choice == "few":
            return few + loose, slack, floor, section
        if self.strategy.choice == "tight":
            return loose, few, floor, section
        return floor, loose, few, section

    def _put(self, block: int, part: list[int]) -> _Task:
        """Place a block at the lowest offset it can have and solve what is left of the part."""
        low, size, placed, alignment = self.low, self.size[block], self.placed, self.alignment
        top = low[block] + size
        for section in self.within[block]:
            self.alive[section].discard(block)
            self.rest[section] -= size
        placed[block] = True
        self.offset[block] = low[block]
        changes = [(o, -(-top // alignment[o]) * alignment[o]) for o in self.beside[block] if not placed[o]]
        changes = [(other, least) for other, least in changes if low[other] < least]
        found = yield self._raise(changes, [other for other in part if other != block], block)
        placed[block] = False
        for section in self.within[block]:
            self.alive[section].add(block)
            self.rest[section] += size
        return found

    def _lift(self, standing: list[int], part: list[int]) -> _Task:
        """Solve the part with none of `standing` on the floor: each stands on a block that is to come."""
        changes = []
        for block in standing:
            tops = [self.low[o] + self.size[o] for o in self.beside[block] if not self.placed[o]]
            if not tops:
                return False
            alignment = self.alignment[block]
            changes.append((block, -(-min(tops) // alignment) * alignment))
        return (yield self._raise(changes, part, None))

    def _raise(self, changes: list[tuple[int, int]], blocks: list[int], put: int | None) -> _Task:
        """Solve `blocks` with new lowest offsets of some of them, unless a section cannot hold its blocks."""
        touched = [block for block, _ in changes] + ([] if put is None else [put])
        start = min(self.first[block] for block in touched)
        end = max(self.end[block] for block in touched)
        before = [(block, self.low[block]) for block, _ in changes]
        floor, lowest = self.floor[start:end], self.lowest[start:end]
        for block, least in changes:
            self.low[block] = least
        found = False
        if all(least <= self.last[b] for b, least in changes) and self._fits(start, end):
            found = yield self._solve(blocks)
        self.floor[start:end], self.lowest[start:end] = floor, lowest
        for block, least in before:
            self.low[block] = least
        return found

    def _fits(self, start: int, end: int) -> bool:
        """Set the floors of some sections; whether each can hold its blocks, released at their lowest."""
        low, size, capacity, work = self.low, self.size, self.capacity, 0
        for section in range(start, end):
            alive = self.alive[section]
            if not alive:
                self.floor[section] = capacity
                continue
            work += len(alive)
            lows = [low[block] for block in alive]
            least = min(lows)
            self.floor[section] = least
            self.lowest[section] = few = lows.count(least)
            top = least + self.rest[section]
            if few < len(lows) and top <= capacity:
                top = 0
                for release, block in sorted(zip(lows, alive, strict=True)):
                    top = (top if top > release else release) + size[block]
            if top > capacity:
                self._spend(work)
                return False
        self._spend(work)
        return True


def _sections(blocks: Sequence[Block]) -> list[list[int]]:
    """The blocks alive together, between events, in order of time; none that its neighbour holds too."""
    events: dict[int, tuple[list[int], list[int]]] = {}
    for index, block in enumerate(blocks):
        for piece in block.pieces:
            events.setdefault(piece.start, ([], []))[0].append(index)
            events.setdefault(piece.end, ([], []))[1].append(index)
    found: list[list[int]] = []
    alive: set[int] = set()
    grown = False
    for step in sorted(events):
        starting, ending = events[step]
        if ending and grown:
            found.append(sorted(alive))
            grown = False
        alive -= set(ending)
        alive |= set(starting)
        grown = grown or bool(starting)
    return found


def _drive(task: _Task) -> bool:
    """Run a task and those it waits for, on a stack of our own."""
    stack = [task]
    answer = False
    started = False
    while stack:
        try:
            stack.append(stack[-1].send(answer) if started else next(stack[-1]))
            started = False
        except StopIteration as stop:
            answer, started = stop.value, True
            stack.pop()
    return answer
