"""When moves are made, searched by CP-SAT: the slower levels as machines that do one thing at a time."""

from collections.abc import Sequence
from typing import Any

from drystone.scheduling import solver
from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph
from drystone.scheduling.moves.moving import Clock, Moving, clock, times, transfer
from drystone.scheduling.problem import Plan


def better(moving: Moving, known: Plan, effort: Effort) -> Plan:
    """The plan whose last operation and move end soonest, as far as found from a known one within the effort;
    its addresses are not settled."""
    return _Channels(moving, known).solve(effort)


class _Channels:
    """When each operation ends, when each move begins, and the literals that a move is under way during a
    step."""

    def __init__(self, moving: Moving, known: Plan) -> None:
        self.moving, self.known = moving, known
        self.graph, self.moves = moving.graph, moving.plan.moves
        self.times = times(self.graph, moving.plan)
        self.lengths = [transfer(self.graph, move)[1] for move in self.moves]
        self.model = solver.new_model()
        self.rows: list[list[Any]] = [[row // self.graph.unit] for row in moving.rows]
        hints = _hints(self.graph, moving.plan, known)
        self.ends = [self._time(hints.last, end) for end in hints.ends]
        for step, time in enumerate(self.times):
            self.model.add(self.ends[step] >= (self.ends[step - 1] if step else 0) + time)
        self.starts = [self._time(hints.last, start) for start in hints.starts]
        self.under_way = [self._window(number) for number in range(len(self.moves))]
        self._one_at_a_time()
        self._copy_after_copy()
        self._spill_before_fetch()
        if moving.room is not None:
            for row in self.rows:
                self.model.add(sum(row) <= moving.room // self.graph.unit)
        last = self._time(hints.last, hints.last)
        self.model.add(last >= self.ends[-1])
        for start, length in zip(self.starts, self.lengths, strict=True):
            self.model.add(last >= start + length)
        self.model.minimize(last)

    def _time(self, most: int, hint: int) -> Any:
        variable = self.model.new_int_var(0, most, "")
        self.model.add_hint(variable, min(hint, most))
        return variable

    def _window(self, number: int) -> dict[int, Any]:
        """The literals of a move's window, by step; where it is not under way during the step it begins after
        that, or is complete before it."""
        window, start, model = self.moving.windows[number], self.starts[number], self.model
        literals = {step: model.new_bool_var("") for step in window.steps}
        if window.first:
            model.add(start >= self.ends[window.first - 1])
        self._complete(number, window.last)
        for step, literal in literals.items():
            if window.fetch:
                model.add(start >= self.ends[step]).only_enforce_if(~literal)
            else:
                self._complete(number, step).only_enforce_if(~literal)
            if step + 1 in literals:
                pair = (literal, literals[step + 1])
                model.add_implication(*(pair if window.fetch else pair[::-1]))
            self.rows[step].append(window.size // self.graph.unit * literal)
        return literals

    def _complete(self, number: int, step: int) -> Any:
        return self.model.add(
            self.ends[step] >= self.starts[number] + self.lengths[number] + self.times[step]
        )

    def _one_at_a_time(self) -> None:
        channels: dict[str, list[Any]] = {}
        for move, start, length in zip(self.moves, self.starts, self.lengths, strict=True):
            interval = self.model.new_fixed_size_interval_var(start, length, "")
            channels.setdefault(transfer(self.graph, move)[0], []).append(interval)
        for intervals in channels.values():
            self.model.add_no_overlap(intervals)

    def _copy_after_copy(self) -> None:
        """Of one tensor no two are under way at once, not even during the same step."""
        before: dict[str, int] = {}
        for number, move in enumerate(self.moves):
            other = before.get(move.tensor)
            if other is not None:
                self.model.add(self.starts[number] >= self.starts[other] + self.lengths[other])
                for step in set(self.under_way[number]) & set(self.under_way[other]):
                    self.model.add(self.under_way[number][step] + self.under_way[other][step] <= 1)
            before[move.tensor] = number

    def _spill_before_fetch(self) -> None:
        """What begins to come once a spilled tensor may be gone, at the earliest, may need its bytes."""
        windows = self.moving.windows
        spills = [number for number, window in enumerate(windows) if not window.fetch]
        for fetch in (number for number, window in enumerate(windows) if window.fetch):
            for spill in spills:
                step = self.moves[spill].step
                if not windows[fetch].first <= step <= windows[fetch].last:
                    continue
                later = self.model.add(self.starts[fetch] >= self.starts[spill] + self.lengths[spill])
                if step - 1 in self.under_way[fetch]:
                    later.only_enforce_if(~self.under_way[fetch][step - 1])

    def solve(self, effort: Effort) -> Plan:
        answer, status = solver.solve(self.model, effort)
        if status not in solver.FOUND:
            return self.known
        ends = [answer.value(end) for end in self.ends]
        starts = [answer.value(start) for start in self.starts]
        begins, complete = [], []
        for number, window in enumerate(self.moving.windows):
            first = last = self.moves[number].step
            while first > window.first and ends[first - 1] > starts[number]:
                first -= 1
            done = starts[number] + self.lengths[number]
            while last < window.last and ends[last] - self.times[last] < done:
                last += 1
            begins.append(first)
            complete.append(last)
        # Those that end in the step they begin at make room for those that begin then.
        spill = [
            not w.fetch and f == m.step
            for w, f, m in zip(self.moving.windows, begins, self.moves, strict=True)
        ]
        order = sorted(range(len(starts)), key=lambda number: (not spill[number], starts[number]))
        return self.moving.moved(begins, complete, [order.index(number) for number in range(len(order))], {})


def _hints(graph: Graph, plan: Plan, known: Plan) -> Clock:
    """The known plan's clock, its moves in the order of `plan`'s."""
    found = clock(graph, known)
    return Clock(found.ends, _in_order(plan, known, found.starts), found.last)


def _in_order(plan: Plan, known: Plan, starts: Sequence[int]) -> list[int]:
    by_tensor: dict[tuple[str, str], list[int]] = {}
    for start, move in sorted(zip(starts, known.moves, strict=True), key=lambda pair: pair[0]):
        by_tensor.setdefault((move.tensor, move.destination), []).append(start)
    return [by_tensor[move.tensor, move.destination].pop(0) for move in plan.moves]
