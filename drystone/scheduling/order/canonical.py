"""Parts of a graph that differ in names only, told by a canonical form.

Operations and tensors get colours, refined by those of their neighbours until nothing changes (Weisfeiler and
Leman); where some are still alike, one of them gets a colour of its own. What is compared is the whole part
under its new names, so parts that are taken for the same are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Any

from drystone.scheduling.graph import Graph
from drystone.scheduling.order.joint import Border
from drystone.scheduling.order.parts import Part
from drystone.scheduling.problem import Problem


@dataclass(frozen=True)
class Canonical:
    """A part under canonical names, its operations in a canonical order: `operations` has their places in
    the part as it was given."""

    part: Part
    operations: tuple[int, ...]


def canonical(part: Part) -> Canonical:
    """The part's canonical form: equal for parts that are equal but for names and the order given."""
    colours = _Colours(part)
    order = colours.order()
    problem, border = part.problem, part.border
    ranked = sorted(range(len(problem.tensors)), key=lambda index: (colours.tensors[index], index))
    name = {problem.tensors[index].name: f"t{number}" for number, index in enumerate(ranked)}
    called = {problem.operations[index].name: f"o{number}" for number, index in enumerate(order)}

    def sort(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(sorted({name[each] for each in names}, key=lambda each: int(each[1:])))

    operations = tuple(
        replace(
            op,
            name=called[op.name],
            inputs=sort(op.inputs),
            outputs=sort(op.outputs),
            in_place=tuple(sorted((name[output], name[source]) for output, source in op.in_place)),
            after=tuple(sorted(called[other] for other in op.after)),
            where="",
        )
        for op in (problem.operations[index] for index in order)
    )
    tensors = tuple(
        replace(problem.tensors[index], name=f"t{number}", where="") for number, index in enumerate(ranked)
    )
    renamed = Problem(operations, tensors, problem.levels, sort(problem.kept))
    sets = (border.here, border.stay, border.saved, border.free)
    return Canonical(Part(renamed, Border(*(frozenset(sort(tuple(s))) for s in sets))), tuple(order))


class _Colours:
    def __init__(self, part: Part) -> None:
        self.graph = graph = Graph(part.problem)
        problem, border = part.problem, part.border
        number = {tensor.name: index for index, tensor in enumerate(problem.tensors)}
        #: By operation the tensors it reads, those it writes, its pairs, and what it waits for beside them.
        self.related = [
            (
                [number[name] for name in set(op.inputs)],
                [number[name] for name in op.outputs],
                [(number[output], number[source]) for output, source in op.in_place],
                [graph.number[name] for name in op.after],
            )
            for op in problem.operations
        ]
        #: By tensor the operation that makes it, -1 if none does, and those that read it.
        self.users = [(graph.producer.get(name, -1), graph.readers[name]) for name in number]
        self.tensors = _ranks(
            [
                (
                    tensor.size,
                    tensor.home,
                    *(tensor.name in names for names in (problem.kept, border.here, border.stay)),
                    *(tensor.name in names for names in (border.saved, border.free)),
                )
                for tensor in problem.tensors
            ]
        )
        self.operations = _ranks([(op.scratch, op.work or 0, op.time) for op in problem.operations])
        self._refine()
        count = len(self.operations)
        while len(set(self.operations)) < count:
            shared = min(c for c in self.operations if self.operations.count(c) > 1)
            first = self.operations.index(shared)
            self.operations = [2 * c + (index != first) for index, c in enumerate(self.operations)]
            self._refine()

    def _refine(self) -> None:
        classes = 0
        while True:
            ops, tensors = self.operations, self.tensors
            found = len(set(ops)) + len(set(tensors))
            if found == classes:
                return
            classes = found
            signs = [
                (
                    ops[index],
                    tuple(sorted([tensors[each] for each in inputs])),
                    tuple(sorted([tensors[each] for each in outputs])),
                    tuple(sorted([(tensors[one], tensors[other]) for one, other in pairs])) if pairs else (),
                    tuple(sorted([ops[each] for each in after])) if after else (),
                )
                for index, (inputs, outputs, pairs, after) in enumerate(self.related)
            ]
            self.tensors = _ranks(
                [
                    (
                        tensors[index],
                        -1 if maker < 0 else ops[maker],
                        tuple(sorted([ops[each] for each in readers])),
                    )
                    for index, (maker, readers) in enumerate(self.users)
                ]
            )
            self.operations = _ranks(signs)

    def order(self) -> list[int]:
        """Always the operation of the least colour among those that may come next."""
        waiting = [len(earlier) for earlier in self.graph.before]
        ready = [(self.operations[index], index) for index, count in enumerate(waiting) if not count]
        heapify(ready)
        found = []
        while ready:
            _, index = heappop(ready)
            found.append(index)
            for later in self.graph.after[index]:
                waiting[later] -= 1
                if not waiting[later]:
                    heappush(ready, (self.operations[later], later))
        return found


def _ranks(signatures: Sequence[tuple[Any, ...]]) -> list[int]:
    rank = {signature: number for number, signature in enumerate(sorted(set(signatures)))}
    return [rank[signature] for signature in signatures]
