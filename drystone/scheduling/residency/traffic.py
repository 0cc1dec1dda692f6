"""Plans where the fast level is too small for all that lives: what is kept, moved and computed again is
chosen first, then addresses, and what cannot be placed is forbidden, until both agree."""

import math
from collections.abc import Sequence
from dataclasses import replace

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Block, Graph
from drystone.scheduling.order import divide, greedy, joint, windows
from drystone.scheduling.order.climb import Judge
from drystone.scheduling.order.parts import Part
from drystone.scheduling.order.solving import LARGE
from drystone.scheduling.placement.conflict import Conflict, cannot_share
from drystone.scheduling.placement.place import place
from drystone.scheduling.problem import Home, Move, Plan
from drystone.scheduling.residency import belady
from drystone.scheduling.residency.follow import Wish, follow
from drystone.scheduling.residency.model import ResidencyModel
from drystone.scheduling.residency.simpler import nearer, simpler
from drystone.scheduling.residency.stays import Residency, Stay, blocks_of, by_bytes
from drystone.scheduling.residency.timeline import timeline
from drystone.targets.target import Level

#: How many operations back what is computed again may reach.
DEPTH = 3
#: How often the range of budgets is halved to find the least that can be met.
_HALVINGS = 8
#: The parts of what is left of the effort for the order, for a plan of a simpler graph, for a bound alone,
#: for the residency of one order before windows are mended and while they are, and for one try at a capacity.
_ORDER, _SIMPLY, _BOUND, _FIRST, _MENDING, _TRY = 0.5, 0.4, 0.4, 0.6, 0.3, 0.2
#: The parts of what is left for one choice of residency, and for its addresses.
_CHOICE, _PLACING = 0.5, 0.12
#: What making a model costs, for each touch of a tensor, and following its answer, for each operation.
_TOUCH, _FOLLOWING = 5e-5, 1.5e-4
#: How often another choice is made where one cannot be placed.
_ROUNDS = 8
#: The part of a level's room that is left out first where no placement is found.
_SPARED = 0.01


def cheapest(graph: Graph, orders: Sequence[Sequence[int]], effort: Effort) -> Plan | None:
    """The plan of least cost found from some orders and, where it can be searched, from the best order; None
    where none keeps to the capacities. With no effort, Belady's replacement alone."""
    known = {tuple(order): quick(graph, order) for order in orders}
    best = min((plan for plan in known.values() if plan is not None), key=_rank, default=None)
    bound = graph.compulsory
    if effort.left and joint.suits(graph):
        known = {order: _quicker(graph, order, plan, effort) for order, plan in known.items()}
        best, bound = _arranged(graph, known, effort)
    elif effort.left and not graph.rigid:
        _add(known, _simply(graph, orders, effort.part(_SIMPLY)), graph)
        best = min((plan for plan in known.values() if plan is not None), key=_rank, default=None)
        hint = next(iter(known)) if best is None else [graph.number[name] for name in best.order]
        found = divide.bounded(graph, hint, effort.part(_BOUND))
        bound = max(bound, found.bound)
        known.setdefault(tuple(found.order), quick(graph, found.order))
    if not effort.left:
        return best if best is None else _judged(best, bound)
    ranked = sorted(known, key=lambda order: math.inf if (plan := known[order]) is None else plan.cost)
    exact = graph.forced and joint.suits(graph)
    for order in ranked[: 1 if len(graph.before) > LARGE else None]:
        if best is not None and best.cost == bound and not exact:
            break
        search = TrafficSearch(graph, order, DEPTH)
        plan = search.run(effort.part(_FIRST), known[order])
        bound = max(bound, search.bound) if exact else bound
        if plan is not None and (best is None or _rank(plan) <= _rank(best)):
            best = replace(plan, status="feasible")
    if best is None:
        return None
    if not graph.forced and joint.suits(graph):
        best = windows.mended(
            graph, best, bound, effort, lambda order: _solved(graph, order, effort.part(_MENDING))
        )
    return _judged(best, bound)


def _judged(plan: Plan, bound: int) -> Plan:
    return replace(plan, cost_bound=bound, status="optimal" if plan.cost == bound else plan.status)


def _arranged(
    graph: Graph, known: dict[tuple[int, ...], Plan | None], effort: Effort
) -> tuple[Plan | None, int]:
    """The best plan known once an order was searched, and what every plan must spend; the order is added to
    those known."""
    best = min((plan for plan in known.values() if plan is not None), key=_rank, default=None)
    if graph.forced:
        return best, graph.compulsory
    hint = next(iter(known)) if best is None else [graph.number[name] for name in best.order]
    found = divide.arrange(graph, hint, None if best is None else best.cost, effort.part(_ORDER))
    order = tuple(found.order)
    if order not in known:
        known[order] = _quicker(graph, order, quick(graph, order), effort)
    best = min((plan for plan in known.values() if plan is not None), key=_rank, default=None)
    return best, max(graph.compulsory, found.bound)


def _simply(graph: Graph, orders: Sequence[Sequence[int]], effort: Effort) -> Plan | None:
    """The plan that does without other runs, and with one slower level but for what waits in nearer ones."""
    simple = simpler(graph)
    found = None if simple is None else cheapest(simple, orders, effort)
    if found is None:
        return None
    plan = _finished(graph, found.order, *nearer(graph, found))
    return replace(plan, status="greedy" if found.status == "greedy" else "feasible")


def _add(known: dict[tuple[int, ...], Plan | None], plan: Plan | None, graph: Graph) -> None:
    """Keep a plan as that of its order, if it is the best of it."""
    if plan is not None:
        order = tuple(graph.number[name] for name in plan.order)
        other = known.get(order)
        known[order] = plan if other is None else min(plan, other, key=_rank)


def _solved(graph: Graph, order: Sequence[int], effort: Effort) -> Plan | None:
    """The cheapest plan of one order."""
    known = _quicker(graph, order, quick(graph, order), effort)
    found = TrafficSearch(graph, order).run(effort, known)
    return known if found is None else replace(found, status="feasible")


def _quicker(graph: Graph, order: Sequence[int], known: Plan | None, effort: Effort) -> Plan | None:
    """The known plan of an order, or the one that follows replacement by bytes alone, if that is cheaper."""
    if not effort.left:
        return known
    effort.spend(_FOLLOWING * len(order))
    replaced = Judge(Part(graph.problem)).replace(order)
    if replaced is None or (known is not None and replaced.cost >= known.cost):
        return known
    found = TrafficSearch(graph, order).followed(by_bytes(graph, order, replaced))
    plans = [plan for plan in (known, found) if plan is not None]
    return min(plans, key=_rank, default=None)


def least_capacity(graph: Graph, orders: Sequence[Sequence[int]], most: int, effort: Effort) -> int:
    """The least capacity of the first level for which a plan is found, by halving what lies between what an
    operation needs and `most`, for which there is one."""
    problem = graph.problem
    if graph.rigid:
        return most

    def meets(capacity: int) -> bool:
        levels = (replace(problem.levels[0], capacity=capacity), *problem.levels[1:])
        return cheapest(Graph(replace(problem, levels=levels)), orders, effort.part(_TRY)) is not None

    low, high = graph.least(), most
    if low and meets(low):
        return low
    for _ in range(_HALVINGS):
        middle = graph.rounded((low + high) // 2)
        if not low < middle < high:
            break
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high


def _rank(plan: Plan) -> tuple[int, int]:
    return plan.cost, next(iter(plan.peaks.values()))


def quick(graph: Graph, order: Sequence[int]) -> Plan | None:
    """Belady's replacement on an order; None where it fails."""
    found = belady.replace(graph, order)
    if found is None:
        return None
    names = tuple(graph.problem.operations[index].name for index in order)
    return _finished(graph, names, found.homes, found.moves)


def _finished(graph: Graph, order: tuple[str, ...], homes: list[Home], moves: list[Move]) -> Plan:
    """The plan with its peaks and cost, of which nothing is proven yet."""
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
    return Plan(order, tuple(homes), tuple(moves), peaks, graph.least(), "greedy", cost)


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

    def run(self, effort: Effort, known: Plan | None = None) -> Plan | None:
        """The cheapest plan that could be placed; `bound` is then what any plan of this order must spend.
        `known` is a plan of this order to start from."""
        making = _TOUCH * sum(map(len, self.line.touches.values()))
        if effort.left < making:
            return None
        effort.spend(making)
        model, sure, spared = ResidencyModel(self.graph, self.line), True, 0.0
        if known is not None:
            model.hint(known.homes)
        best: Plan | None = None
        most = math.inf if known is None else known.cost
        for _ in range(_ROUNDS):
            found = model.solve(effort.part(_CHOICE))
            if found is None:
                break
            self.bound = found.bound if sure else self.bound
            if found.cost >= most:
                break
            homes = self._homes(found, effort.part(_PLACING))
            if isinstance(homes, list):
                moves = [
                    Move(found.steps[each.event], each.tensor, each.source, each.destination)
                    for each in found.transfers
                ]
                return _finished(self.graph, self._names(found), homes, moves)
            effort.spend(_FOLLOWING * len(self.order))
            followed = self.followed(found)
            if followed is not None and followed.cost < most:
                best, most = followed, followed.cost
            if isinstance(homes, Level):
                sure, spared = False, 1.5 * spared + _SPARED
                model.tighten(homes.name, int((homes.capacity or 0) * spared))
            elif not any(stay.gaps for stay in homes):
                # Nothing that was chosen is to blame: the operations themselves are too large.
                break
            else:
                named = {(stay.tensor, event) for stay in homes for event in (stay.start, stay.end - 1)}
                shared = [pair for pair in found.shared if {(pair[1], pair[0]), (pair[2], pair[0])} & named]
                model.forbid(list(homes), shared)
        return best

    def followed(self, found: Residency) -> Plan | None:
        """The choice followed as far as addresses allow; None where more than stays and moves is chosen."""
        if not joint.suits(self.graph):
            return None
        replaced = follow(self.graph, self.order, self._wishes(found))
        if replaced is None:
            return None
        return _finished(self.graph, self._names(found), replaced.homes, replaced.moves)

    def _wishes(self, found: Residency) -> dict[str, list[Wish]]:
        """Addresses for stays, the largest first, as far as there are any within the capacity."""
        fast = self.graph.problem.levels[0]
        pairs = self._blocks(found, fast)
        blocks = [block for block, _ in pairs]
        offsets = greedy.place_in_order(blocks, greedy.largest_first(blocks), capacity=fast.capacity)
        wishes: dict[str, list[Wish]] = {}
        for offset, (_, chain) in zip(offsets, pairs, strict=True):
            for stay in chain:
                wish = (found.steps[stay.start], found.steps[stay.end], offset)
                wishes.setdefault(stay.tensor, []).append(wish)
        return wishes

    def _names(self, found: Residency) -> tuple[str, ...]:
        operations = self.graph.problem.operations
        events = zip(self.line.events, found.runs, strict=True)
        return tuple(operations[event.op].name for event, runs in events if runs)

    def _homes(self, found: Residency, effort: Effort) -> list[Home] | tuple[Stay, ...] | Level:
        """Addresses in every level for what stays there; else stays that cannot share one, which is proven,
        or the level in which none were found."""
        steps = found.steps
        homes = [
            Home(stay.tensor, stay.level, 0, steps[stay.start], steps[stay.end])
            for stay in found.stays
            if not self.graph.size[stay.tensor]
        ]
        for level in self.graph.problem.levels:
            pairs = self._blocks(found, level)
            offsets = _placed([block for block, _ in pairs], level.capacity, effort)
            if isinstance(offsets, Conflict):
                return tuple(stay for block, stays in pairs if block in offsets.blocks for stay in stays)
            if offsets is None:
                return level
            homes += [
                Home(stay.tensor, level.name, offset, steps[stay.start], steps[stay.end])
                for offset, (_, stays) in zip(offsets, pairs, strict=True)
                for stay in stays
            ]
        return homes

    def _blocks(self, found: Residency, level: Level) -> list[tuple[Block, list[Stay]]]:
        """What must be placed in a level: stays, and in the first one working memory."""
        fast = level is self.graph.problem.levels[0]
        pairs = blocks_of(found.stays, level.name, self.graph.size, found.shared if fast else [])
        for number, event in enumerate(self.line.events if fast else ()):
            size, name = self.graph.scratch[event.op], self.graph.scratch_name(event.op)
            if size and found.runs[number]:
                stay = Stay(name, level.name, number, number + 1)
                pairs.append((Block((name,), size, number, number + 1), [stay]))
        return pairs


def _placed(blocks: Sequence[Block], capacity: int | None, effort: Effort) -> list[int] | Conflict | None:
    """Offsets of the blocks below the capacity; what cannot share it where that is proven, else None."""
    if capacity is None:
        return greedy.best_fit(blocks)
    found = place(blocks, capacity, effort=effort)
    if found.status == "placed":
        return found.offsets
    return cannot_share(blocks, capacity, effort) if found.status == "impossible" else None
