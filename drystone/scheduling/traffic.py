"""Plans where the fast level is too small for all that lives: what is kept, moved and computed again is
chosen first, then addresses, and what cannot be placed is forbidden, until both agree."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from drystone.scheduling import belady, greedy, joint, solver
from drystone.scheduling.graph import Block, Graph, load
from drystone.scheduling.problem import Home, Move, Plan
from drystone.scheduling.residency import ResidencyModel
from drystone.scheduling.stays import Residency, Stay, blocks_of
from drystone.scheduling.timeline import timeline
from drystone.targets.target import Level

#: Up to this many operations the best order is searched.
LARGE = 150
#: How many operations back what is computed again may reach.
DEPTH = 3
#: How often a choice that cannot be placed is forbidden before the next is made of less room.
_ROUNDS = 12


def cheapest(graph: Graph, orders: Sequence[Sequence[int]], effort: float) -> Plan | None:
    """The plan of least cost found from some orders and, where it can be searched, from the best order; None
    where none keeps to the capacities. With no effort, Belady's replacement alone."""
    known = list(dict.fromkeys(map(tuple, orders)))
    quickly = [plan for order in known if (plan := quick(graph, order))]
    best = min(quickly, key=_rank, default=None)
    if not effort:
        return best
    forced = all(
        (before | after).bit_count() + 1 == len(graph.before)
        for before, after in zip(graph.ancestors, graph.descendants, strict=True)
    )
    bound = 0
    if not forced and joint.suits(graph) and len(graph.before) <= LARGE:
        hint = best.order if best else [graph.problem.operations[index].name for index in known[0]]
        found = joint.arrange(
            graph, [graph.number[n] for n in hint], None if best is None else best.cost, effort
        )
        bound = found.bound
        known = list(dict.fromkeys([tuple(found.order), *known]))
    for order in known:
        if best is not None and best.cost == bound and not forced:
            break
        search = TrafficSearch(graph, order, DEPTH)
        plan = search.run(effort)
        bound = search.bound if forced else bound
        if plan is not None and (best is None or _rank(plan) <= _rank(best)):
            best = replace(plan, status="feasible")
    if best is None:
        return None
    return replace(best, cost_bound=bound, status="optimal" if best.cost == bound else best.status)


def _rank(plan: Plan) -> tuple[int, int]:
    return plan.cost, next(iter(plan.peaks.values()))


def quick(graph: Graph, order: Sequence[int]) -> Plan | None:
    """Belady's replacement on an order; None where it fails."""
    found = belady.replace(graph, order)
    if found is None:
        return None
    names = tuple(graph.problem.operations[index].name for index in order)
    return finished(graph, names, found.homes, found.moves, 0)


def finished(graph: Graph, order: tuple[str, ...], homes: list[Home], moves: list[Move], bound: int) -> Plan:
    """The plan with its peaks and cost."""
    peaks = {level.name: 0 for level in graph.problem.levels}
    size = graph.bytes | {f"{op.name}.scratch": op.scratch for op in graph.problem.operations}
    for home in homes:
        peaks[home.level] = max(peaks[home.level], home.offset + graph.rounded(size[home.tensor]))
    weight = {level.name: level.cost for level in graph.problem.levels}
    slower = list(peaks)
    cost = sum(
        graph.bytes[move.tensor] * weight[max(move.source, move.destination, key=slower.index)]
        for move in moves
    )
    cost += _again(graph, order) + _direct(graph, order, homes)
    return Plan(order, tuple(homes), tuple(moves), peaks, graph.least(), "greedy", cost, bound)


def _again(graph: Graph, order: Sequence[str]) -> int:
    """The work of the operations that run again."""
    return sum((order.count(op.name) - 1) * op.work for op in graph.problem.operations if op.work)


def _direct(graph: Graph, order: Sequence[str], homes: Sequence[Home]) -> int:
    """The cost of what operations read and write in slower levels."""
    first, *slow = graph.problem.levels
    if not any(level.direct for level in slow):
        return 0
    rank = {level.name: number for number, level in enumerate(graph.problem.levels)}
    spans: dict[str, list[Home]] = {}
    for home in homes:
        spans.setdefault(home.tensor, []).append(home)
    cost = 0
    for step, name in enumerate(order):
        op = graph.problem.operations[graph.number[name]]
        for tensor in dict.fromkeys((*op.inputs, *op.outputs)):
            there = [h for h in spans.get(tensor, ()) if h.start <= step < h.end]
            new = [h for h in there if h.start == step and tensor in op.outputs]
            found = [home.level for home in new or there]
            if graph.home[tensor] and not new:
                found.append(graph.home[tensor])
            level = graph.problem.levels[min(rank[each] for each in found)]
            cost += 0 if level is first else graph.bytes[tensor] * level.cost
    return cost


class TrafficSearch:
    """The Benders loop on one order: the least that must be spent, and the best plan found."""

    def __init__(self, graph: Graph, order: Sequence[int], depth: int = 0) -> None:
        self.graph, self.order = graph, order
        self.line = timeline(graph, order, depth)
        self.bound = 0

    def run(self, effort: float) -> Plan | None:
        """The cheapest plan that could be placed; `bound` is then what any plan of this order must spend."""
        model = ResidencyModel(self.graph, self.line)
        for number in range(_ROUNDS):
            # The first answer bounds them all: what follows is only told more that it may not choose.
            found = model.solve(effort)
            if found is None:
                return None
            self.bound = found.bound if not number else self.bound
            plan = self._placed(found, effort)
            if plan is not None:
                return plan
            stays = [stay for stay in found.stays if stay.level == self.graph.problem.levels[0].name]
            model.forbid(stays, found.shared)
        return None

    def _placed(self, found: Residency, effort: float) -> Plan | None:
        """The residency with addresses in every level; None where a level has no room for it."""
        steps = [0, *accumulate(map(int, found.runs))]
        homes: list[Home] = []
        for level in self.graph.problem.levels:
            placed = self._place(found, level, steps, effort)
            if placed is None:
                return None
            homes += placed
        moves = [Move(steps[t.event], t.tensor, t.source, t.destination) for t in found.transfers]
        operations = self.graph.problem.operations
        order = tuple(
            operations[event.op].name
            for event, runs in zip(self.line.events, found.runs, strict=True)
            if runs
        )
        return finished(self.graph, order, homes, moves, self.bound)

    def _place(
        self, found: Residency, level: Level, steps: Sequence[int], effort: float
    ) -> list[Home] | None:
        fast = level is self.graph.problem.levels[0]
        pairs = blocks_of(found.stays, level.name, self.graph.size, found.shared if fast else [])
        blocks = [block for block, _ in pairs]
        stays = [stays for _, stays in pairs]
        if fast:
            scratch = self._scratch(found)
            blocks += scratch
            stays += [[Stay(b.tensors[0], level.name, b.start, b.end)] for b in scratch]
        offsets = placed(blocks, level.capacity, effort)
        if offsets is None:
            return None
        empty = [
            Home(stay.tensor, level.name, 0, steps[stay.start], steps[stay.end])
            for stay in found.stays
            if stay.level == level.name and not self.graph.size[stay.tensor]
        ]
        return empty + [
            Home(stay.tensor, level.name, offset, steps[stay.start], steps[stay.end])
            for offset, chain in zip(offsets, stays, strict=True)
            for stay in chain
        ]

    def _scratch(self, found: Residency) -> list[Block]:
        return [
            Block((self.graph.scratch_name(event.op),), self.graph.scratch[event.op], number, number + 1)
            for number, event in enumerate(self.line.events)
            if self.graph.scratch[event.op] and found.runs[number]
        ]


def placed(blocks: Sequence[Block], capacity: int | None, effort: float) -> list[int] | None:
    """Offsets of the blocks below the capacity, by best fit or else by the solver; None if none are found."""
    offsets = greedy.best_fit(blocks)
    if capacity is None or greedy.height(blocks, offsets) <= capacity:
        return offsets
    most = load(blocks)
    if most > capacity:
        return None
    found = solver.place(blocks, [0] * len(blocks), most, capacity, effort)
    return None if found is None else found.offsets
