"""What the time of a group of operations depends on besides its tile: the solver's own account of the rules.

A group's operands fall into few kinds by the dimensions that their slices follow: a pointwise operand
follows the tile's row and column, a product's left operand the row and the part of the sum, and so on. A
slice is read again when a dimension it follows has moved since. So the time of all cells is a sum over few
classes of them, and a `Form`, the counts of elements by kind, says everything about it: groups of one form
cost the same.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from drystone.scheduling.mlsys.format import MATMUL, Problem

#: The kinds: which of height, width and depth of a cell an operand's elements grow with. "h" and "w" are
#: slices of whole rows and columns of the grid, read for a tile's first part of the sum alone.
KINDS = ("hw", "h", "w", "hk", "wk", "k")
_WHOLE = frozenset(("hw", "h", "w"))
Amounts = tuple[int, int, int, int, int, int]


class Access(NamedTuple):
    """An operand read from memory: a tensor, its kind, and its elements for a height, width, depth of 1."""

    tensor: int
    kind: str
    scale: int


class Form(NamedTuple):
    """All that the time of a group depends on.

    Results of shape (width, height); `pointwise` and `products` are the costs per tile; `sum` is what the
    depth cuts (0: nothing), `cut` whether it may, `least` the least tile for that, `square` whether the width
    and depth of tiles must equal the sum. `resident` are the elements that the step before left, `space` the
    elements of a cell by kind. Elements read: in the first part of every tile (`always`), or when what they
    follow has moved (`moved`), each for an uncut and a cut sum; and in later parts (`later`). `results` are
    tiles in memory, `written` those of them that are written.
    """

    width: int
    height: int
    pointwise: float
    products: float
    sum: int
    cut: bool
    least: tuple[int, int]
    square: bool
    resident: int
    space: Amounts
    always: tuple[Amounts, Amounts]
    moved: tuple[Amounts, Amounts]
    later: Amounts
    results: int
    written: int


class Graph:
    """The problem by bits: a set of operations is an integer, and a tensor that one makes goes by its bit."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        count = len(problem.operations)
        self.rank = {op: rank for rank, op in enumerate(problem.order)}
        made = [op.output for op in problem.operations]
        self.readers = [_bits(problem.readers[tensor]) for tensor in made]
        self.sources = [
            _bits(problem.producer[t] for t in op.inputs if t in problem.producer)
            for op in problem.operations
        ]
        self.size = [problem.shapes[t][0] * problem.shapes[t][1] for t in made]
        self.touched = [frozenset((*op.inputs, op.output)) for op in problem.operations]
        by_tensor = [0] * len(problem.shapes)
        for op, tensors in enumerate(self.touched):
            for tensor in tensors:
                by_tensor[tensor] |= 1 << op
        self.near = [gather(_bits(self.touched[i]), by_tensor) & ~(1 << i) for i in range(count)]

    def members(self, group: int) -> list[int]:
        """The operations of a set, each after those it reads from."""
        return sorted(each(group), key=self.rank.__getitem__)

    def connected(self, group: int) -> bool:
        """Whether the operations hang together by the tensors they touch."""
        reached = group & -group
        while new := gather(reached, self.near) & group & ~reached:
            reached |= new
        return reached == group

    def form(self, group: int, before: int, after: int) -> Form | None:
        """What a group costs when `before` is in fast memory and `after` stays; None where it cannot run."""
        return _Forming(self, group, before, after).form()


class _Forming:
    def __init__(self, graph: Graph, group: int, before: int, after: int) -> None:
        self.graph, self.problem, self.before = graph, graph.problem, before
        self.operations = graph.members(group)
        self.ephemeral = 0
        for op in self.operations:
            if graph.readers[op] & group and not after >> op & 1:
                self.ephemeral |= 1 << op
        self.products = [op for op in self.operations if self.problem.operations[op].kind == MATMUL]
        self.made = group & ~self.ephemeral
        self.written = (self.made & ~after).bit_count()
        self.group = group
        self.reads = {op: self._reads(op) for op in self.products}
        self.feeds = {op: self._feeds(op) for op in self.products}

    def _held(self, tensor: int, where: int) -> bool:
        producer = self.problem.producer.get(tensor)
        return producer is not None and bool(where >> producer & 1)

    def _reads(self, op: int) -> tuple[bool, bool]:
        left, right = (
            self._held(tensor, self.ephemeral)
            and self.problem.operations[self.problem.producer[tensor]].kind == MATMUL
            for tensor in self.problem.operations[op].inputs
        )
        return left, right

    def _feeds(self, op: int) -> tuple[bool, bool]:
        if not self.ephemeral >> op & 1:
            return False, False
        made = self.problem.operations[op].output
        pairs = [self.problem.operations[other].inputs for other in self.products]
        return any(left == made for left, _ in pairs), any(right == made for _, right in pairs)

    def form(self) -> Form | None:
        shapes = {self.problem.shapes[self.problem.operations[op].output] for op in each(self.made)}
        if len(shapes) != 1 or not self.graph.connected(self.group):
            return None
        if any(all(feeds) for feeds in self.feeds.values()):
            return None
        chained = [(any(self.reads[op]), any(self.feeds[op])) for op in self.products]
        cut = chained == [(False, False)] or sorted(chained) == [(False, True), (True, False)]
        square = len(self.products) > 2 or (True, True) in chained
        depths = [self.problem.depth(op) for op in self.products]
        ends = [depth for depth, role in zip(depths, chained, strict=True) if role == (True, False)]
        total = ends[-1] if ends else max(depths, default=0)
        if square and len(set(depths)) != 1:
            return None
        width, height = shapes.pop()
        accesses = self._accesses()
        costs = {op: self.problem.operations[op].cost for op in self.operations}
        products = sum(costs[op] for op in self.products)
        return Form(
            width,
            height,
            sum(costs.values()) - products,
            products,
            total,
            cut,
            self._least(),
            square,
            sum(self.graph.size[op] for op in each(self.before)),
            _amounts(accesses),
            *_read(accesses),
            self.made.bit_count(),
            self.written,
        )

    def _least(self) -> tuple[int, int]:
        """The least tile for a cut sum: a pointwise result of the group must cover the sum it goes into."""
        least = [1, 1]
        for op in self.products:
            for side, tensor in enumerate(self.problem.operations[op].inputs):
                source = self.problem.producer.get(tensor)
                if self._held(tensor, self.group) and self.problem.operations[source or 0].kind != MATMUL:
                    least[side] = max(least[side], self.problem.depth(op))
        return least[0], least[1]

    def _accesses(self) -> list[Access]:
        absent = self.ephemeral | self.before
        return [
            Access(tensor, *self._kind(op, side))
            for op in self.operations
            for side, tensor in enumerate(self.problem.operations[op].inputs)
            if not self._held(tensor, absent)
        ]

    def _kind(self, op: int, side: int) -> tuple[str, int]:
        if self.problem.operations[op].kind != MATMUL:
            return "hw", 1
        depth, reads, feeds = self.problem.depth(op), self.reads[op], self.feeds[op]
        for kept in (0, 1):
            if feeds[kept] and not reads[kept]:
                return ("hw"[kept], depth) if side == kept else ("k", depth)
        if len(self.products) == 2 and not (any(reads) or any(feeds)):
            return "hw"[side], depth  # two products side by side keep their own sums, which nothing cuts
        return ("hk", "wk")[side], 1


def _read(accesses: Sequence[Access]) -> tuple[tuple[Amounts, Amounts], tuple[Amounts, Amounts], Amounts]:
    """Elements that the first part of a tile always reads, and those it reads when moved, for an uncut and a
    cut sum; and what later parts read. The memory remembers the last slice of a tensor: one read in two ways
    is read again each time."""
    by_tensor: dict[int, list[Access]] = {}
    for access in accesses:
        by_tensor.setdefault(access.tensor, []).append(access)
    always: tuple[list[Access], list[Access]] = ([], [])
    moved: tuple[list[Access], list[Access]] = ([], [])
    later: list[Access] = []
    for reads in by_tensor.values():
        again = [access for access in reads if access.kind not in _WHOLE]
        for cut, last in enumerate((reads[-1], again[-1] if again else reads[-1])):
            (moved if reads[0].kind == last.kind else always)[cut].append(reads[0])
            always[cut].extend(b for a, b in pairwise(reads) if a.kind != b.kind)
        later.extend(again[:1])
        later.extend(b for a, b in pairwise(again) if a.kind != b.kind)
    return (
        (_amounts(always[0]), _amounts(always[1])),
        (_amounts(moved[0]), _amounts(moved[1])),
        _amounts(later),
    )


def _amounts(accesses: Iterable[Access]) -> Amounts:
    found = dict.fromkeys(KINDS, 0)
    for access in accesses:
        found[access.kind] += access.scale
    a, b, c, d, e, f = found.values()
    return a, b, c, d, e, f


def each(group: int) -> Iterable[int]:
    """The members of a set, in order."""
    while group:
        low = group & -group
        yield low.bit_length() - 1
        group ^= low


def gather(group: int, neighbours: Sequence[int]) -> int:
    """All the neighbours of a set's members."""
    found = 0
    for member in each(group):
        found |= neighbours[member]
    return found


def _bits(members: Iterable[int]) -> int:
    return sum(1 << member for member in set(members))
