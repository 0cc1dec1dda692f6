"""Orders by dynamic programming over the sets of operations done, the least loaded sets first.

The bytes alive after a set of operations do not depend on their order, so one best order per set is enough
(Ahn et al., "Ordering Chaos: Memory-Aware Scheduling of Irregularly Wired Neural Networks", section 3). Of
each size only the best sets are kept; what is dropped still bounds what was missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from drystone.scheduling.effort import Effort
from drystone.scheduling.graph import Graph

#: What it costs to run one operation after a set of others: for a small set, and for how many operations as
#: much again.
_RUN, _MANY = 1.7e-6, 400
#: How many operations may come next, on average, where their number is guessed.
_READY = 4
#: Sets kept at each step at most, and the part of what is left of the effort for one of many searches.
_WIDEST, _TRY = 5000, 0.25


@dataclass(frozen=True)
class Beam:
    """The best order found, the bytes its fullest step needs, and bytes that every order needs."""

    order: list[int]
    load: int
    bound: int


@dataclass(frozen=True)
class _State:
    """A set of operations done (as bits): the peak of its best order so far, the bytes alive after it, the
    operations that may come next, and that order, last operation first, as nested pairs."""

    peak: int
    alive: int
    done: int
    ready: tuple[int, ...]
    last: "tuple[int, _State] | None" = None


class _Step:
    """The effect of running one operation, as far as it does not depend on what ran before."""

    def __init__(self, graph: Graph, index: int) -> None:
        op = graph.problem.operations[index]
        self.needs = sum(1 << earlier for earlier in graph.before[index])
        self.made = sum(graph.size[name] for name in op.outputs)
        self.scratch = graph.scratch[index]
        self.unread = sum(graph.size[n] for n in op.outputs if not graph.readers[n] and n not in graph.kept)
        mine = 1 << index
        # Inputs that may die here: their bytes, and the readers that must have run before.
        self.dying = [
            (name, graph.size[name], sum(1 << reader for reader in graph.readers[name]) & ~mine)
            for name in dict.fromkeys(op.inputs)
            if name not in graph.kept and graph.size[name]
        ]
        sizes = {name: size for name, size, _ in self.dying}
        self.pairs = [
            (output, source, graph.size[output]) for output, source in op.in_place if source in sizes
        ]

    def run(self, done: int) -> tuple[int, int]:
        """Bytes needed while it runs and bytes alive after it, beyond those alive before."""
        freed = 0
        for _, size, others in self.dying:
            if others & done == others:
                freed += size
        saved = self._saved(done) if freed and self.pairs else 0
        return self.made + self.scratch - saved, self.made - self.unread - freed

    def _saved(self, done: int) -> int:
        dead = {name for name, _, others in self.dying if others & done == others}
        taken: set[str] = set()
        saved = 0
        for output, source, size in self.pairs:
            if source in dead and not taken & {output, source}:
                taken |= {output, source}
                saved += size
        return saved


def squeezed(
    graph: Graph, known: Sequence[int], load: int, bound: int, effort: Effort, width: int = _WIDEST
) -> Beam:
    """The least loaded order found, at most as loaded as a known one, which needs `load` bytes where every
    order needs `bound`. The beam looks for orders within a budget, which leaves few sets, and the budget is
    halved and raised (adaptive soft budgeting in the same paper)."""
    best, unit = Beam(list(known), load, bound), graph.unit
    least, unknown = bound - unit, load
    # Budgets up to `least` are too small, or nothing is known of them; those from `unknown` on are not asked
    # for proof.
    while least + unit < best.load and effort.left:
        budget = least + (best.load - least) // (2 * unit) * unit
        found = search(graph, effort.part(_TRY), budget, width)
        if found.order:
            best = Beam(found.order, found.load, min(found.load, max(best.bound, found.bound)))
            continue
        least = budget
        best = Beam(best.order, best.load, max(best.bound, found.bound))
        unknown = unknown if found.bound > budget else min(unknown, budget)
    unknown = min(unknown, best.load)
    while best.bound + unit < unknown and effort.left:
        budget = best.bound + (unknown - best.bound) // (2 * unit) * unit
        found = search(graph, effort.part(_TRY), budget, width)
        best = Beam(best.order, best.load, max(best.bound, found.bound))
        unknown = unknown if found.bound > budget else budget
    return best


def search(graph: Graph, effort: Effort, budget: int | None = None, width: int = _WIDEST) -> Beam:
    """The least loaded order among those the beam keeps: as many sets at each step as effort is left for, and
    at most `width`; its `bound` is its `load` where nothing better was dropped and so the order is proven
    best. With a budget only orders that keep to it: none is found then where the order is empty, and where
    the bound is greater than the budget there is none."""
    steps = [_Step(graph, index) for index in range(len(graph.before))]
    given = sum(n for name, n in graph.size.items() if name not in graph.producer)
    unused = [
        n for n in graph.size if n not in graph.producer and not graph.readers[n] and n not in graph.kept
    ]
    # What nothing reads is alive during the first step only.
    first = sum(graph.size[name] for name in unused)
    states = [_State(given, given, 0, tuple(i for i, step in enumerate(steps) if not step.needs))]
    missed: list[int] = []
    price = _RUN * (1 + len(steps) / _MANY)
    for count in range(len(steps)):
        reached: dict[int, _State] = {}
        effort.spend(price * sum(len(state.ready) for state in states))
        for state in states:
            for index in state.ready:
                during, after = steps[index].run(state.done)
                peak = max(state.peak, state.alive + during)
                if budget is not None and peak > budget:
                    continue
                done = state.done | 1 << index
                known = reached.get(done)
                if known is None or peak < known.peak:
                    alive = state.alive + after - (first if count == 0 else 0)
                    ready = known.ready if known is not None else _ready(graph, steps, state, index)
                    reached[done] = _State(peak, alive, done, ready, (index, state))
        ranked = sorted(reached.values(), key=lambda state: (state.peak, state.alive, state.done))
        spared = effort.left / (price * _READY * (len(steps) - count))
        held = max(1, int(min(width, spared)))
        states = ranked[:held]
        missed += [state.peak for state in ranked[held : held + 1]]
    if not states:
        assert budget is not None
        return Beam([], budget, min([budget + graph.unit, *missed]) if _exact(graph) else 0)
    best = states[0]
    return Beam(_unwind(best), best.peak, min([best.peak, *missed]) if _exact(graph) else 0)


def _ready(graph: Graph, steps: Sequence[_Step], state: _State, index: int) -> tuple[int, ...]:
    """The operations that may come next once one more is done."""
    done = state.done | 1 << index
    new = [later for later in graph.after[index] if not steps[later].needs & ~done]
    return (*(other for other in state.ready if other != index), *new)


def _unwind(state: _State) -> list[int]:
    order = []
    while state.last is not None:
        index, state = state.last
        order.append(index)
    return order[::-1]


def _exact(graph: Graph) -> bool:
    """Whether the first pairs that fit save as much as any other choice: so where they have one output."""
    return all(len({output for output, _ in op.in_place}) <= 1 for op in graph.problem.operations)
