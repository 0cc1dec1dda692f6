"""Which runs of operations to compute piece by piece: a shortest path over spans (msf-CNN, 2025).

A node is a place between two operations of the given order. From each place, the next operation leads to the
next place at the cost of its work, and every span of operations that can be divided leads behind its last
one, once for each grid, at the cost of what it makes (some of it twice) and of its kernel calls. Each such
step needs memory: what lives across it and inside it. The path of least cost whose steps stay within a limit
is the choice. Sizes are those of whole tensors and pieces, without addresses: the plan of the program that is
made of it has the last word.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from drystone.ir.pieces import Grid, Span, Step
from drystone.scheduling.pieces.costs import Needs, needs_of

#: Multiply-adds in the time that a kernel call takes besides its work.
CALL = 4000
#: The longest span, in operations.
_LONGEST = 24
#: Rows of a piece where rows are kept, and numbers of pieces along the second axis.
_ROWS = (1, 2, 3, 4, 6, 7, 8)
_COLUMNS = (1, 2, 3, 4, 6)
#: Numbers of pieces along both axes where nothing is kept.
_PLAIN = ((2, 1), (3, 1), (4, 1), (2, 2), (3, 3), (4, 4), (6, 6))
#: Numbers of pieces where there is one axis.
_SINGLE = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


@dataclass(frozen=True)
class Layer:
    """An operation: what it makes, all it reads but weights, multiply-adds, how it is divided (None: it is
    not), whether it averages whole images (and so sums over pieces of what it reads), whether its result may
    take the place of what it reads first, and where it is in the model. A view makes what it reads."""

    result: str
    reads: tuple[str, ...]
    work: int
    step: Step | None = None
    averages: bool = False
    in_place: bool = False
    where: str = ""


@dataclass(frozen=True)
class Net:
    """Layers in order. sizes: bytes of every tensor; those in `outside` lie in memory that is not planned.
    scattered: tensors whose rows are no stretch of memory, so that slices are copied. kept: tensors that live
    to the end. alignment: of every tensor, in bytes."""

    layers: tuple[Layer, ...]
    sizes: Mapping[str, int]
    outside: frozenset[str] = frozenset()
    scattered: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    alignment: int = 1

    def rounded(self, size: int) -> int:
        """`size` rounded up to the alignment."""
        return -(-size // self.alignment) * self.alignment

    def planned(self, name: str) -> int:
        """Bytes of a tensor in the memory that is planned."""
        return 0 if name in self.outside else self.rounded(self.sizes[name])

    @property
    def work(self) -> int:
        """Multiply-adds of all layers."""
        return sum(layer.work for layer in self.layers)

    @cached_property
    def last_reads(self) -> dict[str, int]:
        """The last layer that reads each tensor; one past the end for those that are kept."""
        last = {name: number for number, layer in enumerate(self.layers) for name in layer.reads}
        return last | dict.fromkeys(self.kept, len(self.layers))

    @cached_property
    def alive(self) -> list[int]:
        """Bytes alive before each layer: there from the start or made before, and read by it or later."""
        made = {layer.result for layer in self.layers}
        there = [name for name in self.sizes if name not in made]
        found = []
        for number, layer in enumerate(self.layers):
            there = [name for name in there if self.last_reads.get(name, -1) >= number]
            found.append(sum(map(self.planned, there)))
            if layer.result not in there:
                there.append(layer.result)
        return found


@dataclass(frozen=True)
class Choice:
    """Spans in order, and what each makes beside what its operations make as wholes, in multiply-adds; the
    most bytes that a step of the path needs, the multiply-adds of all, and the kernel calls of the spans."""

    spans: tuple[Span, ...]
    works: tuple[tuple[int, int], ...]
    peak: int
    work: int
    calls: int


@dataclass(frozen=True)
class _Edge:
    first: int
    end: int
    peak: int
    work: int
    calls: int
    span: Span | None

    @property
    def cost(self) -> int:
        return self.work + CALL * self.calls


class Choices:
    """All steps of a net that need at most `most` bytes (None: any number)."""

    def __init__(self, net: Net, most: int | None = None) -> None:
        self.net = net
        found: list[_Edge] = []
        for first in range(len(net.layers)):
            found.append(self._plain(first))
            for last, summed in self._ends(first):
                found += _best(self._spans(first, last, summed, most))
        self.edges = [edge for edge in found if most is None or edge.peak <= most]

    def within(self, limit: int) -> Choice | None:
        """The choice of least cost whose steps need at most `limit` bytes; None where there is none."""
        count = len(self.net.layers)
        best: list[tuple[int, _Edge | None] | None] = [(0, None), *[None] * count]
        for edge in self.edges:
            start = best[edge.first]
            if edge.peak > limit or start is None:
                continue
            cost, known = start[0] + edge.cost, best[edge.end]
            if known is None or cost < known[0]:
                best[edge.end] = cost, edge
        path: list[_Edge] = []
        place = count
        while place:
            reached = best[place]
            if reached is None or reached[1] is None:
                return None
            path.append(reached[1])
            place = reached[1].first
        path.reverse()
        spans = [edge.span for edge in path if edge.span is not None]
        whole = [sum(layer.work for layer in self.net.layers[s.first : s.last + 1]) for s in spans]
        return Choice(
            tuple(spans),
            tuple(zip((edge.work for edge in path if edge.span is not None), whole, strict=True)),
            max((edge.peak for edge in path), default=0),
            sum(edge.work for edge in path),
            sum(edge.calls for edge in path),
        )

    def least(self, work: float) -> Choice | None:
        """The choice of the smallest peak that makes at most `work` multiply-adds."""
        peaks = sorted({edge.peak for edge in self.edges})
        low, high, found = 0, len(peaks) - 1, None
        while low <= high:
            middle = (low + high) // 2
            choice = self.within(peaks[middle])
            if choice is not None and choice.work <= work:
                found, high = choice, middle - 1
            else:
                low = middle + 1
        return found

    def _plain(self, number: int) -> _Edge:
        """A layer as a whole."""
        net, layer = self.net, self.net.layers[number]
        size = net.planned(layer.result)
        first = layer.reads[0] if layer.reads else ""
        if layer.result in layer.reads or (
            layer.in_place and net.planned(first) == size and net.last_reads[first] == number
        ):
            size = 0
        return _Edge(number, number + 1, net.alive[number] + size, layer.work, 0, None)

    def _ends(self, first: int) -> Iterator[tuple[int, bool]]:
        """The last layers of spans that start at a layer, and whether they sum over pieces."""
        net = self.net
        inside: dict[str, int] = {}
        for last in range(first, min(first + _LONGEST, len(net.layers))):
            layer = net.layers[last]
            closed = all(net.last_reads.get(name, -1) <= last for name in inside)
            if closed and layer.averages and last > first and layer.reads == (net.layers[last - 1].result,):
                yield last, True
            step = layer.step
            if step is None or {n for n in layer.reads if n in inside} - {r.value for r in step.reads}:
                return
            if closed and last > first and layer.result not in net.outside:
                yield last, False
            inside[layer.result] = last

    def _spans(self, first: int, last: int, summed: bool, most: int | None) -> Iterator[_Edge]:
        """One span with every grid."""
        net = self.net
        run = net.layers[first : last + (not summed)]
        steps = tuple(layer.step for layer in run if layer.step is not None)
        base = net.alive[first] + net.rounded(net.sizes[net.layers[last].result])
        if most is not None and base >= most:
            return
        needs = Needs(
            steps,
            {layer.result: layer.work for layer in run},
            net.sizes,
            net.scattered,
            net.alignment,
        )
        for grid in grids(steps[-1].extents):
            found = needs_of(needs, grid, None if most is None else most - base)
            if found is not None:
                more = sum(layer.work for layer in net.layers[last : last + summed])
                calls = found.calls + (2 * found.pieces if summed else found.pieces)
                span = Span(first, last, grid, summed)
                yield _Edge(first, last + 1, base + found.peak, found.work + more, calls, span)


def _best(edges: Iterator[_Edge]) -> list[_Edge]:
    """Those that no other one is as good as in both memory and cost."""
    kept: list[_Edge] = []
    for edge in sorted(edges, key=lambda edge: (edge.peak, edge.cost)):
        if not kept or edge.cost < kept[-1].cost:
            kept.append(edge)
    return kept


@lru_cache(maxsize=1024)
def grids(extents: Sequence[int]) -> tuple[Grid, ...]:
    """The grids worth trying for a result of these extents along its axes."""
    if len(extents) == 1:
        return tuple(Grid((n,)) for n in _SINGLE if 1 < n <= extents[0])
    rows, columns = extents[0], extents[1]
    rest = [1] * (len(extents) - 2)
    # Pieces of one size share their kernels.
    across = [n for n in _COLUMNS if n <= columns and (columns % n == 0 or n == 2)]
    heights = [n for n in _ROWS if n < rows and rows % n == 0]
    kept = [Grid((rows // height, n, *rest), kept=True) for height in heights for n in across]
    plain = [Grid((down, n, *rest)) for down, n in _PLAIN if down <= rows and n <= columns]
    return tuple(dict.fromkeys([*kept, *plain]))
