"""Weights that do not fit beside the activations: which of them stay, and when the others come and go.

A run reads each weight once, mostly, so what matters is how many bytes stay from run to run, and that those
that come do so while kernels run before they are needed (Alizadeh et al., "LLM in a flash"; Li et al.,
"TPI-LLM": a sliding window). The largest stay first: they would make the window large. What comes is a
planning problem like every other: weights have their home in the file, kernels run in their one order.

Of some weights kernels read rows alone (of an MLP's neurons those that are live). They have a window each:
what a run has read of it stays for those that follow, within bytes that are planned here, and the whole of it
may be there from the first to the last kernel that reads it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from drystone.ir.steps import Window
from drystone.scheduling.check import check
from drystone.scheduling.planner import plan
from drystone.scheduling.problem import Operation, Plan, Problem, Tensor
from drystone.targets.target import Level

#: What the file's level is taken to move in a microsecond.
_BANDWIDTH = 2000
#: Memory comes and goes in pages.
PAGE = 4096
#: What a byte that is read brings along: what the system has of the file in one piece, it maps in one piece.
AROUND = 2 << 20
#: Windows are sized by so many parts of their weights.
_PARTS = 64


def paged(size: int) -> int:
    """Bytes of memory of a weight of this size: whole pages, of which it may share the first and the last one
    with others."""
    return -(-size // PAGE) * PAGE + PAGE


@dataclass(frozen=True)
class Reading:
    """What a kernel call reads of weights: those it reads whole, by name; others that it reads a part of
    (rows of tables), and the bytes it has of those meanwhile; how long it takes in microseconds; its line of
    the model; the bytes of those rows themselves; and weights that are open then: it, or calls before and
    after it, read rows of them through windows."""

    weights: tuple[str, ...]
    tables: tuple[str, ...]
    rows: int
    time: int
    where: str
    picked: int = 0
    open: tuple[str, ...] = ()


@dataclass(frozen=True)
class Streaming:
    """The weights that stay, those of which parts come when they are read, by step, the bytes of these
    parts, and the plan in which the others come from the level "file" and go, all within `room` bytes; and
    the windows, by the last step that reads their weights, with the bytes they may have to read."""

    kept: tuple[str, ...]
    tables: tuple[tuple[int, str], ...]
    picked: int
    room: int
    problem: Problem
    plan: Plan
    windows: tuple[tuple[int, Window], ...] = ()
    behind: int = 0

    @property
    def reads(self) -> list[tuple[int, int, str]]:
        """When a weight may begin to come, the step that reads it, and its name."""
        return [(move.begins, move.step, move.tensor) for move in self.plan.moves]

    @property
    def drops(self) -> list[tuple[int, str]]:
        """After which step each weight goes."""
        fast = self.problem.levels[0].name
        named = {tensor.name for tensor in self.problem.tensors}
        come = [(h.end - 1, h.tensor) for h in self.plan.homes if h.level == fast and h.tensor in named]
        return [*self.tables, *come]

    @property
    def read(self) -> int:
        """Bytes that a run reads from the file; of weights with windows the most that it may."""
        size = {tensor.name: tensor.size for tensor in self.problem.tensors}
        return self.picked + self.behind + sum(size[move.tensor] for move in self.plan.moves)

    @property
    def window(self) -> int:
        """Bytes through which weights come and go, at most."""
        return AROUND + self.plan.peaks[self.problem.levels[0].name]

    @property
    def resident(self) -> int:
        """Bytes of weights that are there at once, at most."""
        return (
            self.room - (self.problem.levels[0].capacity or 0) + self.plan.peaks[self.problem.levels[0].name]
        )


def needed(steps: Sequence[Reading], sizes: Mapping[str, int]) -> tuple[int, Reading]:
    """Bytes of weights that must be there at once, and the step that needs them."""
    least, step = max(((_bytes(step, sizes, ()), step) for step in steps), key=lambda pair: pair[0])
    return least + AROUND * bool(least) + _marks(steps, sizes), step


def stream(
    steps: Sequence[Reading],
    sizes: Mapping[str, int],
    room: int,
    time_limit: float,
    runs: Mapping[str, int] | None = None,
) -> Streaming:
    """Weights of these sizes (in whole pages) within `room` bytes, which are no fewer than `needed`. runs: of
    those with windows, for how many runs rows stay that are not read."""
    left = room - AROUND - _marks(steps, sizes)
    kept = _kept(steps, sizes, left)
    left -= sum(sizes[name] for name in kept)
    runs = runs or {}
    pages = _windows(steps, sizes, kept, left, runs)
    outside = {name: size - PAGE * pages.get(name, 0) for name, size in sizes.items()}
    used = dict.fromkeys(name for step in steps for name in step.weights if name not in kept)
    operations = []
    for number, step in enumerate(steps):
        inputs = tuple(dict.fromkeys(name for name in step.weights if name not in kept))
        before = (str(number - 1),) if number else ()
        part = step.rows + sum(outside[name] for name in step.open)
        operations.append(
            Operation(str(number), inputs, (), part, after=before, where=step.where, time=step.time)
        )
    window = left - PAGE * sum(pages.values())
    problem = Problem(
        tuple(operations),
        tuple(Tensor(name, sizes[name], home="file") for name in used),
        (Level("ram", window, PAGE), Level("file", None, PAGE, bandwidth=_BANDWIDTH)),
    )
    found = plan(problem, time_limit)
    check(problem, found)
    tables = tuple((number, name) for number, step in enumerate(steps) for name in step.tables)
    last = {name: number for number, step in enumerate(steps) for name in step.open}
    windows = tuple((at, Window(name, runs[name], pages[name])) for name, at in last.items())
    picked, behind = sum(step.picked for step in steps), sum(outside[name] for name in last)
    return Streaming(tuple(sorted(kept)), tables, picked, room, problem, found, windows, behind)


def _windows(
    steps: Sequence[Reading],
    sizes: Mapping[str, int],
    kept: Collection[str],
    room: int,
    runs: Mapping[str, int],
) -> dict[str, int]:
    """The pages that stay of weights with windows: the same part of each, the largest beside which there is
    room for what steps have of weights that come and go, those of two steps if that is possible at all.
    None of those whose rows are not to stay."""
    names = dict.fromkeys(name for step in steps for name in step.open)
    before = min(room, _together(steps, sizes, kept))

    def pages(part: int) -> dict[str, int]:
        return {name: sizes[name] // PAGE * part // _PARTS * (runs[name] > 0) for name in names}

    def fits(part: int) -> bool:
        outside = {name: size - PAGE * pages(part).get(name, 0) for name, size in sizes.items()}
        loads = [_bytes(step, outside, kept) for step in steps]
        whole = _together(steps, outside, kept) if before < room else max(loads, default=0)
        return PAGE * sum(pages(part).values()) + whole <= room

    return pages(next(part for part in range(_PARTS, -1, -1) if not part or fits(part)))


def _kept(steps: Sequence[Reading], sizes: Mapping[str, int], room: int) -> frozenset[str]:
    """The weights that stay: as many bytes as leave room for a step's others and, if that is possible at all,
    those of the next step that has any."""
    names = sorted(dict.fromkeys(n for step in steps for n in step.weights), key=lambda n: (-sizes[n], n))
    best: tuple[bool, int, frozenset[str]] = (False, 0, frozenset())
    for count in range(len(names) + 1):
        kept = set(names[:count])
        loads = [load for step in steps if (load := _bytes(step, sizes, kept))]
        left = room - sum(sizes[name] for name in kept)
        if left < max(loads, default=0):
            continue
        both = _together(steps, sizes, kept)
        double = left >= both
        spare = left - (both if double else max(loads, default=0))
        for name in names[count:]:
            if sizes[name] <= spare:
                kept.add(name)
                spare -= sizes[name]
        best = max(best, (double, sum(sizes[name] for name in kept), frozenset(kept)), key=lambda x: x[:2])
    return best[2]


def _together(steps: Sequence[Reading], sizes: Mapping[str, int], kept: Collection[str]) -> int:
    """Bytes that two steps, one after the other of those that have any, have of weights that come and go."""
    busy = [step for step in steps if _bytes(step, sizes, kept)]
    pairs = pairwise(busy) if len(busy) > 1 else [busy]
    return max((_bytes_of(pair, sizes, kept) for pair in pairs), default=0)


def _bytes(step: Reading, sizes: Mapping[str, int], kept: Collection[str]) -> int:
    """Bytes that a step has of weights that come and go."""
    return _bytes_of([step], sizes, kept)


def _bytes_of(steps: Sequence[Reading], sizes: Mapping[str, int], kept: Collection[str]) -> int:
    """Bytes that several steps have of them: whole weights come ahead, rows of windows when they are read."""
    rows = sum(-(-step.rows // PAGE) * PAGE for step in steps)
    names = dict.fromkeys(name for step in steps for name in step.weights)
    windows = max((sum(sizes[name] for name in step.open) for step in steps), default=0)
    return rows + windows + sum(sizes[name] for name in names if name not in kept)


def _marks(steps: Sequence[Reading], sizes: Mapping[str, int]) -> int:
    """Bytes that say which pages of windows are there: one for each."""
    names = dict.fromkeys(name for step in steps for name in step.open)
    return sum(paged(sizes[name] // PAGE) for name in names)
