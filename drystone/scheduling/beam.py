"""Orders by dynamic programming over the sets of operations done, the least loaded sets first.

The bytes alive after a set of operations do not depend on their order, so one best order per set is enough
(Ahn et al., "Ordering Chaos: Memory-Aware Scheduling of Irregularly Wired Neural Networks", section 3). Of
each size only the `width` best sets are kept; what is dropped still bounds what was missed.
"""

from dataclasses import dataclass

from drystone.scheduling.graph import Graph


@dataclass(frozen=True)
class Beam:
    """The best order found, the bytes its fullest step needs, and bytes that every order needs."""

    order: list[int]
    load: int
    bound: int


@dataclass(frozen=True)
class _State:
    """A set of operations done (as bits): the peak of its best order so far, the bytes alive after it, and
    that order, last operation first, as nested pairs."""

    peak: int
    alive: int
    done: int
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
        self.dying = {
            name: (graph.size[name], sum(1 << reader for reader in graph.readers[name]) & ~mine)
            for name in dict.fromkeys(op.inputs)
            if name not in graph.kept
        }
        self.pairs = [(output, source) for output, source in op.in_place if source in self.dying]

    def run(self, done: int) -> tuple[int, int]:
        """Bytes needed while it runs and bytes alive after it, beyond those alive before."""
        dead = {name for name, (_, others) in self.dying.items() if others & done == others}
        taken: set[str] = set()
        saved = 0
        for output, source in self.pairs:
            if source in dead and not taken & {output, source}:
                taken |= {output, source}
                saved += self.dying[source][0]
        freed = sum(self.dying[name][0] for name in dead)
        return self.made + self.scratch - saved, self.made - self.unread - freed


def search(graph: Graph, width: int) -> Beam:
    """The least loaded order among those the beam keeps; its `bound` is its `load` where nothing better was
    dropped and so the order is proven best."""
    steps = [_Step(graph, index) for index in range(len(graph.before))]
    given = sum(n for name, n in graph.size.items() if name not in graph.producer)
    unused = [
        n for n in graph.size if n not in graph.producer and not graph.readers[n] and n not in graph.kept
    ]
    # What nothing reads is alive during the first step only.
    first = sum(graph.size[name] for name in unused)
    states = [_State(given, given, 0)]
    missed: list[int] = []
    for count in range(len(steps)):
        reached: dict[int, _State] = {}
        for state in states:
            for index, step in enumerate(steps):
                if state.done >> index & 1 or step.needs & ~state.done:
                    continue
                during, after = step.run(state.done)
                peak = max(state.peak, state.alive + during)
                done = state.done | 1 << index
                known = reached.get(done)
                if known is None or peak < known.peak:
                    alive = state.alive + after - (first if count == 0 else 0)
                    reached[done] = _State(peak, alive, done, (index, state))
        ranked = sorted(reached.values(), key=lambda state: (state.peak, state.alive, state.done))
        states = ranked[:width]
        missed += [state.peak for state in ranked[width : width + 1]]
    best = states[0]
    return Beam(_unwind(best), best.peak, min([best.peak, *missed]) if _exact(graph) else 0)


def _unwind(state: _State) -> list[int]:
    order = []
    while state.last is not None:
        index, state = state.last
        order.append(index)
    return order[::-1]


def _exact(graph: Graph) -> bool:
    """Whether the first pairs that fit save as much as any other choice: so where they have one output."""
    return all(len({output for output, _ in op.in_place}) <= 1 for op in graph.problem.operations)
