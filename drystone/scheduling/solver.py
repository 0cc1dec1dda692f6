"""The only user of OR-tools: CP-SAT models of the order and of the placement.

Both are deterministic: one worker, a fixed seed, a limit in the solver's own deterministic time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ortools.sat.python import cp_model

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Block, Graph, unit
from drystone.scheduling.order.greedy import height

#: What making a constraint and simplifying it costs, and a unit of deterministic time.
_MAKING, _SEARCHING = 8e-6, 4.0
#: The states of a search that found an answer.
FOUND = (cp_model.OPTIMAL, cp_model.FEASIBLE)


@dataclass(frozen=True)
class Ordered:
    """An order, bytes that every order needs, and offsets where they were asked for and found."""

    order: list[int]
    bound: int
    offsets: dict[str, int]


@dataclass(frozen=True)
class Placed:
    """Offsets of the blocks, in their order (none where none were found), and bytes that every placement
    needs."""

    offsets: list[int]
    bound: int


def new_model() -> Any:
    """An empty CP-SAT model."""
    return cp_model.CpModel()


def solve(model: Any, effort: Effort) -> tuple[Any, Any]:
    """The solver after its search, and with what status it ended (see `FOUND`; None where there was no effort
    for a search)."""
    effort.spend(_MAKING * len(model.proto.constraints))
    solver = cp_model.CpSolver()
    if not effort.left:
        return solver, None
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = effort.left / _SEARCHING
    solver.parameters.max_time_in_seconds = effort.clock
    status = solver.solve(model)
    effort.spend(_SEARCHING * solver.deterministic_time)
    return solver, status


def proven(answer: Any, status: Any) -> int:
    """What is proven of the least value where a search found none; 0 where nothing is."""
    return 0 if status != cp_model.UNKNOWN else max(0, math.ceil(answer.best_objective_bound - 0.5))


def positions(model: Any, graph: Graph) -> list[Any]:
    """The step of each operation: between the number of its ancestors and that of its descendants, all
    different, each after what it depends on."""
    count = len(graph.before)
    found = [
        model.new_int_var(
            graph.ancestors[index].bit_count(), count - 1 - graph.descendants[index].bit_count(), ""
        )
        for index in range(count)
    ]
    model.add_all_different(found)
    for index, earlier in enumerate(graph.before):
        for other in sorted(earlier):
            model.add(found[other] < found[index])
    return found


def overwriting(model: Any, graph: Graph) -> list[tuple[int, str, str, Any]]:
    """A literal for every pair that may share a place, with the operation, the output and the input it
    overwrites; an output takes one place at most."""
    found: list[tuple[int, str, str, Any]] = []
    by_output: dict[str, list[Any]] = {}
    for index, op in enumerate(graph.problem.operations):
        for output, source in dict.fromkeys(op.in_place):
            if graph.size[output] and source not in graph.kept:
                literal = model.new_bool_var("")
                found.append((index, output, source, literal))
                by_output.setdefault(output, []).append(literal)
    for literals in by_output.values():
        model.add_at_most_one(literals)
    return found


def place(
    blocks: Sequence[Block],
    hint: Sequence[int],
    least: int,
    most: int,
    effort: Effort,
) -> Placed:
    """The lowest placement of fixed rectangles, of a height from `least` to `most`; `hint` is a known one."""
    chosen = [index for index, block in enumerate(blocks) if block.pieces]
    step = unit([blocks[index] for index in chosen])
    model = new_model()
    top = most // step
    # `least` may be no height that blocks can have.
    peak = model.new_int_var(min(-(-least // step), top), top, "peak")
    wide, high, demands, places = [], [], [], {}
    for index in chosen:
        block = blocks[index]
        size, apart = block.size // step, -(-block.alignment // step)
        if size > top:
            return Placed([], most + 1)
        multiple = model.new_int_var(0, (top - size) // apart, "")
        offset = places[index] = multiple * apart
        model.add(offset + size <= peak)
        model.add_hint(multiple, min(hint[index] // step, top - size) // apart)
        for piece in block.pieces:
            length = (piece.high - piece.low) // step
            wide.append(model.new_fixed_size_interval_var(piece.start, piece.end - piece.start, ""))
            high.append(model.new_fixed_size_interval_var(offset + piece.low // step, length, ""))
            demands.append(length)
    model.add_no_overlap_2d(wide, high)
    model.add_cumulative(wide, demands, peak)
    model.minimize(peak)
    solver, status = solve(model, effort)
    if status not in FOUND:
        return Placed([], most + 1 if status == cp_model.INFEASIBLE else 0)
    offsets = [0] * len(blocks)
    for index in chosen:
        offsets[index] = solver.value(places[index]) * step
    return Placed(offsets, min(round(solver.best_objective_bound) * step, height(blocks, offsets)))


def order(graph: Graph, hint: Sequence[int], least: int, most: int, effort: Effort) -> Ordered:
    """The order whose most loaded step needs the fewest bytes, from `least` to `most` (what `hint` needs), as
    far as found within the effort."""
    return _OrderModel(graph, least, most, placed=False).solve(hint, effort)


def arrange(graph: Graph, hint: Sequence[int], least: int, most: int, effort: Effort) -> Ordered:
    """Order and placement at once, for small problems: as `order`, with the offsets found."""
    return _OrderModel(graph, least, most, placed=True).solve(hint, effort)


class _OrderModel:
    """Positions of operations, lifetimes of tensors, the load they make and, where `placed`, their offsets.

    A tensor's interval reaches from its producer to one after its last reader; where it overwrites an input,
    which is no smaller, from one after its producer.
    """

    def __init__(self, graph: Graph, least: int, most: int, placed: bool) -> None:
        self.graph, self.count = graph, len(graph.before)
        self.unit = graph.unit
        self.most = most // self.unit
        self.model = new_model()
        self.peak = self.model.new_int_var(-(-least // self.unit), self.most, "peak")
        self.position = positions(self.model, graph)
        self.offset: dict[str, Any] = {}
        self.wide: list[Any] = []
        self.high: list[Any] = []
        self.demands: list[int] = []
        self._lay_out(placed)
        self.model.add_cumulative(self.wide, self.demands, self.peak)
        if placed:
            self.model.add_no_overlap_2d(self.wide, self.high)
        self.model.minimize(self.peak)

    def _lay_out(self, placed: bool) -> None:
        graph = self.graph
        for name, size in graph.size.items():
            if placed and size:
                self._place(name, size)
        pairs = self._in_place()
        for name, size in graph.size.items():
            if size:
                self.wide.append(self._life(name, pairs))
                self.demands.append(size // self.unit)
        for index, size in enumerate(graph.scratch):
            if size:
                self.wide.append(self.model.new_fixed_size_interval_var(self.position[index], 1, ""))
                self.demands.append(size // self.unit)
                if placed:
                    self._place(graph.scratch_name(index), size)

    def _place(self, name: str, size: int) -> None:
        offset = self.model.new_int_var(0, self.most - size // self.unit, "")
        self.model.add(offset + size // self.unit <= self.peak)
        self.high.append(self.model.new_fixed_size_interval_var(offset, size // self.unit, ""))
        self.offset[name] = offset

    def _in_place(self) -> list[tuple[int, str, str, Any]]:
        """As `overwriting`, with equal offsets."""
        pairs = overwriting(self.model, self.graph)
        for _, output, source, literal in pairs if self.offset else ():
            self.model.add(self.offset[output] == self.offset[source]).only_enforce_if(literal)
        return pairs

    def _life(self, name: str, pairs: Sequence[tuple[int, str, str, Any]]) -> Any:
        graph, model = self.graph, self.model
        made: Any = self.position[graph.producer[name]] if name in graph.producer else 0
        start, over = made, [literal for _, output, _, literal in pairs if output == name]
        if over:
            start = model.new_int_var(0, self.count, "")
            model.add(start == made + sum(over))
        end = model.new_int_var(0, self.count, "")
        model.add(end > made)
        if name in graph.kept:
            model.add(end == self.count)
        for reader in graph.readers[name]:
            model.add(end > self.position[reader])
        overwriters = [(index, literal) for index, _, source, literal in pairs if source == name]
        for index, literal in overwriters:
            model.add(end == self.position[index] + 1).only_enforce_if(literal)
        model.add_at_most_one(literal for _, literal in overwriters)
        return model.new_interval_var(start, model.new_int_var(0, self.count, ""), end, "")

    def solve(self, hint: Sequence[int], effort: Effort) -> Ordered:
        for step, index in enumerate(hint):
            self.model.add_hint(self.position[index], step)
        solver, status = solve(self.model, effort)
        if status not in FOUND:
            return Ordered(list(hint), 0, {})
        order = sorted(range(self.count), key=lambda index: solver.value(self.position[index]))
        offsets = {name: solver.value(offset) * self.unit for name, offset in self.offset.items()}
        return Ordered(order, round(solver.best_objective_bound) * self.unit, offsets)
