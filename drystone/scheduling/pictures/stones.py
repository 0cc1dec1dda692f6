"""The stones of a plan's wall: what lies where and when, and why it comes and goes."""

from collections import defaultdict
from dataclasses import dataclass

from drystone.scheduling.problem import Home, Plan, Problem
from drystone.targets.target import Level


@dataclass(frozen=True)
class Stone:
    """A rectangle of the wall: steps start..end, bytes low..low + size; a copy that is made beside operations
    is whole from step `whole` on. `why` says what brings it and what ends it. `comes` and `leaves`: whether
    it is fetched from a slower level, and whether it goes although it is needed again."""

    name: str
    where: str
    start: int
    end: int
    low: int
    size: int
    whole: int
    scratch: bool
    why: str
    comes: bool = False
    leaves: bool = False


def stones(problem: Problem, plan: Plan, level: Level) -> list[Stone]:
    """A level's stones, those of large tensors first. One that is written over ends where its successor
    begins; a smaller successor's stone begins behind the step that writes it."""
    story = _Story(problem, plan)
    size = {tensor.name: tensor.size for tensor in problem.tensors}
    where = {tensor.name: tensor.where for tensor in problem.tensors}
    scratch = {f"{op.name}.scratch": op for op in problem.operations}

    def stone(home: Home) -> Stone:
        name, start = home.tensor, home.start
        if name not in size:
            owner = scratch[name]
            why = f"working memory of {owner.name}"
            return Stone(name, owner.where, start, home.end, home.offset, owner.scratch, start, True, why)
        heir = story.heir(home)
        last = home.end - (heir != "" and size[heir] == size[name])
        start += story.shrinks(home)
        comes, whole, how = story.arrival(home)
        leaves, end = (False, f"written over by {heir}") if heir else story.departure(home)
        why = f"{how}; {end}"
        return Stone(
            name, where[name], start, last, home.offset, size[name], whole, False, why, comes, leaves
        )

    found = [stone(home) for home in plan.homes if home.level == level.name]
    return sorted(
        (s for s in found if s.size and s.start < s.end), key=lambda s: (-s.size, s.start, s.low, s.name)
    )


class _Story:
    """When each tensor is made, read and moved under a plan."""

    def __init__(self, problem: Problem, plan: Plan) -> None:
        self.plan, self.kept = plan, set(problem.kept)
        self.first = problem.levels[0].name
        self.starts = {(home.tensor, home.level, home.start, home.offset) for home in plan.homes}
        self.homes: dict[tuple[str, str], list[int]] = defaultdict(list)
        for home in plan.homes:
            self.homes[home.tensor, home.level].append(home.start)
        self.heirs: dict[str, list[str]] = defaultdict(list)
        self.made: dict[str, list[int]] = defaultdict(list)
        self.read: dict[str, list[int]] = defaultdict(list)
        operations = {op.name: op for op in problem.operations}
        size = {tensor.name: tensor.size for tensor in problem.tensors}
        self.ends = {(home.tensor, home.level, home.end, home.offset) for home in plan.homes}
        self.larger: dict[str, list[str]] = defaultdict(list)
        for op in problem.operations:
            for new, old in op.in_place:
                self.heirs[old].append(new)
                if size[new] < size[old]:
                    self.larger[new].append(old)
        for step, name in enumerate(plan.order):
            for tensor in operations[name].outputs:
                self.made[tensor].append(step)
            for tensor in operations[name].inputs:
                self.read[tensor].append(step)

    def heir(self, home: Home) -> str:
        """The tensor that is written over this one, "" where none is."""
        at = (home.level, home.end - 1, home.offset)
        return next((new for new in self.heirs[home.tensor] if (new, *at) in self.starts), "")

    def shrinks(self, home: Home) -> bool:
        """Whether the tensor is written over a larger one."""
        at = (home.level, home.start + 1, home.offset)
        return any((old, *at) in self.ends for old in self.larger[home.tensor])

    def arrival(self, home: Home) -> tuple[bool, int, str]:
        """Whether a move brings it from a slower level, the step before which all of it is there, and what
        brings it."""
        for move in self.plan.moves:
            if (move.tensor, move.destination, move.begins) == (home.tensor, home.level, home.start):
                until = f", whole before step {move.step}" if move.begins < move.step else ""
                return home.level == self.first, move.step, f"copied from {move.source}{until}"
        if home.start in self.made[home.tensor]:
            again = " again" if home.start > self.made[home.tensor][0] else ""
            return False, home.start, f"made{again} by {self.plan.order[home.start]}"
        return False, home.start, "there from the start"

    def departure(self, home: Home) -> tuple[bool, str]:
        """Whether it goes although it is needed again, and why it ends."""
        later = [start for start in self.homes[home.tensor, home.level] if start >= home.end]
        if later:
            return home.level == self.first, f"makes room until step {min(later)}"
        if home.tensor in self.kept and home.end >= len(self.plan.order):
            return False, "kept to the end"
        fetched = [m.step for m in self.plan.moves if (m.tensor, m.source) == (home.tensor, home.level)]
        if home.level != self.first and fetched:
            return False, f"fetched last before step {max(fetched)}"
        readers = [step for step in self.read[home.tensor] if home.start <= step < home.end]
        return False, f"read last by {self.plan.order[readers[-1]]}" if readers else "nothing reads it"
