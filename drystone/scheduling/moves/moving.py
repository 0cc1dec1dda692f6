"""The moves of a plan in time: how long they take, during which steps each may be under way, and the plan
with its moves begun earlier or ended later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from drystone.scheduling.graph import Block, Graph, stacked
from drystone.scheduling.problem import Home, Move, Plan


@dataclass(frozen=True)
class Clock:
    """When each step's operation ends, when each move begins, and when the last of either is done."""

    ends: list[int]
    starts: list[int]
    last: int


def clock(graph: Graph, plan: Plan) -> Clock:
    """The plan run: see `Plan.time`."""
    busy = {level.name: 0 for level in graph.problem.levels}
    ready: dict[int, int] = {}
    begun: dict[int, list[int]] = {}
    for number, move in enumerate(plan.moves):
        begun.setdefault(move.begins, []).append(number)
    ends: list[int] = []
    starts = [0] * len(plan.moves)
    now = 0
    for step, time in enumerate(times(graph, plan)):
        for number in begun.get(step, ()):
            move = plan.moves[number]
            slower, length = transfer(graph, move)
            starts[number] = max(busy[slower], now)
            busy[slower] = starts[number] + length
            ready[move.step] = max(ready.get(move.step, 0), busy[slower])
        now = max(now, ready.get(step, 0)) + time
        ends.append(now)
    return Clock(ends, starts, max(now, *busy.values()))


def times(graph: Graph, plan: Plan) -> list[int]:
    """How long the operation of each step runs."""
    return [graph.problem.operations[graph.number[name]].time for name in plan.order]


def transfer(graph: Graph, move: Move) -> tuple[str, int]:
    """The slower level of a move, and how long it takes."""
    ends = (move.source, move.destination)
    level = next(each for each in reversed(graph.problem.levels) if each.name in ends)
    length = 0 if level.bandwidth is None else -(-graph.bytes[move.tensor] // level.bandwidth)
    return level.name, length


def chains(graph: Graph, plan: Plan, level: str) -> list[list[Home]]:
    """The homes of a level, each with those that are written over it, one after the other."""
    found: dict[tuple[str, int, int], list[Home]] = {}
    for home in sorted((h for h in plan.homes if h.level == level), key=lambda h: (h.start, h.end)):
        op = graph.problem.operations[graph.number[plan.order[home.start]]]
        olds = [(old, home.start + 1, home.offset) for new, old in op.in_place if new == home.tensor]
        chain = next((found.pop(old) for old in olds if old in found), [])
        found[home.tensor, home.end, home.offset] = [*chain, home]
    return list(found.values())


def bytes_of(graph: Graph, name: str) -> int:
    """The bytes of what has a home: a tensor, or an operation's working memory."""
    if name in graph.size:
        return graph.size[name]
    return graph.scratch[graph.number[name.removesuffix(".scratch")]]


def block_of(graph: Graph, chain: Sequence[Home]) -> Block:
    """What must be placed for homes that share their bytes."""
    return stacked([(home.tensor, bytes_of(graph, home.tensor), home.start, home.end) for home in chain])


@dataclass(frozen=True)
class Window:
    """A move begins before step `first` at the earliest and is complete before step `last` at the latest. In
    each step that it is under way `size` more bytes of the fast level are in use, but for those of `held`.
    `home` is the home in the fast level that it fills or copies from."""

    fetch: bool
    first: int
    last: int
    size: int
    held: range
    home: Home | None

    @property
    def steps(self) -> list[int]:
        """Those that cost bytes while it is under way."""
        return [step for step in range(self.first, self.last) if step not in self.held]


class Moving:
    """What may be chosen about a plan's moves. `reach` limits the steps that one is looked at ahead or
    behind. `rows` are the bytes in use at each step where no move is under way, `room` those that may be in
    use (None: there is no end of them), less a part that is `spared`."""

    def __init__(self, graph: Graph, plan: Plan, reach: int, spared: float = 0.0) -> None:
        self.graph, self.plan, self.reach = graph, plan, reach
        self.fast = graph.problem.levels[0]
        self.room = None if self.fast.capacity is None else int(self.fast.capacity * (1 - spared))
        self.endless = {level.name for level in graph.problem.levels if level.capacity is None}
        self.rows = [0] * len(plan.order)
        self.chains = chains(graph, plan, self.fast.name)
        #: The homes of each tensor in the fast level, in time, each with whether none is written over it.
        self.homes: dict[str, list[tuple[Home, bool]]] = {}
        for chain in self.chains:
            for piece in block_of(graph, chain).pieces:
                for step in range(piece.start, min(piece.end, len(self.rows))):
                    self.rows[step] += piece.high - piece.low
            for home in chain:
                self.homes.setdefault(home.tensor, []).append((home, home is chain[-1]))
        for homes in self.homes.values():
            homes.sort(key=lambda pair: pair[0].start)
        #: The steps at which the homes of each tensor in each level start.
        self.starts: dict[tuple[str, str], list[int]] = {}
        for home in plan.homes:
            self.starts.setdefault((home.tensor, home.level), []).append(home.start)
        self.windows = [self._window(move) for move in plan.moves]

    def _window(self, move: Move) -> Window:
        if move.destination == self.fast.name:
            return self._ahead(move)
        # It leaves the last home before the step, if only that from the start.
        homes = [pair for pair in self.homes.get(move.tensor, ()) if pair[0].start < max(1, move.step)]
        if move.source != self.fast.name or not homes:
            return Window(False, move.step, move.step, 0, range(0), None)
        return self._behind(move, *homes[-1])

    def _ahead(self, move: Move) -> Window:
        """A fetch may begin once its tensor is not in the fast level any more, and in the slower one."""
        own = [home for home, _ in self.homes[move.tensor]]
        gone = [home.end for home in own if home.end <= move.step]
        copied = [start for start in self.starts.get((move.tensor, move.source), ()) if start <= move.step]
        first = max(0, move.step - self.reach, *gone, *copied)
        home = next(home for home in own if home.start == move.step)
        return Window(True, first, move.step, self.graph.size[move.tensor], range(0), home)

    def _behind(self, move: Move, home: Home, outlives: bool) -> Window:
        """A spill may begin once its tensor is made, where the slower level has no end of room, and go on
        until the tensor comes back to the fast level, or is written over there."""
        first, last = move.step, min(len(self.rows) - 1, move.step + self.reach)
        if outlives:
            last = min([last, *(h.start for h, _ in self.homes[move.tensor] if h.start >= home.end)])
        else:
            last = max(move.step, min(last, home.end - 1))
        if move.destination in self.endless and self._made(home):
            first = max(min(home.start + 1, first), first - self.reach)
        return Window(False, first, last, self.graph.size[move.tensor], range(home.start, home.end), home)

    def _made(self, home: Home) -> bool:
        """Whether an operation fills the home, in its first step."""
        return (
            home.tensor
            in self.graph.problem.operations[self.graph.number[self.plan.order[home.start]]].outputs
        )

    def moved(
        self, begins: Sequence[int], ends: Sequence[int], rank: Sequence[int], places: Mapping[Home, int]
    ) -> Plan:
        """The plan with its moves beginning and complete before these steps, those that begin before the same
        one in the order of their rank; addresses are the old ones but for the new places of homes."""
        homes = [replace(home, offset=places.get(home, home.offset)) for home in self.plan.homes]
        place = {(home.tensor, home.level, home.start): number for number, home in enumerate(homes)}
        moves = []
        for move, window, first, last in zip(self.plan.moves, self.windows, begins, ends, strict=True):
            moves.append(replace(move, step=last, since=None if first == last else first))
            filled = place[move.tensor, move.destination, move.step]
            homes[filled] = replace(homes[filled], start=first)
            if window.home is not None and not window.fetch:
                left = place[move.tensor, self.fast.name, window.home.start]
                homes[left] = replace(homes[left], end=max(homes[left].end, last))
        ranked = sorted(range(len(moves)), key=lambda number: (moves[number].begins, rank[number]))
        return replace(self.plan, homes=tuple(homes), moves=tuple(moves[number] for number in ranked))
