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

from drystone.ir.pieces import Grid, Span, Step, divided
from drystone.scheduling.budgets.streaming import paged
from drystone.scheduling.pieces.costs import Needs, needs_of

#: Multiply-adds in the time that a kernel call takes besides its work.
CALL = 4000
#: Multiply-adds in the time in which four bytes of a result are read, added to and written again.
_AGAIN = 8
#: Multiply-adds in the time in which four bytes of a weight come from memory, and bytes of a weight that lies
#: in a cache from piece to piece.
_READ, _CACHED = 4, 1 << 18
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
    take the place of what it reads first, and where it is in the model. A view makes what it reads. features:
    how some of its features are made; sums: the tensor over whose features it sums, if any; weights: bytes of
    each that it reads whole; others: what else it makes, which is not divided then."""

    result: str
    reads: tuple[str, ...]
    work: int
    step: Step | None = None
    averages: bool = False
    in_place: bool = False
    where: str = ""
    features: Step | None = None
    sums: str = ""
    weights: tuple[int, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[str, ...]:
        """All that it makes."""
        return self.result, *self.others

    @property
    def is_view(self) -> bool:
        """Whether it is another view of what it reads."""
        return self.result in self.reads

    def along(self, features: bool) -> Step | None:
        """How it is divided along features, or along rows."""
        return self.features if features else self.step

    def read_at_once(self, part: int = 1, extent: int = 1) -> int:
        """Bytes of memory of the weights it reads, where it makes `part` of `extent` features."""
        return sum(paged(-(-size * part // extent)) for size in self.weights if size)


@dataclass(frozen=True)
class Net:
    """Layers in order. sizes: bytes of every tensor; those in `outside` lie in memory that is not planned.
    scattered: tensors whose rows are no stretch of memory, so that slices are copied. kept: tensors that live
    to the end. alignment: of every tensor, in bytes. apart: tensors some of whose features are no stretch."""

    layers: tuple[Layer, ...]
    sizes: Mapping[str, int]
    outside: frozenset[str] = frozenset()
    scattered: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    alignment: int = 1
    apart: frozenset[str] = frozenset()

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
        made = {name for layer in self.layers for name in layer.results}
        there = [name for name in self.sizes if name not in made]
        found = []
        for number, layer in enumerate(self.layers):
            there = [name for name in there if self.last_reads.get(name, -1) >= number]
            found.append(sum(map(self.planned, there)))
            there += [name for name in layer.results if name not in there]
        return found


@dataclass(frozen=True)
class Choice:
    """Spans in order, and what each makes beside what its operations make as wholes, in multiply-adds; the
    most bytes that a step of the path needs, the multiply-adds of all, the kernel calls of the spans, what
    all costs in multiply-adds (with calls, and bytes that are written again), and the most bytes of weights
    that an operation or a piece of one reads."""

    spans: tuple[Span, ...]
    works: tuple[tuple[int, int], ...]
    peak: int
    work: int
    calls: int
    cost: int
    weights: int


@dataclass(frozen=True)
class _Edge:
    first: int
    end: int
    peak: int
    work: int
    calls: int
    cost: int
    weights: int
    span: Span | None


def _cost(work: int, calls: int, again: int) -> int:
    """Multiply-adds, and those in the time of the calls and of bytes that are written again."""
    return work + CALL * calls + _AGAIN * again // 4


class Choices:
    """All steps of a net that need at most `most` bytes (None: any number)."""

    def __init__(self, net: Net, most: int | None = None) -> None:
        self.net = net
        found: list[_Edge] = []
        for first in range(len(net.layers)):
            found.append(self._plain(first))
            for features in (False, True):
                for last, summed in self._ends(first, features):
                    found += _best(self._spans(first, last, summed, features, most))
        self.edges = [edge for edge in found if most is None or edge.peak <= most]

    def within(self, limit: int, weights: int | None = None) -> Choice | None:
        """The choice of least cost whose steps need at most `limit` bytes and, if this is said, so many of
        weights; None where there is none."""
        count = len(self.net.layers)
        best: list[tuple[int, _Edge | None] | None] = [(0, None), *[None] * count]
        for edge in self.edges:
            start = best[edge.first]
            if edge.peak > limit or start is None or (weights is not None and edge.weights > weights):
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
            sum(edge.cost for edge in path),
            max((edge.weights for edge in path), default=0),
        )

    @property
    def weights(self) -> list[int]:
        """What steps read of weights, in bytes."""
        return [edge.weights for edge in self.edges]

    def least(self, work: float, weights: int | None = None) -> Choice | None:
        """The choice of the smallest peak that makes at most `work` multiply-adds, and whose steps read at
        most `weights` bytes of weights, if this is said."""
        peaks = sorted({edge.peak for edge in self.edges})
        low, high, found = 0, len(peaks) - 1, None
        while low <= high:
            middle = (low + high) // 2
            choice = self.within(peaks[middle], weights)
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
        if layer.is_view or (
            layer.in_place and net.planned(first) >= size and net.last_reads[first] == number
        ):
            size = 0
        return _Edge(
            number,
            number + 1,
            net.alive[number] + size + sum(map(net.planned, layer.others)),
            layer.work,
            0,
            layer.work,
            layer.read_at_once(),
            None,
        )

    def _ends(self, first: int, features: bool) -> Iterator[tuple[int, bool]]:
        """The last layers of spans along features, or along rows, that start at a layer, and whether they sum
        over pieces."""
        net = self.net
        inside: dict[str, int] = {}
        latest = ""
        for last in range(first, min(first + _LONGEST, len(net.layers))):
            layer = net.layers[last]
            if layer.is_view and latest and layer.result not in inside:
                continue
            closed = all(net.last_reads.get(name, -1) <= last for name in inside)
            read = {name for name in layer.reads if name in inside}
            sums = layer.sums == latest if features else layer.averages
            if closed and sums and read == {latest}:
                yield last, True
            step = layer.along(features)
            if step is None or read - {r.value for r in step.reads}:
                return
            if closed and (features or latest):
                yield last, False
            latest = layer.result
            inside[latest] = last

    def _spans(
        self, first: int, last: int, summed: bool, features: bool, most: int | None
    ) -> Iterator[_Edge]:
        """One span with every grid."""
        net = self.net
        run = [layer for layer in net.layers[first : last + (not summed)] if not layer.is_view]
        steps = tuple(step for layer in run if (step := layer.along(features)) is not None)
        base = net.alive[first] + net.planned(net.layers[last].result)
        if most is not None and base >= most:
            return
        needs = Needs(
            steps,
            {layer.result: layer.work for layer in run},
            net.sizes,
            net.apart if features else net.scattered,
            net.alignment,
        )
        large = sum(size for layer in run for size in layer.weights if size > _CACHED)
        for grid in grids(steps[-1].extents, steps[-1].unit) if features else grids(steps[-1].extents):
            found = needs_of(needs, grid, None if most is None else most - base)
            if found is not None:
                more = sum(layer.work for layer in net.layers[last : last + summed])
                again = features * (found.pieces if summed else 1)
                calls = found.calls + (1 + (summed and not features)) * found.pieces
                span = Span(first, last, grid, summed, features)
                weights = _read_at_once(net.layers[first : last + 1], steps[-1], grid, features)
                cost = _cost(found.work + more, calls, again * net.sizes[net.layers[last].result])
                # Each piece along rows reads all weights, each one along features its part.
                cost += 0 if features else (found.pieces - 1) * large * _READ // 4
                taken = found.work + more, calls, cost
                yield _Edge(first, last + 1, base + found.peak, *taken, weights, span)


def _read_at_once(layers: Sequence[Layer], last: Step, grid: Grid, features: bool) -> int:
    """The most bytes of weights that an operation of a piece reads."""
    extent = last.extents[0]
    _, part = divided(extent, grid.counts[0], last.unit)[0] if features else (0, extent)
    return max(layer.read_at_once(part, extent) for layer in layers)


def _best(edges: Iterator[_Edge]) -> list[_Edge]:
    """Those that no other one is as good as in memory, weights and cost."""
    kept: list[_Edge] = []
    for edge in sorted(edges, key=lambda edge: (edge.peak, edge.cost, edge.weights)):
        if not any(other.cost <= edge.cost and other.weights <= edge.weights for other in kept):
            kept.append(edge)
    return kept


@lru_cache(maxsize=1024)
def grids(extents: Sequence[int], unit: int = 1) -> tuple[Grid, ...]:
    """The grids worth trying for a result of these extents along its axes, divided at multiples of `unit`."""
    if len(extents) == 1:
        return tuple(Grid((n,)) for n in _SINGLE if 1 < n <= extents[0] // unit)
    rows, columns = extents[0], extents[1]
    rest = [1] * (len(extents) - 2)
    # Pieces of one size share their kernels.
    across = [n for n in _COLUMNS if n <= columns and (columns % n == 0 or n == 2)]
    heights = [n for n in _ROWS if n < rows and rows % n == 0]
    kept = [Grid((rows // height, n, *rest), kept=True) for height in heights for n in across]
    plain = [Grid((down, n, *rest)) for down, n in _PLAIN if down <= rows and n <= columns]
    return tuple(dict.fromkeys([*kept, *plain]))
