"""Some operations of a graph as a problem of its own: as they stand in a plan, or so that what is proven of
them holds for every plan."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from drystone.scheduling.graph import Graph
from drystone.scheduling.order.joint import WHOLE, Border
from drystone.scheduling.order.prices import rerun
from drystone.scheduling.problem import Operation, Problem, Tensor


@dataclass(frozen=True)
class Part:
    """Some operations as a problem of its own, and what holds at its ends."""

    problem: Problem
    border: Border = WHOLE


@dataclass(frozen=True)
class State:
    """The tensors that are in the fast level at some time, and those that have a copy in the slower one."""

    fast: frozenset[str]
    saved: frozenset[str] = frozenset()


def relaxed(graph: Graph, steps: Sequence[int]) -> Part:
    """A part whose least cost, summed over disjoint parts, no plan of the whole can avoid.

    A plan of the whole, looked at only while these operations run, is a plan of the part. A tensor's moves
    are paid for in the part that has all its readers, where it is made there or every order makes it before
    (it lies in the fast level from the start then). So are other runs of its operation, unless that is not
    there. All other moves are free.
    """
    inside, operations = set(steps), _operations(graph, steps)
    early, _ = _always(graph, steps)
    tensors, free = [], set()
    for tensor in _tensors(graph, operations):
        name, maker = tensor.name, graph.producer.get(tensor.name)
        again = maker is not None and maker not in inside and rerun(graph, name) is not None
        mine = private(graph, name, inside) and not again
        there = name in early and not tensor.home
        if not (mine and (there or maker in inside or tensor.home)):
            free.add(name)
        fetched = maker not in inside and not (mine and there)
        tensors.append(replace(tensor, home=graph.problem.levels[1].name if fetched else tensor.home))
    return Part(Problem(operations, tuple(tensors), graph.problem.levels), Border(free=frozenset(free)))


def private(graph: Graph, name: str, inside: Collection[int]) -> bool:
    """Whether only these operations need the tensor."""
    return name not in graph.kept and all(reader in inside for reader in graph.readers[name])


def between(graph: Graph, steps: Sequence[int], before: State, after: State | None) -> Part:
    """The part of a plan in which these operations run: its order and moves may change, what is where before
    and after it may not. Where nothing is after it, what is kept must be anywhere."""
    operations = _operations(graph, steps)
    made = {name for op in operations for name in op.outputs}
    touched = {name for op in operations for name in op.inputs} | made
    kept = graph.kept if after is None else frozenset[str]()
    stay, saved = (frozenset[str](), frozenset[str]()) if after is None else (after.fast, after.saved)
    names = touched | before.fast | stay | saved | kept
    tensors, here, copied = [], set(), set()
    for tensor in graph.problem.tensors:
        if tensor.name not in names:
            continue
        if tensor.name not in made and (tensor.home or tensor.name in before.saved):
            copied.add(tensor.name)
            here |= {tensor.name} & before.fast
            tensor = replace(tensor, home=graph.problem.levels[1].name)
        tensors.append(tensor)
    problem = Problem(operations, tuple(tensors), graph.problem.levels, tuple(sorted(kept)))
    sized = frozenset(name for name in stay if graph.size[name])
    return Part(problem, Border(frozenset(here), sized, saved - copied))


def held(
    graph: Graph, spans: Mapping[str, tuple[int, int]], order: Sequence[int], start: int, end: int
) -> tuple[Problem, int]:
    """The steps from `start` to `end` of an order in which nothing moves, as a problem of the order: what
    lives before is there, what lives after is kept. And the bytes that live on and are not touched."""
    operations = _operations(graph, order[start:end])
    touched = {name for op in operations for name in (*op.inputs, *op.outputs)}
    given = {n for n, (first, _) in spans.items() if first < start or (not start and n not in graph.producer)}
    lasting = {name for name in touched | given if spans[name][1] > end or name in graph.kept}
    idle = sum(graph.size[name] for name in (lasting & given) - touched)
    # Without readers something is alive during the first step only, as it is in the whole.
    unread = {n for n in given if not start and not graph.readers[n]} - lasting
    names = touched | unread
    tensors = tuple(tensor for tensor in graph.problem.tensors if tensor.name in names)
    return Problem(operations, tensors, graph.problem.levels, tuple(sorted(lasting & touched))), idle


def loose(graph: Graph, steps: Sequence[int]) -> tuple[Problem, int]:
    """A problem of the order, and bytes beside it, of which every order of the whole needs as many at some
    step: tensors live only as long as they do under every order."""
    operations, inside = _operations(graph, steps), set(steps)
    early, late = _always(graph, steps)
    tensors = []
    touched = _tensors(graph, operations)
    for tensor in touched:
        known = tensor.name in early or graph.producer.get(tensor.name) in inside
        tensors.append(tensor if known else replace(tensor, size=0))
    names = {tensor.name for tensor in tensors}
    idle = sum(graph.size[name] for name in early & late if name not in names)
    none = {tensor.name for tensor, old in zip(tensors, touched, strict=True) if tensor.size != old.size}
    operations = tuple(
        replace(op, in_place=tuple(pair for pair in op.in_place if not none & set(pair))) for op in operations
    )
    return Problem(operations, tuple(tensors), graph.problem.levels, tuple(sorted(late & names))), idle


def _always(graph: Graph, steps: Sequence[int]) -> tuple[set[str], set[str]]:
    """Tensors that every order makes before these operations, and those it needs after them."""
    before = after = ~0
    for index in steps:
        before &= graph.ancestors[index]
        after &= graph.descendants[index]
    early = {n for n in graph.size if n not in graph.producer or before >> graph.producer[n] & 1}
    late = {n for n, readers in graph.readers.items() if any(after >> reader & 1 for reader in readers)}
    return early, late | graph.kept


def _operations(graph: Graph, steps: Sequence[int]) -> tuple[Operation, ...]:
    """These operations, waiting for each other only."""
    names = {graph.problem.operations[index].name for index in steps}
    return tuple(
        replace(op, after=tuple(name for name in op.after if name in names))
        for op in (graph.problem.operations[index] for index in steps)
    )


def _tensors(graph: Graph, operations: Sequence[Operation]) -> list[Tensor]:
    names = {name for op in operations for name in (*op.inputs, *op.outputs)}
    return [tensor for tensor in graph.problem.tensors if tensor.name in names]
